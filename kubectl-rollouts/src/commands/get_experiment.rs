//! `get experiment`: the tree, once or as it changes.

use std::time::Duration;

use crds::k8s_openapi::api::core::v1::Pod;
use crds::kube::runtime::watcher;
use crds::{AnalysisRun, Experiment, ReplicaSet};
use futures::StreamExt as _;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::cli::GetExperiment;
use crate::errors::Error;
use crate::model::ExperimentInfo;
use crate::picture::{self, ExperimentPicture};
use crate::session::Session;
use crate::terminal::Terminal;
use crate::watch::{Kept, events};
use crate::{names, render};

/// On a terminal ages are kept up to date.
const TICK: Duration = Duration::from_secs(1);
/// Changes come in bursts; a frame shows all of one.
const BURST: Duration = Duration::from_millis(50);

/// Shows an Experiment.
///
/// # Errors
/// The Experiment cannot be read, or goes while it is watched.
pub async fn run(session: &Session, flags: &GetExperiment, terminal: &mut Terminal) -> Result<(), Error> {
    if flags.no_color {
        terminal.without_colours();
    }
    let picture = ExperimentPicture::read(session, &flags.name, terminal).await?;
    if !flags.watch {
        let info = ExperimentInfo::new(&picture, session.now());
        return Ok(terminal.write(&render::experiment(&info, terminal.colours()))?);
    }
    follow(session, &flags.name, picture, terminal).await
}

#[derive(Clone, Copy)]
enum Kind {
    Experiment,
    ReplicaSet,
    Pod,
    AnalysisRun,
}

async fn follow(session: &Session, name: &str, first: ExperimentPicture, terminal: &mut Terminal) -> Result<(), Error> {
    let labelled = || watcher::Config::default().labels(crds::words::POD_TEMPLATE_HASH_LABEL);
    let own = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut changes = futures::stream::select_all([
        events(session.api(&names::experiments()), own).map(|seen| (Kind::Experiment, seen)).boxed(),
        events(session.api(&picture::replica_sets()), labelled()).map(|seen| (Kind::ReplicaSet, seen)).boxed(),
        events(session.api(&picture::pods()), labelled()).map(|seen| (Kind::Pod, seen)).boxed(),
        events(session.api(&names::analysis_runs()), watcher::Config::default())
            .map(|seen| (Kind::AnalysisRun, seen))
            .boxed(),
    ]);
    let mut experiments: Kept<Experiment> = Kept::new(names::experiments(), [first.experiment]);
    let mut sets: Kept<ReplicaSet> = Kept::new(picture::replica_sets(), first.replica_sets);
    let mut pods: Kept<Pod> = Kept::new(picture::pods(), first.pods);
    let mut runs: Kept<AnalysisRun> = Kept::new(names::analysis_runs(), first.analysis_runs);
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shown = String::new();
    loop {
        let Some(experiment) = experiments.all().pop() else {
            return Err(Error::NotFound {
                resource: names::qualified(&names::experiments()),
                name: name.to_owned(),
                namespace: session.namespace.clone(),
            });
        };
        let picture =
            ExperimentPicture { experiment, replica_sets: sets.all(), pods: pods.all(), analysis_runs: runs.all() };
        let mut info = ExperimentInfo::new(&picture, session.now());
        let text = render::experiment(&info, terminal.colours());
        if !terminal.redraws() {
            // A frame that differs only in its ages is not worth it.
            info.tree.forget_time();
        }
        let gist = render::experiment(&info, false);
        if shown != gist {
            shown = gist;
            terminal.frame(&text)?;
        }
        let mut until = None;
        loop {
            tokio::select! {
                Some((kind, seen)) = changes.next() => {
                    let Ok(event) = seen else { continue };
                    match kind {
                        Kind::Experiment => experiments.take(event),
                        Kind::ReplicaSet => sets.take(event),
                        Kind::Pod => pods.take(event),
                        Kind::AnalysisRun => runs.take(event),
                    }
                    until.get_or_insert_with(|| Instant::now() + BURST);
                }
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => break,
                _ = ticks.tick(), if terminal.redraws() && until.is_none() => break,
            }
        }
    }
}
