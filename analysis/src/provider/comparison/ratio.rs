//! Failed of all requests.

use std::collections::BTreeMap;

use serde_json::json;

use super::queries::Ratio;
use super::{
    Asked, Comparison, HISTORY, Look, Notes, Pace, Report, SHORTEST_BLOCK, aligned, metadata, no_match, round,
    usual_block,
};
use crate::comparison::evidence::{Dispersion, Evidence};
use crate::comparison::{Block, Counts};
use crate::provider::Outcome;
use crate::provider::prometheus::Points;

impl Comparison {
    pub(super) async fn by_ratio(&self, look: &Look<'_>, queries: &Ratio) -> Asked<Outcome> {
        let mut notes = match look.noted() {
            Some(notes) => notes,
            None => self.begin_ratio(look, queries).await?,
        };
        let mut blocks = Vec::new();
        if let Some((from, to, block)) = notes.pace.due(notes.evidence.through, look.now) {
            let [failed, total, stable_failed, stable_total] = self.counts(look, queries, (from, to, block)).await?;
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
                let counted = Block::new(counts(&failed, &total), counts(&stable_failed, &stable_total));
                notes.evidence.add(end, counted, look.settings.tolerance);
                blocks.push(counted.clean().0);
                end += block;
            }
        }
        Ok(look.outcome(&notes, report(look, queries, &notes, &blocks)))
    }

    /// Failed and all requests of the canary, then of the stable version, by the end of the block.
    pub(super) async fn counts(&self, look: &Look<'_>, queries: &Ratio, range: (i64, i64, i64)) -> Asked<[Points; 4]> {
        let mut found: [Points; 4] = Default::default();
        for (points, query) in found.iter_mut().zip(queries.counts(range.2)) {
            for (at, value) in self.range(look, &query, range).await?.into_iter().flat_map(|one| one.points) {
                *points.entry(at).or_insert(0.0) += value;
            }
        }
        Ok(found)
    }

    /// The first measurement: how long blocks are, and how much the stable version's counts spread.
    async fn begin_ratio(&self, look: &Look<'_>, queries: &Ratio) -> Asked<Notes<Evidence>> {
        let scrape = self.scrape_interval(look, queries.samples()).await?;
        let block = look.wanted.block.unwrap_or_else(|| usual_block(scrape, SHORTEST_BLOCK));
        let since = aligned(look.request.started_at.as_second(), block);
        let dispersion = match queries.by_pod(block) {
            Some([failed, total]) => self.dispersion(look, &failed, &total, (since, block)).await?,
            None => Dispersion::of_history(&[]),
        };
        let evidence = Evidence::new(since, dispersion);
        Ok(Notes { about: look.about(), pace: Pace { block, scrape }, seen: [since; 2], evidence })
    }

    /// How much the counts of the stable pods spread before `since`.
    pub(super) async fn dispersion(
        &self,
        look: &Look<'_>,
        failed: &str,
        total: &str,
        (since, block): (i64, i64),
    ) -> Asked<Dispersion> {
        let range = (aligned(since - HISTORY, block), since, block);
        let mut pods: BTreeMap<BTreeMap<String, String>, BTreeMap<i64, Counts>> = BTreeMap::new();
        for (query, is_total) in [(failed, false), (total, true)] {
            let series = match self.range(look, query, range).await {
                Ok(series) => series,
                Err(Outcome::NoAnswer { reason }) => return Err(Outcome::NoAnswer { reason }),
                // Too many pods or points: it is learnt on the way.
                Err(_) => return Ok(Dispersion::of_history(&[])),
            };
            for one in series {
                let blocks = pods.entry(one.labels).or_default();
                for (at, value) in one.points {
                    let counts = blocks.entry(at).or_default();
                    *(if is_total { &mut counts.total } else { &mut counts.failed }) = value;
                }
            }
        }
        Ok(of_pods(&pods.into_values().collect::<Vec<_>>()))
    }
}

/// The dispersion of pods, each with its counts by the end of the block.
pub(super) fn of_pods(pods: &[BTreeMap<i64, Counts>]) -> Dispersion {
    let mut ends: Vec<i64> = pods.iter().flat_map(BTreeMap::keys).copied().collect();
    ends.sort_unstable();
    ends.dedup();
    let blocks: Vec<Vec<Counts>> = ends
        .iter()
        .map(|end| pods.iter().map(|blocks| blocks.get(end).copied().unwrap_or_default().clean().0).collect())
        .collect();
    Dispersion::of_history(&blocks)
}

/// What was found, and all that a person needs to do the sum again.
fn report(look: &Look<'_>, queries: &Ratio, notes: &Notes<Evidence>, blocks: &[Block]) -> Report {
    let evidence = &notes.evidence;
    let counts = |counts: Counts| format!("{:.1} of {:.1}", counts.failed, counts.total);
    let rows: Vec<_> = blocks
        .iter()
        .map(|block| {
            json!([block.canary.failed, block.canary.total, block.stable.failed, block.stable.total].map(round))
        })
        .collect();
    let mut metadata = metadata(evidence.since, evidence.log_harm(), evidence.log_safety(), &rows);
    let dispersion = format!("{:.3}, {}", evidence.dispersion.value(), evidence.dispersion.source());
    metadata.extend([
        ("canary".to_owned(), counts(evidence.canary)),
        ("stable".to_owned(), counts(evidence.stable)),
        ("dispersion".to_owned(), dispersion),
    ]);
    if let Some(lower) = evidence.lower_bound(look.settings.alpha) {
        metadata.insert("lowerBound".to_owned(), format!("{lower:.3}"));
    }
    if evidence.anomalies > 0 {
        metadata.insert("anomalies".to_owned(), evidence.anomalies.to_string());
    }
    let [_, canary, _, stable] = queries.counts(notes.pace.block);
    Report {
        verdict: evidence.verdict(&look.settings),
        message: evidence.message(&look.settings),
        stored: format!("[{:.6},{:.6}]", evidence.canary.share(), evidence.stable.share()),
        through: evidence.through,
        absent: [canary, stable].map(|query| no_match(&query)),
        metadata,
    }
}
