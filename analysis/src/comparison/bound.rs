//! How many times as often the canary fails, at least: a lower bound that holds at all times at once.
//!
//! The largest ratio which the e-process of [`super::harm`] still speaks against is an anytime-valid lower confidence bound for
//! `p_c / p_s`. The process for any ratio can be told from two things: the canary's failures, and all failures by the share of traffic that
//! the canary had when they happened.
//!
//! Invariants: the state is bounded: shares of traffic are kept in cells of one percent of their odds, rounded towards more traffic for the
//! canary, which makes the bound lower, never higher, by at most that percent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counts::Block;
use super::harm::alternatives;
use super::mixture::log_mean_exp;

/// Cells per unit of the logarithm of the odds.
const CELLS: f64 = 100.0;
/// Odds beyond `exp(±12)` count as that.
const WIDEST: f64 = 12.0;
/// Ratios between which the bound is sought.
const LOWEST: f64 = 1e-6;
const HIGHEST: f64 = 1e6;

/// What the bound is told from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    canary: f64,
    /// All failures by cell of the canary's odds of traffic.
    failures: BTreeMap<i32, f64>,
}

impl Bound {
    /// Takes in a clean block.
    pub fn add(&mut self, block: &Block, dispersion: f64) {
        let (failures, dispersion) = (block.failures(), dispersion.max(1.0));
        if failures <= 0.0 {
            return;
        }
        self.canary += block.canary.failed / dispersion;
        let odds = (block.canary.total.ln() - block.stable.total.ln()).clamp(-WIDEST, WIDEST);
        // Within ±1,200.
        #[allow(clippy::cast_possible_truncation)]
        let cell = (odds * CELLS).ceil() as i32;
        *self.failures.entry(cell).or_default() += failures / dispersion;
    }

    /// Logarithm of the evidence against `p_c <= ratio * p_s`.
    pub fn log_evidence(&self, ratio: f64) -> f64 {
        log_mean_exp(alternatives().map(|worse| {
            let r = ratio * worse;
            let expected: f64 = self
                .failures
                .iter()
                .map(|(cell, failures)| {
                    let odds = (f64::from(*cell) / CELLS).exp();
                    failures * ((ratio * odds + 1.0) / (r * odds + 1.0)).ln()
                })
                .sum();
            self.canary * worse.ln() + expected
        }))
    }

    /// The largest ratio that is spoken against with `1/alpha`; nothing when there is no such ratio.
    pub fn lower(&self, alpha: f64) -> Option<f64> {
        let enough = -alpha.ln();
        let against = |log: f64| self.log_evidence(log.exp()) >= enough;
        let (mut low, mut high) = (LOWEST.ln(), HIGHEST.ln());
        if self.canary <= 0.0 || !against(low) {
            return None;
        }
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            if against(middle) { low = middle } else { high = middle }
        }
        Some(low.exp())
    }
}
