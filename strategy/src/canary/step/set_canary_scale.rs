//! `setCanaryScale`: over when the canary has the pods it asks for, and no more.

use super::Outcome;
use crate::canary::{Release, pods, position, share};

pub(super) fn progress(release: &Release<'_>, index: usize) -> Outcome {
    let wanted = share::canary(release, index, position::weight_at(release, index));
    let found = pods(release.revisions.new);
    if found.wanted <= wanted && share::enough(release, found.available, wanted) {
        Outcome::Done
    } else {
        Outcome::Waits
    }
}
