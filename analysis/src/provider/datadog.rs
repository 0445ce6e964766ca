//! Datadog, versions 1 and 2 of its API.
//!
//! Address and keys come from the Secret that `secretRef` names; without it from the controller's environment (`DD_API_KEY`,
//! `DD_APP_KEY`, `DD_ADDRESS`) or, when the keys are not there, from the Secret `datadog` of the controller's namespace (keys `address`,
//! `api-key`, `app-key`).
//!
//! | answer | result |
//! |---|---|
//! | v1: series | the last number of the first series |
//! | v2: columns without groups | a number |
//! | v2: columns by group | list of numbers |
//! | nothing | nil |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use crds::{DatadogMetric, Metric};
use serde_json::{Value as Json, json};

use super::http::{Http, Question, address};
use super::{Account, Context, Outcome, Provider, ResolvedRequest, window};
use crate::condition::Value;
use crate::run::metric::duration;
use crate::template::args::Redactor;

const DEFAULT_ADDRESS: &str = "https://api.datadoghq.com";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const SECRET: &str = "datadog";
const WHO: &str = "Datadog";

/// Asks Datadog.
#[derive(Debug)]
pub(super) struct Datadog(pub(super) Arc<Http>);

struct Keys {
    address: String,
    api: String,
    app: String,
}

impl Datadog {
    /// Keys of the environment, for metrics that name no Secret.
    fn of_environment(&self, metric: &DatadogMetric) -> Option<Keys> {
        if metric.secret_ref.as_ref().is_some_and(|secret| secret.name.is_some() || secret.namespaced == Some(true)) {
            return None;
        }
        let variable = |name| self.0.config.environment.get(name).map(str::to_owned);
        Some(Keys {
            address: variable("DD_ADDRESS").unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()),
            api: variable("DD_API_KEY")?,
            app: variable("DD_APP_KEY")?,
        })
    }

    fn keys(&self, metric: &DatadogMetric, account: &BTreeMap<String, String>) -> Result<Keys, Outcome> {
        if let Some(keys) = self.of_environment(metric) {
            return Ok(keys);
        }
        let key = |name: &str| account.get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let missing = |name: &str| Outcome::error(format!("the Secret of Datadog has no key {name}"));
        Ok(Keys {
            address: key("address").unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()),
            api: key("api-key").ok_or_else(|| missing("api-key"))?,
            app: key("app-key").ok_or_else(|| missing("app-key"))?,
        })
    }

    async fn ask(&self, request: &ResolvedRequest, context: &Context) -> Result<(Value, String), Outcome> {
        let Some(metric) = &request.metric.provider.datadog else {
            return Err(Outcome::error("the metric has no datadog provider"));
        };
        let keys = self.keys(metric, &request.account)?;
        let base = keys.address.trim_end_matches('/');
        address(base, "the address of Datadog", DEFAULT_ADDRESS).map_err(Outcome::error)?;
        let timeout = duration("requestTimeout", metric.request_timeout.as_deref()).map_err(Outcome::error)?;
        let question = Question::plain(timeout.unwrap_or(DEFAULT_TIMEOUT))
            .secret("dd-api-key", &keys.api)?
            .secret("dd-application-key", &keys.app)?;
        let (from, to) = window(metric.interval.as_deref(), context.now).map_err(Outcome::error)?;
        let answer = match metric.api_version.as_deref().unwrap_or("v1") {
            "v1" => {
                let query = v1_query(metric)?;
                let (from, to) = (from.as_second().to_string(), to.as_second().to_string());
                let fields = [("query", query), ("from", from.as_str()), ("to", to.as_str())];
                let address = format!("{base}/api/v1/query");
                let answer = self.0.json(WHO, question, |client| client.get(&address).query(&fields)).await;
                answer.and_then(|answer| v1(&answer))
            }
            "v2" => {
                let body = v2_body(metric, from.as_millisecond(), to.as_millisecond())?;
                let address = format!("{base}/api/v2/query/scalar");
                let answer = self.0.json(WHO, question, |client| client.post(&address).json(&body)).await;
                answer.and_then(|answer| v2(&answer))
            }
            other => Err(Outcome::error(format!("datadog apiVersion \"{other}\" is not known: use v1 or v2"))),
        };
        answer.map_err(|outcome| hide(outcome, &keys))
    }
}

/// Keys of the environment are in no Secret that others know of.
fn hide(outcome: Outcome, keys: &Keys) -> Outcome {
    let redactor = Redactor::new([keys.api.clone(), keys.app.clone()]);
    match outcome {
        Outcome::Error { message, metadata } => Outcome::Error { message: redactor.clean(&message), metadata },
        Outcome::NoAnswer { reason } => Outcome::NoAnswer { reason: redactor.clean(&reason) },
        other @ (Outcome::Measured { .. } | Outcome::Judged { .. }) => other,
    }
}

#[async_trait]
impl Provider for Datadog {
    async fn measure(&self, request: &ResolvedRequest, context: &Context) -> Outcome {
        match self.ask(request, context).await {
            Ok((value, stored)) => Outcome::Measured { value, stored, metadata: BTreeMap::new() },
            Err(outcome) => outcome,
        }
    }

    fn account(&self, metric: &Metric) -> Option<Account> {
        let metric = metric.provider.datadog.as_ref()?;
        if self.of_environment(metric).is_some() {
            return None;
        }
        let secret = metric.secret_ref.as_ref();
        let name = secret.and_then(|secret| secret.name.clone()).filter(|name| !name.is_empty());
        Some(Account {
            name: name.unwrap_or_else(|| SECRET.to_owned()),
            of_run: secret.is_some_and(|secret| secret.namespaced == Some(true)),
            public: &["address"],
        })
    }
}

fn v1_query(metric: &DatadogMetric) -> Result<&str, Outcome> {
    if metric.queries.is_some() || metric.formula.is_some() || metric.aggregator.is_some() {
        return Err(Outcome::error("datadog queries, formula and aggregator need apiVersion v2"));
    }
    metric.query.as_deref().filter(|query| !query.trim().is_empty()).ok_or_else(|| {
        Outcome::error("datadog query is empty: write a query such as avg:trace.http.request.errors{service:web}")
    })
}

fn v2_body(metric: &DatadogMetric, from: i64, to: i64) -> Result<Json, Outcome> {
    let aggregator = metric.aggregator.as_deref().unwrap_or("last");
    let query = metric.query.as_deref().filter(|query| !query.trim().is_empty());
    let named = metric.queries.as_ref().filter(|queries| !queries.is_empty());
    let queries: Vec<(&str, &str)> = match (query, named) {
        (Some(_), Some(_)) => return Err(Outcome::error("datadog query and queries exclude each other")),
        (None, None) => return Err(Outcome::error("datadog has no query: write query, or queries and formula")),
        (Some(query), None) => vec![("query", query)],
        (None, Some(queries)) => queries.iter().map(|(name, query)| (name.as_str(), query.as_str())).collect(),
    };
    let formula = match (metric.formula.as_deref().filter(|formula| !formula.is_empty()), queries.as_slice()) {
        (Some(_), _) if named.is_none() => {
            return Err(Outcome::error("datadog formula works on queries, not on query"));
        }
        (Some(formula), _) => formula,
        (None, [(name, _)]) => *name,
        (None, _) => return Err(Outcome::error("datadog has several queries: write the formula that joins them")),
    };
    let queries: Vec<Json> = queries
        .iter()
        .map(|(name, query)| json!({"aggregator": aggregator, "data_source": "metrics", "name": name, "query": query}))
        .collect();
    Ok(json!({"data": {"type": "scalar_request", "attributes": {
        "from": from, "to": to, "queries": queries, "formulas": [{"formula": formula}],
    }}}))
}

fn nothing() -> (Value, String) {
    (Value::Nil, "[]".to_owned())
}

/// One number as a condition sees it and as it is stored.
fn number(number: f64) -> (Value, String) {
    let value = Value::Float(number);
    let stored = value.stored();
    (value, stored)
}

fn v1(answer: &Json) -> Result<(Value, String), Outcome> {
    let problem = answer.get("error").and_then(Json::as_str).unwrap_or_default();
    if answer.get("status").and_then(Json::as_str) == Some("error") || !problem.is_empty() {
        return Err(Outcome::error(format!("Datadog: {problem}")));
    }
    let Some(series) = answer.get("series").and_then(Json::as_array) else {
        return Err(Outcome::error("the answer of Datadog has no series: does the address fit?"));
    };
    let points = series.first().and_then(|series| series.get("pointlist")).and_then(Json::as_array);
    let last = points.into_iter().flatten().rev().find_map(|point| point.get(1)?.as_f64());
    Ok(last.map_or_else(nothing, number))
}

fn v2(answer: &Json) -> Result<(Value, String), Outcome> {
    let problem = match answer.get("errors") {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    if !problem.is_empty() {
        return Err(Outcome::error(format!("Datadog: {problem}")));
    }
    let Some(columns) = answer.pointer("/data/attributes/columns").and_then(Json::as_array) else {
        return Err(Outcome::error("the answer of Datadog has no columns: does the address fit?"));
    };
    let kind = |column: &Json| column.get("type").and_then(Json::as_str).unwrap_or_default().to_owned();
    let grouped = columns.iter().any(|column| kind(column) == "group");
    let values = columns.iter().find(|column| kind(column) == "number").and_then(|column| column.get("values"));
    let numbers: Vec<f64> = values.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_f64).collect();
    Ok(match numbers.as_slice() {
        [] => nothing(),
        [one] if !grouped => number(*one),
        many => {
            let value = Value::floats(many.iter().copied());
            let stored = value.stored();
            (value, stored)
        }
    })
}
