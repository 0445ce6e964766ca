//! Every condition reason, event reason and message of a Rollout, spelled once.

/// Annotation of an AnalysisRun: the hash of the steps it was made for, so that changed steps are analysed anew.
pub const STEP_HASH_ANNOTATION: &str = "rollouts.argoproj.io/step-hash";

/// Reasons of status conditions.
pub mod condition {
    /// Enough pods are available.
    pub const AVAILABLE: &str = "AvailableReason";
    /// A release began.
    pub const NEW_REPLICA_SET: &str = "NewReplicaSetCreated";
    /// A release began with a ReplicaSet that was there already.
    pub const FOUND_REPLICA_SET: &str = "FoundNewReplicaSet";
    /// The release moved on.
    pub const UPDATED: &str = "ReplicaSetUpdated";
    /// The released version lost pods.
    pub const NOT_AVAILABLE: &str = "ReplicaSetNotAvailable";
    /// The wanted version is stable and available.
    pub const NEW_AVAILABLE: &str = "NewReplicaSetAvailable";
    /// The release waits.
    pub const PAUSED: &str = "RolloutPaused";
    /// The release goes on after a pause.
    pub const RESUMED: &str = "RolloutResumed";
    /// A person tries an aborted release again.
    pub const RETRY: &str = "RolloutRetry";
    /// The release was taken back.
    pub const ABORTED: &str = "RolloutAborted";
    /// No progress for too long.
    pub const DEADLINE: &str = "ProgressDeadlineExceeded";
    /// The spec cannot be carried out.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// All steps are done, or not.
    pub const COMPLETED: &str = "RolloutCompleted";
    /// Stable and available, or not.
    pub const HEALTHY: &str = "RolloutHealthy";
    /// Type and reason while a metric provider does not answer.
    pub const ANALYSIS_HOLDING: &str = "AnalysisHolding";
    /// The provider answers again.
    pub const ANALYSIS_GOES_ON: &str = "AnalysisGoesOn";
    /// Type and reason while a router's objects are missing or unsuitable.
    pub const TRAFFIC_ROUTING: &str = "TrafficRoutingError";
}

/// Finalizer of Rollouts that have taken pods from the Deployment they reference: when they are deleted, it gets them back first.
pub const WORKLOAD_FINALIZER: &str = "rollout.argoproj.io/scaled-down-workload";

/// Reasons of events.
pub mod reason {
    /// All pods are newer than `restartAt`.
    pub const RESTARTED: &str = "PodsRestarted";
    /// The referenced Deployment lost pods to the Rollout, or got them back.
    pub const WORKLOAD_SCALED: &str = "WorkloadScaled";
    /// A new revision.
    pub const UPDATED: &str = "RolloutUpdated";
    /// Its ReplicaSet.
    pub const NEW_REPLICA_SET: &str = "NewReplicaSetCreated";
    /// Steps that were taken.
    pub const STEP_COMPLETED: &str = "RolloutStepCompleted";
    /// A pause began.
    pub const PAUSED: &str = "RolloutPaused";
    /// A pause ended.
    pub const RESUMED: &str = "RolloutResumed";
    /// Taken back.
    pub const ABORTED: &str = "RolloutAborted";
    /// Promoted.
    pub const COMPLETED: &str = "RolloutCompleted";
    /// Steps were skipped.
    pub const SKIP_STEPS: &str = "SkipSteps";
    /// A Service points to another version.
    pub const SWITCH_SERVICE: &str = "SwitchService";
    /// No progress for too long.
    pub const DEADLINE: &str = "ProgressDeadlineExceeded";
    /// The spec cannot be carried out.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// A router's objects are missing or unsuitable.
    pub const TRAFFIC_ROUTING: &str = "TrafficRoutingError";
    /// A metric provider does not answer.
    pub const ANALYSIS_HOLDING: &str = "AnalysisHolding";
}
