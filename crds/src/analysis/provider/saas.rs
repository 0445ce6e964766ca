//! Providers which are services with accounts: Datadog, New Relic, Wavefront, CloudWatch.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A query to Datadog.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatadogMetric {
    /// The window of time which is looked at, for example 5m. Default: 5m.
    #[schemars(extend("default" = "5m"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// The query. Either this or queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Queries by name, for use in formula. Only with apiVersion v2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queries: Option<BTreeMap<String, String>>,
    /// Formula over the names in queries. Only with apiVersion v2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formula: Option<String>,
    /// Version of the Datadog API: v1 or v2. Default: v1.
    #[schemars(extend("enum" = ["v1", "v2"], "default" = "v1"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// How the points of the window become one value. Only with apiVersion v2.
    #[schemars(extend("enum" = ["avg", "min", "max", "sum", "last", "percentile", "mean", "l2norm", "area"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregator: Option<String>,
    /// Secret which holds the address and the keys. Default: the Secret datadog of the controller's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<DatadogSecretRef>,
    /// Time within which the query must be answered, for example 30s. Default: 10s.
    #[schemars(extend("default" = "10s"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_timeout: Option<String>,
}

/// Secret which holds the address and the keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatadogSecretRef {
    /// Name of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the Secret is in the namespace of the analysis, and not in that of the controller. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaced: Option<bool>,
}

/// A NRQL query to New Relic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewRelicMetric {
    /// Name of the Secret, in the controller's namespace, which holds the account. Default: newrelic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The NRQL query.
    pub query: String,
    /// Time within which the query must be answered, in seconds. Default: 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}

/// A query to Wavefront.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WavefrontMetric {
    /// Address of the Wavefront server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

/// A query to AWS CloudWatch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudWatchMetric {
    /// The window of time which is looked at, for example 5m. Default: 5m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// The queries, whose results form a list.
    pub metric_data_queries: Vec<CloudWatchMetricDataQuery>,
}

/// One query: either expression or metricStat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudWatchMetricDataQuery {
    /// Short name by which expressions refer to this query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// A metric math expression or a Metrics Insights query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// Label of the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// A metric and its statistic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_stat: Option<CloudWatchMetricStat>,
    /// Granularity of the points, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<IntOrString>,
    /// Whether the result is part of the answer. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_data: Option<bool>,
}

/// A metric and its statistic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudWatchMetricStat {
    /// The metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<CloudWatchMetricStatMetric>,
    /// Granularity of the points, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<IntOrString>,
    /// The statistic, for example Average or p95.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stat: Option<String>,
    /// Unit of the metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// A CloudWatch metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudWatchMetricStatMetric {
    /// Dimensions of the metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<Vec<CloudWatchMetricStatMetricDimension>>,
    /// Name of the metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_name: Option<String>,
    /// CloudWatch namespace of the metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A dimension.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudWatchMetricStatMetricDimension {
    /// Name of the dimension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Value of the dimension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}
