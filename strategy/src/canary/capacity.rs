//! Capacity: how many pods each version has. Comes after traffic: what still gets requests keeps its pods.

use crds::ReplicaSet;

use super::position::Wanted;
use super::{Draft, Release, pods, routing};
use crate::release::capacity::{self, Plan, deadline, delayed, limit, paused_by_hand};
use crate::{replicas, revision};

pub(super) fn scale(release: &Release<'_>, draft: &mut Draft, wanted: Wanted, promoting: bool) {
    let plans =
        if release.routed() { routed(release, draft, wanted, promoting) } else { by_numbers(release, draft, wanted) };
    let (new, sets) = plans;
    capacity::carry_out(release, draft, new, sets);
}

type Plans<'a> = (i32, Vec<(&'a ReplicaSet, Plan)>);

/// With traffic routing: pods by share, old versions after a delay.
fn routed<'a>(release: &Release<'a>, draft: &mut Draft, wanted: Wanted, promoting: bool) -> Plans<'a> {
    let mut plans = Vec::new();
    let in_force = release.in_force.map_or(0, |weight| i32::try_from(weight.0).unwrap_or(0));
    let initial = Release::initial(&draft.status);
    let promoted = release.promoted(&draft.status);
    let stable_is_whole = pods(release.revisions.stable).available >= release.desired;
    let least = release.canary.min_pods_per_replica_set.unwrap_or(0).min(release.desired);
    let share = |weight| match replicas::share(release.desired, weight, release.max) {
        0 => 0,
        count => count.max(least),
    };
    let count = if initial || promoted { release.desired } else { share(wanted.capacity.max(in_force)) };
    if let Some(new) = release.revisions.new {
        let plan = if draft.aborted() && !promoted {
            capacity::abandoned(release, draft, new, routing::serves(release, new), stable_is_whole)
        } else if paused_by_hand(release, new) && !promoted {
            Plan::Keep
        } else {
            Plan::Replicas(count)
        };
        plans.push((new, plan));
    }
    let was_stable = release.rollout.status.as_ref().and_then(|status| status.stable_rs.as_deref());
    if let Some(stable) = release.revisions.stable.filter(|_| !promoted) {
        plans.push((stable, Plan::Replicas(release.desired)));
    }
    let delay = release.rollout.spec.scale_down_delay();
    let mut old: Vec<(&ReplicaSet, Plan)> = Vec::new();
    let before = release.revisions.stable.filter(|_| promoting);
    for set in release.revisions.others.iter().copied().chain(before) {
        if set.replicas_or_default() == 0 {
            old.push((set, Plan::Replicas(0)));
            continue;
        }
        // What was just promoted is looked at before its traffic has moved; without a delay it goes with the next look.
        if (delay.is_zero() || !promoting) && routing::serves(release, set) {
            old.push((set, Plan::Keep));
            continue;
        }
        let plan = match deadline(set) {
            Some(until) if until > release.now => {
                draft.wake_at(until);
                Plan::Until(until)
            }
            None if promoting && revision::hash_of(set) == was_stable && !delay.is_zero() => {
                delayed(release, draft, delay)
            }
            Some(_) | None => Plan::Replicas(0),
        };
        old.push((set, plan));
    }
    limit(release.canary.scale_down_delay_revision_limit, &mut old);
    plans.extend(old);
    (count, plans)
}

/// Without traffic routing: the numbers of pods are the traffic.
fn by_numbers<'a>(release: &Release<'a>, draft: &mut Draft, wanted: Wanted) -> Plans<'a> {
    let mut plans = Vec::new();
    let whole = Release::initial(&draft.status) || release.promoted(&draft.status);
    let weight = if draft.aborted() { 0 } else { wanted.capacity };
    let goal = if whole { (release.desired, 0) } else { replicas::split(release.desired, weight, release.bounds) };
    let stable =
        release.revisions.stable.filter(|set| release.revisions.new.is_none_or(|new| !std::ptr::eq(new, *set)));
    let (goal, old) = (goal, &release.revisions.others);
    let others: i32 = old.iter().map(|set| set.replicas_or_default()).sum();
    let (canary, rest) =
        replicas::step(release.desired, release.bounds, goal, pods(release.revisions.new), pods(stable), others);
    // The first version ever has nothing to be careful about.
    let canary = if Release::initial(&draft.status) { release.desired } else { canary };
    // A pause by hand holds the release, not the way back.
    let freely = whole || draft.aborted();
    if let Some(new) = release.revisions.new {
        let plan = if paused_by_hand(release, new) && !freely { Plan::Keep } else { Plan::Replicas(canary) };
        plans.push((new, plan));
    }
    if let Some(stable) = stable {
        let by_hand = |new| paused_by_hand(release, new);
        let held = release.revisions.new.map_or(release.rollout.spec.is_paused(), by_hand) && !freely;
        plans.push((stable, if held { Plan::Keep } else { Plan::Replicas(rest) }));
    }
    let available: i32 = release.revisions.all.iter().map(|set| pods(Some(set)).available).sum();
    let counted: Vec<_> = old.iter().map(|set| pods(Some(set))).collect();
    let next = replicas::others(release.desired, release.bounds, available, &counted);
    plans.extend(old.iter().copied().zip(next.into_iter().map(Plan::Replicas)));
    (canary, plans)
}
