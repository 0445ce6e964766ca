//! The Mann-Whitney test with the Hodges-Lehmann shift and its confidence interval, as R's `wilcox.test(conf.int = TRUE)` approximates it by
//! the normal distribution.
//!
//! Invariants: no NaN goes in ([`super`] takes them out before).

use statrs::distribution::{ContinuousCDF as _, Normal};

use super::root::root;

/// Kayenta's tolerance for roots: absolute, so it is blind for tiny values. Kept, because the digits depend on it.
const TOLERANCE: f64 = 1e-4;

/// How much larger the values of the experiment are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// Lower end of the confidence interval.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// The shift itself.
    pub estimate: f64,
}

/// Ranks from 1, equal values sharing theirs, and the sum of `t^3 - t` over ties of `t` values.
pub(super) fn ranks(values: &[f64]) -> (Vec<f64>, f64) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let value = |index: &usize| values.get(*index).copied().unwrap_or(f64::NAN);
    order.sort_by(|a, b| value(a).total_cmp(&value(b)));
    let mut ranks = vec![0.0; values.len()];
    let mut ties = 0.0;
    let mut before = 0.0;
    #[allow(clippy::float_cmp)] // A tie is an equal value.
    for group in order.chunk_by(|a, b| value(a) == value(b)) {
        let size = f64::from(u32::try_from(group.len()).unwrap_or(u32::MAX));
        for index in group {
            if let Some(rank) = ranks.get_mut(*index) {
                *rank = before + f64::midpoint(size, 1.0);
            }
        }
        before += size;
        ties += size.powi(3) - size;
    }
    (ranks, ties)
}

pub(super) fn count(values: &[f64]) -> f64 {
    f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX))
}

/// The standardized rank sum of `x - shift` among `y`, less `quantile`; nothing when all values are equal.
fn statistic(x: &[f64], y: &[f64], shift: f64, quantile: f64) -> Option<f64> {
    let all: Vec<f64> = x.iter().map(|value| value - shift).chain(y.iter().copied()).collect();
    let (m, n) = (count(x), count(y));
    let (ranks, ties) = ranks(&all);
    let sum: f64 = ranks.iter().take(x.len()).sum();
    let centred = sum - m * (m + 1.0) / 2.0 - m * n / 2.0;
    let correction = if centred == 0.0 { 0.0 } else { centred.signum() * 0.5 };
    let spread = (m * n / 12.0 * ((m + n + 1.0) - ties / ((m + n) * (m + n - 1.0)))).sqrt();
    (spread > 0.0).then(|| (centred - correction) / spread - quantile)
}

/// By how much `x` exceeds `y`, with an interval of `confidence`. Nothing for empty samples, and where all values become equal.
pub fn shift(x: &[f64], y: &[f64], confidence: f64) -> Option<Shift> {
    let least = |values: &[f64]| values.iter().copied().reduce(f64::min);
    let most = |values: &[f64]| values.iter().copied().reduce(f64::max);
    let (lowest, highest) = (least(x)? - most(y)?, most(x)? - least(y)?);
    let z = Normal::standard().inverse_cdf((1.0 - confidence) / 2.0);
    // Where all values are equal the spread is zero; NaN ends the search and is found below.
    let at = |shift: f64, quantile: f64| statistic(x, y, shift, quantile).unwrap_or(f64::NAN);
    let limit = |quantile: f64| {
        if at(lowest, quantile) <= 0.0 {
            lowest
        } else if at(highest, quantile) >= 0.0 {
            highest
        } else {
            root(|shift| at(shift, quantile), lowest, highest, TOLERANCE)
        }
    };
    let (lower, upper) = (limit(-z), limit(z));
    let estimate = root(|shift| at(shift, 0.0), lowest, highest, TOLERANCE);
    statistic(x, y, lowest, 0.0)?;
    [lower, upper, estimate].iter().all(|value| value.is_finite()).then_some(Shift { lower, upper, estimate })
}
