//! The position: which step is current, and what weight and pods it asks for.

use super::step::{self, Outcome};
use super::{Draft, Release, pods};
use crate::release::state;
use crate::words::{condition, reason};
use crate::{conditions, replicas};

/// What the position asks of traffic and capacity, in units of the router's total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Share of the traffic the canary may have now.
    pub traffic: i32,
    /// Share of the traffic the canary should have pods for.
    pub capacity: i32,
}

/// The weight set at or before a step.
fn weight_at(release: &Release<'_>, index: usize) -> i32 {
    if index >= release.steps.len() {
        return release.max;
    }
    release.steps.iter().take(index + 1).rev().find_map(|step| step.set_weight).unwrap_or(0)
}

/// Walks over every step whose end is an observed fact and returns what the step it stops at wants.
pub(super) fn walk(release: &Release<'_>, draft: &mut Draft) -> Wanted {
    if Release::initial(&draft.status) || release.promoted(&draft.status) {
        draft.set_index(release.steps.len());
        return Wanted { traffic: 0, capacity: release.max };
    }
    if draft.aborted() {
        return Wanted { traffic: 0, capacity: 0 };
    }
    if draft.status.promote_full == Some(true) {
        let traffic = release.in_force.map_or(0, |weight| i32::try_from(weight.0).unwrap_or(0));
        return Wanted { traffic, capacity: release.max };
    }
    let begun = draft.index().min(release.steps.len());
    let mut index = begun;
    if release.rollout.spec.paused != Some(true) {
        while let Some(step) = release.steps.get(index) {
            match step::progress(release, draft, step) {
                Outcome::Done => index += 1,
                Outcome::Waits => break,
            }
        }
    }
    completed(release, draft, begun, index);
    draft.set_index(index);
    let capacity = weight_at(release, index);
    let crossed = release.steps.iter().take(index).skip(begun).rev().find_map(|step| step.set_weight);
    let over = index >= release.steps.len();
    if let Some(weight) = crossed.filter(|weight| *weight != capacity || over) {
        // What was just seen of this step is undone by what comes next (another weight, or the promotion): the position is
        // written down before that.
        draft.settles = true;
        draft.wake_at(release.now);
        return Wanted { traffic: weight, capacity: weight };
    }
    Wanted { traffic: allowed(release, index, capacity), capacity }
}

/// The weight traffic may have: the wanted one when its pods are there, else the one before. The last weight stays until the promotion
/// moves everything at once.
fn allowed(release: &Release<'_>, index: usize, wanted: i32) -> i32 {
    let earlier = || {
        index.checked_sub(1).map_or(0, |before| weight_at(release, before.min(release.steps.len().saturating_sub(1))))
    };
    match release.steps.get(index) {
        None if release.steps.is_empty() => 0,
        None => earlier(),
        Some(step) if step.set_weight.is_none() || has_pods_for(release, wanted) => wanted,
        Some(_) => earlier().min(wanted),
    }
}

/// Whether the canary has the pods for this share of the traffic.
pub(super) fn has_pods_for(release: &Release<'_>, weight: i32) -> bool {
    pods(release.revisions.new).available >= replicas::share(release.desired, weight, release.max)
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
    if !done || pods(release.revisions.new).available < release.desired || release.revisions.new.is_none() {
        return false;
    }
    let why = if initial {
        "Initial deploy".to_owned()
    } else if full {
        "Full promotion requested".to_owned()
    } else {
        format!("Completed all {} canary steps", release.steps.len())
    };
    state::promote(release, draft, &why, if full { "FastPromoted" } else { "Promoted" });
    draft.set_index(release.steps.len());
    true
}
