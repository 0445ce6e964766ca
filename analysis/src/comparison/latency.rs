//! Latency: are more requests slower than a bound? Asked for several bounds of the histogram, answered by the average of the evidence.
//!
//! A quantile of a histogram throws away what it was made of; the buckets are counts, and counts are what [`super::harm`] judges. Requests
//! slower than a bound take the place of those that failed. An average of e-values is an e-value, so the bounds need no correction.

use serde::{Deserialize, Serialize};

use super::counts::Block;
use super::harm::{Harm, Tolerance};
use super::mixture::log_mean_exp;

/// Bounds are used for which the stable version's share of slower requests lies between these.
const USEFUL: std::ops::RangeInclusive<f64> = 0.002..=0.8;

/// Whether a bound tells something, from the stable version's share of slower requests.
pub fn is_useful(slower: f64) -> bool {
    USEFUL.contains(&slower)
}

/// One bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    /// Seconds.
    pub bound: f64,
    /// Dispersion of the requests slower than that.
    pub dispersion: f64,
    harm: Harm,
}

impl Tail {
    /// A bound about which nothing is known yet.
    pub fn new(bound: f64, dispersion: f64) -> Self {
        Self { bound, dispersion, harm: Harm::default() }
    }

    /// Takes in a clean block of requests that were slower than the bound.
    pub fn add(&mut self, block: &Block, tolerance: Tolerance) {
        self.harm.add(block, tolerance, self.dispersion);
    }

    /// Logarithm of the evidence of this bound alone.
    pub fn log_evidence(&self) -> f64 {
        self.harm.log_evidence()
    }
}

/// Logarithm of the evidence of all bounds.
pub fn log_evidence(tails: &[Tail]) -> f64 {
    log_mean_exp(tails.iter().map(Tail::log_evidence))
}
