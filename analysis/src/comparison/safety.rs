//! Evidence that the canary is *not* worse than what is tolerated: the mirror of [`super::harm`], for those who promote on evidence only.
//!
//! Null hypothesis: `p_c >= ratio * p_s`.

use serde::{Deserialize, Serialize};

use super::counts::Block;
use super::harm::increment;
use super::mixture::log_mean_exp;

const ALTERNATIVES: [f64; 6] = [0.9, 0.8, 0.65, 0.5, 0.3, 0.1];

/// One logarithm per alternative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Safety([f64; 6]);

impl Safety {
    /// Takes in a clean block.
    pub fn add(&mut self, block: &Block, ratio: f64, dispersion: f64) {
        for (log, better) in self.0.iter_mut().zip(ALTERNATIVES) {
            *log += increment(block, ratio, ratio * better) / dispersion.max(1.0);
        }
    }

    /// Logarithm of the evidence.
    pub fn log_evidence(&self) -> f64 {
        log_mean_exp(self.0)
    }
}
