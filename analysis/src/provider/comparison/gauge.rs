//! A value of each pod.

use std::collections::BTreeMap;

use serde_json::json;

use super::queries::Gauge as Queries;
use super::{Asked, Comparison, Look, Notes, Pace, Report, aligned, metadata, no_match, round, usual_block};
use crate::comparison::gauge::Gauge;
use crate::provider::Outcome;

/// Shortest block, in seconds: neighbouring values of a gauge are much alike, and blocks must not be.
const SHORTEST: i64 = 60;

impl Comparison {
    pub(super) async fn by_gauge(&self, look: &Look<'_>, queries: &Queries) -> Asked<Outcome> {
        let mut notes = match look.noted() {
            Some(notes) => notes,
            None => self.begin_gauge(look, queries).await?,
        };
        let mut rows = Vec::new();
        if let Some(range) = notes.pace.due(notes.evidence.through, look.now) {
            let [canary, stable] = self.values(look, queries, range).await?;
            let (from, to, block) = range;
            let mut end = from;
            while end <= to {
                let at = |values: &BTreeMap<i64, Vec<f64>>| values.get(&end).cloned().unwrap_or_default();
                let values = [at(&canary), at(&stable)];
                for (seen, values) in notes.seen.iter_mut().zip(&values) {
                    if !values.is_empty() {
                        *seen = end;
                    }
                }
                let [canary, stable] = &values;
                notes.evidence.add(end, canary, stable, look.settings.tolerance.ratio);
                rows.push(json!(values.map(|values| values.into_iter().map(round).collect::<Vec<_>>())));
                end += block;
            }
        }
        let evidence = &notes.evidence;
        let [canary, stable] = evidence.means();
        let mut metadata = metadata(evidence.since, evidence.log_harm(), evidence.log_safety(), &rows);
        let [canary_pods, stable_pods] = evidence.pods;
        metadata.extend([
            ("canary".to_owned(), format!("{canary:.6} in the mean, {canary_pods} pods at last")),
            ("stable".to_owned(), format!("{stable:.6} in the mean, {stable_pods} pods at last")),
        ]);
        let report = Report {
            verdict: evidence.verdict(&look.settings),
            message: evidence.message(&look.settings),
            stored: format!("[{canary:.6},{stable:.6}]"),
            through: evidence.through,
            absent: queries.values(notes.pace.block).map(|query| no_match(&query)),
            metadata,
        };
        Ok(look.outcome(&notes, report))
    }

    /// The first measurement: how long blocks are.
    async fn begin_gauge(&self, look: &Look<'_>, queries: &Queries) -> Asked<Notes<Gauge>> {
        let scrape = self.scrape_interval(look, queries.samples()).await?;
        let block = look.wanted.block.unwrap_or_else(|| usual_block(scrape, SHORTEST));
        let since = aligned(look.request.started_at.as_second(), block);
        let pace = Pace { block, scrape };
        Ok(Notes { about: look.about(), pace, seen: [since; 2], evidence: Gauge::new(since) })
    }

    /// The values of all pods of both versions by the end of the block.
    async fn values(
        &self,
        look: &Look<'_>,
        queries: &Queries,
        range: (i64, i64, i64),
    ) -> Asked<[BTreeMap<i64, Vec<f64>>; 2]> {
        let mut found: [BTreeMap<i64, Vec<f64>>; 2] = Default::default();
        for (values, query) in found.iter_mut().zip(queries.values(range.2)) {
            for (at, value) in self.range(look, &query, range).await?.into_iter().flat_map(|one| one.points) {
                values.entry(at).or_default().push(value);
            }
        }
        Ok(found)
    }
}
