//! Services and traffic: who gets which requests.
//!
//! Invariants: a share goes only to a version with available pods; a Service moves to a version only when that has pods; a share that
//! shrinks is written before the Service behind it moves, one that grows after.

use crds::ReplicaSet;
use traffic::{Additional, Router, Routing, Verified, Weight};

use super::position::Wanted;
use super::{Draft, Release, experiment, header, mirror, pods, roles, share};
use crate::words::{condition, reason};
use crate::{Action, Observation, conditions, revision};

/// The largest share that any router sends to the canary.
pub(super) fn in_force(routers: &[Box<dyn Router>], seen: &Observation) -> Option<Weight> {
    routers.iter().filter_map(|router| router.in_force(&seen.routes).ok().flatten()).max()
}

/// What the routers know of the data plane.
pub(super) fn verified(routers: &[Box<dyn Router>], seen: &Observation) -> Verified {
    let all = routers.iter().map(|router| match router.verified(&seen.routes) {
        Verified::No(why) => Verified::No(format!("{}: {why}", router.name())),
        other => other,
    });
    all.max().unwrap_or(Verified::Unknown)
}

/// The share of the requests that goes to this version, as the Services and the weight say now.
pub(super) fn carried(release: &Release<'_>, set: &ReplicaSet) -> i32 {
    let hash = revision::hash_of(set);
    let weight = release.weight_in_force();
    let part = |behind: bool, part: i32| if behind { part } else { 0 };
    part(release.roles.canary().any(|behind| Some(behind) == hash), weight)
        + part(release.roles.stable().any(|behind| Some(behind) == hash), release.max - weight)
}

/// Whether requests still go to this version.
pub(super) fn serves(release: &Release<'_>, set: &ReplicaSet) -> bool {
    carried(release, set) > 0
}

/// The share the traffic may have now.
pub(super) fn share_now(release: &Release<'_>, draft: &Draft, wanted: Wanted) -> i32 {
    let in_force = release.weight_in_force();
    let goal = goal(release, draft, wanted);
    let falls = release.dynamic() && goal < in_force && !Release::initial(&draft.status);
    let together = release.promoted(&draft.status) && !release.leaving();
    if falls && !together { share::bearable(release, goal, in_force) } else { goal }
}

/// The share the traffic goes to, once the stable version can bear the rest: none for a version without pods, and no change towards a
/// stable version without any.
pub(super) fn goal(release: &Release<'_>, draft: &Draft, wanted: Wanted) -> i32 {
    let in_force = release.weight_in_force();
    if in_force > 0 && only_canary_serves(release, draft) {
        return in_force;
    }
    if release.promoted(&draft.status) || Release::initial(&draft.status) || release.leaving() {
        return 0;
    }
    // With dynamicStableScale the stable version has to come back for its traffic; see `share::bearable`.
    let stable_is_down = !release.dynamic() && pods(release.revisions.stable).available == 0;
    if stable_is_down && in_force > 0 && pods(release.revisions.new).available > 0 {
        return in_force.max(wanted.traffic);
    }
    if pods(release.revisions.new).available == 0 { 0 } else { wanted.traffic }
}

/// The version that should get everything, or the rest, has no pods, and another one behind the canary Service has: the way back waits.
fn only_canary_serves(release: &Release<'_>, draft: &Draft) -> bool {
    let promoted = release.promoted(&draft.status);
    let target = if promoted { release.revisions.new } else { release.revisions.stable };
    let serves = |behind: &str| {
        let set = release.revisions.all.iter().copied().find(|set| revision::hash_of(set) == Some(behind));
        // What the wanted version may have is said by its position.
        behind != release.hash.0 && pods(set).available > 0
    };
    target.is_some() && pods(target).available == 0 && release.roles.canary().any(serves)
}

pub(super) fn route(release: &Release<'_>, draft: &mut Draft, wanted: Wanted) {
    draft.actions.extend(traffic::leftovers(release.rollout, &release.seen.routes).into_iter().map(Action::Route));
    if !release.routed() {
        roles::assign(release, draft);
        return;
    }
    let weight = share_now(release, draft, wanted);
    let in_force = release.weight_in_force();
    // A promotion moves everything with the stable Service first; only then may the canary's share go to it.
    let promoted = release.promoted(&draft.status);
    let shrinks = weight < in_force && !promoted;
    if shrinks {
        weights(release, draft, weight);
    }
    roles::assign(release, draft);
    if !shrinks {
        weights(release, draft, weight);
    }
}

fn weights(release: &Release<'_>, draft: &mut Draft, weight: i32) {
    let number = |weight: i32| Weight(u32::try_from(weight).unwrap_or(0));
    let services = roles::services(release, draft);
    let additional = experiment::shares(release, draft);
    let retired = experiment::services(release.seen);
    let desired = Routing {
        canary: number(weight),
        max: number(release.max),
        retired: retired.into_iter().filter(|name| additional.iter().all(|one| one.service != *name)).collect(),
        additional: additional
            .into_iter()
            .map(|one| Additional { service: one.service, weight: number(one.weight) })
            .collect(),
        headers: header::wanted(release, draft),
        mirrors: mirror::wanted(release, draft),
        canary_service: services.canary,
        stable_service: services.stable,
    };
    let mut trouble = match &release.verified {
        Verified::No(why) => Some(why.clone()),
        Verified::Unknown | Verified::Yes | Verified::NotYet => None,
    };
    for router in &release.routers {
        match router.plan(&desired, &release.seen.routes) {
            Ok(writes) => draft.actions.extend(writes.into_iter().map(Action::Route)),
            Err(error) => trouble = Some(format!("{}: {error}", router.name())),
        }
    }
    match trouble {
        Some(message) => {
            let known =
                conditions::find(&draft.status, condition::TRAFFIC_ROUTING).is_some_and(|old| old.message == message);
            conditions::set(
                &mut draft.status,
                condition::TRAFFIC_ROUTING,
                "True",
                condition::TRAFFIC_ROUTING,
                &message,
                release.now,
            );
            if !known {
                draft.warning(reason::TRAFFIC_ROUTING, message);
            }
        }
        None => conditions::remove(&mut draft.status, condition::TRAFFIC_ROUTING),
    }
}
