//! `list rollouts`: one line each, once or as they change.

use std::collections::BTreeMap;

use crds::Rollout;
use crds::kube::api::DynamicObject;
use crds::kube::runtime::watcher::{self, Event};
use crds::kube::{Api, ResourceExt as _};
use futures::StreamExt as _;

use crate::cli::ListRollouts;
use crate::errors::Error;
use crate::model::{Progress, Replicas, StrategyKind, phase_of};
use crate::session::{self, Session};
use crate::terminal::{Terminal, Text, columns};
use crate::{names, watch};

/// Widths from which the columns of single lines, printed as changes come, begin.
const WATCHED: [usize; 10] = [20, 30, 9, 12, 5, 10, 7, 7, 10, 9];
const TITLES: [&str; 9] =
    ["NAME", "STRATEGY", "STATUS", "STEP", "SET-WEIGHT", "READY", "DESIRED", "UP-TO-DATE", "AVAILABLE"];

/// Lists Rollouts.
///
/// # Errors
/// They cannot be listed.
pub async fn run(session: &Session, flags: &ListRollouts, terminal: &mut Terminal) -> Result<(), Error> {
    let resource = names::rollouts();
    let api: Api<DynamicObject> =
        if flags.all_namespaces { Api::all_with(session.client.clone(), &resource) } else { session.api(&resource) };
    let mut objects = session.list_from(&api, &names::qualified(&resource), "").await?;
    objects.retain(|object| wanted(object, flags));
    objects.sort_by_key(|object| (object.namespace(), object.name_any()));
    let mut rows = vec![titles(flags)];
    rows.extend(objects.iter().map(|object| row(object, flags)));
    if objects.is_empty() {
        terminal.complain("No resources found.")?;
        if !flags.watch {
            return Ok(());
        }
    }
    if !flags.watch {
        return Ok(terminal.write(&stamped(&columns(&rows, false), session, flags))?);
    }
    for row in &rows {
        terminal.write(&stamped(&padded(row, flags), session, flags))?;
    }
    let known = objects.iter().map(|object| (key(object), row(object, flags))).collect();
    follow(session, api, known, flags, terminal).await
}

async fn follow(
    session: &Session,
    api: Api<DynamicObject>,
    mut known: BTreeMap<(String, String), Vec<Text>>,
    flags: &ListRollouts,
    terminal: &mut Terminal,
) -> Result<(), Error> {
    let mut config = watcher::Config::default();
    if let Some(name) = &flags.name {
        config = config.fields(&format!("metadata.name={name}"));
    }
    let mut events = watch::events(api, config);
    let mut trouble = None;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::InitApply(object) | Event::Apply(object)) if wanted(&object, flags) => {
                trouble = None;
                let row = row(&object, flags);
                if known.insert(key(&object), row.clone()).as_ref() != Some(&row) {
                    terminal.write(&stamped(&padded(&row, flags), session, flags))?;
                }
            }
            Ok(Event::Delete(object)) => {
                known.remove(&key(&object));
            }
            Ok(Event::Init | Event::InitDone | Event::InitApply(_) | Event::Apply(_)) => {}
            Err(error) => {
                let text = watch::trouble(&error, session, &names::rollouts());
                if trouble.as_ref() != Some(&text) {
                    terminal.complain(&format!("Warning: {text}"))?;
                    trouble = Some(text);
                }
            }
        }
    }
    Ok(())
}

fn wanted(object: &DynamicObject, flags: &ListRollouts) -> bool {
    flags.name.as_ref().is_none_or(|name| *name == object.name_any())
}

fn key(object: &DynamicObject) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn titles(flags: &ListRollouts) -> Vec<Text> {
    let namespace = flags.all_namespaces.then_some("NAMESPACE");
    namespace.into_iter().chain(TITLES).map(Text::from).collect()
}

fn row(object: &DynamicObject, flags: &ListRollouts) -> Vec<Text> {
    let name = object.name_any();
    let mut cells = Vec::new();
    if flags.all_namespaces {
        cells.push(object.namespace().unwrap_or_default());
    }
    match session::read::<Rollout>(&names::rollouts(), object.clone()) {
        Ok(rollout) => {
            let replicas = Replicas::of(&rollout);
            let progress = Progress::of(&rollout);
            let dash = || "-".to_owned();
            let step = progress.and_then(|progress| progress.step);
            cells.extend([
                name,
                StrategyKind::of(&rollout).word().to_owned(),
                phase_of(&rollout).0,
                step.map_or_else(dash, |(done, all)| format!("{done}/{all}")),
                progress.map_or_else(dash, |progress| progress.set_weight.to_string()),
                format!("{}/{}", replicas.ready, replicas.desired),
                replicas.desired.to_string(),
                replicas.updated.to_string(),
                replicas.available.to_string(),
            ]);
        }
        // One object that cannot be read must not hide the others.
        Err(_) => cells.extend([name, "unknown".to_owned(), "Unreadable".to_owned()]),
    }
    cells.into_iter().map(Text::from).collect()
}

/// One line whose columns are where those of the lines before it were, if they fit.
fn padded(row: &[Text], flags: &ListRollouts) -> String {
    let skip = usize::from(!flags.all_namespaces);
    let mut line = String::new();
    for (cell, width) in row.iter().zip(WATCHED.iter().skip(skip)) {
        line.push_str(&cell.render(false));
        line.push_str(&" ".repeat(width.saturating_sub(cell.width()) + 2));
    }
    format!("{}\n", line.trim_end())
}

fn stamped(lines: &str, session: &Session, flags: &ListRollouts) -> String {
    if !flags.timestamps {
        return lines.to_owned();
    }
    let now = session.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let lines: Vec<String> = lines.lines().map(|line| format!("{now}  {line}")).collect();
    lines.join("\n") + "\n"
}
