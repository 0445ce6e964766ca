//! `pause`: over when its time has passed, or when a person took the pause away while the controller had set it.

use crds::{PauseCondition, RolloutPause};

use super::Outcome;
use crate::canary::{Draft, Release, at};
use crate::words::reason;

const REASON: &str = "CanaryPauseStep";

pub(super) fn progress(release: &Release<'_>, draft: &mut Draft, pause: &RolloutPause) -> Outcome {
    let started = draft.status.pause_conditions.iter().flatten().find(|found| found.reason == REASON);
    let started = match started {
        Some(found) => found.start_time.0,
        None if draft.status.pause_conditions.iter().flatten().next().is_some() => return Outcome::Waits,
        None if draft.status.controller_pause == Some(true) => {
            draft.status.controller_pause = None;
            return Outcome::Done;
        }
        None => {
            let begun = PauseCondition { reason: REASON.to_owned(), start_time: at(release.now) };
            draft.status.pause_conditions.get_or_insert_default().push(begun);
            draft.status.controller_pause = Some(true);
            draft.normal(reason::PAUSED, format!("Rollout is paused ({REASON})"));
            release.now
        }
    };
    // Validation has read the duration already.
    let Ok(Some(duration)) = pause.wait() else { return Outcome::Waits };
    let Ok(end) = started.checked_add(duration) else { return Outcome::Waits };
    if end > release.now {
        draft.wake_at(end);
        return Outcome::Waits;
    }
    if let Some(pauses) = &mut draft.status.pause_conditions {
        pauses.retain(|found| found.reason != REASON);
        if pauses.is_empty() {
            draft.status.pause_conditions = None;
        }
    }
    draft.status.controller_pause = None;
    Outcome::Done
}
