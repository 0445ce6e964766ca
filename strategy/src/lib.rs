//! The step machines: what a rollout does next, as a pure function of what was seen and the time.
//!
//! Invariants
//! - The same input gives the same [`Decision`]: no I/O, no clock, no randomness, no logging.
//! - Applying a Decision and observing again yields a Decision without actions and with the same status.
//! - A Decision is safe to lose, to repeat and to apply half of; the status is a summary, never the only memory of a thing done.
//! - Traffic moves only to available pods, capacity goes only after traffic has left it, and on abort traffic comes first.
#![forbid(unsafe_code)]

mod blue_green;
pub mod canary;
pub mod conditions;
pub mod experiment;
pub mod message;
mod release;
pub mod replicas;
pub mod restart;
pub mod revision;
pub mod services;
pub mod validate;
pub mod waiting;
pub mod words;
pub mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crds::jiff::Timestamp;
use crds::k8s_openapi::api::core::v1::Service;
use crds::{
    AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate, Experiment, LabelSelector, ReplicaSet, Rollout,
    RolloutStatus,
};
use serde_json::Value;

/// Everything a decision about one Rollout may look at: one consistent picture.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The Rollout itself.
    pub rollout: Rollout,
    /// What `spec.workloadRef` names, when that exists.
    pub workload: Option<workload::Workload>,
    /// ReplicaSets of its namespace that it controls, or that match its selector and have no controller.
    pub replica_sets: Vec<ReplicaSet>,
    /// The pods of these, while [`restart::is_due`]; nobody else looks at pods.
    pub pods: Option<Vec<restart::Pod>>,
    /// Names of ReplicaSets that it wanted to make and that are somebody else's: another name has to be found.
    pub taken: BTreeSet<String>,
    /// The Services that exist of those it names or once moved, by name.
    pub services: BTreeMap<String, Service>,
    /// The objects that exist among its routers' references, and others of those kinds that it owns.
    pub routes: traffic::Objects,
    /// Kinds among its routers' references that the API server does not know.
    pub unserved: BTreeSet<&'static str>,
    /// AnalysisRuns of its namespace that it controls.
    pub analysis_runs: Vec<AnalysisRun>,
    /// Experiments of its namespace that it controls.
    pub experiments: Vec<Experiment>,
    /// The AnalysisTemplates of its namespace that it names, directly or through other templates.
    pub analysis_templates: BTreeMap<String, AnalysisTemplate>,
    /// The ClusterAnalysisTemplates that it names, directly or through other templates.
    pub cluster_analysis_templates: BTreeMap<String, ClusterAnalysisTemplate>,
}

/// What should happen now. See the crate's invariants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// What is true now; written only when it differs from what is stored.
    pub status: RolloutStatus,
    /// Ordered: an action may rely on those before it. After these were applied the machine is asked again.
    pub actions: Vec<Action>,
    /// What a person should be told, once.
    pub events: Vec<Event>,
    /// The next moment at which time alone changes the answer, from now.
    pub requeue_after: Option<Duration>,
}

/// An existing object that a write is meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name, in the Rollout's namespace.
    pub name: String,
    /// Precondition: an object of the same name that was made later is another one.
    pub uid: String,
    /// Precondition where what is written depends on the rest of the object; `None` for idempotent writes.
    pub resource_version: Option<String>,
}

/// One write. All patches are JSON merge patches (RFC 7386).
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Metadata or spec of the Rollout itself (revision annotation, default replicas).
    PatchRollout {
        /// Merge patch of the main resource.
        patch: Value,
    },
    /// A new revision; an object of that name that already exists means: look again.
    CreateReplicaSet {
        /// The whole object, with owner reference.
        replica_set: Box<ReplicaSet>,
    },
    /// Replicas, annotations or adoption of a ReplicaSet.
    PatchReplicaSet {
        /// Which.
        target: Target,
        /// Merge patch.
        patch: Value,
    },
    /// Labels and annotations of the live pods of a ReplicaSet; pods that have them already are left alone.
    PatchPods {
        /// Whose.
        replica_set: Target,
        /// Which pods to look at; those that the ReplicaSet controls are patched.
        selector: LabelSelector,
        /// Merge patch of their metadata.
        patch: Value,
    },
    /// A revision beyond the history limit.
    DeleteReplicaSet {
        /// Which.
        target: Target,
    },
    /// Selector and managed-by annotation of a Service.
    PatchService {
        /// Which.
        target: Target,
        /// Merge patch.
        patch: Value,
    },
    /// A pod that has to be replaced; a disruption budget may refuse it.
    EvictPod {
        /// Which.
        target: Target,
    },
    /// Replicas of the workload that `spec.workloadRef` names.
    PatchWorkload {
        /// What it is.
        kind: workload::WorkloadKind,
        /// Which.
        target: Target,
        /// Merge patch.
        patch: Value,
    },
    /// A router's object.
    Route(traffic::Write),
    /// A new AnalysisRun with a deterministic name.
    CreateAnalysisRun {
        /// The whole object, with owner reference.
        run: Box<AnalysisRun>,
    },
    /// `spec.terminate` of a run that is no longer needed.
    PatchAnalysisRun {
        /// Which.
        target: Target,
        /// Merge patch.
        patch: Value,
    },
    /// A run beyond the history limit.
    DeleteAnalysisRun {
        /// Which.
        target: Target,
    },
    /// The Service of a version of an Experiment.
    CreateService {
        /// The whole object, with owner reference.
        service: Box<Service>,
    },
    /// The Service of a version whose pods are gone.
    DeleteService {
        /// Which.
        target: Target,
    },
    /// A new Experiment with a deterministic name.
    CreateExperiment {
        /// The whole object, with owner reference.
        experiment: Box<Experiment>,
    },
    /// `spec.terminate` of an Experiment that is no longer needed.
    PatchExperiment {
        /// Which.
        target: Target,
        /// Merge patch.
        patch: Value,
    },
    /// An Experiment beyond the history limit.
    DeleteExperiment {
        /// Which.
        target: Target,
    },
}

/// Severity of an [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Something went as it should.
    Normal,
    /// A person may have to look.
    Warning,
}

/// What a person is told about a Rollout. Reasons are those of [`words::reason`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Severity.
    pub event_type: EventType,
    /// CamelCase reason.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
}

/// The whole meaning of the product for a Rollout, testable without a cluster.
pub fn decide(seen: &Observation, now: Timestamp) -> Decision {
    if seen.rollout.metadata.deletion_timestamp.is_some() {
        return workload::farewell(seen, now);
    }
    release::decide(&workload::resolve(seen), now)
}
