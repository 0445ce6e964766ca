//! Evidence of harm that needs no measure of dispersion: a bet on the canary's share of the failures of each block.
//!
//! Valid for any dispersion inside a block, because only the expectation of the share matters; slower than [`super::harm`].

use serde::{Deserialize, Serialize};

use super::counts::Block;
use super::harm::alternatives;
use super::mixture::log_mean_exp;

/// One logarithm per alternative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Robust([f64; 8]);

impl Robust {
    /// Takes in a clean block. Without failures, or when one version had no traffic, there is nothing to bet on.
    pub fn add(&mut self, block: &Block, ratio: f64) {
        let (canary, stable, failures) = (block.canary, block.stable, block.failures());
        if failures <= 0.0 || canary.total <= 0.0 || stable.total <= 0.0 {
            return;
        }
        let share = canary.failed / failures;
        let expected = |r: f64| r * canary.total / (r * canary.total + stable.total);
        let tolerated = expected(ratio);
        for (log, worse) in self.0.iter_mut().zip(alternatives()) {
            let alternative = expected(ratio * worse);
            let payoff = share * alternative / tolerated + (1.0 - share) * (1.0 - alternative) / (1.0 - tolerated);
            *log += payoff.ln();
        }
    }

    /// Logarithm of the evidence.
    pub fn log_evidence(&self) -> f64 {
        log_mean_exp(self.0)
    }
}
