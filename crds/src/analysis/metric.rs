//! A metric: how often it is measured, what is good and what is bad, and who is asked.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    CloudWatchMetric, ComparisonMetric, DatadogMetric, GraphiteMetric, InfluxdbMetric, JobMetric, KayentaMetric,
    NewRelicMetric, PrometheusMetric, RawObject, SkyWalkingMetric, WavefrontMetric, WebMetric,
};

/// A metric of an analysis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// Name of the metric, unique in the analysis.
    pub name: String,
    /// Time between two measurements, for example 30s, 5m or 1h. Absent: it is measured once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Time between the start of the analysis and the first measurement, for example 30s. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<String>,
    /// Number of measurements. Default: 1 without interval, else until the analysis is stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<IntOrString>,
    /// Expression over result which says whether a measurement is good, for example result[0] >= 0.95.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_condition: Option<String>,
    /// Expression over result which says whether a measurement is bad. With both conditions, a measurement that is
    /// neither is inconclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_condition: Option<String>,
    /// Bad measurements which are tolerated; one more and the metric has failed. -1 switches this off. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_limit: Option<IntOrString>,
    /// Inconclusive measurements which are tolerated; one more and the metric is inconclusive. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inconclusive_limit: Option<IntOrString>,
    /// Measurements in a row which may end in an error; one more and the metric ends in an error. Default: 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_error_limit: Option<IntOrString>,
    /// Good measurements in a row after which the metric is successful. 0 switches this off. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_success_limit: Option<IntOrString>,
    /// Who is asked for the measurement.
    pub provider: MetricProvider,
}

/// Exactly one provider must be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricProvider {
    /// A query to Prometheus or a compatible server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusMetric>,
    /// A comparison of the new version with the stable one, by metrics in Prometheus. It judges itself, with a stated chance of a false alarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<ComparisonMetric>,
    /// A canary judgement by Kayenta.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kayenta: Option<KayentaMetric>,
    /// An HTTP request whose answer is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web: Option<WebMetric>,
    /// A query to Datadog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datadog: Option<DatadogMetric>,
    /// A query to Wavefront.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wavefront: Option<WavefrontMetric>,
    /// A NRQL query to New Relic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_relic: Option<NewRelicMetric>,
    /// A Kubernetes Job; it succeeds or fails as the Job does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobMetric>,
    /// A query to AWS CloudWatch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_watch: Option<CloudWatchMetric>,
    /// A query to Graphite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graphite: Option<GraphiteMetric>,
    /// A Flux query to InfluxDB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub influxdb: Option<InfluxdbMetric>,
    /// A GraphQL query to Apache SkyWalking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skywalking: Option<SkyWalkingMetric>,
    /// Settings of a metric plugin, by plugin name, for example org/name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<RawObject>,
}
