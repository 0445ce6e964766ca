//! What a new template or a person's word does to the state before anything else is looked at.

use crds::{BlueGreenStatus, CanaryStrategy, RolloutDurationStatus};

use super::{Draft, Facts, at};
use crate::conditions;
use crate::revision;
use crate::words::{condition, reason};

/// The template is not the one of the release that the status speaks of.
pub(crate) fn template_changed(facts: &Facts<'_>, draft: &Draft) -> bool {
    draft.status.current_pod_hash.as_deref() != Some(facts.hash.0.as_str())
}

/// A person took the abort away.
pub(crate) fn is_retried(draft: &Draft) -> bool {
    !draft.aborted() && draft.status.aborted_at.is_some()
}

/// A release of another version begins.
pub(crate) fn new_revision(facts: &Facts<'_>, draft: &mut Draft) {
    let number = revision::revision_number(&facts.revisions);
    let first_look_at_another_controllers = draft.status.current_pod_hash.is_none() && facts.revisions.new.is_some();
    draft.normal(reason::UPDATED, format!("Rollout updated to revision {number}"));
    draft.status.current_pod_hash = Some(facts.hash.0.clone());
    draft.status.abort = None;
    draft.status.promote_full = None;
    let name = facts.new_name();
    let (why, message) = if facts.revisions.new.is_some() {
        (condition::FOUND_REPLICA_SET, format!("Found new replica set \"{name}\""))
    } else {
        draft.normal(reason::NEW_REPLICA_SET, format!("Created ReplicaSet {name} (revision {number})"));
        (condition::NEW_REPLICA_SET, format!("Created new replica set \"{name}\""))
    };
    if !first_look_at_another_controllers || draft.status.stable_rs.is_none() {
        conditions::set(&mut draft.status, "Progressing", "True", why, &message, facts.now);
    }
    draft.status.duration = Some(started(facts));
    if facts.promoted(&draft.status) {
        // Back at the stable version in the middle of a release: there is nothing to wait for.
        finished(facts, draft, "FastRolledBack");
    }
}

fn started(facts: &Facts<'_>) -> RolloutDurationStatus {
    RolloutDurationStatus { rollout_started_at: Some(at(facts.now)), ..RolloutDurationStatus::default() }
}

/// The same release begins again after an abort.
pub(crate) fn retry(facts: &Facts<'_>, draft: &mut Draft) {
    let message = "Retrying Rollout after abort";
    conditions::set(&mut draft.status, "Progressing", "Unknown", condition::RETRY, message, facts.now);
    draft.status.duration = Some(started(facts));
}

/// A full promotion goes over pauses, analyses and an abort.
pub(crate) fn skip(facts: &Facts<'_>, draft: &mut Draft) {
    if draft.status.promote_full == Some(true) {
        if draft.aborted() || draft.status.aborted_at.is_some() {
            retry(facts, draft);
        }
        clear(draft);
        draft.status.promote_full = Some(true);
        draft.status.abort = None;
        draft.status.aborted_at = None;
    }
}

/// Pauses and current analyses belong to the position; they go with it.
pub(crate) fn clear(draft: &mut Draft) {
    draft.status.pause_conditions = None;
    draft.status.controller_pause = None;
    if let Some(canary) = &mut draft.status.canary {
        canary.current_step_analysis_run_status = None;
        canary.current_background_analysis_run_status = None;
        canary.current_experiment = None;
    }
    if let Some(blue_green) = &mut draft.status.blue_green {
        blue_green.pre_promotion_analysis_run_status = None;
        blue_green.post_promotion_analysis_run_status = None;
        blue_green.scale_up_preview_check_point = None;
    }
}

/// Another strategy goes on from the versions there are, not from where the blue-green release was.
pub(crate) fn leave_blue_green(canary: &CanaryStrategy, draft: &mut Draft) {
    let empty = BlueGreenStatus::default();
    if draft.status.blue_green.as_ref().is_some_and(|status| *status != empty) {
        clear(draft);
        draft.status.blue_green = Some(empty);
        draft.status.current_step_hash =
            Some(revision::step_hash(canary.steps())).filter(|_| !canary.steps().is_empty());
    }
}

/// Asks for an abort because of something the machine found.
pub(crate) fn abort_because(facts: &Facts<'_>, draft: &mut Draft, detail: &str) {
    if draft.aborted() || facts.promoted(&draft.status) || Facts::initial(&draft.status) {
        return;
    }
    draft.status.abort = Some(true);
    let message = abort_message(facts, detail);
    conditions::set(&mut draft.status, "Progressing", "False", condition::ABORTED, &message, facts.now);
}

fn abort_message(facts: &Facts<'_>, detail: &str) -> String {
    let number = facts
        .revisions
        .new
        .and_then(revision::revision_of)
        .unwrap_or_else(|| revision::revision_number(&facts.revisions));
    if detail.is_empty() {
        format!("Rollout aborted update to revision {number}")
    } else {
        format!("Rollout aborted update to revision {number}: {detail}")
    }
}

/// Carries an abort into the state, once; whoever asked for it.
pub(crate) fn abort(facts: &Facts<'_>, draft: &mut Draft) {
    if facts.promoted(&draft.status) || Facts::initial(&draft.status) {
        // Nothing is being released that could be taken back.
        draft.status.abort = None;
        draft.status.aborted_at = None;
        return;
    }
    if draft.status.aborted_at.is_some() {
        return;
    }
    let known = conditions::find(&draft.status, "Progressing").filter(|found| found.reason == condition::ABORTED);
    let message = known.map_or_else(|| abort_message(facts, ""), |found| found.message.clone());
    clear(draft);
    if facts.rollout.canary().is_some() {
        draft.set_index(0);
    }
    draft.status.aborted_at = Some(at(facts.now));
    conditions::set(&mut draft.status, "Progressing", "False", condition::ABORTED, &message, facts.now);
    conditions::set(&mut draft.status, "Aborted", "True", condition::LAST_ABORT, &message, facts.now);
    draft.warning(reason::ABORTED, message);
    finished(facts, draft, "Aborted");
}

/// An abort that is over is remembered with its reason until the next one.
pub(crate) fn remember_abort(facts: &Facts<'_>, draft: &mut Draft) {
    let last = conditions::find(&draft.status, "Aborted").filter(|found| found.status == "True");
    if let Some(message) = last.map(|last| last.message.clone()).filter(|_| !draft.aborted()) {
        conditions::set(&mut draft.status, "Aborted", "False", condition::LAST_ABORT, &message, facts.now);
    }
}

/// The release is over, in this way.
pub(crate) fn finished(facts: &Facts<'_>, draft: &mut Draft, how: &str) {
    if let Some(duration) = &mut draft.status.duration {
        duration.finished_at = Some(at(facts.now));
        duration.completion_status = Some(how.to_owned());
    }
}

/// The wanted version becomes the stable one.
pub(crate) fn promote(facts: &Facts<'_>, draft: &mut Draft, why: &str, how: &str) {
    let number = revision::revision_number(&facts.revisions);
    draft.normal(reason::COMPLETED, format!("Rollout completed update to revision {number} ({}): {why}", facts.hash));
    draft.status.stable_rs = Some(facts.hash.0.clone());
    // The version that was stable until now becomes an old one, for which the history limit may have something to do.
    draft.wake_at(facts.now);
    draft.status.pause_conditions = None;
    draft.status.controller_pause = None;
    draft.status.abort = None;
    draft.status.aborted_at = None;
    draft.status.promote_full = None;
    finished(facts, draft, how);
}
