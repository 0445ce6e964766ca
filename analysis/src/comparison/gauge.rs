//! Gauges (memory, queue length): is the canary's pod an unusual one among the pods of the stable version?
//!
//! In each block the canary's mean, less the tolerated margin, gets a rank among the stable pods. If the canary is one of them, every rank is
//! equally likely, whatever the distribution; a bet that pays more for higher ranks and 1 in the mean then never wins in the long run. With
//! fewer than three stable pods the bet is on the sign alone.
//!
//! Invariants: a block without a value of the canary or of any stable pod changes nothing; a NaN is no value.

use serde::{Deserialize, Serialize};

use super::mixture::log_mean_exp;

/// The shape of the payoff from the lowest rank to the highest.
const PAYOFF: [f64; 5] = [0.0, 0.0, 0.25, 1.25, 3.5];
/// Shares of the stake that is bet on the rank.
const STAKES: [f64; 3] = [0.2, 0.5, 0.8];
/// Chances of being above, under the alternatives of the sign bet.
const ABOVE: [f64; 5] = [0.6, 0.7, 0.8, 0.9, 0.97];
/// Stable pods from which ranks are used.
const RANKED_FROM: usize = 3;

/// Logarithms of what each bet has won.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Gauge {
    rank: [f64; 3],
    sign: [f64; 5],
    ranked: bool,
}

/// The payoff at a place between 0 and 1.
fn shape(place: f64) -> f64 {
    let at = place.clamp(0.0, 1.0) * 4.0;
    let value = |index: usize| PAYOFF.get(index).copied().unwrap_or(3.5);
    // Between 0 and 4.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let low = at.floor() as usize;
    let part = at - at.floor();
    value(low) * (1.0 - part) + value(low + 1) * part
}

/// The payoff of a rank among `pods` stable pods; its mean over all ranks is 1.
fn payoff(rank: f64, pods: u32) -> f64 {
    let all = f64::from(pods);
    let sum: f64 = (0..=pods).map(|rank| shape(f64::from(rank) / all)).sum();
    shape(rank / all) * (all + 1.0) / sum
}

impl Gauge {
    /// Takes in a block: the canary's mean and those of the stable pods; `ratio` is what is tolerated, 1.1 for ten percent more.
    pub fn add(&mut self, canary: f64, stable: &[f64], ratio: f64) {
        let stable: Vec<f64> = stable.iter().copied().filter(|value| value.is_finite()).collect();
        if !canary.is_finite() || stable.is_empty() {
            return;
        }
        let reduced = canary / ratio;
        if stable.len() >= RANKED_FROM {
            self.ranked = true;
            let below = stable.iter().filter(|value| **value < reduced).count();
            // What is equal counts half, which keeps the mean of the payoff.
            let equal = stable.iter().filter(|value| (**value - reduced).abs() == 0.0).count();
            let pods = u32::try_from(stable.len()).unwrap_or(u32::MAX);
            let place = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
            let win = if equal == 0 {
                payoff(place(below), pods)
            } else {
                (below..=below + equal).map(|rank| payoff(place(rank), pods)).sum::<f64>() / (place(equal) + 1.0)
            };
            for (log, stake) in self.rank.iter_mut().zip(STAKES) {
                *log += (1.0 - stake + stake * win).ln();
            }
        } else {
            let mean = stable.iter().sum::<f64>() / f64::from(u32::try_from(stable.len()).unwrap_or(1));
            for (log, chance) in self.sign.iter_mut().zip(ABOVE) {
                *log += (2.0 * if reduced > mean { chance } else { 1.0 - chance }).ln();
            }
        }
    }

    /// Logarithm of the evidence. Where the number of pods changed on the way, the two bets are averaged.
    pub fn log_evidence(&self) -> f64 {
        let (rank, sign) = (log_mean_exp(self.rank), log_mean_exp(self.sign));
        match (self.ranked, self.sign.iter().any(|log| *log != 0.0)) {
            (true, false) => rank,
            (false, _) => sign,
            (true, true) => log_mean_exp([rank, sign]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_pods_pay_as_written_and_any_number_pays_one_in_the_mean() {
        for (rank, pays) in [(0.0, 0.0), (1.0, 0.0), (2.0, 0.25), (3.0, 1.25), (4.0, 3.5)] {
            assert!((payoff(rank, 4) - pays).abs() < 1e-12);
        }
        for pods in 3..40_u32 {
            let all: Vec<f64> = (0..=pods).map(|rank| payoff(f64::from(rank), pods)).collect();
            assert!((all.iter().sum::<f64>() / f64::from(pods + 1) - 1.0).abs() < 1e-12);
            assert!(all.is_sorted(), "more for higher ranks");
        }
    }
}
