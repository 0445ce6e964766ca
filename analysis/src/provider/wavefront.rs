//! Wavefront (VMware Aria Operations for Applications): its chart API.
//!
//! The token is in the Secret `wavefront-api-tokens` of the controller's namespace, under the address of the server.
//!
//! Of each series the number nearest to now counts: one series is a number, several are a list, none is an error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use crds::jiff::Timestamp;
use crds::{Metric, WavefrontMetric};
use serde_json::Value as Json;

use super::http::{Http, Question, address};
use super::{Account, Context, Outcome, Provider, ResolvedRequest};
use crate::condition::Value;

const SECRET: &str = "wavefront-api-tokens";
const TIMEOUT: Duration = Duration::from_secs(30);
/// The window of time that is asked for.
const WINDOW: Duration = Duration::from_hours(1);
const WHO: &str = "Wavefront";

/// Asks Wavefront.
#[derive(Debug)]
pub(super) struct Wavefront(pub(super) Arc<Http>);

struct Found {
    value: Value,
    metadata: BTreeMap<String, String>,
}

impl Wavefront {
    async fn ask(
        &self,
        metric: &WavefrontMetric,
        account: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<Found, Outcome> {
        let given = metric.address.as_deref().unwrap_or_default().trim().trim_end_matches('/');
        if given.is_empty() {
            return Err(Outcome::error("wavefront address is empty: write for example example.wavefront.com"));
        }
        let name = given.trim_start_matches("https://").trim_start_matches("http://");
        let token = account.get(given).or_else(|| account.get(name)).ok_or_else(|| {
            Outcome::error(format!("the Secret {SECRET} has no key {name}: put the token of that server there"))
        })?;
        let base = if given.contains("://") { given.to_owned() } else { format!("https://{given}") };
        address(&base, "wavefront address", "example.wavefront.com").map_err(Outcome::error)?;
        let endpoint = format!("{base}/api/v2/chart/api");
        let (to, window) = (now.as_millisecond(), i64::try_from(WINDOW.as_millis()).unwrap_or(i64::MAX));
        let fields = [
            ("q", metric.query.clone().unwrap_or_default()),
            ("s", to.saturating_sub(window).to_string()),
            ("e", to.to_string()),
            ("g", "s".to_owned()),
            ("strict", "true".to_owned()),
        ];
        let question = Question::plain(TIMEOUT).secret("authorization", &format!("Bearer {}", token.trim()))?;
        let answer = self.0.json(WHO, question, |client| client.get(&endpoint).query(&fields)).await?;
        read(&answer, now)
    }
}

fn read(answer: &Json, now: Timestamp) -> Result<Found, Outcome> {
    if let Some(problem) = answer.get("errorMessage").and_then(Json::as_str).filter(|problem| !problem.is_empty()) {
        return Err(Outcome::error(format!("Wavefront: {problem}")));
    }
    let series = answer.get("timeseries").and_then(Json::as_array);
    let nearest: Vec<(f64, i64, f64)> = series
        .into_iter()
        .flatten()
        .filter_map(|series| {
            let points = series.get("data")?.as_array()?.iter().filter_map(|point| {
                let (at, number) = (point.get(0)?.as_f64()?, point.get(1)?.as_f64()?);
                #[allow(clippy::cast_precision_loss, reason = "seconds since 1970")]
                let drift = (at - now.as_second() as f64).abs();
                Some((drift, at, number))
            });
            let (drift, at, number) = points.min_by(|one, other| one.0.total_cmp(&other.0))?;
            #[allow(clippy::cast_possible_truncation, reason = "seconds since 1970")]
            let at = at as i64;
            Some((number, at, drift))
        })
        .collect();
    let value = match nearest.as_slice() {
        [] => {
            return Err(Outcome::error("no TimeSeries found in response from Wavefront"));
        }
        [(number, ..)] => Value::Float(*number),
        many => Value::floats(many.iter().map(|(number, ..)| *number)),
    };
    let join = |texts: Vec<String>| texts.join(",");
    let mut metadata = BTreeMap::from([
        ("timestamps".to_owned(), join(nearest.iter().map(|(_, at, _)| at.to_string()).collect())),
        ("drift".to_owned(), join(nearest.iter().map(|(.., drift)| drift.to_string()).collect())),
    ]);
    if let Some(warning) = answer.get("warnings").and_then(Json::as_str).filter(|warning| !warning.is_empty()) {
        metadata.insert(crate::words::WARNINGS.to_owned(), warning.to_owned());
    }
    Ok(Found { value, metadata })
}

#[async_trait]
impl Provider for Wavefront {
    async fn measure(&self, request: &ResolvedRequest, context: &Context) -> Outcome {
        let Some(metric) = &request.metric.provider.wavefront else {
            return Outcome::error("the metric has no wavefront provider");
        };
        match self.ask(metric, &request.account, context.now).await {
            Ok(Found { value, metadata }) => Outcome::Measured { stored: value.stored(), value, metadata },
            Err(outcome) => outcome,
        }
    }

    fn account(&self, metric: &Metric) -> Option<Account> {
        metric.provider.wavefront.as_ref()?;
        Some(Account { name: SECRET.to_owned(), of_run: false, public: &[] })
    }
}
