//! Capacity: how many pods each version has. Comes after traffic: what still gets requests keeps its pods.

use crds::ReplicaSet;

use super::Release;
use super::stage::Stage;
use crate::release::capacity::{self, Plan, Plans, deadline, delayed, limit, paused_by_hand};
use crate::release::{Draft, pods};
use crate::revision::hash_of;

const INCONCLUSIVE: &str = "InconclusiveAnalysisRun";

/// What was decided before capacity.
#[derive(Clone, Copy)]
pub(super) struct Course {
    pub stage: Stage,
    /// It is a fast rollback.
    pub fast: bool,
    /// The wanted version becomes the stable one now.
    pub promoting: bool,
    /// The active Service leaves the version it selects now.
    pub leaves: bool,
}

pub(super) fn scale(release: &Release<'_>, draft: &mut Draft, course: Course) {
    let Course { stage, fast, promoting, .. } = course;
    let promoted = release.promoted(&draft.status);
    let count = match stage {
        Stage::First | Stage::Stable | Stage::Passed | Stage::Active => release.desired,
        Stage::Preview => release.preview_size(),
        Stage::Aborted => 0,
    };
    let mut plans = Plans::new();
    if let Some(new) = release.revisions.new {
        let stable_is_whole = pods(release.revisions.stable).available >= release.desired;
        let plan = if stage == Stage::Aborted {
            capacity::abandoned(release, draft, new, release.serves(new), stable_is_whole)
        } else if paused_by_hand(release, new) && !promoted {
            Plan::Keep
        } else if fast {
            // That it waits for its scale-down is what makes the rollback a fast one, until the promotion is written down.
            Plan::Grow(count)
        } else {
            Plan::Replicas(count)
        };
        plans.push((new, plan));
    }
    if let Some(stable) = release.revisions.stable.filter(|_| !promoted) {
        plans.push((stable, Plan::Replicas(release.desired)));
    }
    let before = release.revisions.stable.filter(|_| promoting);
    let mut old: Vec<(&ReplicaSet, Plan)> = Vec::new();
    for set in release.revisions.others.iter().copied().chain(before) {
        let plan = old_version(release, draft, set, course);
        old.push((set, plan));
    }
    limit(release.blue_green.scale_down_delay_revision_limit, &mut old);
    plans.extend(old);
    capacity::carry_out(release, draft, count, plans);
}

/// What becomes of a version that is neither wanted nor stable any more.
fn old_version(release: &Release<'_>, draft: &mut Draft, set: &ReplicaSet, course: Course) -> Plan {
    let stored = release.rollout.status.as_ref();
    let was = |hash: fn(&crds::RolloutStatus) -> &Option<String>| {
        stored.is_some_and(|status| hash(status).is_some() && hash(status).as_deref() == hash_of(set))
    };
    let was_stable = was(|status| &status.stable_rs);
    // What waits since an abort was never promoted; once it is overtaken, nobody goes back to it without being asked.
    let overtaken = was(|status| &status.current_pod_hash)
        && !was_stable
        && stored.is_some_and(|status| status.aborted_at.is_some());
    let undecided = draft.status.pause_conditions.iter().flatten().any(|pause| pause.reason == INCONCLUSIVE);
    let delay = release.rollout.spec.scale_down_delay();
    if set.replicas_or_default() == 0 {
        return Plan::Replicas(0);
    }
    if release.serves(set) {
        // The last requests are still on their way to it.
        let waits = course.leaves && !delay.is_zero();
        return match release.active {
            _ if waits => delayed(release, draft, delay),
            Some(_) => Plan::Replicas(release.desired),
            None => Plan::Keep,
        };
    }
    if undecided {
        return Plan::Keep;
    }
    match deadline(set) {
        Some(until) if until > release.now && !overtaken => {
            draft.wake_at(until);
            Plan::Until(until)
        }
        None if course.promoting && was_stable && !delay.is_zero() => delayed(release, draft, delay),
        Some(_) | None => Plan::Replicas(0),
    }
}
