//! Names this crate writes or serves: event reasons, condition types, metric names' prefixes.

/// Name under which the controller's events appear, as in Argo.
pub const COMPONENT: &str = "rollouts-controller";
/// Field manager of every write.
pub const FIELD_MANAGER: &str = "rollouts-controller";

/// Annotation that `kubectl apply` leaves; of no use here and large.
pub const LAST_APPLIED_ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Condition of a Rollout that cannot be worked on.
pub const INVALID_SPEC: &str = "InvalidSpec";
/// Condition of a Rollout for which a write was refused.
pub const REPLICA_FAILURE: &str = "ReplicaFailure";
/// Reason: the API server refused a write.
pub const WRITE_REFUSED: &str = "WriteRefused";
/// Reason: an object does not fit the types of the API.
pub const MALFORMED: &str = "InvalidSpec";
/// Reason: a Rollout is gone.
pub const ROLLOUT_DELETED: &str = "RolloutDeleted";
/// Reasons of Normal events that end something: people wait for them, so they are never held back.
pub const FINAL_REASONS: &[&str] = &[
    "RolloutCompleted",
    "RolloutAborted",
    ROLLOUT_DELETED,
    "AnalysisRunSuccessful",
    "AnalysisRunFailed",
    "AnalysisRunError",
    "AnalysisRunInconclusive",
    "ExperimentSuccessful",
    "ExperimentFailed",
    "ExperimentError",
    "ExperimentInconclusive",
];
/// Reasons that tell of the same thing, the most telling first: Events of one topic that are held together become one Event.
pub const TOPICS: &[&[&str]] = &[
    &["RolloutUpdated", "NewReplicaSetCreated", "SkipSteps"],
    &[
        "RolloutStepCompleted",
        "TrafficWeightUpdated",
        "CreatingCanaryIngress",
        "PatchingCanaryIngress",
        "Updated VirtualService",
        "UpdatedDestinationRule",
        "SwitchService",
        "RolloutPaused",
        "RolloutResumed",
    ],
];

/// The reason under which an Event with this one is held.
pub fn topic(reason: &str) -> &str {
    TOPICS.iter().find(|topic| topic.contains(&reason)).and_then(|topic| topic.first()).copied().unwrap_or(reason)
}
