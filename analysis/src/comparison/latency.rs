//! Latency: are more requests slower than a bound? Asked for several bounds of the histogram, answered by the average of the evidence.
//!
//! A quantile of a histogram throws away what it was made of; the buckets are counts, and counts are what [`super::harm`] judges. Requests
//! slower than a bound take the place of those that failed. An average of e-values is an e-value, so the bounds need no correction.
//!
//! Invariants: the bounds are chosen by what the stable version did *before* the first block that is judged; evidence of no harm is that of
//! the bound with the least of it.

use serde::{Deserialize, Serialize};

use super::counts::{Block, Counts};
use super::evidence::{Dispersion, Evidence, Settings, Verdict, Words, at_least};
use super::harm::Tolerance;
use super::mixture::log_mean_exp;
use super::words::{bound_text, number, percent};

/// Bounds are used for which the stable version's share of slower requests lies between these.
const USEFUL: std::ops::RangeInclusive<f64> = 0.002..=0.8;
/// More bounds than this say the same thing again.
const MOST: usize = 8;
/// Shares of slower requests that are looked for where there are more.
const TARGETS: [f64; 4] = [0.5, 0.2, 0.05, 0.01];

/// Whether a bound tells something, from the stable version's share of slower requests.
pub fn is_useful(slower: f64) -> bool {
    USEFUL.contains(&slower)
}

/// The bounds to judge by: of all `(bound, share of slower requests of the stable version)` those that tell something. Of a histogram with
/// very many, four; when the stable version is faster than all bounds, the lowest of them.
pub fn choose(bounds: &[(f64, f64)]) -> Vec<f64> {
    let mut known: Vec<(f64, f64)> = bounds.iter().copied().filter(|(bound, _)| bound.is_finite()).collect();
    known.sort_by(|one, other| one.0.total_cmp(&other.0));
    known.dedup_by(|one, other| one.0.total_cmp(&other.0).is_eq());
    let useful: Vec<(f64, f64)> = known.iter().copied().filter(|(_, slower)| is_useful(*slower)).collect();
    if useful.is_empty() {
        let fast = known.iter().find(|(_, slower)| slower < USEFUL.start());
        return fast.map(|(bound, _)| *bound).into_iter().collect();
    }
    if useful.len() <= MOST {
        return useful.into_iter().map(|(bound, _)| bound).collect();
    }
    let mut chosen: Vec<f64> = TARGETS
        .iter()
        .filter_map(|target| {
            let far = |slower: f64| (slower / target).ln().abs();
            let nearest = useful.iter().min_by(|one, other| far(one.1).total_cmp(&far(other.1)));
            nearest.map(|(bound, _)| *bound)
        })
        .collect();
    chosen.dedup_by(|one, other| one.total_cmp(other).is_eq());
    chosen
}

/// What is known of the requests slower than one bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    /// Seconds, or whatever the histogram counts in.
    pub bound: f64,
    /// The requests slower than that.
    pub evidence: Evidence,
}

/// What is known of a canary's latency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Unix time of the start of the first block.
    pub since: i64,
    /// Unix time of the end of the last block.
    pub through: i64,
    /// One for each bound.
    pub tails: Vec<Tail>,
    highest: f64,
}

impl Latency {
    /// Nothing is known but the bounds and the dispersion of the requests slower than each.
    pub fn new(since: i64, bounds: Vec<(f64, Dispersion)>) -> Self {
        let tail = |(bound, dispersion)| Tail { bound, evidence: Evidence::new(since, dispersion) };
        Self { since, through: since, tails: bounds.into_iter().map(tail).collect(), highest: 0.0 }
    }

    /// Takes in the block that ends at `end`: slower than each bound, in their order.
    pub fn add(&mut self, end: i64, blocks: &[Block], tolerance: Tolerance) {
        for (tail, block) in self.tails.iter_mut().zip(blocks) {
            tail.evidence.add(end, *block, tolerance);
        }
        self.through = end;
        // The average of what each bound says at one moment; the average of their highest would be too much.
        if !self.tails.iter().any(|tail| tail.evidence.is_learning()) {
            self.highest = self.highest.max(self.log_harm_now());
        }
    }

    fn log_harm_now(&self) -> f64 {
        log_mean_exp(self.tails.iter().map(|tail| tail.evidence.log_harm_now()))
    }

    /// Natural logarithm of the highest evidence of harm so far.
    pub fn log_harm(&self) -> f64 {
        self.highest
    }

    /// Natural logarithm of the evidence that the canary does no harm over any bound.
    pub fn log_safety(&self) -> f64 {
        self.tails.iter().map(|tail| tail.evidence.log_safety()).reduce(f64::min).unwrap_or(0.0)
    }

    /// The bound that says most against the canary.
    pub fn worst(&self) -> Option<&Tail> {
        let harm = |tail: &Tail| tail.evidence.log_harm_now();
        self.tails.iter().max_by(|one, other| harm(one).total_cmp(&harm(other)))
    }

    /// Requests of the canary.
    pub fn samples(&self) -> f64 {
        self.tails.iter().map(|tail| tail.evidence.canary.total).fold(0.0, f64::max)
    }

    /// How many times as many requests of the canary are slower than the worst bound, at least; it holds for all bounds at once.
    pub fn lower_bound(&self, alpha: f64) -> Option<f64> {
        let bounds = u32::try_from(self.tails.len()).ok().filter(|bounds| *bounds > 0)?;
        self.worst()?.evidence.lower_bound(alpha / f64::from(bounds))
    }

    /// What it means.
    pub fn verdict(&self, settings: &Settings) -> Verdict {
        settings.verdict(self.highest, self.log_safety(), self.samples(), self.through - self.since)
    }

    /// What was found, in words; `seconds` says whether bounds are seconds.
    pub fn message(&self, settings: &Settings, seconds: bool) -> String {
        let Some(Tail { bound, evidence }) = self.worst() else {
            return "no bound of the histogram tells the versions apart".to_owned();
        };
        let of = |counts: Counts| (percent(counts.share()), number(counts.total));
        let ((slow, all), (stable_slow, stable_all)) = (of(evidence.canary), of(evidence.stable));
        let over = bound_text(*bound, seconds);
        let rates = format!("canary has {slow} of {all} requests over {over}, stable {stable_slow} of {stable_all}");
        let words = Words::of_requests(rates, self.samples(), self.through - self.since);
        settings.message(self.verdict(settings), words, || {
            let tolerated = settings.tolerance.ratio;
            self.lower_bound(settings.alpha).filter(|lower| *lower > tolerated).map_or_else(
                || format!("more than {tolerated} times as many over one of {} bounds", self.tails.len()),
                |lower| format!("{} times as many", at_least(lower)),
            )
        })
    }
}
