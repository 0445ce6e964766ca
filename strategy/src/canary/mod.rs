//! The canary machine: one pass from what was seen to what should happen.
//!
//! The order of the pass is the order of safety: what an analysis or a person said (abort, retry) first, then the position, then
//! traffic, then capacity. Traffic actions stand before the capacity actions that rely on them.
//!
//! Invariants: the position only moves over steps whose end is an observed fact; nothing is written to the status that an observation
//! could tell, except what happened in the past (start of a pause, abort).

mod analysis;
mod capacity;
pub(crate) mod experiment;
mod header;
mod mirror;
mod position;
mod roles;
mod routing;
mod share;
mod state;
mod status;
pub mod step;

use std::ops::Deref;

use crds::{CanaryStep, CanaryStrategy, RolloutStatus};
use traffic::{Router, Verified, Weight};

pub(crate) use crate::release::{Draft, Facts, at, pods};
use crate::release::{affinity, history, metadata, services};
use crate::replicas::Bounds;
use crate::{Decision, replicas, revision};

/// What one pass knows.
pub(crate) struct Release<'a> {
    facts: Facts<'a>,
    pub canary: &'a CanaryStrategy,
    pub steps: &'a [CanaryStep],
    pub bounds: Bounds,
    pub routers: Vec<Box<dyn Router>>,
    /// The largest share that any router sends to the canary; `None` without routing, or when it cannot be told.
    pub in_force: Option<Weight>,
    /// Whether requests go as the routers' objects say.
    pub verified: Verified,
    /// Which versions stand behind the canary's share and behind the rest.
    pub roles: roles::Roles,
    /// Total of the weights.
    pub max: i32,
}

impl<'a> Deref for Release<'a> {
    type Target = Facts<'a>;

    fn deref(&self) -> &Facts<'a> {
        &self.facts
    }
}

/// Decides about a Rollout with a canary strategy.
pub(crate) fn pass<'a>(facts: Facts<'a>, canary: &'a CanaryStrategy, mut draft: Draft) -> Decision {
    if roles::note(&facts, canary, &mut draft) {
        draft.wake_at(facts.now);
        return draft.finish(facts.now);
    }
    let routers = traffic::routers(facts.rollout);
    let in_force = routing::in_force(&routers, facts.seen);
    let release = Release {
        canary,
        steps: canary.steps(),
        bounds: replicas::bounds(canary, facts.desired),
        roles: roles::Roles::of(facts.seen, &routers),
        verified: routing::verified(&routers, facts.seen),
        routers,
        in_force,
        max: canary.traffic_routing.as_ref().and_then(|routing| routing.max_traffic_weight).unwrap_or(100),
        facts,
    };
    release.pass(draft)
}

impl Release<'_> {
    pub fn routed(&self) -> bool {
        !self.routers.is_empty()
    }

    /// The canary's weight as the routers have it; 0 where nothing is routed yet.
    pub fn weight_in_force(&self) -> i32 {
        self.in_force.map_or(0, |weight| i32::try_from(weight.0).unwrap_or(i32::MAX))
    }

    /// Requests may still go where the routers' objects led before.
    pub fn unverified(&self) -> bool {
        matches!(self.verified, Verified::No(_) | Verified::NotYet)
    }

    /// The stable version shrinks as traffic leaves it.
    pub fn dynamic(&self) -> bool {
        self.routed() && self.canary.is_dynamic_stable_scale()
    }

    /// The canary's share still goes to a version that is neither wanted nor stable.
    pub fn leaving(&self) -> bool {
        let stable = self.revisions.stable.and_then(revision::hash_of);
        let leaves = |behind: &str| behind != self.hash.0 && Some(behind) != stable;
        (self.weight_in_force() > 0 || self.unverified()) && self.roles.canary().any(leaves)
    }

    /// Going back to a version of the rollback window: nothing of the steps is needed.
    pub fn fast(&self, status: &RolloutStatus) -> bool {
        !self.promoted(status) && revision::within_rollback_window(self.rollout, &self.revisions)
    }

    /// Nothing was ever promoted.
    pub fn initial(status: &RolloutStatus) -> bool {
        Facts::initial(status)
    }

    fn pass(&self, mut draft: Draft) -> Decision {
        state::begin(self, &mut draft);
        analysis::judge(self, &mut draft);
        experiment::judge(self, &mut draft);
        if draft.aborted() {
            state::abort(self, &mut draft);
        }
        let weight = position::walk(self, &mut draft);
        let promoting = position::promote(self, &mut draft);
        state::note_position(self, &mut draft);
        routing::route(self, &mut draft, weight);
        capacity::scale(self, &mut draft, weight, promoting);
        analysis::runs(self, &mut draft);
        experiment::experiments(self, &mut draft);
        history::limit(self, &mut draft);
        status::fill(self, &mut draft, weight);
        affinity::sync(self, &mut draft);
        metadata::sync(self, &mut draft);
        services::let_go_unnamed(self, &mut draft);
        if draft.aborted() {
            draft.traffic_first();
        }
        draft.finish(self.now)
    }
}
