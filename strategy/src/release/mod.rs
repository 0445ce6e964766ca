//! What the strategies share: what one pass knows and makes, and everything that does not depend on how traffic moves.
//!
//! Each strategy is one pass over [`Facts`] into a [`Draft`], in the order of safety: what an analysis or a person said first, then the
//! position, then traffic, then capacity.
//!
//! Invariant: nothing here knows a step or a router.

pub(crate) mod affinity;
pub(crate) mod analysis;
pub(crate) mod capacity;
pub(crate) mod history;
pub(crate) mod metadata;
pub(crate) mod progress;
pub(crate) mod services;
pub(crate) mod state;

use std::time::Duration;

use crds::jiff::{SignedDuration, Timestamp};
use crds::words::{POD_TEMPLATE_HASH_LABEL, REVISION_ANNOTATION};
use crds::{ReplicaSet, Rollout, RolloutStatus, StrategyKind, Time};
use serde_json::json;

use crate::replicas::Pods;
use crate::revision::{self, PodTemplateHash, Revisions};
use crate::words::{condition, reason};
use crate::{
    Action, Decision, Event, EventType, Observation, blue_green, canary, conditions, message, restart, validate,
    workload,
};

/// How long a reference that does not exist yet is waited for before it is looked at again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(20);

/// Label selector of the pods of one version, for `rollouts-pod-template-hash`.
pub(crate) const HASH: &str = POD_TEMPLATE_HASH_LABEL;

/// What one pass knows, whatever the strategy.
pub(crate) struct Facts<'a> {
    pub seen: &'a Observation,
    pub rollout: &'a Rollout,
    pub revisions: Revisions<'a>,
    pub now: Timestamp,
    /// Pods wanted.
    pub desired: i32,
    /// Label of the wanted version.
    pub hash: PodTemplateHash,
}

/// What one pass makes.
#[derive(Default)]
pub(crate) struct Draft {
    pub status: RolloutStatus,
    pub actions: Vec<Action>,
    pub events: Vec<Event>,
    /// The position moved and has to be written before anything else is done.
    pub settles: bool,
    wake: Option<Timestamp>,
}

impl Draft {
    /// Look again at this time at the latest.
    pub fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |earlier| earlier.min(at)));
    }

    pub fn normal(&mut self, reason: &'static str, message: String) {
        self.events.push(Event { event_type: EventType::Normal, reason, message });
    }

    pub fn warning(&mut self, reason: &'static str, message: String) {
        self.events.push(Event { event_type: EventType::Warning, reason, message });
    }

    pub fn index(&self) -> usize {
        usize::try_from(self.status.current_step_index.unwrap_or(0)).unwrap_or(0)
    }

    pub fn set_index(&mut self, index: usize) {
        self.status.current_step_index = i32::try_from(index).ok();
    }

    pub fn aborted(&self) -> bool {
        self.status.abort == Some(true)
    }

    /// On an abort the users are safe first, whatever else fails.
    pub fn traffic_first(&mut self) {
        self.actions.sort_by_key(|action| !matches!(action, Action::Route(_) | Action::PatchService { .. }));
    }

    /// What the status says is told once it is written, so with the decision that has nothing left to do; what an action does is told
    /// with it. Warnings never wait.
    pub fn finish(mut self, now: Timestamp) -> Decision {
        if !self.actions.is_empty() {
            self.events
                .retain(|event| event.event_type == EventType::Warning || reason::WITH_ACTIONS.contains(&event.reason));
        }
        let requeue_after = self.wake.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO));
        Decision { status: self.status, actions: self.actions, events: self.events, requeue_after }
    }
}

/// Pods of a ReplicaSet; none when it does not exist.
pub(crate) fn pods(set: Option<&ReplicaSet>) -> Pods {
    set.map_or(Pods::default(), |set| Pods {
        wanted: set.replicas_or_default(),
        available: set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0),
        counted: set.status.as_ref().map_or(0, |status| status.replicas),
    })
}

pub(crate) fn seconds(seconds: i32) -> SignedDuration {
    SignedDuration::from_secs(i64::from(seconds))
}

/// Time as the API writes it.
pub(crate) fn at(time: Timestamp) -> Time {
    Time(time)
}

impl Facts<'_> {
    /// The wanted version is the stable one.
    pub fn promoted(&self, status: &RolloutStatus) -> bool {
        status.stable_rs.as_deref() == Some(self.hash.0.as_str())
    }

    /// Nothing was ever promoted.
    pub fn initial(status: &RolloutStatus) -> bool {
        status.stable_rs.as_deref().is_none_or(str::is_empty)
    }

    /// Name of the wanted version's ReplicaSet.
    pub fn new_name(&self) -> String {
        self.revisions
            .new
            .and_then(|set| set.metadata.name.clone())
            .unwrap_or_else(|| format!("{}-{}", self.rollout.metadata.name.as_deref().unwrap_or_default(), self.hash))
    }

    /// Revision annotations, adoption, and a number of replicas where the user gave none.
    fn own_metadata(&self, draft: &mut Draft) {
        let mut own = json!({});
        for action in revision::annotation_patches(self.seen, &self.revisions) {
            match action {
                Action::PatchRollout { patch } => crds::json_patch::merge(&mut own, &patch),
                other => draft.actions.push(other),
            }
        }
        if self.revisions.new.is_none() {
            // The number the ReplicaSet will be created with, so that the Rollout is written once.
            let number = revision::revision_number(&self.revisions).to_string();
            crds::json_patch::merge(&mut own, &json!({"metadata": {"annotations": {REVISION_ANNOTATION: number}}}));
            let stored = self.rollout.metadata.annotations.as_ref().and_then(|all| all.get(REVISION_ANNOTATION));
            if stored == Some(&number) {
                own = json!({});
            }
        }
        capacity::join(&mut own, &workload::remember(self, draft));
        if own != json!({}) {
            draft.actions.push(Action::PatchRollout { patch: own });
        }
    }
}

/// Decides about a Rollout, by its strategy.
pub(crate) fn decide(seen: &Observation, now: Timestamp) -> Decision {
    let rollout = &seen.rollout;
    let mut draft = Draft { status: rollout.status.clone().unwrap_or_default(), ..Draft::default() };
    draft.status.observed_generation = rollout.metadata.generation.map(|generation| generation.to_string());
    if let Err(invalid) = validate::validate(seen) {
        return refuse(draft, rollout, &invalid, now);
    }
    conditions::remove(&mut draft.status, "InvalidSpec");
    let revisions = revision::sort(seen);
    let hash = if let Some(hash) = revisions.new.and_then(revision::hash_of) {
        PodTemplateHash(hash.to_owned())
    } else {
        let template = rollout.spec.template.clone().unwrap_or_default();
        free_name(seen, rollout, &mut draft, &template)
    };
    let Some(desired) = rollout.spec.replicas else {
        // Before anything else, for everything depends on it.
        let patch = json!({ "spec": { "replicas": workload::replicas(seen) } });
        draft.actions.push(Action::PatchRollout { patch });
        return draft.finish(now);
    };
    let facts = Facts { seen, rollout, revisions, now, desired, hash };
    let strategy = rollout.strategy_kind();
    facts.own_metadata(&mut draft);
    workload::drain(&facts, &mut draft);
    let evictions = restart::step(&facts, &mut draft);
    let mut decision = match strategy {
        StrategyKind::Canary(canary) => {
            state::leave_blue_green(canary, &mut draft);
            canary::pass(facts, canary, draft)
        }
        StrategyKind::BlueGreen(blue_green) => {
            // The weights and runs of a canary that this Rollout was before.
            draft.status.canary = draft.status.canary.map(|_| crds::CanaryStatus::default());
            blue_green::pass(facts, blue_green, draft)
        }
        // Validation refuses these.
        StrategyKind::Both | StrategyKind::Neither => draft.finish(now),
    };
    if decision.actions.is_empty() {
        decision.actions = evictions;
    }
    decision
}

/// The hash of a new version, with which its ReplicaSet has a name that nobody else has.
fn free_name(
    seen: &Observation,
    rollout: &Rollout,
    draft: &mut Draft,
    template: &crds::PodTemplate,
) -> PodTemplateHash {
    let name = rollout.metadata.name.as_deref().unwrap_or_default();
    loop {
        let hash = revision::hash(template, draft.status.collision_count);
        if !seen.taken.contains(&format!("{name}-{hash}")) {
            return hash;
        }
        draft.status.collision_count = Some(draft.status.collision_count.unwrap_or(0).saturating_add(1));
    }
}

/// A spec that cannot be carried out: said on the object, nothing else touched.
fn refuse(mut draft: Draft, rollout: &Rollout, invalid: &validate::Invalid, now: Timestamp) -> Decision {
    let known = conditions::find(&draft.status, "InvalidSpec").is_some_and(|old| old.message == invalid.message);
    conditions::set(&mut draft.status, "InvalidSpec", "True", condition::INVALID_SPEC, &invalid.message, now);
    if !known {
        draft.warning(reason::INVALID_SPEC, invalid.message.clone());
    }
    let (phase, message) = message::phase(rollout, &draft.status);
    draft.status.phase = Some(phase.to_owned());
    draft.status.message = Some(message);
    let mut decision = draft.finish(now);
    if invalid.transient {
        decision.requeue_after = Some(LOOK_AGAIN);
    }
    decision
}
