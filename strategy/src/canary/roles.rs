//! The two roles of a canary, canary and stable: which version stands behind each, by Services or by a router's own pointers, and
//! moving them.
//!
//! Invariants: a role moves to a version only when that has pods; the canary role leaves a version only after its share has. With
//! `pingPong` no Service moves at the end: the roles of the two swap with the promotion, in the same status write.

use crds::{CanaryStrategy, PingPong, RolloutStatus};
use traffic::{Services, Versions};

use super::{Draft, Release, pods, share};
use crate::release::Facts;
use crate::release::services::{has_pods, point, selected};
use crate::{Action, Observation, revision};

/// Who has which role now.
pub(crate) struct Roles {
    canary: Vec<String>,
    stable: Vec<String>,
}

impl Roles {
    pub fn of(seen: &Observation, routers: &[Box<dyn traffic::Router>]) -> Self {
        let services = traffic::services(&seen.rollout);
        let behind = |name: &str| seen.services.get(name).and_then(selected).map(str::to_owned);
        let mut canary: Vec<String> = behind(&services.canary).into_iter().collect();
        let mut stable: Vec<String> = behind(&services.stable).into_iter().collect();
        for versions in routers.iter().filter_map(|router| router.versions(&seen.routes)) {
            canary.extend(versions.canary);
            stable.extend(versions.stable);
        }
        Self { canary, stable }
    }

    /// The versions behind the canary's share.
    pub fn canary(&self) -> impl Iterator<Item = &str> {
        self.canary.iter().map(String::as_str)
    }

    /// The versions behind the rest.
    pub fn stable(&self) -> impl Iterator<Item = &str> {
        self.stable.iter().map(String::as_str)
    }
}

/// Notes which Service of `pingPong` is the stable one, where the status does not say. Whether that has to be written before anything
/// else, because everything was looked at the other way round.
pub(super) fn note(facts: &Facts<'_>, canary: &CanaryStrategy, draft: &mut Draft) -> bool {
    let status = &mut draft.status;
    let Some(both) = &canary.ping_pong else {
        if let Some(canary) = &mut status.canary {
            canary.stable_ping_pong = None;
        }
        return false;
    };
    if status.stable_ping_pong().is_some() {
        return false;
    }
    let stable = status.stable_rs.as_deref().filter(|hash| !hash.is_empty());
    let is_behind = |name: &str| stable.is_some() && facts.seen.services.get(name).and_then(selected) == stable;
    let pong = is_behind(&both.pong_service) && !is_behind(&both.ping_service);
    set(status, if pong { PingPong::Pong } else { PingPong::Ping });
    pong
}

/// The version that was promoted has its Service already: it becomes the stable one.
pub(super) fn swap(release: &Release<'_>, status: &mut RolloutStatus) {
    if release.canary.ping_pong.is_some() {
        let next = match status.stable_ping_pong() {
            Some(PingPong::Pong) => PingPong::Ping,
            Some(PingPong::Ping) | None => PingPong::Pong,
        };
        set(status, next);
    }
}

fn set(status: &mut RolloutStatus, stable: PingPong) {
    status.canary.get_or_insert_default().stable_ping_pong = Some(stable.as_str().to_owned());
}

/// The Services as they are after what was decided so far.
pub(super) fn services(release: &Release<'_>, draft: &Draft) -> Services {
    traffic::services_of(release.rollout, draft.status.stable_ping_pong())
}

/// Moves the roles to their versions.
pub(super) fn assign(release: &Release<'_>, draft: &mut Draft) {
    let hash = release.hash.0.as_str();
    let promoted = release.promoted(&draft.status);
    let stable =
        if promoted { Some(hash.to_owned()) } else { draft.status.stable_rs.clone().filter(|hash| !hash.is_empty()) };
    let services = services(release, draft);
    if let Some(stable) = &stable
        && takes_over(release, release.seen.services.get(&services.stable).and_then(selected), stable)
    {
        point(release, draft, &services.stable, stable, false);
    }
    // Requests leave the version behind the canary Service by weight, before that Service leaves it. After a promotion the one of
    // pingPong stays with the version it has until there is a next one.
    let stays = release.leaving() || promoted && release.canary.ping_pong.is_some();
    if !stays {
        // With routing the weight has taken the traffic off already, and the canary Service stays with the canary.
        match (&stable, draft.aborted() && !release.routed()) {
            (Some(stable), true) => point(release, draft, &services.canary, stable, true),
            _ => point(release, draft, &services.canary, hash, false),
        }
    }
    pointers(release, draft, stable.as_deref(), hash);
}

/// Moves what routers point with themselves.
fn pointers(release: &Release<'_>, draft: &mut Draft, stable: Option<&str>, hash: &str) {
    for router in &release.routers {
        let Some(now) = router.versions(&release.seen.routes) else { continue };
        let ready = |to: &str, now: Option<&str>| now != Some(to) && has_pods(release, to, now);
        let (before, canary_before) = (now.stable.as_deref(), now.canary.as_deref());
        let to = Versions {
            stable: stable
                .filter(|stable| ready(stable, before) && takes_over(release, before, stable))
                .map(str::to_owned),
            canary: Some(hash.to_owned()).filter(|_| !release.leaving() && ready(hash, canary_before)),
        };
        // What is wrong with the object is told by validation.
        if let Ok(write) = router.point(&to, &release.seen.routes) {
            draft.actions.extend(write.map(Action::Route));
        }
    }
}

/// Whether a version has the pods for what the stable role sends, or no fewer than the version that has it now.
fn takes_over(release: &Release<'_>, now: Option<&str>, hash: &str) -> bool {
    let find = |hash: &str| release.revisions.all.iter().copied().find(|set| revision::hash_of(set) == Some(hash));
    let Some(now) = now.filter(|now| release.routed() && *now != hash).and_then(find) else { return true };
    let available = pods(find(hash)).available;
    let needed = share::by_weight(release, release.max - release.weight_in_force());
    available >= pods(Some(now)).available || share::enough(release, available, needed)
}
