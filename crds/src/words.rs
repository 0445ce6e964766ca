//! Names which are part of the API: labels, annotations, and values other programs look for.

/// API group of all our kinds.
pub const GROUP: &str = "argoproj.io";
/// The only API version of the group.
pub const VERSION: &str = "v1alpha1";

/// Label of ReplicaSets, pods and Service selectors: the pod-template hash of the version.
pub const POD_TEMPLATE_HASH_LABEL: &str = "rollouts-pod-template-hash";
/// Label which selects the controller that works on an object; absent for the default controller.
pub const INSTANCE_ID_LABEL: &str = "argo-rollouts.argoproj.io/controller-instance-id";
/// Label of AnalysisRuns: what started them, one of [`ROLLOUT_TYPE_STEP`] and its siblings.
pub const ROLLOUT_TYPE_LABEL: &str = "rollout-type";
/// Label of AnalysisRuns started by a step: the index of the step.
pub const STEP_INDEX_LABEL: &str = "step-index";
/// Value of [`ROLLOUT_TYPE_LABEL`]: an analysis step.
pub const ROLLOUT_TYPE_STEP: &str = "Step";
/// Value of [`ROLLOUT_TYPE_LABEL`]: the background analysis.
pub const ROLLOUT_TYPE_BACKGROUND: &str = "Background";
/// Value of [`ROLLOUT_TYPE_LABEL`]: the analysis before a blue-green cut-over.
pub const ROLLOUT_TYPE_PRE_PROMOTION: &str = "PrePromotion";
/// Value of [`ROLLOUT_TYPE_LABEL`]: the analysis after a blue-green cut-over.
pub const ROLLOUT_TYPE_POST_PROMOTION: &str = "PostPromotion";

/// Annotation of Rollouts, ReplicaSets, AnalysisRuns and Experiments: the revision number.
pub const REVISION_ANNOTATION: &str = "rollout.argoproj.io/revision";
/// Annotation of ReplicaSets: earlier revision numbers, comma-separated.
pub const REVISION_HISTORY_ANNOTATION: &str = "rollout.argoproj.io/revision-history";
/// Annotation of ReplicaSets: `spec.replicas` of the Rollout when the set was last scaled.
pub const DESIRED_REPLICAS_ANNOTATION: &str = "rollout.argoproj.io/desired-replicas";
/// Annotation of ReplicaSets: JSON of the labels and annotations put into the template for the time of a role.
pub const EPHEMERAL_METADATA_ANNOTATION: &str = "rollout.argoproj.io/ephemeral-metadata";
/// Annotation of Rollouts: generation of the referenced workload.
pub const WORKLOAD_GENERATION_ANNOTATION: &str = "rollout.argoproj.io/workload-generation";
/// Annotation of ReplicaSets: when to scale to zero (RFC 3339, UTC). It has no prefix.
pub const SCALE_DOWN_DEADLINE_ANNOTATION: &str = "scale-down-deadline";
/// Annotation of Services, Ingresses and DestinationRules: name of the Rollout which changes them.
pub const MANAGED_BY_ANNOTATION: &str = "argo-rollouts.argoproj.io/managed-by-rollouts";
/// Annotation of Ingresses: the action annotations which a Rollout manages.
pub const MANAGED_ALB_ACTIONS_ANNOTATION: &str = "rollouts.argoproj.io/managed-alb-actions";
/// Annotation of Ingresses: all annotations which a Rollout manages.
pub const MANAGED_ALB_ANNOTATIONS_ANNOTATION: &str = "rollouts.argoproj.io/managed-alb-annotations";
/// Annotation of the ReplicaSets of an Experiment: its name.
pub const EXPERIMENT_NAME_ANNOTATION: &str = "experiment.argoproj.io/name";
/// Annotation of the ReplicaSets of an Experiment: the template's name.
pub const EXPERIMENT_TEMPLATE_NAME_ANNOTATION: &str = "experiment.argoproj.io/template-name";
/// Annotation of the AnalysisRuns of an Experiment: `availableAt` of the attempt that they belong to.
pub const EXPERIMENT_AVAILABLE_AT_ANNOTATION: &str = "experiment.argoproj.io/available-at";
/// Label of the Jobs of an AnalysisRun: its uid.
pub const JOB_RUN_UID_LABEL: &str = "analysisrun.argoproj.io/uid";
/// Annotation of the Jobs of an AnalysisRun: its name.
pub const JOB_RUN_NAME_ANNOTATION: &str = "analysisrun.argoproj.io/name";
/// Annotation of the Jobs of an AnalysisRun: its namespace.
pub const JOB_RUN_NAMESPACE_ANNOTATION: &str = "analysisrun.argoproj.io/namespace";
/// Annotation of the Jobs of an AnalysisRun: the metric.
pub const JOB_METRIC_NAME_ANNOTATION: &str = "analysisrun.argoproj.io/metric-name";

/// Name of the leader election Lease, before any instance id.
pub const LEASE_NAME: &str = "argo-rollouts-controller-lock";
/// Default of `trafficRouting.nginx.annotationPrefix`.
pub const NGINX_ANNOTATION_PREFIX: &str = "nginx.ingress.kubernetes.io";
/// Default of `trafficRouting.alb.annotationPrefix`.
pub const ALB_ANNOTATION_PREFIX: &str = "alb.ingress.kubernetes.io";
