//! Capacity: how many pods each version has. Comes after traffic: what still gets requests keeps its pods.

use crds::ReplicaSet;

use super::position::Wanted;
use super::{Draft, Release, pods, routing, share};
use crate::release::capacity::{self, Plan, deadline, delayed, limit, paused_by_hand};
use crate::replicas::Pods;
use crate::{replicas, revision};

pub(super) fn scale(release: &Release<'_>, draft: &mut Draft, wanted: Wanted, promoting: bool) {
    let plans =
        if release.routed() { routed(release, draft, wanted, promoting) } else { by_numbers(release, draft, wanted) };
    let (new, mut sets) = plans;
    if release.unverified() {
        for (set, plan) in &mut sets {
            *plan = held(set, *plan);
        }
    }
    capacity::carry_out(release, draft, new, sets);
}

/// Requests may still go where they went before: nobody loses pods.
fn held(set: &ReplicaSet, plan: Plan) -> Plan {
    match plan {
        Plan::Replicas(count) | Plan::Grow(count) if count < set.replicas_or_default() => Plan::Keep,
        plan => plan,
    }
}

type Plans<'a> = (i32, Vec<(&'a ReplicaSet, Plan)>);

/// With traffic routing: pods by share, old versions after a delay.
fn routed<'a>(release: &Release<'a>, draft: &mut Draft, wanted: Wanted, promoting: bool) -> Plans<'a> {
    let mut plans = Vec::new();
    let in_force = release.weight_in_force();
    let initial = Release::initial(&draft.status);
    let promoted = release.promoted(&draft.status);
    let stable_is_whole = pods(release.revisions.stable).available >= release.desired;
    let goal = routing::goal(release, draft, wanted);
    let count = match wanted.pods {
        _ if initial || promoted => release.desired,
        // Pods that still get more requests than they are to get stay until then.
        Some(fixed) if in_force > goal && !release.leaving() => fixed.max(pods(release.revisions.new).wanted),
        Some(fixed) => fixed,
        None if release.leaving() => share::by_weight(release, wanted.capacity),
        None => share::by_weight(release, wanted.capacity.max(in_force)),
    };
    // A promotion that was not written down leaves the wanted version behind the stable Service.
    let carried = release.revisions.new.map_or(0, |new| routing::carried(release, new));
    let count = if carried > in_force { count.max(share::by_weight(release, carried)) } else { count };
    if let Some(new) = release.revisions.new {
        let plan = if draft.aborted() && !promoted {
            if routing::serves(release, new) {
                serving(release, new)
            } else {
                capacity::abandoned(release, draft, new, false, stable_is_whole)
            }
        } else if paused_by_hand(release, new) && !promoted {
            Plan::Keep
        } else {
            Plan::Replicas(count)
        };
        plans.push((new, plan));
    }
    let was_stable = release.rollout.status.as_ref().and_then(|status| status.stable_rs.as_deref());
    if let Some(stable) = release.revisions.stable.filter(|_| !promoted) {
        // What leaves waits for the stable version to take everything over, so that version cannot wait in turn.
        let left = if release.leaving() { 0 } else { goal.min(in_force) };
        plans.push((stable, Plan::Replicas(share::stable(release, left))));
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
            old.push((set, serving(release, set)));
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

/// A version that is left keeps its pods while it gets requests; where the stable version grows again for them, its pods go as they
/// do, so that there is room.
fn serving(release: &Release<'_>, set: &ReplicaSet) -> Plan {
    let is_stable = release.revisions.stable.is_some_and(|stable| std::ptr::eq(stable, set));
    if !release.dynamic() || is_stable {
        return Plan::Keep;
    }
    let needed = share::by_weight(release, routing::carried(release, set));
    if needed < set.replicas_or_default() { Plan::Replicas(needed) } else { Plan::Keep }
}

/// The stable version, when it is another than the wanted one.
fn stable<'a>(release: &Release<'a>) -> Option<&'a ReplicaSet> {
    release.revisions.stable.filter(|set| release.revisions.new.is_none_or(|new| !std::ptr::eq(new, *set)))
}

/// The numbers of pods that come next on the way to these, of the wanted and of the stable version.
pub(super) fn next_numbers(release: &Release<'_>, goal: (i32, i32)) -> (i32, i32) {
    let others = Pods::sum(release.revisions.others.iter().map(|set| pods(Some(set))));
    let (new, stable) = (pods(release.revisions.new), pods(stable(release)));
    replicas::step(release.desired, release.bounds, goal, new, stable, others)
}

/// Without traffic routing: the numbers of pods are the traffic.
fn by_numbers<'a>(release: &Release<'a>, draft: &mut Draft, wanted: Wanted) -> Plans<'a> {
    let mut plans = Vec::new();
    let whole = Release::initial(&draft.status) || release.promoted(&draft.status);
    let weight = if draft.aborted() { 0 } else { wanted.capacity };
    let goal = if whole { (release.desired, 0) } else { replicas::split(release.desired, weight, release.bounds) };
    let stable = stable(release);
    let old = &release.revisions.others;
    let (canary, rest) = next_numbers(release, goal);
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
