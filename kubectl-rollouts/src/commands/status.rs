//! `status`: how a release stands, and with what result it ends.

use crds::kube::ResourceExt as _;
use crds::kube::runtime::watcher::Event;
use crds::{Rollout, RolloutPhase};
use futures::StreamExt as _;

use crate::errors::Error;
use crate::model::phase_of;
use crate::session::{self, Session};
use crate::terminal::Terminal;
use crate::{cli, names, watch};

/// Tells the phase, and unless asked only for that, each later one until the release is healthy or degraded.
///
/// # Errors
/// The release ended badly or not in time, or cannot be read.
pub async fn run(session: &Session, flags: &cli::Status, terminal: &mut Terminal) -> Result<(), Error> {
    let rollout = session.rollout(&flags.name).await?;
    if !flags.watch {
        return Ok(terminal.line(&line(&phase_of(&rollout)))?);
    }
    let end = follow(session, rollout, terminal);
    let (phase, message) = if flags.timeout.is_zero() {
        end.await?
    } else {
        tokio::time::timeout(flags.timeout, end).await.map_err(|_| Error::WatchTimeout)??
    };
    if phase == RolloutPhase::Degraded.as_str() { Err(Error::Degraded(message)) } else { Ok(()) }
}

async fn follow(session: &Session, first: Rollout, terminal: &mut Terminal) -> Result<(String, String), Error> {
    let name = first.name_any();
    let mut told = None;
    let mut tell = |rollout: &Rollout, terminal: &mut Terminal| -> Result<Option<(String, String)>, Error> {
        let now = phase_of(rollout);
        if told.as_ref() != Some(&now) {
            terminal.line(&line(&now))?;
            told = Some(now.clone());
        }
        let over = matches!(RolloutPhase::parse(&now.0), Some(RolloutPhase::Healthy | RolloutPhase::Degraded));
        Ok(over.then_some(now))
    };
    if let Some(end) = tell(&first, terminal)? {
        return Ok(end);
    }
    let gone = || Error::NotFound {
        resource: names::qualified(&names::rollouts()),
        name: name.clone(),
        namespace: session.namespace.clone(),
    };
    let mut events = watch::rollout(session, &name);
    let mut listed = false;
    let mut trouble = None;
    while let Some(event) = events.next().await {
        let object = match event {
            Ok(Event::Init) => {
                listed = false;
                continue;
            }
            Ok(Event::InitDone) if listed => continue,
            Ok(Event::InitDone | Event::Delete(_)) => return Err(gone()),
            Ok(Event::InitApply(object) | Event::Apply(object)) => object,
            Err(error) => {
                let text = watch::trouble(&error, session, &names::rollouts());
                if trouble.as_ref() != Some(&text) {
                    terminal.complain(&format!("Warning: {text}"))?;
                    trouble = Some(text);
                }
                continue;
            }
        };
        listed = true;
        trouble = None;
        if let Some(end) = tell(&session::read(&names::rollouts(), object)?, terminal)? {
            return Ok(end);
        }
    }
    Err(gone())
}

fn line((phase, message): &(String, String)) -> String {
    if message.is_empty() { phase.clone() } else { format!("{phase} - {message}") }
}
