//! The canary strategy and its settings.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AntiAffinity, CanaryStep, PodTemplateMetadata, RolloutAnalysisBackground, TrafficRouting};

/// Settings of a canary release. Without steps it is a rolling update.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStrategy {
    /// Service which the controller points at the pods of the new version. Required with trafficRouting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_service: Option<String>,
    /// Service which the controller points at the pods of the stable version. Required with trafficRouting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_service: Option<String>,
    /// What happens, in order, on the way to the new version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<CanaryStep>>,
    /// What an edit of the steps does to a release under way: restart (it begins again at the first step) or keep (it stays where it
    /// is while the steps before it are unchanged, and begins again when they are not). A field of this controller. Default: restart.
    #[schemars(extend("enum" = ["restart", "keep"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps_change: Option<String>,
    /// How shares of requests are routed. Without it shares are made by the number of pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_routing: Option<TrafficRouting>,
    /// Pods that may be unavailable during the update, as a number or a percentage of spec.replicas (rounded down).
    /// Must not be 0 when maxSurge is 0. Default: 25%.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrString>,
    /// Pods that may run beyond spec.replicas during the update, as a number or a percentage of spec.replicas (rounded
    /// up). Default: 25%.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<IntOrString>,
    /// Analysis which runs in the background while the steps proceed; when it fails the release is aborted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<RolloutAnalysisBackground>,
    /// Keep pods of the new version off the nodes of the stable version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anti_affinity: Option<AntiAffinity>,
    /// Labels and annotations of the pods while they are the canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_metadata: Option<PodTemplateMetadata>,
    /// Labels and annotations of the pods while they are stable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_metadata: Option<PodTemplateMetadata>,
    /// Seconds the old stable version keeps running after the promotion. Only with trafficRouting, not with
    /// dynamicStableScale. Default: 30 with trafficRouting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_delay_seconds: Option<i32>,
    /// How many old versions may keep running at the same time. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_delay_revision_limit: Option<i32>,
    /// Seconds the canary keeps running after an abort; 0 keeps it. Only with trafficRouting. Default: 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort_scale_down_delay_seconds: Option<i32>,
    /// Shrink the stable version as traffic moves away from it. Only with trafficRouting. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dynamic_stable_scale: Option<bool>,
    /// Two services which swap the roles of stable and canary with every release, in place of canaryService and
    /// stableService.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping_pong: Option<PingPongSpec>,
    /// Least number of pods of each version which has any, at most spec.replicas. Only with trafficRouting. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_pods_per_replica_set: Option<i32>,
    /// Take a step as scaled once this many of its pods are available. Default: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica_progress_threshold: Option<ReplicaProgressThreshold>,
}

/// The two services; each is in turn the stable one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PingPongSpec {
    /// Name of the first service.
    pub ping_service: String,
    /// Name of the second service.
    pub pong_service: String,
}

/// How many available pods are enough to go on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaProgressThreshold {
    /// Unit of value: Percent (of the pods the step wants) or Pods.
    #[serde(rename = "type")]
    pub type_: String,
    /// The threshold, a percentage or a number of pods.
    pub value: i32,
}
