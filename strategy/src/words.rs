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
    /// Reason of the condition Aborted, which tells why a release was last taken back. It is `False` once that is over.
    pub const LAST_ABORT: &str = "LastAbort";
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
    /// The Experiment of a step.
    pub const EXPERIMENT_CREATED: &str = "ExperimentCreated";
    /// Events that are told with the actions they speak of.
    pub const WITH_ACTIONS: [&str; 4] = [SWITCH_SERVICE, NEW_REPLICA_SET, WORKLOAD_SCALED, EXPERIMENT_CREATED];
}

/// Words of Experiments.
pub mod experiment {
    use ::analysis::Phase;
    use crds::TemplateStatusCode;

    /// Condition type: how far the Experiment is.
    pub const PROGRESSING: &str = "Progressing";
    /// Condition type, its reason, and reason of the event: the spec cannot be carried out.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// Reason of the condition: it has ended.
    pub const COMPLETE: &str = "ExperimentCompleted";
    /// Reason of an event: a number of pods was changed.
    pub const SCALING: &str = "ScalingReplicaSet";
    /// Message of an Experiment that ended because nothing else was waited for.
    pub const REQUIRED_COMPLETED: &str = "Required AnalysisRuns completed";
    /// Message of a version whose Service cannot be made.
    pub const NO_PORTS: &str = "No Service is made: the containers of the template declare no ports";
    /// Events that are told with the actions they speak of.
    pub const WITH_ACTIONS: [&str; 2] = [super::reason::NEW_REPLICA_SET, SCALING];

    /// Reason of the event that tells of a phase.
    pub fn experiment_reason(phase: Phase) -> &'static str {
        match phase {
            Phase::Pending => "ExperimentPending",
            Phase::Running => "ExperimentRunning",
            Phase::Successful => "ExperimentSuccessful",
            Phase::Failed => "ExperimentFailed",
            Phase::Error => "ExperimentError",
            Phase::Inconclusive => "ExperimentInconclusive",
        }
    }

    /// Reason of the event that tells of the phase of a run.
    pub fn run_reason(phase: Phase) -> &'static str {
        match phase {
            Phase::Pending => "AnalysisRunPending",
            Phase::Running => "AnalysisRunRunning",
            Phase::Successful => "AnalysisRunSuccessful",
            Phase::Failed => "AnalysisRunFailed",
            Phase::Error => "AnalysisRunError",
            Phase::Inconclusive => "AnalysisRunInconclusive",
        }
    }

    /// Reason of the event that tells of a version.
    pub fn template_reason(code: TemplateStatusCode) -> &'static str {
        match code {
            TemplateStatusCode::Progressing => "TemplateProgressing",
            TemplateStatusCode::Running => "TemplateRunning",
            TemplateStatusCode::Successful => "TemplateSuccessful",
            TemplateStatusCode::Failed => "TemplateFailed",
            TemplateStatusCode::Error => "TemplateError",
        }
    }

    /// A version that came too late.
    pub fn deadline_exceeded(template: &str, seconds: i32) -> String {
        format!("Template '{template}' exceeded its progressDeadlineSeconds ({seconds})")
    }

    /// A Service that is somebody else's.
    pub fn service_taken(service: &str, template: &str) -> String {
        format!(
            "Failed to create Service {service} for template '{template}': a Service of this name exists and is not owned by the Experiment"
        )
    }

    /// An analysis without its template.
    pub fn template_missing(analysis: &str, problem: &str) -> String {
        format!("AnalysisTemplate verification failed for analysis '{analysis}': {problem}")
    }

    /// A run that cannot be made.
    pub fn run_failed(analysis: &str, error: &dyn std::fmt::Display) -> String {
        format!("Failed to create AnalysisRun for analysis '{analysis}': {error}")
    }

    /// A `{{…}}` that stands for nothing.
    pub fn unknown_tag(tag: &str) -> String {
        format!("failed to resolve {{{{{tag}}}}}")
    }
}
