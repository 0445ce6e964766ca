//! Names which ingress controllers, people and other programs look for.

/// End of the name of every canary Ingress.
pub const CANARY_INGRESS_SUFFIX: &str = "-canary";
/// Annotation, after the prefix: the Ingress is a canary beside another one of the same hosts and paths.
pub const CANARY: &str = "canary";
/// Annotation, after the prefix: share of the requests which go to the canary.
pub const CANARY_WEIGHT: &str = "canary-weight";
/// Annotation, after the prefix: the weight that stands for all requests; 100 when absent.
pub const CANARY_WEIGHT_TOTAL: &str = "canary-weight-total";
/// Annotation by which an ingress controller was chosen before `spec.ingressClassName`.
pub const INGRESS_CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// Event reasons.
pub mod reason {
    /// A canary Ingress is made.
    pub const CREATING_CANARY_INGRESS: &str = "CreatingCanaryIngress";
    /// A canary Ingress is changed.
    pub const PATCHING_CANARY_INGRESS: &str = "PatchingCanaryIngress";
}
