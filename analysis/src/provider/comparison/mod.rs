//! `comparison`: asks Prometheus for blocks of both versions, and lets [`crate::comparison`] judge them.
//!
//! A block is as long as four scrape intervals, at least 10 seconds (a minute for gauges); blocks do not overlap, end at multiples of their
//! length, and are asked for one scrape interval late, when all targets have been scraped. Each measurement takes in the blocks since the last
//! one, which it finds in the notes of the metric: a restart of the controller loses nothing, and a look more changes nothing.
//!
//! | what happens | means |
//! |---|---|
//! | Prometheus does not answer | no answer: the run holds, and the blocks are asked for later |
//! | no series of one version for more than two blocks | error, with the query that matches nothing |
//! | series, but no requests | no verdict yet; inconclusive when the time is up |
//! | evidence of harm | failed |

mod gauge;
mod histogram;
mod kayenta;
mod queries;
mod ratio;

use std::collections::BTreeMap;

use async_trait::async_trait;
use crds::jiff::Timestamp;
use crds::{ComparisonMetric, PrometheusMetric};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::prometheus::{Found, Prometheus};
use super::{Context, Outcome, Provider, ResolvedRequest};
use crate::comparison::evidence::{Settings, Verdict};
use crate::comparison::threshold;
use crate::comparison::wanted::{self, Judge, Wanted, What};
use crate::{Phase, words};

/// Shortest block, in seconds.
const SHORTEST_BLOCK: i64 = 10;
/// Scrape intervals in a block.
const SCRAPES: i64 = 4;
/// Scrape interval when it cannot be told.
const DEFAULT_SCRAPE: i64 = 15;
/// Seconds of history from which the dispersion is told.
const HISTORY: i64 = 7_200;
/// Blocks without any series that are waited for.
const GRACE: i64 = 2;
/// Blocks that one measurement takes in, at most.
const MOST_BLOCKS: i64 = 1_000;

/// Compares versions by metrics in Prometheus.
#[derive(Debug)]
pub(super) struct Comparison(pub(super) Prometheus);

/// What is noted between two measurements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notes<T> {
    /// The metric that it is about: another one begins anew.
    about: String,
    pace: Pace,
    /// End of the last block in which there were series of the canary, and of the stable version.
    seen: [i64; 2],
    evidence: T,
}

/// What a measurement found.
struct Report {
    verdict: Verdict,
    message: String,
    /// The numbers of both versions, in short.
    stored: String,
    /// End of the last block.
    through: i64,
    /// Why there is no data of the canary, or of the stable version, when there is none.
    absent: [String; 2],
    metadata: BTreeMap<String, String>,
}

/// What a measurement is about.
struct Look<'a> {
    server: PrometheusMetric,
    comparison: &'a ComparisonMetric,
    wanted: Wanted,
    settings: Settings,
    request: &'a ResolvedRequest,
    now: Timestamp,
}

type Asked<T> = Result<T, Outcome>;

#[async_trait]
impl Provider for Comparison {
    async fn measure(&self, request: &ResolvedRequest, context: &Context) -> Outcome {
        match self.look(request, context.now).await {
            Ok(outcome) | Err(outcome) => outcome,
        }
    }
}

fn server(comparison: &ComparisonMetric) -> PrometheusMetric {
    PrometheusMetric {
        address: comparison.address.clone(),
        authentication: comparison.authentication.clone(),
        timeout: comparison.timeout,
        insecure: comparison.insecure,
        headers: comparison.headers.clone(),
        ..PrometheusMetric::default()
    }
}

/// The first moment from `at` on that is a multiple of the block.
fn aligned(at: i64, block: i64) -> i64 {
    at.saturating_add(block - 1).div_euclid(block) * block
}

/// A moment as a person reads it.
fn moment(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|at| at.to_string()).unwrap_or_default()
}

/// A number of a block, without the digits that nobody needs to redo the sum.
fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

impl Comparison {
    async fn look(&self, request: &ResolvedRequest, now: Timestamp) -> Asked<Outcome> {
        let Some(comparison) = &request.metric.provider.comparison else {
            return Err(Outcome::error("the metric has no comparison provider"));
        };
        let wanted = wanted::read(comparison).map_err(|problems| {
            let texts = problems.iter().map(|(field, problem)| format!("{field} {problem}"));
            Outcome::error(texts.collect::<Vec<_>>().join("; "))
        })?;
        let settings = Settings { alpha: wanted.settings.alpha * request.standing.share, ..wanted.settings };
        let look = Look { server: server(comparison), comparison, wanted, settings, request, now };
        match &look.wanted.what {
            What::Ratio { failed, total } => {
                let queries = queries::Ratio::new(failed, total, comparison).map_err(Outcome::error)?;
                match look.wanted.judge {
                    Judge::Kayenta => self.by_kayenta(&look, &queries).await,
                    Judge::Sequential => self.by_ratio(&look, &queries).await,
                }
            }
            What::Histogram(query) => {
                let queries = queries::Histogram::new(query, comparison).map_err(Outcome::error)?;
                self.by_histogram(&look, &queries).await
            }
            What::Gauge(query) => {
                let queries = queries::Gauge::new(query, comparison).map_err(Outcome::error)?;
                self.by_gauge(&look, &queries).await
            }
        }
    }

    /// The series of a query at each end of a block.
    async fn range(&self, look: &Look<'_>, query: &str, (from, to, block): (i64, i64, i64)) -> Asked<Vec<Found>> {
        self.0.range(&look.server, query, (from, to, block), look.now).await
    }

    /// The time between two samples of one of the series.
    async fn scrape_interval(&self, look: &Look<'_>, query: Option<String>) -> Asked<i64> {
        let Some(query) = query else { return Ok(DEFAULT_SCRAPE) };
        let series = match self.0.instant(&look.server, &query, look.now).await {
            Ok(series) => series,
            Err(Outcome::NoAnswer { reason }) => return Err(Outcome::NoAnswer { reason }),
            // Too many samples, or a server that knows no matrices: the usual interval will do.
            Err(_) => return Ok(DEFAULT_SCRAPE),
        };
        let shortest = series.iter().filter_map(|one| {
            let times: Vec<i64> = one.points.keys().chain(one.histograms.keys()).copied().collect();
            times.windows(2).filter_map(|pair| Some(pair.get(1)? - pair.first()?)).filter(|gap| *gap > 0).max()
        });
        Ok(shortest.min().unwrap_or(DEFAULT_SCRAPE))
    }
}

/// The length of a block when the user does not say.
fn usual_block(scrape: i64, shortest: i64) -> i64 {
    aligned((SCRAPES * scrape).max(shortest), 5)
}

/// How long blocks are and when they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Pace {
    /// Seconds of a block.
    block: i64,
    /// Seconds of a scrape interval.
    scrape: i64,
}

impl Pace {
    /// Ends of the blocks since `through`: from, to, and the length of a block; nothing while there is no whole one.
    fn due(self, through: i64, now: Timestamp) -> Option<(i64, i64, i64)> {
        let latest = (now.as_second() - self.scrape).div_euclid(self.block) * self.block;
        let from = through + self.block;
        let to = latest.min(through + MOST_BLOCKS * self.block);
        (to >= from).then_some((from, to, self.block))
    }
}

impl Look<'_> {
    /// What tells one comparison from another; FNV-1a of the question.
    fn about(&self) -> String {
        let text = serde_json::to_string(self.comparison).unwrap_or_default();
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        format!("{hash:016x}")
    }

    fn noted<T: DeserializeOwned>(&self) -> Option<Notes<T>> {
        let notes: Notes<T> = serde_json::from_str(self.request.standing.evidence.as_deref()?).ok()?;
        (notes.about == self.about() && notes.pace.block > 0).then_some(notes)
    }

    fn outcome<T: Serialize>(&self, notes: &Notes<T>, report: Report) -> Outcome {
        let Report { verdict, message, stored, through, absent, mut metadata } = report;
        metadata.insert("logEvidenceNeeded".to_owned(), format!("{:.4}", threshold(self.settings.alpha)));
        metadata.insert("through".to_owned(), moment(through));
        metadata.insert("blockSeconds".to_owned(), notes.pace.block.to_string());
        if let Ok(text) = serde_json::to_string(notes) {
            metadata.insert(words::COMPARISON_EVIDENCE.to_owned(), text);
        }
        let silent = notes.seen.iter().position(|seen| through - seen > GRACE * notes.pace.block);
        if let Some(version) = silent.filter(|_| verdict != Verdict::Harm) {
            let [canary, stable] = absent;
            let (name, why) = if version == 0 { ("canary", canary) } else { ("stable version", stable) };
            let message = format!("no data of the {name}: {why}");
            return Outcome::Error { message, metadata };
        }
        let phase = match verdict {
            Verdict::Harm => Phase::Failed,
            Verdict::Promote { over } => {
                if over {
                    metadata.insert(words::CONCLUDED.to_owned(), "true".to_owned());
                }
                Phase::Successful
            }
            Verdict::Open { over: false } => Phase::Running,
            Verdict::Open { over: true } => Phase::Inconclusive,
        };
        Outcome::Judged { phase, message, stored, metadata }
    }
}

/// Why there is no data, where a query finds none.
fn no_match(query: &str) -> String {
    format!("nothing in Prometheus matches {query}")
}

/// What all kinds note of a measurement.
fn metadata(since: i64, harm: f64, safety: f64, blocks: &[serde_json::Value]) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("since".to_owned(), moment(since)),
        ("logEvidenceOfHarm".to_owned(), format!("{harm:.4}")),
        ("logEvidenceOfNoHarm".to_owned(), format!("{safety:.4}")),
        ("blocks".to_owned(), serde_json::json!(blocks).to_string()),
    ])
}
