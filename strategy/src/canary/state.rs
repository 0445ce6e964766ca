//! What a new template, changed steps or a person's word does to the position before anything else is looked at.

use super::{Draft, Release};
use crate::release::state::{clear, is_retried, new_revision, retry, skip, template_changed};
use crate::revision;
use crate::words::reason;

pub(super) use crate::release::state::{abort, abort_because};

/// A new revision starts at the first step; changed steps start again; a retry after an abort does as well.
pub(super) fn begin(release: &Release<'_>, draft: &mut Draft) {
    let template_changed = template_changed(release, draft);
    let edited = !template_changed && revision::steps_changed(&draft.status, release.steps);
    let steps_changed = edited && !keeps_position(release, draft);
    let retried = !template_changed && is_retried(draft);
    if template_changed {
        new_revision(release, draft);
        if release.promoted(&draft.status) && !release.steps.is_empty() {
            draft.normal(reason::SKIP_STEPS, "Rollback to stable ReplicaSets: all steps are skipped".to_owned());
        }
        if release.fast(&draft.status) {
            draft.normal(
                reason::SKIP_STEPS,
                "Rollback to older ReplicaSets within the window: all steps are skipped".to_owned(),
            );
        }
    }
    if template_changed || steps_changed || retried {
        clear(draft);
        draft.status.aborted_at = None;
        let done = Release::initial(&draft.status) || release.promoted(&draft.status);
        draft.set_index(if done { release.steps.len() } else { 0 });
    }
    if edited || template_changed {
        draft.status.current_step_hash = Some(revision::step_hash(release.steps)).filter(|_| !release.steps.is_empty());
    }
    if retried {
        retry(release, draft);
    }
    skip(release, draft);
    // Steps can be taken away after a person went over one, before the Rollout was looked at.
    if draft.index() > release.steps.len() {
        draft.set_index(release.steps.len());
    }
}

fn keeps(release: &Release<'_>) -> bool {
    release.canary.steps_change.as_deref() == Some("keep")
}

/// With `stepsChange: keep` the position stays while the steps before it are the same. An edit of the current step itself ends what that
/// step had begun.
fn keeps_position(release: &Release<'_>, draft: &mut Draft) -> bool {
    let index = draft.index();
    let known = draft.status.canary.clone().unwrap_or_default();
    let Some(passed) = release.steps.get(..index).filter(|_| keeps(release)) else { return false };
    if known.passed_steps_hash.as_deref() != Some(revision::step_hash(passed).as_str()) {
        return false;
    }
    let current = revision::step_hash(release.steps.get(index..=index).unwrap_or_default());
    if known.current_step_hash != Some(current) {
        draft.status.pause_conditions = None;
        draft.status.controller_pause = None;
        draft.status.canary.get_or_insert_default().current_step_analysis_run_status = None;
    }
    true
}

/// Notes the position so that a later edit can be told from one of the steps before it.
pub(super) fn note_position(release: &Release<'_>, draft: &mut Draft) {
    let index = draft.index();
    let hash = |steps: Option<&[crds::CanaryStep]>| steps.filter(|_| keeps(release)).map(revision::step_hash);
    let (passed, current) = (hash(release.steps.get(..index)), hash(release.steps.get(index..=index)));
    let current = current.or_else(|| keeps(release).then(|| revision::step_hash(&[])));
    if passed.is_some() || draft.status.canary.is_some() {
        let canary = draft.status.canary.get_or_insert_default();
        (canary.passed_steps_hash, canary.current_step_hash) = (passed, current);
    }
}
