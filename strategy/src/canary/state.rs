//! What a new template, changed steps or a person's word does to the position before anything else is looked at.

use super::{Draft, Release};
use crate::release::state::{clear, is_retried, new_revision, retry, skip, template_changed};
use crate::revision;
use crate::words::reason;

pub(super) use crate::release::state::{abort, abort_because};

/// A new revision starts at the first step; changed steps start again; a retry after an abort does as well.
pub(super) fn begin(release: &Release<'_>, draft: &mut Draft) {
    let template_changed = template_changed(release, draft);
    let steps_changed = !template_changed && revision::steps_changed(&draft.status, release.steps);
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
    if steps_changed || template_changed {
        draft.status.current_step_hash = Some(revision::step_hash(release.steps)).filter(|_| !release.steps.is_empty());
    }
    if retried {
        retry(release, draft);
    }
    skip(release, draft);
}
