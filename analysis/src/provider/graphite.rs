//! Graphite: its render API.
//!
//! The query is the part of the address after `?`: `target=summarize(…)&from=-5min`; without `target=` all of it is the target. White
//! space is left out. The result is the list of numbers of the first series; a series without numbers is an error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use crds::GraphiteMetric;
use serde_json::Value as Json;

use super::http::{Http, Question, address};
use super::{Context, Outcome, Provider, ResolvedRequest};
use crate::condition::Value;

const TIMEOUT: Duration = Duration::from_secs(10);
const WHO: &str = "Graphite";

/// Asks Graphite.
#[derive(Debug)]
pub(super) struct Graphite(pub(super) Arc<Http>);

impl Graphite {
    async fn ask(&self, metric: &GraphiteMetric) -> Result<Value, Outcome> {
        let base = metric.address.as_deref().unwrap_or_default().trim().trim_end_matches('/');
        let mut url = address(base, "graphite address", "http://graphite.monitoring").map_err(Outcome::error)?;
        let query: String = metric.query.as_deref().unwrap_or_default().split_whitespace().collect();
        if query.is_empty() {
            return Err(Outcome::error("graphite query is empty: write for example target=summarize(…)&from=-5min"));
        }
        let known = ["target=", "from=", "until=", "format=", "tz="];
        let query = if known.iter().any(|start| query.starts_with(start)) { query } else { format!("target={query}") };
        url.set_path(&format!("{}/render", url.path().trim_end_matches('/')));
        url.set_query(Some(&query));
        // Read and written again, so that signs of the target which mean something in an address are escaped.
        let fields: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| name != "format")
            .map(|(name, text)| (name.into(), text.into()))
            .collect();
        url.query_pairs_mut().clear().extend_pairs(fields).append_pair("format", "json");
        let answer = self.0.json(WHO, Question::plain(TIMEOUT), |client| client.get(url.clone())).await?;
        read(&answer)
    }
}

fn read(answer: &Json) -> Result<Value, Outcome> {
    let Some(series) = answer.as_array() else {
        return Err(Outcome::error("the answer of Graphite is no list of series: does the address fit?"));
    };
    let points = series.first().and_then(|first| first.get("datapoints")).and_then(Json::as_array);
    let numbers: Vec<f64> = points.into_iter().flatten().filter_map(|point| point.get(0)?.as_f64()).collect();
    if numbers.is_empty() {
        return Err(Outcome::error("no values found"));
    }
    Ok(Value::floats(numbers))
}

#[async_trait]
impl Provider for Graphite {
    async fn measure(&self, request: &ResolvedRequest, _: &Context) -> Outcome {
        let Some(metric) = &request.metric.provider.graphite else {
            return Outcome::error("the metric has no graphite provider");
        };
        match self.ask(metric).await {
            Ok(value) => Outcome::Measured { stored: value.stored(), value, metadata: BTreeMap::new() },
            Err(outcome) => outcome,
        }
    }
}
