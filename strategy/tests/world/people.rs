//! What people and the rest of the cluster do: new images, verbs, results of runs, lost pods.

use serde_json::{Value, json};
use strategy::Action;

use super::{World, image_of, is_over, patched};

impl World {
    pub fn patch_status(&mut self, patch: &Value) {
        self.seen.rollout = patched(&self.seen.rollout, &json!({ "status": patch }));
    }

    pub fn patch_metadata(&mut self, patch: &Value) {
        self.seen.rollout = patched(&self.seen.rollout, &json!({ "metadata": patch }));
    }

    /// A new image, whose ReplicaSet would have a name that somebody else's has.
    pub fn taken(&mut self, image: &str) {
        self.image(image);
        let actions = self.decide().actions;
        let name = actions.iter().find_map(|action| match action {
            Action::CreateReplicaSet { replica_set } => replica_set.metadata.name.clone(),
            _ => None,
        });
        self.seen.taken.insert(name.unwrap());
    }

    /// The times of the release.
    pub fn duration(&self) -> String {
        let status = self.seen.rollout.status.clone().unwrap_or_default();
        serde_json::to_string(&status.duration).unwrap()
    }

    /// What the release waits for, and why it was last aborted.
    pub fn waits(&self) -> String {
        let status = self.seen.rollout.status.clone().unwrap_or_default();
        let waits = strategy::waiting::waits_for(&self.seen.rollout, &status);
        let last = strategy::conditions::find(&status, "Aborted");
        let last = last.map(|last| format!("; last abort ({}): {}", last.last_transition_time.0, last.message));
        format!("{}{}", waits.as_deref().unwrap_or("nothing"), last.unwrap_or_default())
    }

    /// The weights that the status tells.
    pub fn weights(&self) -> String {
        let weights = self.seen.rollout.status.as_ref().and_then(|status| status.canary.as_ref()?.weights.clone());
        serde_json::to_string(&weights).unwrap()
    }

    pub fn patch_spec(&mut self, patch: &Value) {
        self.seen.rollout = patched(&self.seen.rollout, &json!({ "spec": patch }));
        self.bump();
    }

    pub fn image(&mut self, image: &str) {
        if let Some(workload) = &self.workload {
            let at = if workload["kind"] == "PodTemplate" { "/template" } else { "/spec/template" };
            let mut template = workload.pointer(at).unwrap().clone();
            template["spec"]["containers"][0]["image"] = json!(image);
            let inner = json!({ "template": template });
            return self.patch_workload(&if at == "/template" { inner } else { json!({ "spec": inner }) });
        }
        let mut template = self.seen.rollout.spec.template.clone().unwrap();
        template.0["spec"]["containers"][0]["image"] = json!(image);
        self.patch_spec(&json!({ "template": template }));
    }

    /// What `promote` does: resumes, or goes one step further when nothing waits.
    pub fn promote(&mut self) {
        let status = self.seen.rollout.status.clone().unwrap_or_default();
        if self.seen.rollout.spec.is_paused() {
            self.patch_spec(&json!({ "paused": false }));
        }
        if status.pause_conditions.is_some_and(|pauses| !pauses.is_empty()) {
            self.patch_status(&json!({ "pauseConditions": null }));
        } else if let Some(index) = status.current_step_index {
            let last = self.seen.rollout.canary().map_or(0, |canary| canary.steps().len());
            self.patch_status(&json!({ "currentStepIndex": (index + 1).min(i32::try_from(last).unwrap()) }));
        }
    }

    /// This many pods of a version are not available any more.
    pub fn lose(&mut self, image: &str, count: i32) {
        for set in self.seen.replica_sets.iter_mut().filter(|set| image_of(set) == image) {
            if let Some(status) = &mut set.status {
                let left = status.available_replicas.map(|available| available - count);
                status.available_replicas = left.filter(|available| *available > 0);
                status.ready_replicas = status.available_replicas;
            }
        }
    }

    /// Ends the newest run which is not over; whether there was one.
    pub fn analysis(&mut self, phase: &str, message: &str) -> bool {
        let open = self.seen.analysis_runs.iter_mut().rev().find(|run| !is_over(run));
        let found = open.is_some();
        if let Some(run) = open {
            *run = patched(run, &json!({ "status": { "phase": phase, "message": message } }));
        }
        found
    }

    /// Ends the newest Experiment which is not over; whether there was one.
    pub fn experiment(&mut self, phase: &str, message: &str) -> bool {
        let over = |one: &&mut crds::Experiment| {
            let kind = one.status.as_ref().and_then(crds::ExperimentStatus::phase_kind);
            !kind.is_some_and(crds::AnalysisPhase::is_completed)
        };
        let open = self.seen.experiments.iter_mut().rev().find(over);
        let found = open.is_some();
        if let Some(one) = open {
            let mut status = json!({ "phase": phase, "message": message });
            if phase == "Running" {
                // Its versions have their pods and Services.
                let name = one.metadata.name.clone().unwrap();
                let versions: Vec<Value> = one
                    .spec
                    .templates
                    .iter()
                    .map(|version| json!({
                        "name": version.name, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
                        "status": "Running", "podTemplateHash": format!("hash-{}", version.name),
                        "serviceName": version.service.as_ref().map(|_| format!("{name}-{}", version.name)),
                    }))
                    .collect();
                crds::json_patch::merge(
                    &mut status,
                    &json!({ "availableAt": self.now.to_string(), "templateStatuses": versions }),
                );
            }
            *one = patched(one, &json!({ "status": status }));
        }
        found
    }
}
