//! Providers which the user addresses by URL: Prometheus and any web service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::RawObject;

/// A query to Prometheus or a compatible server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusMetric {
    /// URL of the server. Default: that of the controller's environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The PromQL query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// How the controller proves who it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
    /// Time within which the query must be answered, in seconds. Default: 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// Do not verify the server's certificate. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// HTTP headers to send in addition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<WebMetricHeader>>,
    /// Ask for a range of time in place of one moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range_query: Option<PrometheusRangeQueryArgs>,
}

/// The range of time of a query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusRangeQueryArgs {
    /// Expression of the first moment, for example now() - duration("1h").
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// Expression of the last moment, for example now().
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Time between two points, for example 30s, 5m or 1h.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// How the controller proves who it is. At most one of the fields may be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Authentication {
    /// AWS Signature Version 4, for Amazon Managed Prometheus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigv4: Option<Sigv4Config>,
    /// OAuth 2 client credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2Config>,
    /// User name and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuthConfig>,
}

/// Where the signature gets its credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sigv4Config {
    /// AWS region of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Profile of the AWS configuration to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// ARN of the role to assume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
}

/// OAuth 2 client credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuth2Config {
    /// URL which issues the tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_url: Option<String>,
    /// Id of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Secret of the client; best given by an argument taken from a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// Scopes to ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
}

/// User name and password.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BasicAuthConfig {
    /// User name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Password; best given by an argument taken from a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// An HTTP request whose answer is JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebMetric {
    /// HTTP method: GET, POST or PUT. Default: GET.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// URL to ask.
    pub url: String,
    /// HTTP headers to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<WebMetricHeader>>,
    /// Body of the request, with POST or PUT. Either this or jsonBody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Time within which the request must be answered, in seconds. Default: 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
    /// JSONPath of the value within the answer. Default: {$}, the whole answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_path: Option<String>,
    /// Do not verify the server's certificate. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// Body of the request as JSON, with POST or PUT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_body: Option<RawObject>,
    /// How the controller proves who it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
}

/// An HTTP header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebMetricHeader {
    /// Name of the header.
    pub key: String,
    /// Value of the header.
    pub value: String,
}
