//! Names which ingress controllers, people and other programs look for.

/// End of the name of every canary Ingress.
pub const CANARY_INGRESS_SUFFIX: &str = "-canary";
/// Annotation, after the prefix: the Ingress is a canary beside another one of the same hosts and paths.
pub const CANARY: &str = "canary";
/// Annotation, after the prefix: share of the requests which go to the canary.
pub const CANARY_WEIGHT: &str = "canary-weight";
/// Annotation, after the prefix: the weight that stands for all requests; 100 when absent.
pub const CANARY_WEIGHT_TOTAL: &str = "canary-weight-total";
/// Annotation, after the prefix: requests with this header go to the canary, whatever the weight.
pub const CANARY_BY_HEADER: &str = "canary-by-header";
/// Annotation, after the prefix: what that header must be.
pub const CANARY_BY_HEADER_VALUE: &str = "canary-by-header-value";
/// Annotation, after the prefix: the regular expression that it must match.
pub const CANARY_BY_HEADER_PATTERN: &str = "canary-by-header-pattern";
/// Annotation by which an ingress controller was chosen before `spec.ingressClassName`.
pub const INGRESS_CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// Label of Gateway API routes while a release is under way, for GitOps tools.
pub const GATEWAY_LABEL: &str = "rollouts.argoproj.io/gatewayapi-canary";
/// Its value.
pub const GATEWAY_LABEL_VALUE: &str = "in-progress";

/// Event reasons.
pub mod reason {
    /// A canary Ingress is made.
    pub const CREATING_CANARY_INGRESS: &str = "CreatingCanaryIngress";
    /// A canary Ingress is changed.
    pub const PATCHING_CANARY_INGRESS: &str = "PatchingCanaryIngress";
    /// A VirtualService is changed. With a blank, as in Argo Rollouts.
    pub const UPDATED_VIRTUAL_SERVICE: &str = "Updated VirtualService";
    /// The subsets of a DestinationRule are changed.
    pub const UPDATED_DESTINATION_RULE: &str = "UpdatedDestinationRule";
    /// A route of the Gateway API is changed.
    pub const UPDATED_ROUTE: &str = "UpdatedRoute";
}
