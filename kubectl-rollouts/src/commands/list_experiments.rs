//! `list experiments`: one line each.

use crds::Experiment;
use crds::jiff::Timestamp;
use crds::kube::api::DynamicObject;
use crds::kube::{Api, ResourceExt as _};

use crate::age::Age;
use crate::cli::ListExperiments;
use crate::errors::Error;
use crate::model::experiment_state;
use crate::names;
use crate::session::{self, Session};
use crate::terminal::{Terminal, Text, columns};

const TITLES: [&str; 5] = ["NAME", "STATUS", "DURATION", "REMAINING", "AGE"];

/// Lists Experiments.
///
/// # Errors
/// They cannot be listed.
pub async fn run(session: &Session, flags: &ListExperiments, terminal: &mut Terminal) -> Result<(), Error> {
    let resource = names::experiments();
    let api: Api<DynamicObject> =
        if flags.all_namespaces { Api::all_with(session.client.clone(), &resource) } else { session.api(&resource) };
    let mut objects = session.list_from(&api, &names::qualified(&resource), "").await?;
    objects.sort_by_key(|object| (object.namespace(), object.name_any()));
    if objects.is_empty() {
        terminal.complain("No resources found.")?;
        return Ok(());
    }
    let namespace = flags.all_namespaces.then_some("NAMESPACE");
    let mut rows: Vec<Vec<Text>> = vec![namespace.into_iter().chain(TITLES).map(Text::from).collect()];
    rows.extend(objects.into_iter().map(|object| row(object, flags, session.now())));
    Ok(terminal.write(&columns(&rows, false))?)
}

fn row(object: DynamicObject, flags: &ListExperiments, now: Timestamp) -> Vec<Text> {
    let mut cells = Vec::new();
    if flags.all_namespaces {
        cells.push(object.namespace().unwrap_or_default());
    }
    let name = object.name_any();
    let created = object.metadata.creation_timestamp.as_ref().map(|time| Age::between(time.0, now).to_string());
    match session::read::<Experiment>(&names::experiments(), object) {
        Ok(experiment) => cells.extend([
            name,
            experiment_state(&experiment).word,
            experiment.spec.duration.clone().unwrap_or_else(|| "-".to_owned()),
            remaining(&experiment, now).map_or_else(|| "-".to_owned(), |left| left.to_string()),
            created.unwrap_or_default(),
        ]),
        // One object that cannot be read must not hide the others.
        Err(_) => cells.extend([name, "Unreadable".to_owned()]),
    }
    cells.into_iter().map(Text::from).collect()
}

/// How long it still runs, when that can be told.
fn remaining(experiment: &Experiment, now: Timestamp) -> Option<Age> {
    let status = experiment.status.as_ref()?;
    if status.phase_kind()?.is_completed() {
        return None;
    }
    let duration = crds::duration::parse(experiment.spec.duration.as_deref()?).ok()?;
    let end = status.available_at.as_ref()?.0.checked_add(duration).ok()?;
    Some(Age::between(now.min(end), end))
}
