//! Actions on objects that a Rollout or an Experiment has: written, and the answer taken in.

use crds::{AnalysisRun, Experiment, ReplicaSet};
use serde_json::Value;
use strategy::{Action, Target};

use super::Machines;
use crate::apply::{Outcome, called, merge};
use crate::view::{Key, workloads};
use crate::words;

/// How a write ended.
pub(super) struct Written {
    /// The object, for people.
    pub what: String,
    /// The reason of the event and condition when it is refused.
    pub reason: &'static str,
    /// What the API server said.
    pub outcome: Outcome<()>,
}

impl Machines {
    /// Writes one object for the one who is worked on. `None` for actions on the Rollout itself, on routes and on evictions.
    pub(super) async fn write_object(&self, key: &Key, namespace: &str, action: &Action) -> Option<Written> {
        let (writer, view, by) = (&self.writer, &self.view, Some(key));
        let (what, reason, outcome) = match action {
            Action::CreateReplicaSet { replica_set } => {
                let outcome = writer.create(&writer.api(namespace), "ReplicaSet", &**replica_set).await;
                let outcome = outcome.map(|set| view.take_replica_set(set, by));
                (called("ReplicaSet", &replica_set.metadata), "ReplicaSetCreateError", outcome)
            }
            Action::PatchReplicaSet { target, patch } => {
                let api = writer.api::<ReplicaSet>(namespace);
                let outcome = writer.patch(&api, "ReplicaSet", &target.name, &aimed(patch, target)).await;
                (named("ReplicaSet", target), words::WRITE_REFUSED, outcome.map(|set| view.take_replica_set(set, by)))
            }
            Action::PatchPods { replica_set, selector, patch } => {
                let outcome = writer.patch_pods(namespace, replica_set, selector, patch).await;
                (format!("Pods of ReplicaSet \"{}\"", replica_set.name), words::WRITE_REFUSED, outcome)
            }
            Action::DeleteReplicaSet { target } => {
                let outcome =
                    writer.delete(&writer.api::<ReplicaSet>(namespace), "ReplicaSet", &target.name, &target.uid).await;
                let outcome = outcome.map(|()| view.drop_replica_set(&meta_of(namespace, target), by));
                (named("ReplicaSet", target), words::WRITE_REFUSED, outcome)
            }
            Action::PatchService { target, patch } => {
                let outcome =
                    writer.patch(&writer.api(namespace), "Service", &target.name, &aimed(patch, target)).await;
                (named("Service", target), words::WRITE_REFUSED, outcome.map(|service| view.take_service(service, by)))
            }
            Action::PatchWorkload { kind, target, patch } => {
                let api = workloads::api(writer.client(), namespace, *kind);
                let outcome = writer.patch(&api, kind.kind(), &target.name, &aimed(patch, target)).await;
                let outcome = outcome.map(|object| view.take_workload(*kind, object, by));
                (named(kind.kind(), target), words::WRITE_REFUSED, outcome)
            }
            Action::CreateService { service } => {
                let outcome = writer.create(&writer.api(namespace), "Service", &**service).await;
                let outcome = outcome.map(|service| view.take_service(service, by));
                (called("Service", &service.metadata), words::WRITE_REFUSED, outcome)
            }
            Action::DeleteService { target } => {
                let api = writer.api::<crds::k8s_openapi::api::core::v1::Service>(namespace);
                let outcome = writer.delete(&api, "Service", &target.name, &target.uid).await;
                let outcome = outcome.map(|()| view.drop_service(&meta_of(namespace, target), by));
                (named("Service", target), words::WRITE_REFUSED, outcome)
            }
            Action::CreateAnalysisRun { run } => {
                let outcome = writer.create(&writer.api(namespace), "AnalysisRun", &**run).await;
                (called("AnalysisRun", &run.metadata), words::WRITE_REFUSED, outcome.map(|run| view.take_run(run, by)))
            }
            Action::PatchAnalysisRun { target, patch } => {
                let api = writer.api::<AnalysisRun>(namespace);
                let outcome = writer.patch(&api, "AnalysisRun", &target.name, &aimed(patch, target)).await;
                (named("AnalysisRun", target), words::WRITE_REFUSED, outcome.map(|run| view.take_run(run, by)))
            }
            Action::DeleteAnalysisRun { target } => {
                let api = writer.api::<AnalysisRun>(namespace);
                let outcome = writer.delete(&api, "AnalysisRun", &target.name, &target.uid).await;
                let outcome = outcome.map(|()| view.drop_run(&meta_of(namespace, target), by));
                (named("AnalysisRun", target), words::WRITE_REFUSED, outcome)
            }
            Action::CreateExperiment { experiment } => {
                let outcome = writer.create(&writer.api(namespace), "Experiment", &**experiment).await;
                let outcome = outcome.map(|experiment| view.take_experiment(experiment, by));
                (called("Experiment", &experiment.metadata), words::WRITE_REFUSED, outcome)
            }
            Action::PatchExperiment { target, patch } => {
                let api = writer.api::<Experiment>(namespace);
                let outcome = writer.patch(&api, "Experiment", &target.name, &aimed(patch, target)).await;
                let outcome = outcome.map(|experiment| view.take_experiment(experiment, by));
                (named("Experiment", target), words::WRITE_REFUSED, outcome)
            }
            Action::DeleteExperiment { target } => {
                let api = writer.api::<Experiment>(namespace);
                let outcome = writer.delete(&api, "Experiment", &target.name, &target.uid).await;
                let outcome = outcome.map(|()| view.drop_experiment(&meta_of(namespace, target), by));
                (named("Experiment", target), words::WRITE_REFUSED, outcome)
            }
            Action::PatchRollout { .. } | Action::Route(_) | Action::EvictPod { .. } => return None,
        };
        Some(Written { what, reason, outcome })
    }
}

fn aimed(patch: &Value, target: &Target) -> Value {
    merge::with_preconditions(patch.clone(), Some(&target.uid), target.resource_version.as_deref())
}

fn named(kind: &str, target: &Target) -> String {
    format!("{kind} \"{}\"", target.name)
}

pub(super) fn meta_of(namespace: &str, target: &Target) -> crds::ObjectMeta {
    crds::ObjectMeta {
        name: Some(target.name.clone()),
        namespace: Some(namespace.to_owned()),
        ..crds::ObjectMeta::default()
    }
}
