//! The comparison of the new version with the stable one.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Authentication, WebMetricHeader};

/// Compares the new version with the stable one, at the same time, by metrics in Prometheus. Exactly one of ratio, histogram and gauge must be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComparisonMetric {
    /// URL of Prometheus. Default: that of the controller's environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How the controller proves who it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
    /// Time within which a query must be answered, in seconds. Default: 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// Do not verify the server's certificate. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// HTTP headers to send in addition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<WebMetricHeader>>,
    /// Failed of all requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<ComparisonRatio>,
    /// Latency: the requests that are slower than the bounds of a histogram, classic or native.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub histogram: Option<ComparisonQuery>,
    /// A value of each pod, such as memory or the length of a queue: more is worse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gauge: Option<ComparisonQuery>,
    /// Labels which the series of the new version have. Default, in an analysis of a Rollout: rollouts_pod_template_hash with the hash of the
    /// new version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<BTreeMap<String, String>>,
    /// Labels which the series of the stable version have. Default, in an analysis of a Rollout: rollouts_pod_template_hash with the hash of
    /// the stable version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable: Option<BTreeMap<String, String>>,
    /// What is not worth an abort.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerate: Option<ComparisonTolerance>,
    /// Chance that a healthy version is aborted by this metric, over the whole run, however often it looks. Several comparisons in a run
    /// share it. Default: 0.01.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub false_alarm: Option<f64>,
    /// Share of the chance of a false alarm which this metric gets among the comparisons of the run. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
    /// noEvidenceOfHarm or evidenceOfNoHarm. Default: noEvidenceOfHarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promote_on: Option<String>,
    /// Requests of the new version (gauge: blocks) before which there is no promotion. Default: 100 (gauge: 5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_samples: Option<i64>,
    /// Time after which the comparison ends, inconclusive when it has seen too little, for example 1h. Default: it ends with the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_duration: Option<String>,
    /// Length of a block of counts, for example 10s. Default: four scrape intervals, at least 10s (gauge: 1m).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<String>,
    /// sequential, or kayenta for a ratio. Default: sequential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<String>,
}

/// Two counters. Each is a selector, or a query in which $block stands for the length of a block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComparisonRatio {
    /// Requests that failed, for example http_requests_total{code=~"5.."}.
    pub failed: String,
    /// All requests, for example http_requests_total.
    pub total: String,
}

/// One query: a selector, or a query in which $block stands for the length of a block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComparisonQuery {
    /// Of a histogram its buckets, for example http_request_duration_seconds_bucket, or by its name when it is native. Of a gauge its values,
    /// for example process_resident_memory_bytes; the series of one pod are added, where $block does not say otherwise.
    pub query: String,
}

/// What is not worth an abort.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComparisonTolerance {
    /// So many times as often may the new version fail or be slow, so many times as much may it have. Default: 1.25 (gauge: 1.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Share of failed or slow requests below which nothing is aborted. Default: 0.001 (histogram: 0.01).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absolute: Option<f64>,
}
