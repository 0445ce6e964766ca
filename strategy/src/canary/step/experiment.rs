//! `experiment`: over when its Experiment is Successful. What other ends mean is decided before the position is.

use ::analysis::Phase;

use super::Outcome;
use crate::canary::{Draft, Release, experiment};

pub(super) fn progress(release: &Release<'_>, draft: &mut Draft) -> Outcome {
    let waiting = draft.status.pause_conditions.iter().flatten().next().is_some();
    let phase = experiment::found(release, draft).map(experiment::phase);
    if !waiting && phase == Some(Phase::Successful) {
        experiment::forget(draft);
        Outcome::Done
    } else {
        Outcome::Waits
    }
}
