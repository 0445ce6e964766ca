//! Laws about single writes, beside those in [`World::apply`](super::World::apply): what a picture before and one after it tell.

use super::{World, available_of};
use crds::ReplicaSet;
use strategy::Action;
use strategy::revision::hash_of;

/// What the laws look at.
pub struct Picture {
    weight: u32,
    canary: i32,
    stable: i32,
    wanted: i32,
    stable_rs: String,
}

impl Picture {
    pub fn of(world: &World) -> Self {
        let status = world.seen.rollout.status.clone().unwrap_or_default();
        let (canary, stable) = world.roles();
        Self {
            weight: world.weight().unwrap_or(0),
            canary,
            stable,
            wanted: world.seen.replica_sets.iter().map(ReplicaSet::replicas_or_default).sum(),
            stable_rs: status.stable_rs.unwrap_or_default(),
        }
    }

    /// What is wrong with the step from `self` to the world as it is now.
    pub fn compare(&self, world: &World, action: &Action) -> Vec<String> {
        let now = Self::of(world);
        let Some(canary) = world.seen.rollout.canary() else { return Vec::new() };
        let status = world.seen.rollout.status.clone().unwrap_or_default();
        let desired = world.seen.rollout.spec.replicas_or_default();
        let bounds = strategy::replicas::bounds(canary, desired);
        let routed = canary.traffic_routing.is_some();
        let max = canary.traffic_routing.as_ref().and_then(|routing| routing.max_traffic_weight).unwrap_or(100);
        let weight = i32::try_from(now.weight).unwrap();
        let (least_met, most_met) = world.weights_met();
        let (least_met, most_met) = (least_met.cast_signed(), most_met.cast_signed());
        let share = |weight| strategy::replicas::share(desired, weight, max);
        let released = routed && !self.stable_rs.is_empty();
        let aborting = world.aborting.get();
        let removed = matches!(action, Action::PatchReplicaSet { .. } | Action::DeleteReplicaSet { .. });
        // Where the user says that fewer pods will do.
        let fewer = canary.replica_progress_threshold.is_some()
            || canary.steps().iter().any(|step| step.set_canary_scale.is_some());
        let mut wrong = Vec::new();
        let mut law = |broken: bool, text: &str| {
            if broken {
                wrong.push(text.to_owned());
            }
        };
        law(
            released
                && !fewer
                && now.weight > self.weight
                && now.canary < share(weight)
                && status.promote_full != Some(true),
            "the weight rises beyond what the canary has pods for",
        );
        law(
            released
                && !fewer
                && removed
                && now.canary < self.canary
                && now.canary < share(most_met) - bounds.unavailable,
            "the canary loses pods that its share of the traffic needs",
        );
        law(
            released
                && !fewer
                && removed
                && now.stable < self.stable
                && now.stable < share(max - least_met) - bounds.unavailable
                && !aborting,
            "the stable version loses pods that its share of the traffic needs",
        );
        law(
            !routed && now.wanted > self.wanted && now.wanted > desired + bounds.surge && !self.stable_rs.is_empty(),
            "more pods than the surge allows",
        );
        wrong
    }
}

/// What is wrong with a state in which nothing is left to do.
pub fn at_rest(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let status = world.seen.rollout.status.clone().unwrap_or_default();
    let again = world.decide();
    if !again.actions.is_empty() {
        wrong.push(format!("a second look acts: {:?}", again.actions));
    }
    if serde_json::json!(again.status) != serde_json::json!(status) {
        wrong.push("a second look sees another status".to_owned());
    }
    if !again.events.is_empty() {
        wrong.push(format!("a second look tells: {:?}", again.events));
    }
    if strategy::validate::validate(&world.seen).is_err() {
        return wrong;
    }
    if again.requeue_after.is_some_and(|after| after.is_zero()) {
        wrong.push("it never rests".to_owned());
    }
    if let Some(canary) = world.seen.rollout.canary() {
        let steps = i32::try_from(canary.steps().len()).unwrap();
        if status.current_step_index.is_some_and(|index| !(0..=steps).contains(&index)) {
            wrong.push(format!("step {:?} of {steps}", status.current_step_index));
        }
        let routing = canary.traffic_routing.as_ref();
        let max = routing.and_then(|routing| routing.max_traffic_weight).unwrap_or(100);
        let weights = status.canary.as_ref().and_then(|canary| canary.weights.as_ref());
        let additional =
            |weights: &crds::TrafficWeights| -> i32 { weights.additional.iter().flatten().map(|one| one.weight).sum() };
        if let Some(weights) = weights.filter(|_| routing.is_some())
            && weights.canary.weight + weights.stable.weight + additional(weights) != max
        {
            wrong.push(format!("the weights of the status do not sum to {max}"));
        }
    }
    wrong
}

/// Pods of the version with this hash.
pub fn available_with(world: &World, hash: &str) -> i32 {
    world.seen.replica_sets.iter().filter(|set| hash_of(set) == Some(hash)).map(available_of).sum()
}
