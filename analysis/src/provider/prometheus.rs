//! Prometheus, and whatever speaks its query API.
//!
//! | what happens | means |
//! |---|---|
//! | refused, DNS, TLS, timeout, connection lost, 5xx, 408, 429 | no answer |
//! | 4xx, an answer that is not Prometheus', too large, a string | error |
//! | scalar | number |
//! | vector | list of numbers with their labels; one element is a number too |
//! | matrix | flat list of all numbers |

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;

use async_trait::async_trait;
use crds::jiff::Timestamp;
use crds::{Authentication, PrometheusMetric};
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::{Context, Outcome, Provider, ProviderConfig, ResolvedRequest};
use crate::condition::{Labels, Program, Value, goduration};
use crate::words;

/// Longest query that is sent in the address; longer ones go in the body.
const LONGEST_GET: usize = 2_000;
/// Step of a range query that gives none.
const DEFAULT_STEP: Duration = Duration::from_mins(1);

/// Asks Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    config: ProviderConfig,
    /// With and without verification of certificates; a client that cannot be made says why.
    strict: Result<reqwest::Client, String>,
    lenient: Result<reqwest::Client, String>,
}

fn client(insecure: bool) -> Result<reqwest::Client, String> {
    let builder = reqwest::Client::builder().user_agent("rollout-controller").connect_timeout(Duration::from_secs(10));
    let builder = if insecure { builder.tls_danger_accept_invalid_certs(true) } else { builder };
    builder.build().map_err(|error| chain(&error))
}

/// A request that is wrong before it is sent.
type Wrong = String;

struct Query {
    address: String,
    fields: Vec<(&'static str, String)>,
    headers: HeaderMap,
    timeout: Duration,
}

impl Prometheus {
    /// With these settings.
    pub fn new(config: ProviderConfig) -> Self {
        Self { config, strict: client(false), lenient: client(true) }
    }

    fn query(&self, metric: &PrometheusMetric, now: Timestamp) -> Result<Query, Wrong> {
        let address = metric.address.as_deref().filter(|address| !address.trim().is_empty());
        let address = address.or(self.config.prometheus_address.as_deref()).ok_or(
            "no address: set provider.prometheus.address, or ARGO_ROLLOUTS_PROMETHEUS_ADDRESS for the controller",
        )?;
        let address = address.trim().trim_end_matches('/');
        let url = reqwest::Url::parse(address).map_err(|error| {
            format!("prometheus address is not a valid URL: {error}; write for example http://prometheus:9090")
        })?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("prometheus address is not a valid URL: write for example http://prometheus:9090".to_owned());
        }
        let timeout = match metric.timeout {
            Some(seconds) if seconds > 0 => Duration::from_secs(seconds.unsigned_abs()),
            _ => self.config.default_timeout,
        };
        let mut fields = vec![("query", metric.query.clone().unwrap_or_default())];
        let path = match &metric.range_query {
            None => {
                fields.push(("time", now.to_string()));
                "query"
            }
            Some(range) => {
                for (field, source) in [("start", &range.start), ("end", &range.end)] {
                    let source = source.as_deref().unwrap_or_default();
                    let at = Program::compile_time(source)
                        .and_then(|program| program.run_time(now))
                        .map_err(|error| format!("failed to parse rangeQuery.{field} as time: {error}"))?;
                    fields.push((field, at.to_string()));
                }
                let step = match range.step.as_deref().filter(|step| !step.is_empty()) {
                    Some(text) => goduration::parse_duration(text)
                        .ok()
                        .and_then(|nanos| u64::try_from(nanos).ok())
                        .filter(|nanos| *nanos > 0)
                        .map(Duration::from_nanos)
                        .ok_or_else(|| format!("failed to parse rangeQuery.step as duration: \"{text}\""))?,
                    None => DEFAULT_STEP,
                };
                fields.push(("step", step.as_secs_f64().to_string()));
                "query_range"
            }
        };
        fields.push(("timeout", format!("{}ms", timeout.as_millis())));
        Ok(Query { address: format!("{address}/api/v1/{path}"), fields, headers: headers(metric)?, timeout })
    }

    async fn send(&self, metric: &PrometheusMetric, query: Query) -> Result<(StatusCode, Vec<u8>), Outcome> {
        let client = if metric.insecure == Some(true) { &self.lenient } else { &self.strict };
        let client = client.as_ref().map_err(|error| Outcome::error(format!("failed to set up TLS: {error}")))?;
        let length: usize = query.fields.iter().map(|(_, text)| text.len()).sum();
        let request = if length > LONGEST_GET {
            client.post(&query.address).form(&query.fields)
        } else {
            client.get(&query.address).query(&query.fields)
        };
        let answer = request.headers(query.headers).timeout(query.timeout).send().await;
        let mut answer = answer.map_err(|error| failure(error, query.timeout))?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| failure(error, query.timeout))? {
            if body.len() + chunk.len() > self.config.response_limit {
                return Err(Outcome::error(format!(
                    "the answer is larger than {} bytes: aggregate in the query, for example sum(…)",
                    self.config.response_limit
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    }
}

#[async_trait]
impl Provider for Prometheus {
    async fn measure(&self, request: &ResolvedRequest, context: &Context) -> Outcome {
        let Some(metric) = &request.metric.provider.prometheus else {
            return Outcome::error("the metric has no prometheus provider");
        };
        let text = metric.query.clone().unwrap_or_default();
        let mut metadata = BTreeMap::from([(words::RESOLVED_PROMETHEUS_QUERY.to_owned(), text)]);
        let query = match self.query(metric, context.now) {
            Ok(query) => query,
            Err(message) => return Outcome::Error { message, metadata },
        };
        let (status, body) = match self.send(metric, query).await {
            Ok(answer) => answer,
            Err(Outcome::Error { message, .. }) => return Outcome::Error { message, metadata },
            Err(outcome) => return outcome,
        };
        match read(status, &body) {
            Ok((value, warnings)) => {
                if !warnings.is_empty() {
                    metadata.insert(words::WARNINGS.to_owned(), warnings.join("; "));
                }
                Outcome::Measured { value, metadata }
            }
            Err(Outcome::Error { message, .. }) => Outcome::Error { message, metadata },
            Err(outcome) => outcome,
        }
    }
}

fn headers(metric: &PrometheusMetric) -> Result<HeaderMap, Wrong> {
    let mut headers = HeaderMap::new();
    if let Some(Authentication { sigv4, oauth2, basic_auth }) = &metric.authentication {
        if sigv4.as_ref().is_some_and(|config| *config != crds::Sigv4Config::default()) {
            return Err("authentication.sigv4 is not supported yet".to_owned());
        }
        if oauth2.as_ref().is_some_and(|config| *config != crds::OAuth2Config::default()) {
            return Err("authentication.oauth2 is not supported yet".to_owned());
        }
        if let Some(basic) = basic_auth {
            use base64::Engine as _;
            let (user, password) = (basic.username.as_deref(), basic.password.as_deref());
            let pair = format!("{}:{}", user.unwrap_or_default(), password.unwrap_or_default());
            let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
            let mut value = HeaderValue::from_str(&format!("Basic {encoded}")).map_err(|error| error.to_string())?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
    }
    for header in metric.headers.iter().flatten() {
        let name = HeaderName::from_bytes(header.key.trim().as_bytes())
            .map_err(|_| format!("\"{}\" is not a valid name of an HTTP header", header.key))?;
        // A secret that was read from a file often ends in a newline.
        let mut value = HeaderValue::from_str(header.value.trim())
            .map_err(|_| format!("the value of the HTTP header {} has characters that are not allowed", header.key))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// The error and its causes, without the address, which may hold credentials.
fn chain(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !parts.last().is_some_and(|last| last.contains(&text)) {
            parts.push(text);
        }
        next = cause.source();
    }
    if parts.is_empty() { error.to_string() } else { parts.join(": ") }
}

fn failure(error: reqwest::Error, timeout: Duration) -> Outcome {
    let error = error.without_url();
    if error.is_timeout() {
        let after = goduration::print_duration(i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX));
        return Outcome::NoAnswer { reason: format!("timed out after {after}") };
    }
    if error.is_builder() || error.is_redirect() {
        return Outcome::error(format!("cannot ask prometheus: {}", chain(&error)));
    }
    Outcome::NoAnswer { reason: chain(&error) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status: String,
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: serde_json::Value,
}

/// A moment and a number as text.
type Sample = (f64, String);

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metric: Labels,
    value: Option<Sample>,
    #[serde(default)]
    values: Vec<Sample>,
}

fn read(status: StatusCode, body: &[u8]) -> Result<(Value, Vec<String>), Outcome> {
    let answer: Result<Answer, _> = serde_json::from_slice(body);
    if status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) {
        let detail = answer.map(|answer| format!(": {}: {}", answer.error_type, answer.error)).unwrap_or_default();
        return Err(Outcome::NoAnswer { reason: format!("prometheus answered {status}{detail}") });
    }
    let answer = match answer {
        Ok(answer) => answer,
        Err(_) if !status.is_success() => {
            return Err(Outcome::error(format!("prometheus answered {status}: {}", excerpt(body))));
        }
        Err(error) => {
            let start = excerpt(body);
            let message = format!("the answer is not of the Prometheus API ({error}): does the address fit? {start}");
            return Err(Outcome::error(message));
        }
    };
    if answer.status != "success" || !status.is_success() {
        return Err(Outcome::error(format!("{}: {}", answer.error_type, answer.error)));
    }
    let Some(data) = answer.data else { return Err(Outcome::error("the answer has no data")) };
    let value = value_of(data).map_err(Outcome::error)?;
    Ok((value, answer.warnings))
}

fn excerpt(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(120).collect();
    crate::text::go_quote(text.trim())
}

fn number(sample: &Sample) -> Result<f64, Wrong> {
    match sample.1.as_str() {
        "+Inf" | "Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        text => text.parse().map_err(|_| format!("the answer holds \"{text}\" where a number is expected")),
    }
}

fn value_of(data: Data) -> Result<Value, Wrong> {
    let shape = |error: serde_json::Error| format!("the answer is not of the Prometheus API: {error}");
    match data.result_type.as_str() {
        "scalar" => {
            let sample: Sample = serde_json::from_value(data.result).map_err(shape)?;
            Ok(Value::Float(number(&sample)?))
        }
        "vector" => {
            let series: Vec<Series> = serde_json::from_value(data.result).map_err(shape)?;
            let samples = series.into_iter().map(|one| {
                let sample = one.value.ok_or("the query gave a native histogram: use histogram_quantile or similar")?;
                Ok((one.metric, number(&sample)?))
            });
            Ok(Value::vector(samples.collect::<Result<Vec<_>, Wrong>>()?))
        }
        "matrix" => {
            let series: Vec<Series> = serde_json::from_value(data.result).map_err(shape)?;
            let numbers = series.iter().flat_map(|one| &one.values).map(number);
            Ok(Value::floats(numbers.collect::<Result<Vec<_>, Wrong>>()?))
        }
        other => Err(format!("prometheus metric type not supported: {other}: a condition needs numbers")),
    }
}
