//! `analysis`: over when its run is Successful. What other ends mean is decided before the position is.

use analysis::Phase;

use super::Outcome;
use crate::canary::Draft;

pub(super) fn progress(draft: &mut Draft) -> Outcome {
    let waiting = draft.status.pause_conditions.iter().flatten().next().is_some();
    let canary = draft.status.canary.get_or_insert_default();
    let phase = canary.current_step_analysis_run_status.as_ref().map(|run| Phase::of_status(Some(&run.status)));
    if !waiting && phase == Some(Phase::Successful) {
        canary.current_step_analysis_run_status = None;
        Outcome::Done
    } else {
        Outcome::Waits
    }
}
