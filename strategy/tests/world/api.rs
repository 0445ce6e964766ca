//! The API server of the small world: what a write does, and what the laws say against it.

use crds::ReplicaSet;
use serde_json::json;
use strategy::Action;
use traffic::Write;

use super::{World, laws, patched};

impl World {
    /// Carries one action out and notes what the laws say against it.
    pub fn apply(&mut self, action: &Action) {
        let text = self.describe(action);
        let active_before = self.active();
        let canary = self.seen.rollout.canary().cloned().unwrap_or_default();
        let measure = |world: &Self| (world.weight().unwrap_or(0), world.roles(), world.available(None));
        let (weight_before, (canary_before, stable_before), available_before) = measure(self);
        let picture = laws::Picture::of(self);
        self.carry_out(action);
        for law in picture.compare(self, action) {
            self.violations.push(format!("{law}: {text}: {}", self.summary()));
        }
        // A restart takes pods by leave of maxUnavailable, which is looked at below.
        if !matches!(action, Action::EvictPod { .. }) {
            self.active_laws(&text, active_before);
        }
        let (weight, (canary_now, stable_now), available) = measure(self);
        let (least_met, most_met) = self.weights_met();
        // A restart may always take one.
        let allowed = self.unavailable().max(i32::from(matches!(action, Action::EvictPod { .. })));
        let least = self.seen.rollout.spec.replicas_or_default() - allowed;
        let max = canary
            .traffic_routing
            .as_ref()
            .and_then(|routing| routing.max_traffic_weight)
            .unwrap_or(100)
            .unsigned_abs();
        // With routing, pods of a version without traffic serve nobody: what counts is who gets requests.
        let routed = canary.traffic_routing.is_some();
        let blue_green = self.seen.rollout.blue_green().is_some();
        // Scaled to nothing there is nobody who could answer.
        let evicts = matches!(action, Action::EvictPod { .. });
        let wanted = self.seen.rollout.spec.replicas_or_default() > 0 && !evicts;
        let released = routed && !self.stable_image().is_empty() && wanted;
        // Where the user says that fewer pods will do.
        let fewer = canary.replica_progress_threshold.is_some();
        let dynamic = released && canary.dynamic_stable_scale == Some(true) && !fewer;
        let rest = strategy::replicas::share(
            self.seen.rollout.spec.replicas_or_default(),
            max.saturating_sub(least_met).cast_signed(),
            max.cast_signed(),
        );
        let laws = [
            (
                dynamic && weight < weight_before && stable_now < rest && canary_now > 0,
                "the weight falls before the stable version has the pods for the rest",
            ),
            (
                dynamic && stable_now < rest && stable_now < stable_before && canary_now == canary_before,
                "the stable version loses pods that its share of the traffic needs",
            ),
            (
                wanted && weight > weight_before && canary_now == 0,
                "the weight rises towards a canary without available pods",
            ),
            (
                weight < weight_before && stable_now == 0 && canary_now > 0,
                "the weight falls towards a stable version without available pods",
            ),
            (
                released && most_met > 0 && canary_now == 0 && canary_before > 0,
                "the canary loses its pods before its traffic",
            ),
            (
                released && least_met < max && stable_now == 0 && stable_before > 0,
                "the stable version loses its pods before its traffic",
            ),
            (
                !routed && !blue_green && available < available_before && available < least,
                "fewer available pods than allowed",
            ),
        ];
        for (broken, law) in laws {
            if broken {
                let state = format!(
                    "weight {weight_before} → {weight}, available {available_before} → {available} (least {least})"
                );
                self.violations.push(format!("{law}: {text}: {state}"));
            }
        }
        self.writes.push(text);
    }

    pub(super) fn carry_out(&mut self, action: &Action) {
        let uid = self.uid();
        let seen = &mut self.seen;
        match action {
            Action::PatchRollout { patch } => {
                seen.rollout = patched(&seen.rollout, patch);
                if patch.get("spec").is_some() {
                    self.bump();
                }
            }
            Action::CreateReplicaSet { replica_set } => {
                let mut set = (**replica_set).clone();
                if seen.replica_sets.iter().all(|known| known.metadata.name != set.metadata.name) {
                    set.metadata.uid = Some(uid);
                    set.metadata.creation_timestamp = Some(crds::Time(self.now));
                    seen.replica_sets.push(set);
                }
            }
            Action::PatchReplicaSet { target, patch } => {
                for set in seen.replica_sets.iter_mut().filter(|set| set.metadata.name.as_ref() == Some(&target.name)) {
                    *set = patched(set, patch);
                    remove_pods(set);
                }
            }
            // Nobody decides by what pods carry.
            Action::PatchPods { .. } => {}
            Action::DeleteReplicaSet { target } => {
                seen.replica_sets.retain(|set| set.metadata.name.as_ref() != Some(&target.name));
            }
            Action::PatchService { target, patch } => {
                let service = seen.services.get_mut(&target.name).unwrap();
                *service = patched(service, patch);
            }
            Action::EvictPod { target } => self.evict(target),
            Action::PatchWorkload { patch, .. } => self.patch_workload(patch),
            Action::Route(Write::Create { reference, object, .. }) => {
                let mut object = object.clone();
                object["metadata"]["uid"] = json!(uid);
                seen.routes.insert(reference.clone(), object);
            }
            Action::Route(Write::Patch { reference, patch, .. }) => {
                let object = seen.routes.get_mut(reference).unwrap();
                crds::json_patch::merge(object, patch);
                if let Some(generation) =
                    object["metadata"]["generation"].as_i64().filter(|_| patch.get("spec").is_some())
                {
                    object["metadata"]["generation"] = json!(generation + 1);
                }
            }
            Action::Route(Write::Delete { reference, .. }) => drop(seen.routes.remove(reference)),
            Action::CreateAnalysisRun { run } => {
                let mut run = (**run).clone();
                if seen.analysis_runs.iter().all(|known| known.metadata.name != run.metadata.name) {
                    run.metadata.uid = Some(uid);
                    run.metadata.creation_timestamp = Some(crds::Time(self.now));
                    seen.analysis_runs.push(run);
                }
            }
            Action::PatchAnalysisRun { target, patch } => {
                for run in seen.analysis_runs.iter_mut().filter(|run| run.metadata.name.as_ref() == Some(&target.name))
                {
                    *run = patched(run, patch);
                }
            }
            Action::DeleteAnalysisRun { target } => {
                seen.analysis_runs.retain(|run| run.metadata.name.as_ref() != Some(&target.name));
            }
            Action::CreateExperiment { experiment } => {
                let mut experiment = (**experiment).clone();
                if seen.experiments.iter().all(|known| known.metadata.name != experiment.metadata.name) {
                    experiment.metadata.uid = Some(uid);
                    experiment.metadata.creation_timestamp = Some(crds::Time(self.now));
                    seen.experiments.push(experiment);
                }
            }
            Action::PatchExperiment { target, patch } => {
                for one in seen.experiments.iter_mut().filter(|one| one.metadata.name.as_ref() == Some(&target.name)) {
                    *one = patched(one, patch);
                }
            }
            Action::DeleteExperiment { target } => {
                seen.experiments.retain(|one| one.metadata.name.as_ref() != Some(&target.name));
            }
            Action::CreateService { .. } | Action::DeleteService { .. } => {
                panic!("no Rollout makes or deletes a Service")
            }
        }
    }
}

/// Pods that are not wanted any more are gone at once, those not ready first.
pub(super) fn remove_pods(set: &mut ReplicaSet) {
    let wanted = set.replicas_or_default();
    if let Some(status) = &mut set.status {
        status.replicas = status.replicas.min(wanted);
        status.ready_replicas = status.ready_replicas.map(|count| count.min(wanted)).filter(|count| *count > 0);
        status.available_replicas = status.available_replicas.map(|count| count.min(wanted)).filter(|count| *count > 0);
    }
}
