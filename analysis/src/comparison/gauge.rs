//! Gauges (memory, queue length): is the canary's pod an unusual one among the pods of the stable version?
//!
//! In each block the canary's mean, less the tolerated margin, gets a rank among the stable pods. If the canary is one of them, every rank is
//! equally likely, whatever the distribution; a bet that pays more for higher ranks and 1 in the mean then never wins in the long run. With
//! fewer than three stable pods the bet is on the sign alone. The same bet on low ranks speaks for the canary.
//!
//! Invariants: a block without a value of the canary or of any stable pod changes nothing; a NaN is no value; several canary pods share one
//! stake, so that their number does not matter.

use serde::{Deserialize, Serialize};

use super::evidence::{Settings, Verdict, Words};
use super::mixture::log_mean_exp;
use super::words::amount;

/// The shape of the payoff from the lowest rank to the highest.
const PAYOFF: [f64; 5] = [0.0, 0.0, 0.25, 1.25, 3.5];
/// Shares of the stake that is bet on the rank.
const STAKES: [f64; 3] = [0.2, 0.5, 0.8];
/// Chances of being above, under the alternatives of the sign bet.
const ABOVE: [f64; 5] = [0.6, 0.7, 0.8, 0.9, 0.97];
/// A sum that is larger is no sum: it could not be written down.
const LARGEST: f64 = 1e300;
/// Stable pods from which ranks are used.
const RANKED_FROM: usize = 3;

/// Logarithms of what each bet has won.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranks {
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

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
    if count > 0.0 { values.sum::<f64>() / count } else { 0.0 }
}

fn finite(values: &[f64]) -> Vec<f64> {
    values.iter().copied().filter(|value| value.is_finite()).collect()
}

/// What the rank of one pod among the stable ones pays.
fn win(canary: f64, stable: &[f64]) -> f64 {
    let below = stable.iter().filter(|value| **value < canary).count();
    // What is equal counts half, which keeps the mean of the payoff.
    let equal = stable.iter().filter(|value| (**value - canary).abs() == 0.0).count();
    let pods = u32::try_from(stable.len()).unwrap_or(u32::MAX);
    let place = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    mean((below..=below + equal).map(|rank| payoff(place(rank), pods)).collect::<Vec<_>>().into_iter())
}

impl Ranks {
    /// Takes in a block: the canary pods' means, each divided by what is tolerated (1.1 for ten percent more), and those of the stable pods.
    pub fn add(&mut self, canary: &[f64], stable: &[f64]) {
        let (canary, stable) = (finite(canary), finite(stable));
        if canary.is_empty() || stable.is_empty() {
            return;
        }
        if stable.len() >= RANKED_FROM {
            self.ranked = true;
            // Each rank is uniform, so the mean of what they pay is 1 however the pods hang together.
            let win = mean(canary.iter().map(|value| win(*value, &stable)));
            for (log, stake) in self.rank.iter_mut().zip(STAKES) {
                *log += (1.0 - stake + stake * win).ln();
            }
        } else {
            let middle = mean(stable.iter().copied());
            for (log, chance) in self.sign.iter_mut().zip(ABOVE) {
                let win = |value: f64| 2.0 * if value > middle { chance } else { 1.0 - chance };
                *log += mean(canary.iter().map(|value| win(*value))).ln();
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

/// What is known of the pods of a canary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gauge {
    /// Unix time of the start of the first block.
    pub since: i64,
    /// Unix time of the end of the last block.
    pub through: i64,
    /// Blocks in which both versions had a value.
    pub blocks: u32,
    /// Sums over those blocks of the mean of the canary's pods, and of the stable ones.
    pub sums: [f64; 2],
    /// Pods of both versions in the last of those blocks.
    pub pods: [usize; 2],
    harm: Ranks,
    safety: Ranks,
    highest: f64,
}

impl Gauge {
    /// Nothing is known.
    pub fn new(since: i64) -> Self {
        let (harm, safety) = (Ranks::default(), Ranks::default());
        Self { since, through: since, blocks: 0, sums: [0.0; 2], pods: [0; 2], harm, safety, highest: 0.0 }
    }

    /// Takes in the block that ends at `end`: the value of each pod; `ratio` is what is tolerated, 1.1 for ten percent more.
    pub fn add(&mut self, end: i64, canary: &[f64], stable: &[f64], ratio: f64) {
        self.through = end;
        let (canary, stable) = (finite(canary), finite(stable));
        if canary.is_empty() || stable.is_empty() {
            return;
        }
        self.blocks = self.blocks.saturating_add(1);
        self.pods = [canary.len(), stable.len()];
        for (sum, values) in self.sums.iter_mut().zip([&canary, &stable]) {
            *sum = (*sum + mean(values.iter().copied())).clamp(-LARGEST, LARGEST);
        }
        // Below nothing, less is nearer to nothing.
        let reduce = |value: &f64| if *value < 0.0 { value * ratio } else { value / ratio };
        let reduced: Vec<f64> = canary.iter().map(reduce).collect();
        let negative = |values: &[f64]| -> Vec<f64> { values.iter().map(|value| -value).collect() };
        self.harm.add(&reduced, &stable);
        self.safety.add(&negative(&reduced), &negative(&stable));
        self.highest = self.highest.max(self.harm.log_evidence());
    }

    /// Natural logarithm of the highest evidence of harm so far.
    pub fn log_harm(&self) -> f64 {
        self.highest
    }

    /// Natural logarithm of the evidence that the canary has less than what is tolerated.
    pub fn log_safety(&self) -> f64 {
        self.safety.log_evidence()
    }

    /// The mean over all blocks of the canary's pods, and of the stable ones.
    pub fn means(&self) -> [f64; 2] {
        self.sums.map(|sum| sum / f64::from(self.blocks.max(1)))
    }

    /// What it means.
    pub fn verdict(&self, settings: &Settings) -> Verdict {
        settings.verdict(self.highest, self.log_safety(), f64::from(self.blocks), self.through - self.since)
    }

    /// What was found, in words.
    pub fn message(&self, settings: &Settings) -> String {
        let ([canary, stable], [_, pods]) = (self.means(), self.pods);
        let found =
            format!("canary has {} per pod, stable {} in the mean of {pods} pods", amount(canary), amount(stable));
        let nothing =
            format!("nothing to compare: no block with values of both versions within {} s", self.through - self.since);
        let words = Words { found, times: "times as much", unit: "blocks", seen: f64::from(self.blocks), nothing };
        settings
            .message(self.verdict(settings), words, || format!("more than {} times as much", settings.tolerance.ratio))
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
