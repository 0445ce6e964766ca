//! Evidence that the canary is worse than what is tolerated: two e-processes on blocks of counts, of which the smaller one counts.
//!
//! Null hypothesis: `p_c <= ratio * p_s` or `p_c <= absolute`. The ratio part is the likelihood ratio of the canary's failures given the
//! failures of both versions (Przyborowski & Wilenski, Biometrika 31, 1940), the absolute part that of Poisson counts; each is averaged over
//! alternatives that are 1.2 to 100 times worse. By Ville's inequality the chance that the evidence *ever* reaches `1/alpha` under the null
//! is at most `alpha`, however often it is looked at (Ramdas, Grünwald, Vovk & Shafer, Statistical Science 38, 2023, section 2).
//!
//! Invariants: a block in which nobody had traffic changes nothing; no input makes it panic or leaves a NaN in the state.

use serde::{Deserialize, Serialize};

use super::counts::Block;
use super::mixture::log_mean_exp;

/// How many times worse than tolerated the canary may be, for all that is known before.
const ALTERNATIVES: [f64; 8] = [1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 25.0, 100.0];

/// What is not worth an abort.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// The canary may fail this many times as often as the stable version.
    pub ratio: f64,
    /// Below this share of failures nobody aborts.
    pub absolute: f64,
}

impl Tolerance {
    /// For failed requests.
    pub const RATIO: Self = Self { ratio: 1.25, absolute: 0.001 };
    /// For slow requests.
    pub const LATENCY: Self = Self { ratio: 1.25, absolute: 0.01 };
    /// For gauges, which have no share.
    pub const GAUGE: Self = Self { ratio: 1.1, absolute: 0.0 };
}

/// The state of both parts: one logarithm per alternative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Harm {
    ratio: [f64; 8],
    absolute: [f64; 8],
}

/// What a block adds to the alternative `r` when `ratio` is tolerated: the logarithm of the likelihood ratio given all failures.
pub(super) fn increment(block: &Block, ratio: f64, r: f64) -> f64 {
    let (canary, stable) = (block.canary, block.stable);
    if canary.total + stable.total <= 0.0 {
        return 0.0;
    }
    let tolerated = ratio * canary.total + stable.total;
    let alternative = r * canary.total + stable.total;
    canary.failed * (r / ratio).ln() + block.failures() * (tolerated / alternative).ln()
}

impl Harm {
    /// Takes in a clean block; `dispersion` is how many times wider than independent failures the counts spread.
    pub fn add(&mut self, block: &Block, tolerance: Tolerance, dispersion: f64) {
        let dispersion = dispersion.max(1.0);
        let canary = block.canary;
        for ((ratio, absolute), worse) in self.ratio.iter_mut().zip(&mut self.absolute).zip(ALTERNATIVES) {
            *ratio += increment(block, tolerance.ratio, tolerance.ratio * worse) / dispersion;
            *absolute += (canary.failed * worse.ln() - canary.total * tolerance.absolute * (worse - 1.0)) / dispersion;
        }
    }

    /// Logarithm of the evidence against `p_c <= ratio * p_s`.
    pub fn log_ratio(&self) -> f64 {
        log_mean_exp(self.ratio)
    }

    /// Logarithm of the evidence against `p_c <= absolute`.
    pub fn log_absolute(&self) -> f64 {
        log_mean_exp(self.absolute)
    }

    /// Logarithm of the evidence of harm: both must be spoken against.
    pub fn log_evidence(&self) -> f64 {
        self.log_ratio().min(self.log_absolute())
    }
}

/// The alternatives of a bound.
pub(super) const fn alternatives() -> [f64; 8] {
    ALTERNATIVES
}
