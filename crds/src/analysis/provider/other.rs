//! The remaining providers: Kayenta, Graphite, InfluxDB, SkyWalking and Kubernetes Jobs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::JobSpec;

/// A canary judgement by Kayenta.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KayentaMetric {
    /// URL of the Kayenta server.
    pub address: String,
    /// Name of the application.
    pub application: String,
    /// Name of the canary configuration.
    pub canary_config_name: String,
    /// Account which reads the metrics.
    pub metrics_account_name: String,
    /// Account which holds the configuration.
    pub configuration_account_name: String,
    /// Account which stores the results.
    pub storage_account_name: String,
    /// Scores which decide.
    pub threshold: KayentaThreshold,
    /// What is compared.
    pub scopes: Vec<KayentaScope>,
    /// Look at the time before the analysis in place of the time from its start. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookback: Option<bool>,
}

/// Scores, 0 to 100, which decide.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KayentaThreshold {
    /// Score from which the measurement is successful.
    pub pass: i64,
    /// Score from which the measurement is inconclusive; below it has failed.
    pub marginal: i64,
}

/// A pair of scopes to compare.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KayentaScope {
    /// Name of the pair.
    pub name: String,
    /// The version compared with, as a rule the stable one.
    pub control_scope: ScopeDetail,
    /// The version which is judged, as a rule the canary.
    pub experiment_scope: ScopeDetail,
}

/// One side of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScopeDetail {
    /// Scope, as the canary configuration uses it.
    pub scope: String,
    /// Region of the metrics.
    pub region: String,
    /// Time between two points, in seconds.
    pub step: i64,
    /// Start of the window (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// End of the window (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
}

/// A query to Graphite.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphiteMetric {
    /// URL of the Graphite server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The target to render.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

/// A Flux query to InfluxDB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InfluxdbMetric {
    /// Name of the Secret, in the controller's namespace, which holds the account. Default: influxdb.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The Flux query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

/// A GraphQL query to Apache SkyWalking.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SkyWalkingMetric {
    /// URL of the SkyWalking server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The GraphQL query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The window of time which is looked at, for example 5m. Default: 5m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
}

/// A Kubernetes Job; it succeeds or fails as the Job does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobMetric {
    /// Labels and annotations of the Job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JobMetadata>,
    /// Spec of the Job (batch/v1).
    pub spec: JobSpec,
}

/// Labels and annotations of the Job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobMetadata {
    /// Labels to add.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations to add.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}
