//! Prometheus, and whatever speaks its query API.
//!
//! | what happens | means |
//! |---|---|
//! | what the table of [`super::http`] says | as there |
//! | 4xx, an answer that is not Prometheus', a string | error |
//! | scalar | number |
//! | vector | list of numbers with their labels; one element is a number too |
//! | matrix | flat list of all numbers |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use crds::PrometheusMetric;
use crds::jiff::Timestamp;
use http::StatusCode;
use http::header::HeaderMap;
use serde::Deserialize;

use super::http::{Http, Question, Wrong, address, excerpt, headers, no_answer, timeout};
use super::{Context, Outcome, Provider, ResolvedRequest};
use crate::condition::{Labels, Program, Value, goduration};
use crate::words;

/// Longest query that is sent in the address; longer ones go in the body.
const LONGEST_GET: usize = 2_000;
/// Step of a range query that gives none.
const DEFAULT_STEP: Duration = Duration::from_mins(1);

/// What to do about an answer that is too large.
const TOO_LARGE: &str = "aggregate in the query, for example sum(…)";

/// Asks Prometheus.
#[derive(Debug)]
pub(super) struct Prometheus(pub(super) Arc<Http>);

struct Query {
    address: String,
    fields: Vec<(&'static str, String)>,
    headers: HeaderMap,
    timeout: Duration,
}

/// The values of a series by Unix time; what is no number is left out.
pub(super) type Points = BTreeMap<i64, f64>;

/// A native histogram: its buckets in order, each with its upper end and how many observations it holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Native(pub(super) Vec<(f64, f64)>);

/// One series over time.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) labels: Labels,
    pub(super) points: Points,
    /// What a series of native histograms has in place of points.
    pub(super) histograms: BTreeMap<i64, Native>,
}

impl Prometheus {
    /// The series of `query` at every `step` seconds from one moment to another.
    pub(super) async fn range(
        &self,
        metric: &PrometheusMetric,
        query: &str,
        (start, end, step): (i64, i64, i64),
        now: Timestamp,
    ) -> Result<Vec<Found>, Outcome> {
        let moments = [("start", start), ("end", end), ("step", step)].map(|(field, at)| (field, at.to_string()));
        self.series(metric, query, "query_range", &moments, now).await
    }

    /// The series of `query`, which asks for a window itself, now.
    pub(super) async fn instant(
        &self,
        metric: &PrometheusMetric,
        query: &str,
        now: Timestamp,
    ) -> Result<Vec<Found>, Outcome> {
        self.series(metric, query, "query", &[("time", now.to_string())], now).await
    }

    async fn series(
        &self,
        metric: &PrometheusMetric,
        query: &str,
        path: &str,
        moments: &[(&'static str, String)],
        now: Timestamp,
    ) -> Result<Vec<Found>, Outcome> {
        let asked = PrometheusMetric { query: Some(query.to_owned()), range_query: None, ..metric.clone() };
        let mut whole = self.query(&asked, now).map_err(Outcome::error)?;
        if let Some(base) = whole.address.strip_suffix("query") {
            whole.address = format!("{base}{path}");
        }
        whole.fields.retain(|(field, _)| *field != "time");
        whole.fields.extend_from_slice(moments);
        let (status, body) = self.send(&asked, whole, now).await?;
        let (data, _) = data(status, &body)?;
        if data.result_type != "matrix" {
            return Err(Outcome::error(format!("{query} gives a {}, not series over time", data.result_type)));
        }
        let series: Vec<Series> = serde_json::from_value(data.result)
            .map_err(|error| Outcome::error(format!("the answer is not of the Prometheus API: {error}")))?;
        series.into_iter().map(|one| found(one).map_err(Outcome::error)).collect()
    }

    fn query(&self, metric: &PrometheusMetric, now: Timestamp) -> Result<Query, Wrong> {
        let base = metric.address.as_deref().filter(|address| !address.trim().is_empty());
        let base = base.or(self.0.config.prometheus_address.as_deref()).ok_or(
            "no address: set provider.prometheus.address, or ARGO_ROLLOUTS_PROMETHEUS_ADDRESS for the controller",
        )?;
        let base = base.trim().trim_end_matches('/');
        address(base, "prometheus address", "http://prometheus:9090")?;
        let timeout = timeout(metric.timeout, self.0.config.default_timeout);
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
        let headers = headers(metric.authentication.as_ref(), metric.headers.as_deref())?;
        Ok(Query { address: format!("{base}/api/v1/{path}"), fields, headers, timeout })
    }

    async fn send(
        &self,
        metric: &PrometheusMetric,
        query: Query,
        now: Timestamp,
    ) -> Result<(StatusCode, Vec<u8>), Outcome> {
        let length: usize = query.fields.iter().map(|(_, text)| text.len()).sum();
        let question = Question {
            authentication: metric.authentication.as_ref(),
            insecure: metric.insecure,
            headers: query.headers,
            timeout: query.timeout,
            too_large: TOO_LARGE,
            signature: self.0.signature(metric.authentication.as_ref(), "aps", now).await?,
        };
        let (address, fields) = (&query.address, &query.fields);
        let ask = |client: &reqwest::Client| {
            if length > LONGEST_GET { client.post(address).form(fields) } else { client.get(address).query(fields) }
        };
        self.0.ask(question, ask).await
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
        let (status, body) = match self.send(metric, query, context.now).await {
            Ok(answer) => answer,
            Err(Outcome::Error { message, .. }) => return Outcome::Error { message, metadata },
            Err(outcome) => return outcome,
        };
        match read(status, &body) {
            Ok((value, warnings)) => {
                if !warnings.is_empty() {
                    metadata.insert(words::WARNINGS.to_owned(), warnings.join("; "));
                }
                Outcome::Measured { stored: value.stored(), value, metadata }
            }
            Err(Outcome::Error { message, .. }) => Outcome::Error { message, metadata },
            Err(outcome) => outcome,
        }
    }
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
    #[serde(default)]
    histograms: Vec<(f64, Buckets)>,
}

#[derive(Deserialize)]
struct Buckets {
    #[serde(default)]
    buckets: Vec<Bucket>,
}

/// Which ends belong to it, the lower and the upper end, and how many observations.
#[derive(Deserialize)]
struct Bucket(#[allow(dead_code)] u8, #[allow(dead_code)] String, String, String);

/// Seconds of our time.
#[allow(clippy::cast_possible_truncation)]
fn second(at: f64) -> i64 {
    at.round() as i64
}

fn found(one: Series) -> Result<Found, Wrong> {
    let points: Result<Points, Wrong> =
        one.values.iter().map(|sample| Ok((second(sample.0), number(&sample.1)?))).collect();
    let mut points = points?;
    points.retain(|_, value| value.is_finite());
    let native = |buckets: &Buckets| -> Result<Native, Wrong> {
        let all = buckets.buckets.iter().map(|Bucket(_, _, upper, count)| Ok((number(upper)?, number(count)?)));
        Ok(Native(all.collect::<Result<_, Wrong>>()?))
    };
    let histograms: Result<_, Wrong> =
        one.histograms.iter().map(|(at, buckets)| Ok((second(*at), native(buckets)?))).collect();
    Ok(Found { labels: one.metric, points, histograms: histograms? })
}

fn read(status: StatusCode, body: &[u8]) -> Result<(Value, Vec<String>), Outcome> {
    let (data, warnings) = data(status, body)?;
    Ok((value_of(data).map_err(Outcome::error)?, warnings))
}

fn data(status: StatusCode, body: &[u8]) -> Result<(Data, Vec<String>), Outcome> {
    let answer: Result<Answer, _> = serde_json::from_slice(body);
    if no_answer(status) {
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
    answer.data.map(|data| (data, answer.warnings)).ok_or_else(|| Outcome::error("the answer has no data"))
}

fn number(text: &str) -> Result<f64, Wrong> {
    match text {
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
            Ok(Value::Float(number(&sample.1)?))
        }
        "vector" => {
            let series: Vec<Series> = serde_json::from_value(data.result).map_err(shape)?;
            let samples = series.into_iter().map(|one| {
                let sample = one.value.ok_or("the query gave a native histogram: use histogram_quantile or similar")?;
                Ok((one.metric, number(&sample.1)?))
            });
            Ok(Value::vector(samples.collect::<Result<Vec<_>, Wrong>>()?))
        }
        "matrix" => {
            let series: Vec<Series> = serde_json::from_value(data.result).map_err(shape)?;
            let numbers = series.iter().flat_map(|one| &one.values).map(|sample| number(&sample.1));
            Ok(Value::floats(numbers.collect::<Result<Vec<_>, Wrong>>()?))
        }
        other => Err(format!("prometheus metric type not supported: {other}: a condition needs numbers")),
    }
}
