//! `comparison`: asks Prometheus for blocks of counts of both versions, and lets [`crate::comparison`] judge them.
//!
//! A block is as long as four scrape intervals, at least 10 seconds; blocks do not overlap, end at multiples of their length, and are asked
//! for one scrape interval late, when all targets have been scraped. Each measurement takes in the blocks since the last one, which it finds
//! in the notes of the metric: a restart of the controller loses nothing, and a look more changes nothing.
//!
//! | what happens | means |
//! |---|---|
//! | Prometheus does not answer | no answer: the run holds, and the blocks are asked for later |
//! | no series of one version for more than two blocks | error, with the query that matches nothing |
//! | series, but no requests | no verdict yet; inconclusive when the time is up |
//! | evidence of harm | failed |

mod kayenta;
mod queries;

use std::collections::BTreeMap;

use async_trait::async_trait;
use crds::jiff::Timestamp;
use crds::{ComparisonMetric, PrometheusMetric};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::prometheus::{Points, Prometheus};
use super::{Context, Outcome, Provider, ResolvedRequest};
use crate::comparison::evidence::{Dispersion, Evidence, Settings, Verdict};
use crate::comparison::wanted::{self, Judge, Wanted};
use crate::comparison::{Block, Counts, threshold};
use crate::{Phase, words};
use queries::Queries;

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
struct Notes {
    /// The metric that it is about: another one begins anew.
    about: String,
    /// Seconds of a block.
    block: i64,
    /// Seconds of a scrape interval.
    scrape: i64,
    /// End of the last block in which there were series of the canary, and of the stable version.
    seen: [i64; 2],
    evidence: Evidence,
}

/// What a measurement is about.
struct Look<'a> {
    server: PrometheusMetric,
    queries: Queries,
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

impl Comparison {
    async fn look(&self, request: &ResolvedRequest, now: Timestamp) -> Asked<Outcome> {
        let Some(comparison) = &request.metric.provider.comparison else {
            return Err(Outcome::error("the metric has no comparison provider"));
        };
        let wanted = wanted::read(comparison).map_err(|problems| {
            let texts = problems.iter().map(|(field, problem)| format!("{field} {problem}"));
            Outcome::error(texts.collect::<Vec<_>>().join("; "))
        })?;
        let queries = Queries::new(&wanted, comparison).map_err(Outcome::error)?;
        let settings = Settings { alpha: wanted.settings.alpha * request.standing.share, ..wanted.settings };
        let look = Look { server: server(comparison), queries, wanted, settings, request, now };
        match look.wanted.judge {
            Judge::Kayenta => self.by_kayenta(&look).await,
            Judge::Sequential => self.sequentially(&look).await,
        }
    }

    async fn sequentially(&self, look: &Look<'_>) -> Asked<Outcome> {
        let mut notes = match look.noted() {
            Some(notes) => notes,
            None => self.begin(look).await?,
        };
        let latest = (look.now.as_second() - notes.scrape).div_euclid(notes.block) * notes.block;
        let from = notes.evidence.through + notes.block;
        let to = latest.min(notes.evidence.through + MOST_BLOCKS * notes.block);
        let mut blocks = Vec::new();
        if to >= from {
            let [failed, total, stable_failed, stable_total] = self.counts(look, notes.block, from, to).await?;
            let mut end = from;
            while end <= to {
                let at = |points: &Points| points.get(&end).copied();
                for (seen, points) in notes.seen.iter_mut().zip([&total, &stable_total]) {
                    if at(points).is_some() {
                        *seen = end;
                    }
                }
                // A counter of failures is often born with the first one; none of it is none failed.
                let counts =
                    |failed: &Points, total: &Points| Counts::new(at(failed).unwrap_or(0.0), at(total).unwrap_or(0.0));
                let block = Block::new(counts(&failed, &total), counts(&stable_failed, &stable_total));
                notes.evidence.add(end, block, look.settings.tolerance);
                blocks.push(block.clean().0);
                end += notes.block;
            }
        }
        Ok(look.outcome(&notes, &blocks))
    }

    /// Failed and all requests of the canary, then of the stable version, by the end of the block.
    async fn counts(&self, look: &Look<'_>, block: i64, from: i64, to: i64) -> Asked<[Points; 4]> {
        let mut found: [Points; 4] = Default::default();
        for (points, query) in found.iter_mut().zip(look.queries.counts(block)) {
            let series = self.0.range(&look.server, &query, (from, to, block), look.now).await?;
            for (_, more) in series {
                for (at, value) in more {
                    *points.entry(at).or_insert(0.0) += value;
                }
            }
        }
        Ok(found)
    }

    /// The first measurement: how long blocks are, and how much the stable version's counts spread.
    async fn begin(&self, look: &Look<'_>) -> Asked<Notes> {
        let scrape = self.scrape_interval(look).await?;
        let block = look.wanted.block.unwrap_or_else(|| aligned((SCRAPES * scrape).max(SHORTEST_BLOCK), 5));
        let since = aligned(look.request.started_at.as_second(), block);
        let dispersion = self.history(look, block, since).await?;
        let evidence = Evidence::new(since, dispersion);
        Ok(Notes { about: look.about(), block, scrape, seen: [since; 2], evidence })
    }

    /// The time between two samples of the stable version's counter.
    async fn scrape_interval(&self, look: &Look<'_>) -> Asked<i64> {
        let Some(query) = look.queries.samples() else { return Ok(DEFAULT_SCRAPE) };
        let series = match self.0.instant(&look.server, &query, look.now).await {
            Ok(series) => series,
            Err(Outcome::NoAnswer { reason }) => return Err(Outcome::NoAnswer { reason }),
            // Too many samples, or a server that knows no matrices: the usual interval will do.
            Err(_) => return Ok(DEFAULT_SCRAPE),
        };
        let shortest = series.iter().filter_map(|(_, points)| {
            let times: Vec<i64> = points.keys().copied().collect();
            times.windows(2).filter_map(|pair| Some(pair.get(1)? - pair.first()?)).filter(|gap| *gap > 0).max()
        });
        Ok(shortest.min().unwrap_or(DEFAULT_SCRAPE))
    }

    async fn history(&self, look: &Look<'_>, block: i64, since: i64) -> Asked<Dispersion> {
        let Some([failed, total]) = look.queries.by_pod(block) else {
            return Ok(Dispersion::of_history(&[]));
        };
        let range = (aligned(since - HISTORY, block), since, block);
        let mut pods: BTreeMap<String, BTreeMap<i64, Counts>> = BTreeMap::new();
        for (query, is_total) in [(failed, false), (total, true)] {
            let series = match self.0.range(&look.server, &query, range, look.now).await {
                Ok(series) => series,
                Err(Outcome::NoAnswer { reason }) => return Err(Outcome::NoAnswer { reason }),
                // Too many pods or points: it is learnt on the way.
                Err(_) => return Ok(Dispersion::of_history(&[])),
            };
            for (pod, points) in series {
                let blocks = pods.entry(pod).or_default();
                for (at, value) in points {
                    let counts = blocks.entry(at).or_default();
                    *(if is_total { &mut counts.total } else { &mut counts.failed }) = value;
                }
            }
        }
        let mut ends: Vec<i64> = pods.values().flat_map(BTreeMap::keys).copied().collect();
        ends.sort_unstable();
        ends.dedup();
        let blocks: Vec<Vec<Counts>> = ends
            .iter()
            .map(|end| pods.values().map(|blocks| blocks.get(end).copied().unwrap_or_default().clean().0).collect())
            .collect();
        Ok(Dispersion::of_history(&blocks))
    }
}

impl Look<'_> {
    /// What tells one comparison from another; FNV-1a of the question.
    fn about(&self) -> String {
        let text = serde_json::to_string(&self.request.metric.provider.comparison).unwrap_or_default();
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        format!("{hash:016x}")
    }

    fn noted(&self) -> Option<Notes> {
        let notes: Notes = serde_json::from_str(self.request.standing.evidence.as_deref()?).ok()?;
        (notes.about == self.about() && notes.block > 0).then_some(notes)
    }

    fn outcome(&self, notes: &Notes, blocks: &[Block]) -> Outcome {
        let evidence = &notes.evidence;
        let mut metadata = self.metadata(notes, blocks);
        if let Ok(text) = serde_json::to_string(notes) {
            metadata.insert(words::COMPARISON_EVIDENCE.to_owned(), text);
        }
        let verdict = evidence.verdict(&self.settings);
        let grace = GRACE * notes.block;
        let silent = notes.seen.iter().position(|seen| evidence.through - seen > grace);
        if let Some(version) = silent.filter(|_| verdict != Verdict::Harm) {
            let [_, canary, _, stable] = self.queries.counts(notes.block);
            let (name, query) = if version == 0 { ("canary", canary) } else { ("stable version", stable) };
            let message = format!("no data of the {name}: nothing in Prometheus matches {query}");
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
        let stored = format!("[{:.6},{:.6}]", evidence.canary.share(), evidence.stable.share());
        Outcome::Judged { phase, message: evidence.message(&self.settings), stored, metadata }
    }

    /// All that a person needs to do the sum again.
    fn metadata(&self, notes: &Notes, blocks: &[Block]) -> BTreeMap<String, String> {
        let evidence = &notes.evidence;
        let counts = |counts: Counts| format!("{:.1} of {:.1}", counts.failed, counts.total);
        let round = |number: f64| (number * 1e3).round() / 1e3;
        let rows: Vec<_> = blocks
            .iter()
            .map(|block| {
                json!([block.canary.failed, block.canary.total, block.stable.failed, block.stable.total].map(round))
            })
            .collect();
        let at = |seconds: i64| Timestamp::from_second(seconds).map(|at| at.to_string()).unwrap_or_default();
        let mut metadata = BTreeMap::from([
            ("canary".to_owned(), counts(evidence.canary)),
            ("stable".to_owned(), counts(evidence.stable)),
            ("logEvidenceOfHarm".to_owned(), format!("{:.4}", evidence.log_harm())),
            ("logEvidenceOfNoHarm".to_owned(), format!("{:.4}", evidence.log_safety())),
            ("logEvidenceNeeded".to_owned(), format!("{:.4}", threshold(self.settings.alpha))),
            ("dispersion".to_owned(), format!("{:.3}, {}", evidence.dispersion.value(), evidence.dispersion.source())),
            ("since".to_owned(), at(evidence.since)),
            ("through".to_owned(), at(evidence.through)),
            ("blockSeconds".to_owned(), notes.block.to_string()),
            ("blocks".to_owned(), serde_json::Value::Array(rows).to_string()),
        ]);
        if let Some(lower) = evidence.lower_bound(self.settings.alpha) {
            metadata.insert("lowerBound".to_owned(), format!("{lower:.3}"));
        }
        if evidence.anomalies > 0 {
            metadata.insert("anomalies".to_owned(), evidence.anomalies.to_string());
        }
        metadata
    }
}
