//! New Relic: NRQL through NerdGraph.
//!
//! The account is the Secret of the controller's namespace that `profile` names (`newrelic`), with the keys `personal-api-key`,
//! `account-id`, and when wanted `region` (us, eu, staging) or `base-url-nerdgraph`.
//!
//! One row is a map, several are a list of maps; no row, or one that is empty, is an error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use crds::Metric;
use serde_json::{Value as Json, json};

use super::http::{Http, Question, address, timeout};
use super::{Account, Context, Outcome, Provider, ResolvedRequest, graphql};
use crate::condition::Value;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const SECRET: &str = "newrelic";
const WHO: &str = "New Relic";
const QUERY: &str = "query($id: Int!, $query: Nrql!, $timeout: Seconds) { actor { account(id: $id) { nrql(query: $query, timeout: $timeout) { results } } } }";

/// Asks New Relic.
#[derive(Debug)]
pub(super) struct NewRelic(pub(super) Arc<Http>);

fn endpoint(account: &BTreeMap<String, String>) -> Result<String, Outcome> {
    if let Some(given) = account.get("base-url-nerdgraph").filter(|given| !given.trim().is_empty()) {
        address(given, "base-url-nerdgraph", "https://api.newrelic.com/graphql").map_err(Outcome::error)?;
        return Ok(given.trim().to_owned());
    }
    let region = account.get("region").map(|region| region.trim().to_ascii_lowercase()).unwrap_or_default();
    match region.as_str() {
        "" | "us" => Ok("https://api.newrelic.com/graphql".to_owned()),
        "eu" => Ok("https://api.eu.newrelic.com/graphql".to_owned()),
        "staging" => Ok("https://staging-api.newrelic.com/graphql".to_owned()),
        other => {
            Err(Outcome::error(format!("the region \"{other}\" of New Relic is not known: use us, eu or staging")))
        }
    }
}

impl NewRelic {
    async fn ask(&self, request: &ResolvedRequest) -> Result<(Value, String), Outcome> {
        let Some(metric) = &request.metric.provider.new_relic else {
            return Err(Outcome::error("the metric has no newRelic provider"));
        };
        let missing = |key: &str| Outcome::error(format!("the Secret of New Relic has no key {key}"));
        let key = request.account.get("personal-api-key").ok_or_else(|| missing("personal-api-key"))?;
        let id = request.account.get("account-id").ok_or_else(|| missing("account-id"))?;
        let id: i64 =
            id.trim().parse().map_err(|_| Outcome::error("the account-id of New Relic is no whole number"))?;
        let endpoint = endpoint(&request.account)?;
        let timeout = timeout(metric.timeout, DEFAULT_TIMEOUT);
        let body = json!({
            "query": QUERY,
            "variables": {"id": id, "query": metric.query, "timeout": timeout.as_secs()},
        });
        let question = Question::plain(timeout).secret("api-key", key)?;
        let answer = self.0.json(WHO, question, |client| client.post(&endpoint).json(&body)).await?;
        let data = graphql::data(WHO, &answer)?;
        let rows = data.pointer("/actor/account/nrql/results").and_then(Json::as_array);
        read(rows.map(Vec::as_slice).unwrap_or_default())
    }
}

fn read(rows: &[Json]) -> Result<(Value, String), Outcome> {
    let empty = |row: &Json| row.as_object().is_none_or(serde_json::Map::is_empty);
    if rows.is_empty() || rows.iter().any(empty) {
        return Err(Outcome::error("no results returned from NRQL query"));
    }
    let found = match rows {
        [one] => one.clone(),
        many => Json::Array(many.to_vec()),
    };
    super::json_value(&found)
}

#[async_trait]
impl Provider for NewRelic {
    async fn measure(&self, request: &ResolvedRequest, _: &Context) -> Outcome {
        match self.ask(request).await {
            Ok((value, stored)) => Outcome::Measured { value, stored, metadata: BTreeMap::new() },
            Err(outcome) => outcome,
        }
    }

    fn account(&self, metric: &Metric) -> Option<Account> {
        let profile = metric.provider.new_relic.as_ref()?.profile.clone().filter(|name| !name.is_empty());
        let name = profile.unwrap_or_else(|| SECRET.to_owned());
        Some(Account {
            name,
            of_run: false,
            public: &["account-id", "region", "base-url-rest", "base-url-nerdgraph", "insights-base-url"],
        })
    }
}
