//! What a Rollout waits for, and until when, in one sentence for people.
//!
//! Invariant: told from the Rollout and its status alone, so that the controller and the command line say the same.

use crds::jiff::{SignedDuration, Timestamp};
use crds::{CanaryStrategy, PauseReason, Rollout, RolloutAnalysisRunStatus, RolloutStatus};

use crate::canary::step;
use crate::conditions;
use crate::words::condition;

/// The sentence, such as "the end of the pause at step 2 of 4, at 2026-01-01T00:10:00Z". `None` when nothing is waited for: the Rollout is
/// healthy, or its spec is invalid.
pub fn waits_for(rollout: &Rollout, status: &RolloutStatus) -> Option<String> {
    let is_true = |name: &str| conditions::find(status, name).is_some_and(|found| found.status == "True");
    if is_true("InvalidSpec") {
        return None;
    }
    let current = status.current_pod_hash.is_some() && status.current_pod_hash == status.stable_rs;
    if status.abort == Some(true) && !current {
        return Some("a person, to retry it or to release another version".to_owned());
    }
    if rollout.spec.paused == Some(true) {
        return Some("a person, who paused it by hand".to_owned());
    }
    let inconclusive = [PauseReason::InconclusiveAnalysis, PauseReason::InconclusiveExperiment];
    if inconclusive.into_iter().any(|reason| status.pause_condition(reason).is_some()) {
        return Some("a person: an analysis could not tell whether the new version is good".to_owned());
    }
    if rollout.spec.restart_at.is_some() && rollout.spec.restart_at != status.restarted_at {
        return Some("pods that are restarted one after the other".to_owned());
    }
    if current {
        let few = status.available_replicas.unwrap_or(0) < rollout.spec.replicas.unwrap_or(1);
        return few.then(|| within("pods of the released version", rollout, status));
    }
    match (rollout.canary(), rollout.blue_green().is_some()) {
        (Some(canary), _) => Some(canary_step(rollout, canary, status)),
        (None, true) => Some(preview(rollout, status)),
        (None, false) => None,
    }
}

/// The message of the phase with the sentence behind it, for those who asked for it: Argo's word stays the first.
pub fn message(rollout: &Rollout, status: &RolloutStatus) -> Option<String> {
    let short = status.message.clone().filter(|text| !text.is_empty());
    match (short, waits_for(rollout, status)) {
        (Some(short), Some(waits)) => Some(format!("{short}: waits for {waits}")),
        (None, Some(waits)) => Some(format!("waits for {waits}")),
        (short, None) => short,
    }
}

fn canary_step(rollout: &Rollout, canary: &CanaryStrategy, status: &RolloutStatus) -> String {
    let index = usize::try_from(status.current_step_index.unwrap_or(0)).unwrap_or(0);
    let Some(step) = canary.steps().get(index) else {
        return within("all pods of the new version, to promote it", rollout, status);
    };
    let place = format!("step {} of {}", index + 1, canary.steps().len());
    let known = status.canary.as_ref();
    if let Some(pause) = &step.pause {
        let begun = status.pause_condition(PauseReason::CanaryPauseStep).map(|pause| pause.start_time.0);
        let end = pause.wait().ok().flatten().and_then(|wait| begun?.checked_add(wait).ok());
        return match end {
            Some(end) => format!("the end of the pause at {place}, at {}", written(end)),
            None => format!("a person, to promote it past the pause at {place}"),
        };
    }
    if step.analysis.is_some() {
        return format!("{} at {place}", run(known.and_then(|known| known.current_step_analysis_run_status.as_ref())));
    }
    if step.experiment.is_some() {
        let name = known.and_then(|known| known.current_experiment.as_deref()).map(|name| format!(" {name}"));
        return format!("the end of Experiment{} at {place}", name.unwrap_or_default());
    }
    let weights = known.and_then(|known| known.weights.as_ref());
    if weights.is_some_and(|weights| weights.verified == Some(false) && Some(weights.canary.weight) == step.set_weight)
    {
        let what = format!("the data plane to take in the weight of {place} ({})", step::describe(step));
        return within(&what, rollout, status);
    }
    within(&format!("pods for {place} ({})", step::describe(step)), rollout, status)
}

fn preview(rollout: &Rollout, status: &RolloutStatus) -> String {
    let strategy = rollout.blue_green();
    let known = status.blue_green.as_ref();
    if let Some(pause) = status.pause_condition(PauseReason::BlueGreenPause) {
        let limit = strategy.and_then(|strategy| strategy.auto_promotion_seconds).filter(|seconds| *seconds > 0);
        let end =
            limit.and_then(|limit| pause.start_time.0.checked_add(SignedDuration::from_secs(i64::from(limit))).ok());
        return match end {
            Some(end) => format!("its promotion, by itself at {} or earlier by a person", written(end)),
            None => "a person, to promote it".to_owned(),
        };
    }
    let active = known.and_then(|known| known.active_selector.as_ref());
    let cut_over = active.is_some() && active == status.current_pod_hash.as_ref();
    let of = |slot: Option<&RolloutAnalysisRunStatus>| {
        slot.filter(|run| ["Pending", "Running"].contains(&run.status.as_str())).cloned()
    };
    let before = of(known.and_then(|known| known.pre_promotion_analysis_run_status.as_ref()));
    let after = of(known.and_then(|known| known.post_promotion_analysis_run_status.as_ref()));
    match (cut_over, before, after) {
        (true, _, after) => format!("{} after the cut-over", run(after.as_ref())),
        (false, Some(before), _) => format!("{} before the cut-over", run(Some(&before))),
        (false, None, _) => within("pods of the new version", rollout, status),
    }
}

fn run(slot: Option<&RolloutAnalysisRunStatus>) -> String {
    slot.map_or_else(|| "an AnalysisRun".to_owned(), |slot| format!("the end of AnalysisRun {}", slot.name))
}

/// Pods come until the deadline for progress.
fn within(what: &str, rollout: &Rollout, status: &RolloutStatus) -> String {
    let progressing = conditions::find(status, "Progressing").filter(|found| found.status != "False");
    let limit = SignedDuration::from_secs(i64::from(rollout.spec.progress_deadline_seconds.unwrap_or(600)));
    let end = progressing
        .filter(|found| found.reason != condition::NOT_AVAILABLE)
        .and_then(|found| found.last_update_time.0.checked_add(limit).ok());
    end.map_or_else(|| what.to_owned(), |end| format!("{what}, at the longest until {}", written(end)))
}

fn written(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
