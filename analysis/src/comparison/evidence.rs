//! One comparison of failed requests from its first block to its end: what is known, what it means, and how to say it.
//!
//! Invariants: pure; the state is small and can be written down between any two blocks; evidence once found stays found, however the canary
//! does afterwards (the guarantee is about *ever* reaching the threshold); without history nobody is aborted within the first minute.

use serde::{Deserialize, Serialize};

use super::bound::Bound;
use super::counts::{Block, Counts};
use super::dispersion::{self, Online, SCALES};
use super::harm::{Harm, Tolerance};
use super::safety::Safety;
use super::threshold;
use super::words::{number, percent};

/// Seconds before which there is no abort while the dispersion is not known from history.
const FIRST_MINUTE: i64 = 60;

/// When the canary may be promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromoteOn {
    /// Nothing speaks against it when the run ends.
    NoEvidenceOfHarm,
    /// Something speaks for it.
    EvidenceOfNoHarm,
}

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Chance of a false alarm of this metric.
    pub alpha: f64,
    /// What is not worth an abort.
    pub tolerance: Tolerance,
    /// When the canary may be promoted.
    pub promote_on: PromoteOn,
    /// Requests of the canary before which it is not.
    pub minimum: f64,
    /// Seconds after which the comparison ends.
    pub maximum: Option<i64>,
}

/// What was found, in the words of one kind of comparison.
pub(super) struct Words {
    /// The numbers of both versions.
    pub(super) found: String,
    /// `times as many` or `times as much`.
    pub(super) times: &'static str,
    /// `requests` or `blocks`.
    pub(super) unit: &'static str,
    /// So many of them of the canary.
    pub(super) seen: f64,
    /// Why nothing can be said when there are none.
    pub(super) nothing: String,
}

impl Words {
    /// Of requests, `seconds` after the beginning.
    pub(super) fn of_requests(found: String, seen: f64, seconds: i64) -> Self {
        let nothing = format!("no traffic: the canary had no requests within {seconds} s");
        Self { found, times: "times as many", unit: "requests", seen, nothing }
    }
}

impl Settings {
    /// The message of a verdict; `harm` says how much harm there is, such as `at least 2.6 times as many`.
    pub(super) fn message(&self, verdict: Verdict, words: Words, harm: impl FnOnce() -> String) -> String {
        let Words { found, times, unit, seen, nothing } = words;
        let alarm = percent(self.alpha);
        match verdict {
            Verdict::Harm => format!("{found}: {} (false alarm {alarm})", harm()),
            Verdict::Promote { .. } => match self.promote_on {
                PromoteOn::NoEvidenceOfHarm => format!("no evidence of harm: {found}"),
                PromoteOn::EvidenceOfNoHarm => {
                    format!("evidence of no harm: {found}, less than {} {times} (error {alarm})", self.tolerance.ratio)
                }
            },
            Verdict::Open { .. } if seen <= 0.0 => nothing,
            Verdict::Open { .. } if seen < self.minimum => {
                format!("{} of {} {unit} so far: {found}", number(seen), number(self.minimum))
            }
            Verdict::Open { .. } => format!("no evidence yet that the canary does no harm: {found}"),
        }
    }

    /// What it means when harm and its absence are spoken for with these logarithms, after so many samples and seconds.
    pub(super) fn verdict(&self, harm: f64, safety: f64, samples: f64, seconds: i64) -> Verdict {
        let enough = threshold(self.alpha);
        if harm >= enough {
            return Verdict::Harm;
        }
        let over = self.maximum.is_some_and(|maximum| seconds >= maximum);
        let seen = samples >= self.minimum;
        match self.promote_on {
            PromoteOn::NoEvidenceOfHarm if seen => Verdict::Promote { over },
            PromoteOn::EvidenceOfNoHarm if seen && safety >= enough => Verdict::Promote { over: true },
            PromoteOn::NoEvidenceOfHarm | PromoteOn::EvidenceOfNoHarm => Verdict::Open { over },
        }
    }
}

/// How much wider than independent failures the counts spread, and how that is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dispersion {
    /// From the stable pods before the release.
    Pods(f64),
    /// From the stable version as a whole before the release.
    Time(f64),
    /// Learnt during the release; the guarantee is weaker.
    Online(Box<Online>),
}

impl Dispersion {
    /// From the blocks before the release, each with the counts of the stable pods.
    pub fn of_history(blocks: &[Vec<Counts>]) -> Self {
        if let Some(known) = dispersion::between_pods(blocks, &SCALES) {
            return Self::Pods(known);
        }
        let whole = blocks.iter().map(|pods| {
            let mut sum = Counts::default();
            for pod in pods {
                sum.add(*pod);
            }
            sum
        });
        dispersion::over_time(&whole.collect::<Vec<_>>(), &SCALES).map_or(Self::Online(Box::default()), Self::Time)
    }

    /// The divisor of the evidence.
    pub fn value(&self) -> f64 {
        match self {
            Self::Pods(value) | Self::Time(value) => *value,
            Self::Online(online) => online.estimate(),
        }
    }

    /// How it is known, for a person.
    pub const fn source(&self) -> &'static str {
        match self {
            Self::Pods(_) => "between the stable pods before the release",
            Self::Time(_) => "of the stable version over time before the release",
            Self::Online(_) => "learnt during the release: there was no history, the false-alarm rate is less certain",
        }
    }
}

/// What is known of a canary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Unix time of the start of the first block.
    pub since: i64,
    /// Unix time of the end of the last block.
    pub through: i64,
    /// All requests of the canary.
    pub canary: Counts,
    /// All requests of the stable version.
    pub stable: Counts,
    /// Measure of dispersion.
    pub dispersion: Dispersion,
    /// Blocks whose numbers had to be put right.
    pub anomalies: u32,
    harm: Harm,
    safety: Safety,
    bound: Bound,
    highest: f64,
}

/// What the evidence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The canary is worse than tolerated.
    Harm,
    /// It may be promoted; what is over needs no further look.
    Promote {
        /// Whether nothing that follows could change it.
        over: bool,
    },
    /// It may not be promoted yet.
    Open {
        /// Whether the time is up.
        over: bool,
    },
}

impl Evidence {
    /// Nothing is known but the dispersion.
    pub fn new(since: i64, dispersion: Dispersion) -> Self {
        Self {
            since,
            through: since,
            canary: Counts::default(),
            stable: Counts::default(),
            dispersion,
            anomalies: 0,
            harm: Harm::default(),
            safety: Safety::default(),
            bound: Bound::default(),
            highest: 0.0,
        }
    }

    /// Takes in the block that ends at `end`.
    pub fn add(&mut self, end: i64, block: Block, tolerance: Tolerance) {
        let (block, anomaly) = block.clean();
        self.anomalies = self.anomalies.saturating_add(u32::from(anomaly));
        let dispersion = self.dispersion.value();
        self.harm.add(&block, tolerance, dispersion);
        self.safety.add(&block, tolerance.ratio, dispersion);
        self.bound.add(&block, dispersion);
        self.canary.add(block.canary);
        self.stable.add(block.stable);
        self.through = end;
        // Only after the block was judged: what a block says must not soften its own verdict.
        if let Dispersion::Online(online) = &mut self.dispersion {
            online.add(block.stable);
        }
        if !self.is_learning() {
            self.highest = self.highest.max(self.harm.log_evidence());
        }
    }

    /// Natural logarithm of the highest evidence of harm so far.
    pub fn log_harm(&self) -> f64 {
        self.highest
    }

    /// Natural logarithm of the evidence that the canary does no harm.
    pub fn log_safety(&self) -> f64 {
        self.safety.log_evidence()
    }

    /// How many times as often the canary fails, at least.
    pub fn lower_bound(&self, alpha: f64) -> Option<f64> {
        self.bound.lower(alpha)
    }

    /// Natural logarithm of the evidence of harm now, which may have been higher before.
    pub(super) fn log_harm_now(&self) -> f64 {
        self.harm.log_evidence()
    }

    /// Whether nobody may be aborted yet, because the dispersion is only being learnt.
    pub(super) fn is_learning(&self) -> bool {
        matches!(self.dispersion, Dispersion::Online(_)) && self.through - self.since < FIRST_MINUTE
    }

    /// What it means.
    pub fn verdict(&self, settings: &Settings) -> Verdict {
        let seconds = self.through - self.since;
        settings.verdict(self.highest, self.log_safety(), self.canary.total, seconds)
    }

    /// What was found, in words.
    pub fn message(&self, settings: &Settings) -> String {
        let (canary, stable) = (self.canary, self.stable);
        let rates = format!(
            "canary fails {} of {} requests, stable {} of {}",
            percent(canary.share()),
            number(canary.total),
            percent(stable.share()),
            number(stable.total)
        );
        let words = Words::of_requests(rates, canary.total, self.through - self.since);
        settings.message(self.verdict(settings), words, || {
            let tolerated = settings.tolerance.ratio;
            let times = self.lower_bound(settings.alpha).filter(|lower| *lower > tolerated).unwrap_or(tolerated);
            format!("{} times as many", at_least(times))
        })
    }
}

/// So many times at least: rounded down, because that must stay true.
pub(super) fn at_least(times: f64) -> String {
    format!("at least {:.1}", (times * 10.0).floor() / 10.0)
}
