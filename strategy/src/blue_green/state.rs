//! What a new template, another strategy or a person's word does to the state before anything else is looked at.

use super::Release;
use crate::release::Draft;
use crate::release::state::{clear, is_retried, new_revision, retry, skip, template_changed};

/// A new revision begins with its preview, and so does a retry after an abort; whether it is one.
pub(super) fn begin(release: &Release<'_>, draft: &mut Draft) -> bool {
    let changed = template_changed(release, draft);
    let retried = !changed && is_retried(draft);
    // The position of a canary that this Rollout was before means nothing here.
    let was_canary = draft.status.current_step_index.take().is_some() | draft.status.current_step_hash.take().is_some();
    if changed {
        new_revision(release, draft);
    }
    if changed || retried || was_canary {
        clear(draft);
    }
    if changed || retried {
        draft.status.aborted_at = None;
    }
    if retried {
        retry(release, draft);
    }
    skip(release, draft);
    retried
}
