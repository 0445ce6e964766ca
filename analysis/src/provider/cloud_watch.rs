//! AWS CloudWatch: `GetMetricData` in JSON
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>).
//!
//! The result is the list of the answer's results, each with `Id`, `Label`, `StatusCode`, `Timestamps` and `Values`, so that conditions
//! say `result[0].Values[0]`. Credentials and region are the controller's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use crds::jiff::Timestamp;
use crds::jiff::tz::TimeZone;
use crds::{CloudWatchMetric, CloudWatchMetricDataQuery, IntOrString};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Map, Value as Json, json};

use super::http::{Http, Question, Signature, excerpt, no_answer};
use super::{Context, Outcome, Provider, ResolvedRequest, window};
use crate::condition::Value;

const TIMEOUT: Duration = Duration::from_secs(30);
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// Asks CloudWatch.
#[derive(Debug)]
pub(super) struct CloudWatch(pub(super) Arc<Http>);

impl CloudWatch {
    async fn ask(&self, metric: &CloudWatchMetric, now: Timestamp) -> Result<(Value, String), Outcome> {
        let region = self.0.aws.region(None, None).await?;
        let end = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let given = self.0.aws.endpoint("CLOUDWATCH").or_else(|| self.0.aws.endpoint("MONITORING"));
        let endpoint = given.map_or_else(|| format!("https://monitoring.{region}.{end}/"), str::to_owned);
        let (from, to) = window(metric.interval.as_deref(), now).map_err(Outcome::error)?;
        let queries = metric.metric_data_queries.iter().map(query).collect::<Result<Vec<_>, _>>();
        let body = json!({
            "StartTime": from.as_second(),
            "EndTime": to.as_second(),
            "MetricDataQueries": queries.map_err(Outcome::error)?,
        })
        .to_string();
        let mut question = Question::plain(TIMEOUT);
        question.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
        question.headers.insert(TARGET, HeaderValue::from_static("GraniteServiceVersion20100801.GetMetricData"));
        question.signature = Some(Signature { region, service: "monitoring", profile: None, role: None, now });
        let (status, answer) = self.0.ask(question, |client| client.post(&endpoint).body(body.clone())).await?;
        read(status, &answer)
    }
}

fn whole(field: &str, value: &IntOrString) -> Result<i64, String> {
    crate::run::metric::whole(field, Some(value)).map(Option::unwrap_or_default)
}

fn put(object: &mut Map<String, Json>, name: &str, value: Option<impl Into<Json>>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value.into());
    }
}

fn query(query: &CloudWatchMetricDataQuery) -> Result<Json, String> {
    let mut out = Map::new();
    put(&mut out, "Id", query.id.as_deref());
    put(&mut out, "Expression", query.expression.as_deref());
    put(&mut out, "Label", query.label.as_deref());
    put(&mut out, "Period", query.period.as_ref().map(|period| whole("period", period)).transpose()?);
    put(&mut out, "ReturnData", query.return_data);
    if let Some(stat) = &query.metric_stat {
        let mut inner = Map::new();
        if let Some(metric) = &stat.metric {
            let mut named = Map::new();
            put(&mut named, "Namespace", metric.namespace.as_deref());
            put(&mut named, "MetricName", metric.metric_name.as_deref());
            let dimensions: Vec<Json> = metric
                .dimensions
                .iter()
                .flatten()
                .map(|one| json!({"Name": one.name.as_deref().unwrap_or_default(), "Value": one.value.as_deref().unwrap_or_default()}))
                .collect();
            put(&mut named, "Dimensions", (!dimensions.is_empty()).then_some(dimensions));
            inner.insert("Metric".to_owned(), named.into());
        }
        put(&mut inner, "Period", stat.period.as_ref().map(|period| whole("period", period)).transpose()?);
        put(&mut inner, "Stat", stat.stat.as_deref());
        put(&mut inner, "Unit", stat.unit.as_deref());
        out.insert("MetricStat".to_owned(), inner.into());
    }
    Ok(Json::Object(out))
}

fn read(status: http::StatusCode, body: &[u8]) -> Result<(Value, String), Outcome> {
    let answer: Option<Json> = serde_json::from_slice(body).ok();
    let text = |names: &[&str]| {
        let found = names.iter().find_map(|name| answer.as_ref()?.get(name)?.as_str());
        found.unwrap_or_default().to_owned()
    };
    if !status.is_success() {
        let (kind, message) = (text(&["__type"]), text(&["message", "Message"]));
        let kind = kind.rsplit('#').next().unwrap_or_default().to_owned();
        if no_answer(status) || kind.starts_with("Throttling") {
            return Err(Outcome::NoAnswer {
                reason: format!("CloudWatch answered {status} {kind}").trim_end().to_owned(),
            });
        }
        let told = if kind.is_empty() { excerpt(body) } else { format!("{kind}: {message}") };
        return Err(Outcome::error(format!("CloudWatch answered {status}: {told}")));
    }
    let results = answer.as_ref().and_then(|answer| answer.get("MetricDataResults")).and_then(Json::as_array);
    let Some(results) = results else {
        return Err(Outcome::error(format!("the answer of CloudWatch has no MetricDataResults: {}", excerpt(body))));
    };
    let wrong = |error: crate::condition::ConditionError| Outcome::error(error.to_string());
    let value = Value::list(results.iter().map(result).collect::<Result<_, _>>().map_err(wrong)?).map_err(wrong)?;
    let stored = value.json_text().map_err(wrong)?;
    Ok((value, stored))
}

fn result(answer: &Json) -> Result<Value, crate::condition::ConditionError> {
    let text = |name: &str| answer.get(name).and_then(Json::as_str).map_or(Value::Nil, Value::text);
    let numbers = |name: &str| {
        let list = answer.get(name).and_then(Json::as_array);
        list.into_iter().flatten().filter_map(Json::as_f64).collect::<Vec<f64>>()
    };
    #[allow(clippy::cast_possible_truncation, reason = "milliseconds since 1970")]
    let times = numbers("Timestamps").into_iter().filter_map(|seconds| {
        let at = Timestamp::from_millisecond((seconds * 1000.0) as i64).ok()?;
        Some(Value::Time(Box::new(at.to_zoned(TimeZone::UTC))))
    });
    Value::object([
        ("Id", text("Id")),
        ("Label", text("Label")),
        ("StatusCode", text("StatusCode")),
        ("Timestamps", Value::list(times.collect())?),
        ("Values", Value::floats(numbers("Values"))),
    ])
}

#[async_trait]
impl Provider for CloudWatch {
    async fn measure(&self, request: &ResolvedRequest, context: &Context) -> Outcome {
        let Some(metric) = &request.metric.provider.cloud_watch else {
            return Outcome::error("the metric has no cloudWatch provider");
        };
        match self.ask(metric, context.now).await {
            Ok((value, stored)) => Outcome::Measured { value, stored, metadata: BTreeMap::new() },
            Err(outcome) => outcome,
        }
    }
}
