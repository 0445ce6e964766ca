//! `promote`: past a pause, past a step, or straight to the end.
//!
//! What is written depends on what the release waits for: its pause conditions are cleared, or, when it waits for
//! something else, the step index moves on. Never both, but for an inconclusive analysis, whose step is left behind.

use crds::{AnalysisPhase, Rollout, RolloutStatus};
use serde_json::{Value, json};

use super::resume;
use crate::cli;
use crate::errors::Error;
use crate::names;
use crate::session::Session;

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Past what the release waits for.
    On,
    /// Past the current step.
    SkipStep,
    /// Past all steps.
    SkipAllSteps,
    /// To the end, without steps, pauses and analyses.
    Full,
}

impl How {
    /// What the flags say.
    pub fn of(flags: &cli::Promote) -> Self {
        if flags.full {
            Self::Full
        } else if flags.skip_current_step {
            Self::SkipStep
        } else if flags.skip_all_steps {
            Self::SkipAllSteps
        } else {
            Self::On
        }
    }
}

/// What to write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Writes {
    /// Merge patch of the main resource.
    pub spec: Option<Value>,
    /// Merge patch of the status.
    pub status: Option<Value>,
}

/// Promotes a Rollout.
///
/// # Errors
/// It has no steps to skip, or a write failed.
pub async fn run(session: &Session, name: &str, how: How) -> Result<String, Error> {
    let rollout = session.rollout(name).await?;
    let writes = writes(&rollout, how)?;
    carry_out(session, name, &writes).await?;
    Ok(match how {
        How::Full => format!("rollout '{name}' fully promoted"),
        How::On | How::SkipStep | How::SkipAllSteps => format!("rollout '{name}' promoted"),
    })
}

/// Writes the status first: with it alone the release goes on, with the spec alone it might wait again.
///
/// # Errors
/// A write failed.
pub async fn carry_out(session: &Session, name: &str, writes: &Writes) -> Result<(), Error> {
    let mut spec = writes.spec.clone();
    if let Some(status) = &writes.status {
        let mut whole = status.clone();
        if let Some(spec) = &spec {
            crds::json_patch::merge(&mut whole, spec);
        }
        if session.merge_status(name, status, &unset(whole, status)).await? {
            spec = None;
        }
    }
    if let Some(spec) = &spec {
        session.merge(&names::rollouts(), name, spec).await?;
    }
    Ok(())
}

/// Merging patches into one drops their nulls, which are what removes a field: put those of the status back.
fn unset(whole: Value, status: &Value) -> Value {
    let mut whole = whole;
    if let (Some(target), Some(source)) = (whole.as_object_mut(), status.get("status")) {
        target.insert("status".to_owned(), source.clone());
    }
    whole
}

/// What to write so that the release goes this far.
///
/// # Errors
/// It has no steps to skip.
pub fn writes(rollout: &Rollout, how: How) -> Result<Writes, Error> {
    let status = rollout.status.clone().unwrap_or_default();
    let status_only = |status: Value| Writes { spec: None, status: Some(json!({ "status": status })) };
    match how {
        How::Full if status.current_pod_hash.is_some() && status.current_pod_hash == status.stable_rs => {
            Ok(Writes::default())
        }
        How::Full => Ok(status_only(json!({ "promoteFull": true }))),
        How::SkipStep => Ok(status_only(json!({ "currentStepIndex": next_step(&status, steps(rollout)?) }))),
        How::SkipAllSteps => Ok(status_only(json!({ "currentStepIndex": steps(rollout)? }))),
        How::On => Ok(on(rollout, &status)),
    }
}

fn on(rollout: &Rollout, status: &RolloutStatus) -> Writes {
    let mut writes = resume::writes(rollout);
    let steps = steps(rollout).ok();
    let analysis = status.canary.as_ref().and_then(|canary| canary.current_step_analysis_run_status.as_ref());
    let inconclusive =
        analysis.is_some_and(|run| AnalysisPhase::parse(&run.status) == Some(AnalysisPhase::Inconclusive));
    match steps {
        Some(steps) if inconclusive && writes.status.is_some() => {
            writes.status = Some(json!({ "status": {
                "pauseConditions": null, "controllerPause": false, "currentStepIndex": next_step(status, steps),
            } }));
        }
        Some(steps) if writes == Writes::default() && next_step(status, steps) != index(status) => {
            writes.status = Some(json!({ "status": { "currentStepIndex": next_step(status, steps) } }));
        }
        _ => {}
    }
    writes
}

/// Number of steps.
fn steps(rollout: &Rollout) -> Result<i32, Error> {
    let strategy = rollout.spec.strategy.as_ref();
    let steps = strategy.and_then(|strategy| strategy.canary.as_ref()).and_then(|canary| canary.steps.as_ref());
    let count = steps.map_or(0, Vec::len);
    match i32::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(Error::Request("steps can be skipped only in a canary strategy with steps".to_owned())),
    }
}

fn index(status: &RolloutStatus) -> i32 {
    status.current_step_index.unwrap_or(0)
}

fn next_step(status: &RolloutStatus, steps: i32) -> i32 {
    index(status).saturating_add(1).min(steps)
}
