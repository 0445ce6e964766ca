//! Kayenta, as a service of its own: it compares the canary with the stable version and answers with a score.
//!
//! A measurement looks up the canary configuration by name, starts an execution and asks for its score until it is complete. From
//! `threshold.pass` on it is Successful, from `threshold.marginal` on Inconclusive, below Failed.
//!
//! A scope without `end` ends now; without `start` it begins when the analysis began or, with `lookback`, one interval of the metric
//! before its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use crds::jiff::Timestamp;
use crds::{KayentaMetric, ScopeDetail};
use serde_json::{Map, Value as Json, json};

use super::http::{Http, Question, address};
use super::{Context, Outcome, Provider, ResolvedRequest, window};
use crate::Phase;

const TIMEOUT: Duration = Duration::from_secs(15);
/// How often in a row Kayenta may give no answer while an execution is under way.
const PATIENCE: u32 = 8;
const WHO: &str = "Kayenta";

/// Asks Kayenta.
#[derive(Debug)]
pub(super) struct Kayenta(pub(super) Arc<Http>);

struct Found {
    score: f64,
    execution: String,
}

impl Kayenta {
    async fn ask(&self, request: &ResolvedRequest, metric: &KayentaMetric, now: Timestamp) -> Result<Found, Outcome> {
        let base = metric.address.trim().trim_end_matches('/');
        address(base, "kayenta address", "http://kayenta.spinnaker:8090").map_err(Outcome::error)?;
        let config = self.config_id(base, metric).await?;
        let execution = self.start(base, &config, request, metric, now).await?;
        let endpoint = format!("{base}/canary/{execution}");
        let fields = [("storageAccountName", metric.storage_account_name.as_str())];
        let mut silent = 0;
        loop {
            tokio::time::sleep(self.0.config.poll).await;
            let question = Question::plain(TIMEOUT);
            let answer = self.0.json(WHO, question, |client| client.get(&endpoint).query(&fields)).await;
            let answer = match answer {
                Ok(answer) => answer,
                // The execution goes on without being asked after.
                Err(Outcome::NoAnswer { .. }) if silent < PATIENCE => {
                    silent += 1;
                    continue;
                }
                Err(outcome) => return Err(outcome),
            };
            silent = 0;
            match answer.get("complete").and_then(Json::as_bool) {
                Some(false) => {}
                Some(true) => return Ok(Found { score: score(&answer)?, execution }),
                None => return Err(Outcome::error("the answer of Kayenta does not say whether it is complete")),
            }
        }
    }

    async fn config_id(&self, base: &str, metric: &KayentaMetric) -> Result<String, Outcome> {
        let fields = [
            ("application", metric.application.as_str()),
            ("configurationAccountName", metric.configuration_account_name.as_str()),
        ];
        let endpoint = format!("{base}/canaryConfig");
        let question = Question::plain(TIMEOUT);
        let answer = self.0.json(WHO, question, |client| client.get(&endpoint).query(&fields)).await?;
        let wanted = metric.canary_config_name.as_str();
        let configs = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let found = configs.iter().find(|config| config.get("name").and_then(Json::as_str) == Some(wanted));
        found.and_then(|config| config.get("id")?.as_str()).map(str::to_owned).ok_or_else(|| {
            let (wanted, application) = (&metric.canary_config_name, &metric.application);
            Outcome::error(format!("Kayenta has no canary configuration {wanted} for the application {application}"))
        })
    }

    async fn start(
        &self,
        base: &str,
        config: &str,
        request: &ResolvedRequest,
        metric: &KayentaMetric,
        now: Timestamp,
    ) -> Result<String, Outcome> {
        let begin = if metric.lookback == Some(true) {
            window(request.metric.interval.as_deref(), now).map_err(Outcome::error)?.0
        } else {
            request.started_at
        };
        let scopes: Map<String, Json> = metric
            .scopes
            .iter()
            .map(|pair| {
                let sides = json!({
                    "controlScope": scope(&pair.control_scope, begin, now),
                    "experimentScope": scope(&pair.experiment_scope, begin, now),
                });
                (pair.name.clone(), sides)
            })
            .collect();
        let body = json!({
            "scopes": scopes,
            "thresholds": {"pass": metric.threshold.pass, "marginal": metric.threshold.marginal},
        });
        let fields = [
            ("application", metric.application.as_str()),
            ("metricsAccountName", metric.metrics_account_name.as_str()),
            ("configurationAccountName", metric.configuration_account_name.as_str()),
            ("storageAccountName", metric.storage_account_name.as_str()),
        ];
        let endpoint = format!("{base}/canary/{config}");
        let question = Question::plain(TIMEOUT);
        let answer = self.0.json(WHO, question, |client| client.post(&endpoint).query(&fields).json(&body)).await?;
        let id = answer.get("canaryExecutionId").and_then(Json::as_str).filter(|id| !id.is_empty());
        id.map(str::to_owned).ok_or_else(|| Outcome::error("the answer of Kayenta has no canaryExecutionId"))
    }
}

fn scope(detail: &ScopeDetail, begin: Timestamp, end: Timestamp) -> Json {
    let given = |text: &Option<String>, at: Timestamp| {
        let text = text.as_deref().map(str::trim).filter(|text| !text.is_empty());
        text.map_or_else(|| whole(at), str::to_owned)
    };
    // Argo Rollouts calls the region `region`, Kayenta knows it as `location`.
    json!({
        "scope": detail.scope,
        "region": detail.region,
        "location": detail.region,
        "step": detail.step,
        "start": given(&detail.start, begin),
        "end": given(&detail.end, end),
    })
}

/// To the second, as Kayenta's examples have it.
fn whole(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn score(answer: &Json) -> Result<f64, Outcome> {
    if let Some(score) = answer.pointer("/result/judgeResult/score/score").and_then(Json::as_f64) {
        return Ok(score);
    }
    let status = answer.get("status").and_then(Json::as_str).unwrap_or("unknown");
    let problem = match answer.get("exception") {
        Some(Json::Object(exception)) if !exception.is_empty() => format!(": {}", Json::Object(exception.clone())),
        _ => String::new(),
    };
    Err(Outcome::error(format!("Kayenta gave no score: the execution is {status}{problem}")))
}

#[async_trait]
impl Provider for Kayenta {
    async fn measure(&self, request: &ResolvedRequest, context: &Context) -> Outcome {
        let Some(metric) = &request.metric.provider.kayenta else {
            return Outcome::error("the metric has no kayenta provider");
        };
        match self.ask(request, metric, context.now).await {
            Ok(Found { score, execution }) => {
                // As Argo Rollouts has it: the score without its fraction.
                let score = score.trunc();
                #[allow(clippy::cast_precision_loss, reason = "scores are 0 to 100")]
                let (pass, marginal) = (metric.threshold.pass as f64, metric.threshold.marginal as f64);
                let phase = if score >= pass {
                    Phase::Successful
                } else if score >= marginal {
                    Phase::Inconclusive
                } else {
                    Phase::Failed
                };
                let metadata = BTreeMap::from([("canaryExecutionId".to_owned(), execution)]);
                Outcome::Judged { phase, message: String::new(), stored: score.to_string(), metadata }
            }
            Err(outcome) => outcome,
        }
    }

    fn waits(&self) -> bool {
        true
    }
}
