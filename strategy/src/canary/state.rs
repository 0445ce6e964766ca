//! What a new template, changed steps or a person's word does to the state before anything else is looked at.

use crds::RolloutDurationStatus;

use super::{Draft, Release, at};
use crate::conditions;
use crate::revision;
use crate::words::{condition, reason};

/// A new revision starts at the first step; changed steps start again; a retry after an abort does as well.
pub(super) fn begin(release: &Release<'_>, draft: &mut Draft) {
    let stored_hash = draft.status.current_pod_hash.clone();
    let template_changed = stored_hash.as_deref() != Some(release.hash.0.as_str());
    let steps_changed = !template_changed && revision::steps_changed(&draft.status, release.steps);
    let retried = !template_changed && !draft.aborted() && draft.status.aborted_at.is_some();
    if template_changed {
        new_revision(release, draft);
    }
    if template_changed || steps_changed || retried {
        clear(draft);
        draft.status.aborted_at = None;
        let done = Release::initial(&draft.status) || release.promoted(&draft.status);
        draft.set_index(if done { release.steps.len() } else { 0 });
    }
    if steps_changed || template_changed {
        draft.status.current_step_hash = Some(revision::step_hash(release.steps)).filter(|_| !release.steps.is_empty());
    }
    if retried {
        conditions::set(
            &mut draft.status,
            "Progressing",
            "Unknown",
            condition::RETRY,
            "Retrying Rollout after abort",
            release.now,
        );
        draft.status.duration = Some(RolloutDurationStatus {
            rollout_started_at: Some(at(release.now)),
            ..RolloutDurationStatus::default()
        });
    }
    if draft.status.promote_full == Some(true) {
        clear(draft);
        draft.status.promote_full = Some(true);
        draft.status.abort = None;
        draft.status.aborted_at = None;
    }
}

fn new_revision(release: &Release<'_>, draft: &mut Draft) {
    let number = revision::revision_number(&release.revisions);
    let first_look_at_another_controllers = draft.status.current_pod_hash.is_none() && release.revisions.new.is_some();
    draft.normal(reason::UPDATED, format!("Rollout updated to revision {number}"));
    draft.status.current_pod_hash = Some(release.hash.0.clone());
    draft.status.abort = None;
    draft.status.promote_full = None;
    let name = release.new_name();
    let (why, message) = if release.revisions.new.is_some() {
        (condition::FOUND_REPLICA_SET, format!("Found new replica set \"{name}\""))
    } else {
        draft.normal(reason::NEW_REPLICA_SET, format!("Created ReplicaSet {name} (revision {number})"));
        (condition::NEW_REPLICA_SET, format!("Created new replica set \"{name}\""))
    };
    if !first_look_at_another_controllers || draft.status.stable_rs.is_none() {
        conditions::set(&mut draft.status, "Progressing", "True", why, &message, release.now);
    }
    if release.promoted(&draft.status) && !release.steps.is_empty() {
        draft.normal(reason::SKIP_STEPS, "Rollback to stable ReplicaSets: all steps are skipped".to_owned());
    }
    draft.status.duration =
        Some(RolloutDurationStatus { rollout_started_at: Some(at(release.now)), ..RolloutDurationStatus::default() });
}

/// Pauses and current analyses belong to the position; they go with it.
fn clear(draft: &mut Draft) {
    draft.status.pause_conditions = None;
    draft.status.controller_pause = None;
    if let Some(canary) = &mut draft.status.canary {
        canary.current_step_analysis_run_status = None;
        canary.current_background_analysis_run_status = None;
    }
}

/// Asks for an abort because of something the machine found.
pub(super) fn abort_because(release: &Release<'_>, draft: &mut Draft, detail: &str) {
    if draft.aborted() || release.promoted(&draft.status) || Release::initial(&draft.status) {
        return;
    }
    draft.status.abort = Some(true);
    let message = abort_message(release, detail);
    conditions::set(&mut draft.status, "Progressing", "False", condition::ABORTED, &message, release.now);
}

fn abort_message(release: &Release<'_>, detail: &str) -> String {
    let number = release
        .revisions
        .new
        .and_then(revision::revision_of)
        .unwrap_or_else(|| revision::revision_number(&release.revisions));
    if detail.is_empty() {
        format!("Rollout aborted update to revision {number}")
    } else {
        format!("Rollout aborted update to revision {number}: {detail}")
    }
}

/// Carries an abort into the state, once; whoever asked for it.
pub(super) fn abort(release: &Release<'_>, draft: &mut Draft) {
    if release.promoted(&draft.status) || Release::initial(&draft.status) {
        // Nothing is being released that could be taken back.
        draft.status.abort = None;
        draft.status.aborted_at = None;
        return;
    }
    if draft.status.aborted_at.is_some() {
        return;
    }
    let known = conditions::find(&draft.status, "Progressing").filter(|found| found.reason == condition::ABORTED);
    let message = known.map_or_else(|| abort_message(release, ""), |found| found.message.clone());
    clear(draft);
    draft.set_index(0);
    draft.status.aborted_at = Some(at(release.now));
    conditions::set(&mut draft.status, "Progressing", "False", condition::ABORTED, &message, release.now);
    draft.warning(reason::ABORTED, message);
    if let Some(duration) = &mut draft.status.duration {
        duration.finished_at = Some(at(release.now));
        duration.completion_status = Some("Aborted".to_owned());
    }
}
