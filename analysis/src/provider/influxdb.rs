//! InfluxDB: Flux through the API of version 2.
//!
//! The account is the Secret of the controller's namespace that `profile` names (`influxdb`), with the keys `address`, `authToken` and
//! `org`. The result is the list of the records' values.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use crds::Metric;
use http::header::{ACCEPT, HeaderValue};
use serde_json::{Value as Json, json};

use super::http::{Http, Question, address, good};
use super::{Account, Context, Outcome, Provider, ResolvedRequest, flux};
use crate::condition::Value;

const SECRET: &str = "influxdb";
const TIMEOUT: Duration = Duration::from_secs(30);
const WHO: &str = "InfluxDB";

/// Asks InfluxDB.
#[derive(Debug)]
pub(super) struct Influxdb(pub(super) Arc<Http>);

impl Influxdb {
    async fn ask(&self, request: &ResolvedRequest) -> Result<Vec<Value>, Outcome> {
        let Some(metric) = &request.metric.provider.influxdb else {
            return Err(Outcome::error("the metric has no influxdb provider"));
        };
        let key = |name: &str| {
            let text = request.account.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
            text.ok_or_else(|| Outcome::error(format!("the Secret of InfluxDB has no key {name}")))
        };
        let base = key("address")?.trim_end_matches('/');
        address(base, "the address of InfluxDB", "http://influxdb.monitoring:8086").map_err(Outcome::error)?;
        let fields = [("org", key("org")?)];
        let endpoint = format!("{base}/api/v2/query");
        let body = json!({
            "query": metric.query.as_deref().unwrap_or_default(),
            "type": "flux",
            "dialect": {"annotations": ["datatype", "group", "default"], "delimiter": ",", "header": true},
        });
        let mut question = Question::plain(TIMEOUT).secret("authorization", &format!("Token {}", key("authToken")?))?;
        question.headers.insert(ACCEPT, HeaderValue::from_static("application/csv"));
        let (status, answer) = self.0.ask(question, |client| client.post(&endpoint).query(&fields).json(&body)).await?;
        if !status.is_success()
            && let Ok(problem) = serde_json::from_slice::<Json>(&answer)
            && let Some(message) = problem.get("message").and_then(Json::as_str)
            && !super::http::no_answer(status)
        {
            return Err(Outcome::error(format!("InfluxDB answered {status}: {message}")));
        }
        good(WHO, status, &answer)?;
        flux::values(&String::from_utf8_lossy(&answer))
            .map_err(|problem| Outcome::error(format!("InfluxDB: {problem}")))
    }
}

#[async_trait]
impl Provider for Influxdb {
    async fn measure(&self, request: &ResolvedRequest, _: &Context) -> Outcome {
        let found = self
            .ask(request)
            .await
            .and_then(|values| Value::list(values).map_err(|error| Outcome::error(error.to_string())));
        match found {
            Ok(value) => Outcome::Measured { stored: value.stored(), value, metadata: BTreeMap::new() },
            Err(outcome) => outcome,
        }
    }

    fn account(&self, metric: &Metric) -> Option<Account> {
        let profile = metric.provider.influxdb.as_ref()?.profile.clone().filter(|name| !name.is_empty());
        Some(Account { name: profile.unwrap_or_else(|| SECRET.to_owned()), of_run: false, public: &["address", "org"] })
    }
}
