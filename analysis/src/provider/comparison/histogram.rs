//! Latency by the buckets of a histogram, classic or native.
//!
//! Which bounds are compared is told by what the stable version did before the first block that is judged: two hours before the release or,
//! when it had too few requests then, from the release's beginning on until it had enough.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::queries::{ALL, BOUND, Histogram as Queries};
use super::ratio::of_pods;
use super::{
    Asked, Comparison, HISTORY, Look, Notes, Pace, Report, SHORTEST_BLOCK, aligned, metadata, no_match, round,
    usual_block,
};
use crate::comparison::evidence::{Dispersion, Verdict};
use crate::comparison::latency::{Latency, choose};
use crate::comparison::{Block, Counts};
use crate::provider::Outcome;
use crate::provider::prometheus::{Found, Native};

/// Requests of the stable version from which bounds can be chosen.
const ENOUGH: f64 = 100.0;

/// What is known so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Known {
    /// Nothing, since then: no bounds are chosen.
    Choosing { since: i64, through: i64 },
    /// Bounds are chosen; the canary may have requests, but under other bounds.
    #[serde(rename_all = "camelCase")]
    Chosen { native: bool, latency: Latency, other_bounds: bool },
}

/// What the stable version did over some time: all requests, and of each bound its text and how many were slower.
#[derive(Debug, Clone, Default, PartialEq)]
struct Seen {
    native: bool,
    all: f64,
    slower: Vec<(f64, String, f64)>,
}

/// The buckets of one version in one block: requests up to a bound (of native histograms the share above it).
type Buckets = BTreeMap<i64, Vec<(f64, f64)>>;

fn bound(one: &Found) -> Option<f64> {
    let text = one.labels.get(BOUND)?;
    if text == ALL { Some(f64::INFINITY) } else { text.parse().ok() }
}

fn by_end(series: Vec<Found>) -> Buckets {
    let mut buckets = Buckets::new();
    for one in series {
        let Some(bound) = bound(&one) else { continue };
        for (at, value) in one.points {
            buckets.entry(at).or_default().push((bound, value));
        }
    }
    buckets
}

fn find(buckets: &[(f64, f64)], bound: f64) -> Option<f64> {
    buckets.iter().find(|(other, _)| other.total_cmp(&bound).is_eq()).map(|(_, value)| *value)
}

/// Slower than the bound, of all; nothing when the version's histogram has no such bound.
fn counts(buckets: &[(f64, f64)], bound: f64, native: bool) -> Option<Counts> {
    let all = find(buckets, f64::INFINITY)?;
    let value = if all > 0.0 { find(buckets, bound)? } else { find(buckets, bound).unwrap_or(0.0) };
    Some(Counts::new(if native { value * all } else { all - value }, all))
}

fn seen_classic(series: &[Found]) -> Seen {
    let last = |one: &Found| one.points.values().next_back().copied();
    let buckets: Vec<(f64, &str, f64)> =
        series.iter().filter_map(|one| Some((bound(one)?, one.labels.get(BOUND)?.as_str(), last(one)?))).collect();
    let all = buckets.iter().find(|(bound, _, _)| bound.is_infinite()).map_or(0.0, |(_, _, all)| *all);
    let finite = buckets.into_iter().filter(|(bound, _, _)| bound.is_finite());
    Seen {
        native: false,
        all,
        slower: finite.map(|(bound, text, below)| (bound, text.to_owned(), all - below)).collect(),
    }
}

fn seen_native(Native(buckets): &Native) -> Seen {
    let all: f64 = buckets.iter().map(|(_, count)| count).sum();
    let mut left = all;
    let slower = buckets.iter().map(|(upper, count)| {
        left -= count;
        (*upper, upper.to_string(), left)
    });
    Seen { native: true, all, slower: slower.collect() }
}

impl Comparison {
    pub(super) async fn by_histogram(&self, look: &Look<'_>, queries: &Queries) -> Asked<Outcome> {
        let mut notes: Notes<Known> = match look.noted() {
            Some(notes) => notes,
            None => self.begin_histogram(look, queries).await?,
        };
        if let Known::Choosing { since, through } = notes.evidence {
            let until = notes.pace.due(through, look.now).map_or(through, |(_, to, _)| to);
            if until > since {
                let seen = self.seen(look, queries, (since, until)).await?;
                if seen.all > 0.0 {
                    notes.seen = [until; 2];
                }
                notes.evidence = match self.chosen(look, queries, &seen, (until, notes.pace.block), false).await? {
                    Some(chosen) => chosen,
                    None => Known::Choosing { since, through: until },
                };
            }
        }
        let mut rows = Vec::new();
        if let Known::Chosen { native, latency, other_bounds } = &mut notes.evidence
            && let Some(range) = notes.pace.due(latency.through, look.now)
        {
            let bounds: Vec<f64> = latency.tails.iter().map(|tail| tail.bound).collect();
            let asked = if *native { queries.shares(range.2, &bounds) } else { queries.buckets(range.2) };
            let [canary_query, stable_query] = asked;
            let canary = by_end(self.range(look, &canary_query, range).await?);
            let stable = by_end(self.range(look, &stable_query, range).await?);
            let (from, to, block) = range;
            let mut end = from;
            while end <= to {
                let at = |buckets: &Buckets, bound: f64| counts(buckets.get(&end)?, bound, *native);
                let any = canary.get(&end).and_then(|buckets| find(buckets, f64::INFINITY));
                *other_bounds = any.is_some();
                let found: Vec<[Option<Counts>; 2]> =
                    bounds.iter().map(|bound| [at(&canary, *bound), at(&stable, *bound)]).collect();
                for (version, seen) in notes.seen.iter_mut().enumerate() {
                    if found.iter().any(|found| found.get(version).is_some_and(Option::is_some)) {
                        *seen = end;
                    }
                }
                let blocks: Vec<Block> = found
                    .into_iter()
                    .map(|[canary, stable]| Block::new(canary.unwrap_or_default(), stable.unwrap_or_default()))
                    .collect();
                latency.add(end, &blocks, look.settings.tolerance);
                rows.push(json!(blocks.iter().map(row).collect::<Vec<_>>()));
                end += block;
            }
        }
        Ok(look.outcome(&notes, report(look, queries, &notes, &rows)))
    }

    /// The first measurement: how long blocks are, and which bounds tell something.
    async fn begin_histogram(&self, look: &Look<'_>, queries: &Queries) -> Asked<Notes<Known>> {
        let mut scrape = self.scrape_interval(look, queries.samples()).await?;
        if scrape == super::DEFAULT_SCRAPE {
            scrape = self.scrape_interval(look, queries.native_samples()).await?;
        }
        let block = look.wanted.block.unwrap_or_else(|| usual_block(scrape, SHORTEST_BLOCK));
        let since = aligned(look.request.started_at.as_second(), block);
        let seen = self.seen(look, queries, (since - HISTORY, since)).await?;
        let chosen = self.chosen(look, queries, &seen, (since, block), true).await?;
        let evidence = chosen.unwrap_or(Known::Choosing { since, through: since });
        Ok(Notes { about: look.about(), pace: Pace { block, scrape }, seen: [since; 2], evidence })
    }

    /// What the stable version did between two moments.
    async fn seen(&self, look: &Look<'_>, queries: &Queries, (from, to): (i64, i64)) -> Asked<Seen> {
        let [_, stable] = queries.buckets(to - from);
        let series = self.range(look, &stable, (to, to, 1)).await?;
        let native = series.iter().find_map(|one| one.histograms.values().next_back());
        Ok(native.map_or_else(|| seen_classic(&series), seen_native))
    }

    /// The bounds that tell something and their dispersion, if enough was seen to choose; `history` says whether it was before the release.
    async fn chosen(
        &self,
        look: &Look<'_>,
        queries: &Queries,
        seen: &Seen,
        (since, block): (i64, i64),
        history: bool,
    ) -> Asked<Option<Known>> {
        if seen.all < ENOUGH {
            return Ok(None);
        }
        let shares: Vec<(f64, f64)> =
            seen.slower.iter().map(|(bound, _, slower)| (*bound, slower / seen.all)).collect();
        let chosen = choose(&shares);
        if chosen.is_empty() {
            return Ok(None);
        }
        let mut bounds: Vec<(f64, Dispersion)> =
            chosen.iter().map(|bound| (*bound, Dispersion::of_history(&[]))).collect();
        if history && seen.native {
            if let Some(query) = queries.shares_by_pod(block, &chosen) {
                self.native_dispersion(look, &query, &mut bounds, (since, block)).await?;
            }
        } else if history {
            for (bound, dispersion) in &mut bounds {
                let text = seen.slower.iter().find(|(other, _, _)| other.total_cmp(bound).is_eq());
                let below = text.and_then(|(_, text, _)| queries.bucket_by_pod(block, text));
                if let (Some(below), Some(all)) = (below, queries.bucket_by_pod(block, ALL)) {
                    // How many are up to the bound spreads as how many are not, but few must be the failed ones.
                    let slower = format!("{all} - {below}");
                    *dispersion = self.dispersion(look, &slower, &all, (since, block)).await?;
                }
            }
        }
        Ok(Some(Known::Chosen { native: seen.native, latency: Latency::new(since, bounds), other_bounds: false }))
    }

    async fn native_dispersion(
        &self,
        look: &Look<'_>,
        query: &str,
        bounds: &mut [(f64, Dispersion)],
        (since, block): (i64, i64),
    ) -> Asked<()> {
        let range = (aligned(since - HISTORY, block), since, block);
        let series = match self.range(look, query, range).await {
            Ok(series) => series,
            Err(Outcome::NoAnswer { reason }) => return Err(Outcome::NoAnswer { reason }),
            // Too many pods or points: it is learnt on the way.
            Err(_) => return Ok(()),
        };
        let mut pods: BTreeMap<BTreeMap<String, String>, Vec<Found>> = BTreeMap::new();
        for one in series {
            let mut pod = one.labels.clone();
            pod.remove(BOUND);
            pods.entry(pod).or_default().push(one);
        }
        let pods: Vec<Buckets> = pods.into_values().map(by_end).collect();
        for (bound, dispersion) in bounds {
            let of_pod = |buckets: &Buckets| -> BTreeMap<i64, Counts> {
                buckets.iter().filter_map(|(end, buckets)| Some((*end, counts(buckets, *bound, true)?))).collect()
            };
            *dispersion = of_pods(&pods.iter().map(of_pod).collect::<Vec<_>>());
        }
        Ok(())
    }
}

fn row(block: &Block) -> [f64; 4] {
    let (block, _) = block.clean();
    [block.canary.failed, block.canary.total, block.stable.failed, block.stable.total].map(round)
}

/// What was found, and all that a person needs to do the sum again.
fn report(look: &Look<'_>, queries: &Queries, notes: &Notes<Known>, blocks: &[serde_json::Value]) -> Report {
    let asked = queries.buckets(notes.pace.block);
    let mut absent = asked.clone().map(|query| no_match(&query));
    let (latency, other_bounds) = match &notes.evidence {
        Known::Chosen { latency, other_bounds, .. } => (latency, *other_bounds),
        Known::Choosing { since, through } => {
            let over = look.settings.maximum.is_some_and(|maximum| through - since >= maximum);
            return Report {
                verdict: Verdict::Open { over },
                message: format!(
                    "no bound of the histogram is chosen yet: the stable version had too few requests within {} s, or all were slower than its bounds",
                    through - since
                ),
                stored: "[]".to_owned(),
                through: *through,
                absent,
                metadata: metadata(*since, 0.0, 0.0, blocks),
            };
        }
    };
    let mut metadata = metadata(latency.since, latency.log_harm(), latency.log_safety(), blocks);
    for tail in &latency.tails {
        let evidence = &tail.evidence;
        let counts = |counts: Counts| format!("{:.1} of {:.1}", counts.failed, counts.total);
        let (canary, stable) = (counts(evidence.canary), counts(evidence.stable));
        let (dispersion, source) = (evidence.dispersion.value(), evidence.dispersion.source());
        let text = format!("canary {canary}, stable {stable}, dispersion {dispersion:.3}, {source}");
        metadata.insert(format!("over {}", tail.bound), text);
    }
    if let Some(lower) = latency.lower_bound(look.settings.alpha) {
        metadata.insert("lowerBound".to_owned(), format!("{lower:.3}"));
    }
    let shares = latency.worst().map_or([0.0; 2], |tail| [tail.evidence.canary.share(), tail.evidence.stable.share()]);
    let [canary, stable] = shares;
    if other_bounds && let Some(why) = absent.first_mut() {
        let bounds: Vec<String> = latency.tails.iter().map(|tail| tail.bound.to_string()).collect();
        *why = format!("its histogram has none of the stable version's bounds ({})", bounds.join(", "));
    }
    let [query, _] = &asked;
    let seconds = query.contains("seconds") && !query.contains("milliseconds");
    Report {
        verdict: latency.verdict(&look.settings),
        message: latency.message(&look.settings, seconds),
        stored: format!("[{canary:.6},{stable:.6}]"),
        through: latency.through,
        absent,
        metadata,
    }
}
