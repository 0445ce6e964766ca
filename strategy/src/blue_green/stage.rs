//! How far the release is: what has to be true before the active Service may move, and before the new version is the stable one.

use crds::PauseCondition;
use crds::jiff::{SignedDuration, Timestamp};

use super::Release;
use crate::release::analysis::{self, Kind};
use crate::release::{Draft, Facts, at, capacity, pods, progress, state};
use crate::words::{condition, reason};
use crate::{conditions, revision};

const PAUSE: &str = "BlueGreenPause";

/// How far the release is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was ever promoted.
    First,
    /// The wanted version is the stable one.
    Stable,
    /// Taken back.
    Aborted,
    /// Beside the active version: its pods, a pause or an analysis are waited for.
    Preview,
    /// The preview was passed: the active Service may move as soon as all pods are there.
    Passed,
    /// It has the requests; what follows the cut-over decides.
    Active,
}

/// Whether the preview has the pods it should have.
pub(super) fn is_ready(release: &Release<'_>) -> bool {
    release.revisions.new.is_some() && pods(release.revisions.new).available >= release.preview_size()
}

/// Whether the wanted version could carry everything.
pub(super) fn is_whole(release: &Release<'_>) -> bool {
    release.revisions.new.is_some() && pods(release.revisions.new).available >= release.desired
}

/// Going back to a version that still waits for its scale-down, or to one within the rollback window: it was active not long ago, so
/// nothing is asked again.
pub(super) fn fast_rollback(release: &Release<'_>, draft: &mut Draft, retried: bool) -> bool {
    let (Some(new), Some(stable)) = (release.revisions.new, release.revisions.stable) else { return false };
    if in_window(release) && !draft.aborted() && !release.promoted(&draft.status) {
        return true;
    }
    let until = capacity::deadline(new).filter(|until| *until > release.now);
    let back = new.metadata.creation_timestamp < stable.metadata.creation_timestamp;
    // An aborted version waits for its scale-down as well; tried again, it is asked everything again.
    let fast = back && !retried && !draft.aborted() && !release.promoted(&draft.status);
    if let Some(until) = until.filter(|_| fast) {
        draft.wake_at(until);
    }
    fast && until.is_some()
}

fn in_window(release: &Release<'_>) -> bool {
    revision::within_rollback_window(release.rollout, &release.revisions)
}

/// Looks how far the release is; a pause that begins or ends is noted.
pub(super) fn find(release: &Release<'_>, draft: &mut Draft, fast: bool) -> Stage {
    let stage = if release.promoted(&draft.status) {
        draft.status.promote_full = None;
        Stage::Stable
    } else if Facts::initial(&draft.status) {
        Stage::First
    } else if draft.aborted() {
        Stage::Aborted
    } else if release.active == Some(release.hash.0.as_str()) {
        Stage::Active
    } else if fast || draft.status.promote_full == Some(true) {
        unpause(draft);
        Stage::Passed
    } else {
        preview(release, draft)
    };
    if !matches!(stage, Stage::Preview | Stage::Passed) {
        unpause(draft);
    }
    resumed(release, draft);
    stage
}

fn preview(release: &Release<'_>, draft: &mut Draft) -> Stage {
    let passed = |draft: &Draft| {
        draft.status.blue_green.as_ref().is_some_and(|status| status.scale_up_preview_check_point == Some(true))
    };
    if release.blue_green.preview_replica_count.is_some() && passed(draft) {
        return Stage::Passed;
    }
    if release.rollout.spec.paused == Some(true) || !is_ready(release) {
        return Stage::Preview;
    }
    // A person decides about the pods that are there, while the analysis looks at them: neither waits for the other.
    let goes_on = is_resumed(release, draft);
    let waits = draft.status.pause_conditions.iter().flatten().next().is_some();
    let wanted = release.blue_green.pre_promotion_analysis.is_some();
    let proven = !wanted || analysis::is_successful(analysis::slot(draft, Kind::PrePromotion).as_ref());
    if !goes_on || waits || !proven {
        return Stage::Preview;
    }
    if release.blue_green.preview_replica_count.is_some() {
        draft.status.blue_green.get_or_insert_default().scale_up_preview_check_point = Some(true);
        // The time for the pods that are still missing begins now, however long an analysis or a person took.
        conditions::touch(&mut draft.status, "Progressing", release.now);
    }
    Stage::Passed
}

/// Whether no pause is asked for, or it is over: by a person, or by its time.
fn is_resumed(release: &Release<'_>, draft: &mut Draft) -> bool {
    let limit = release.blue_green.auto_promotion_seconds.filter(|seconds| *seconds > 0);
    let begun = draft.status.pause_conditions.iter().flatten().find(|pause| pause.reason == PAUSE);
    let begun = begun.map(|pause| pause.start_time.0);
    if release.blue_green.is_auto_promotion_enabled() && limit.is_none() {
        unpause(draft);
        return true;
    }
    let begun = match begun {
        Some(begun) => begun,
        // It was paused, and the pause was taken away.
        None if draft.status.controller_pause == Some(true) => return true,
        None => {
            let pause = PauseCondition { reason: PAUSE.to_owned(), start_time: at(release.now) };
            draft.status.pause_conditions.get_or_insert_default().push(pause);
            draft.status.controller_pause = Some(true);
            draft.normal(reason::PAUSED, format!("Rollout is paused ({PAUSE})"));
            release.now
        }
    };
    let Some(end) = limit.and_then(|limit| end_of(begun, limit)) else { return false };
    if end > release.now {
        draft.wake_at(end);
        return false;
    }
    unpause(draft);
    true
}

fn end_of(begun: Timestamp, limit: i32) -> Option<Timestamp> {
    begun.checked_add(SignedDuration::from_secs(i64::from(limit))).ok()
}

/// The pause before the cut-over is over; that it was there stays noted until the release is.
fn unpause(draft: &mut Draft) {
    if let Some(pauses) = &mut draft.status.pause_conditions {
        pauses.retain(|pause| pause.reason != PAUSE);
        if pauses.is_empty() {
            draft.status.pause_conditions = None;
        }
    }
}

/// Tells that what waited goes on.
fn resumed(release: &Release<'_>, draft: &mut Draft) {
    let paused = conditions::find(&draft.status, "Progressing").is_some_and(|found| found.reason == condition::PAUSED);
    if paused && !progress::waits(release, draft) {
        let message = "Rollout is resumed";
        draft.normal(reason::RESUMED, message.to_owned());
        conditions::set(&mut draft.status, "Progressing", "Unknown", condition::RESUMED, message, release.now);
    }
}

/// Makes the wanted version the stable one when it has the requests and everything is done. Returns whether that happened now.
pub(super) fn promote(release: &Release<'_>, draft: &mut Draft, stage: Stage, fast: bool) -> bool {
    let has_requests = release.active == Some(release.hash.0.as_str());
    if !matches!(stage, Stage::First | Stage::Active) || !has_requests || !is_whole(release) {
        return false;
    }
    let full = draft.status.promote_full == Some(true);
    let first = stage == Stage::First;
    let wanted = release.blue_green.post_promotion_analysis.is_some();
    let proven = !wanted || analysis::is_successful(analysis::slot(draft, Kind::PostPromotion).as_ref());
    if !(first || full || fast || proven) {
        return false;
    }
    let (why, how) = if first {
        ("Initial deploy", "Promoted")
    } else if full {
        ("Full promotion requested", "FastPromoted")
    } else if fast && in_window(release) {
        ("Rollback within window", "FastRolledBack")
    } else if fast {
        ("Fast rollback", "FastRolledBack")
    } else {
        ("Completed blue-green update", "Promoted")
    };
    state::promote(release, draft, why, how);
    true
}
