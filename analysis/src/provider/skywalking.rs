//! Apache SkyWalking: GraphQL with a variable `$duration: Duration!` for the window of time.
//!
//! The result is the decoded `data` of the answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use crds::jiff::Timestamp;
use serde_json::json;

use super::http::{Http, Question, address};
use super::{Context, Outcome, Provider, ResolvedRequest, graphql, window};
use crate::condition::Value;

const DEFAULT_ADDRESS: &str = "http://skywalking-oap.istio-system:12800";
const TIMEOUT: Duration = Duration::from_secs(30);
const WHO: &str = "SkyWalking";

/// Asks SkyWalking.
#[derive(Debug)]
pub(super) struct SkyWalking(pub(super) Arc<Http>);

/// A moment as SkyWalking wants it with step MINUTE, in UTC.
fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H%M").to_string()
}

impl SkyWalking {
    async fn ask(&self, request: &ResolvedRequest, context: &Context) -> Result<(Value, String), Outcome> {
        let Some(metric) = &request.metric.provider.skywalking else {
            return Err(Outcome::error("the metric has no skywalking provider"));
        };
        let base = metric.address.as_deref().map(str::trim).filter(|base| !base.is_empty()).unwrap_or(DEFAULT_ADDRESS);
        let base = base.trim_end_matches('/');
        address(base, "skywalking address", DEFAULT_ADDRESS).map_err(Outcome::error)?;
        let endpoint = if base.ends_with("/graphql") { base.to_owned() } else { format!("{base}/graphql") };
        let (from, to) = window(metric.interval.as_deref(), context.now).map_err(Outcome::error)?;
        let body = json!({
            "query": metric.query.as_deref().unwrap_or_default(),
            "variables": {"duration": {"start": minute(from), "end": minute(to), "step": "MINUTE"}},
        });
        let answer = self.0.json(WHO, Question::plain(TIMEOUT), |client| client.post(&endpoint).json(&body)).await?;
        super::json_value(graphql::data(WHO, &answer)?)
    }
}

#[async_trait]
impl Provider for SkyWalking {
    async fn measure(&self, request: &ResolvedRequest, context: &Context) -> Outcome {
        match self.ask(request, context).await {
            Ok((value, stored)) => Outcome::Measured { value, stored, metadata: BTreeMap::new() },
            Err(outcome) => outcome,
        }
    }
}
