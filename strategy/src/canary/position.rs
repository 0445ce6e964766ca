//! The position: which step is current, and what weight and pods it asks for.

use super::step::{self, Outcome};
use super::{Draft, Release, pods, roles, share};
use crate::release::state;
use crate::words::{condition, reason};
use crate::{conditions, revision};
use traffic::Verified;

/// What the position asks of traffic and capacity, in units of the router's total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Share of the traffic the canary may have now.
    pub traffic: i32,
    /// Share of the traffic the canary should have pods for.
    pub capacity: i32,
    /// The number of canary pods that `setCanaryScale` asks for in place of those.
    pub pods: Option<i32>,
}

/// The weight set at or before a step.
pub(super) fn weight_at(release: &Release<'_>, index: usize) -> i32 {
    if index >= release.steps.len() {
        return release.max;
    }
    release.steps.iter().take(index + 1).rev().find_map(|step| step.set_weight).unwrap_or(0)
}

/// Walks over every step whose end is an observed fact and returns what the step it stops at wants.
pub(super) fn walk(release: &Release<'_>, draft: &mut Draft) -> Wanted {
    if Release::initial(&draft.status) || release.promoted(&draft.status) {
        draft.set_index(release.steps.len());
        return Wanted { traffic: 0, capacity: release.max, pods: None };
    }
    if draft.aborted() {
        return Wanted { traffic: 0, capacity: 0, pods: None };
    }
    if draft.status.promote_full == Some(true) {
        let traffic = if release.dynamic() { available_share(release) } else { release.weight_in_force() };
        return Wanted { traffic, capacity: release.max, pods: None };
    }
    if release.fast(&draft.status) {
        draft.set_index(release.steps.len());
        return Wanted { traffic: release.weight_in_force(), capacity: release.max, pods: None };
    }
    let begun = draft.index().min(release.steps.len());
    let mut index = begun;
    let mut verified = false;
    if release.rollout.spec.paused != Some(true) {
        while let Some(step) = release.steps.get(index).filter(|_| !verified) {
            match step::progress(release, draft, index, step) {
                Outcome::Done => index += 1,
                Outcome::Waits => break,
            }
            // The next write, of whatever route, takes back that the data plane is at this weight.
            verified = release.verified == Verified::Yes && step.set_weight.is_some();
        }
    }
    completed(release, draft, begun, index);
    draft.set_index(index);
    let capacity = weight_at(release, index);
    let pods = share::fixed(release, index);
    let moves = |at: &usize| {
        release.steps.get(*at).is_some_and(|step| step.set_weight.is_some() || step.set_canary_scale.is_some())
    };
    let over = index >= release.steps.len();
    let crossed = (begun..index).rev().find(moves).map(|at| (weight_at(release, at), share::fixed(release, at)));
    if let Some((weight, fixed)) = crossed.filter(|crossed| *crossed != (capacity, pods) || over || verified) {
        // What was just seen of this step is undone by what comes next (another weight, or the promotion): the position is
        // written down before that.
        draft.settles = true;
        draft.wake_at(release.now);
        // Without pods there was no traffic, whatever the weight.
        let traffic = if fixed == Some(0) { 0 } else { weight };
        return Wanted { traffic, capacity: weight, pods: fixed };
    }
    Wanted { traffic: allowed(release, index, capacity), capacity, pods }
}

/// The weight traffic may have: the wanted one when its pods are there, else the one before. The last weight stays until the promotion
/// moves everything at once.
fn allowed(release: &Release<'_>, index: usize, wanted: i32) -> i32 {
    let earlier = || {
        index.checked_sub(1).map_or(0, |before| weight_at(release, before.min(release.steps.len().saturating_sub(1))))
    };
    let wanted = match release.steps.get(index) {
        None if release.steps.is_empty() => 0,
        None => release.weight_in_force(),
        Some(_) if share::fixed(release, index) == Some(0) => 0,
        Some(step) if step.set_weight.is_none() || has_pods_for(release, index, wanted) => wanted,
        Some(_) => earlier().min(wanted),
    };
    // A person may have gone over the step that waits for pods, or has paused the Rollout: then nothing more is sent.
    let now = release.weight_in_force();
    let held = release.rollout.spec.paused == Some(true) || !has_pods_for(release, index, wanted);
    if release.routed() && wanted > now && held { now } else { wanted }
}

/// Whether the canary has the pods for this share of the traffic at this step.
pub(super) fn has_pods_for(release: &Release<'_>, index: usize, weight: i32) -> bool {
    share::enough(release, pods(release.revisions.new).available, share::canary(release, index, weight))
}

/// The share of the traffic that the canary's available pods can carry, never less than it has.
fn available_share(release: &Release<'_>) -> i32 {
    let available = i64::from(pods(release.revisions.new).available.clamp(0, release.desired));
    let part = i64::from(release.max) * available / i64::from(release.desired.max(1));
    i32::try_from(part).unwrap_or(release.max).max(release.weight_in_force())
}

fn completed(release: &Release<'_>, draft: &mut Draft, from: usize, to: usize) {
    if to == from {
        return;
    }
    let total = release.steps.len();
    let told: Vec<String> = (from..to)
        .filter_map(|index| Some(format!("{}/{total} ({})", index + 1, step::describe(release.steps.get(index)?))))
        .collect();
    draft.normal(reason::STEP_COMPLETED, format!("Rollout step {} completed", told.join(", ")));
    conditions::touch(&mut draft.status, "Progressing", release.now);
    let progressing = conditions::find(&draft.status, "Progressing").map(|found| found.reason.clone());
    if progressing.as_deref() == Some(condition::PAUSED) {
        // A pause that ended by itself is told as a step that is completed.
        let by_itself = release.steps.get(from).and_then(|step| step.pause.as_ref()?.duration.as_ref()).is_some();
        if !by_itself {
            draft.normal(reason::RESUMED, "Rollout is resumed".to_owned());
        }
        conditions::set(
            &mut draft.status,
            "Progressing",
            "Unknown",
            condition::RESUMED,
            "Rollout is resumed",
            release.now,
        );
    }
}

/// Makes the wanted version the stable one when everything is done and its pods are all there. Returns whether that happened now.
pub(super) fn promote(release: &Release<'_>, draft: &mut Draft) -> bool {
    if draft.settles || release.promoted(&draft.status) || draft.aborted() && !Release::initial(&draft.status) {
        return false;
    }
    let full = draft.status.promote_full == Some(true);
    let initial = Release::initial(&draft.status);
    let done = initial || full || draft.index() >= release.steps.len() && release.rollout.spec.paused != Some(true);
    let there = share::enough(release, pods(release.revisions.new).available, release.desired);
    if !done || !there || release.revisions.new.is_none() {
        return false;
    }
    let why = if initial {
        "Initial deploy".to_owned()
    } else if full {
        "Full promotion requested".to_owned()
    } else if release.fast(&draft.status) {
        "Rollback within window".to_owned()
    } else {
        format!("Completed all {} canary steps", release.steps.len())
    };
    let how = match (full, revision::is_rollback(&release.revisions)) {
        (true, _) => "FastPromoted",
        (false, true) if release.fast(&draft.status) => "FastRolledBack",
        (false, true) => "RolledBack",
        (false, false) => "Promoted",
    };
    state::promote(release, draft, &why, how);
    if !initial {
        roles::swap(release, &mut draft.status);
    }
    draft.set_index(release.steps.len());
    true
}
