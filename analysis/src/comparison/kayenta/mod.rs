//! Kayenta's judge `NetflixACAJudge-v1.0` for one metric: for those who come from there.
//!
//! Not the default: every minute weighs the same whatever its traffic, differences that are tolerable abort when traffic is high, and it
//! needs minutes of points. One thing is done better: two constant samples are compared exactly and not with noise added, so the same data
//! always give the same verdict.
//!
//! Invariants: pure; NaN and infinite values are no points.

mod mann_whitney;
mod root;

pub use mann_whitney::{Shift, shift};

/// Share of the shift that is tolerated.
pub const TOLERANCE: f64 = 0.25;
/// Confidence of the interval.
pub const CONFIDENCE: f64 = 0.98;

/// Which change is bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// More is bad.
    Increase,
    /// Less is bad.
    Decrease,
    /// Both are.
    #[default]
    Either,
}

/// How large a change is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Measure {
    /// Mean of the experiment by mean of the control.
    #[default]
    MeanRatio,
    /// Chance that a value of the experiment exceeds one of the control.
    CommonLanguage,
}

/// What a metric asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Which change is bad.
    pub direction: Direction,
    /// How a change is measured.
    pub measure: Measure,
    /// From this effect on an increase counts.
    pub allowed_increase: f64,
    /// Down from this effect a decrease counts.
    pub allowed_decrease: f64,
    /// Confidence of the interval.
    pub confidence: f64,
    /// Share of the shift that is tolerated.
    pub tolerance: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            direction: Direction::Either,
            measure: Measure::MeanRatio,
            allowed_increase: 1.0,
            allowed_decrease: 1.0,
            confidence: CONFIDENCE,
            tolerance: TOLERANCE,
        }
    }
}

/// The judge's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// No change that counts.
    Pass,
    /// The experiment is higher.
    High,
    /// The experiment is lower.
    Low,
    /// One side has no points.
    NoData,
    /// The points cannot be judged: one against one.
    Error,
}

/// What the judge found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The word.
    pub class: Class,
    /// The shift, where one was measured.
    pub shift: Option<Shift>,
    /// The effect; NaN where a mean is zero.
    pub effect: f64,
}

impl Verdict {
    const fn plain(class: Class) -> Self {
        Self { class, shift: None, effect: 1.0 }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / mann_whitney::count(values)
}

/// The mean ratio; NaN when either mean is zero.
fn mean_ratio(experiment: &[f64], control: &[f64]) -> f64 {
    let (experiment, control) = (mean(experiment), mean(control));
    if experiment == 0.0 || control == 0.0 { f64::NAN } else { experiment / control }
}

/// Chance that a value of the experiment exceeds one of the control, ties counting half.
pub fn common_language_effect(experiment: &[f64], control: &[f64]) -> f64 {
    let all: Vec<f64> = experiment.iter().chain(control).copied().collect();
    let (m, n) = (mann_whitney::count(experiment), mann_whitney::count(control));
    let sum: f64 = mann_whitney::ranks(&all).0.iter().take(experiment.len()).sum();
    (2.0 * sum - m * (m + 1.0)) / (2.0 * m * n)
}

/// The only value of a sample, if it has but one.
#[allow(clippy::float_cmp)] // The same value, not a near one.
fn constant(values: &[f64]) -> Option<f64> {
    let first = *values.first()?;
    values.iter().all(|value| *value == first).then_some(first)
}

/// Judges the canary's points (`experiment`) against the stable version's (`control`).
#[allow(clippy::float_cmp)] // Samples are identical or they are not.
pub fn judge(experiment: &[f64], control: &[f64], settings: &Settings) -> Verdict {
    let sorted = |values: &[f64]| {
        let mut kept: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        kept.sort_by(f64::total_cmp);
        kept
    };
    let (experiment_sorted, control_sorted) = (sorted(experiment), sorted(control));
    if experiment_sorted.is_empty() || control_sorted.is_empty() {
        return Verdict::plain(Class::NoData);
    }
    if experiment_sorted == control_sorted {
        return Verdict::plain(Class::Pass);
    }
    let (experiment, control) = (&experiment_sorted, &control_sorted);
    let shift = match (constant(experiment), constant(control)) {
        (Some(x), Some(y)) if x == y => return Verdict::plain(Class::Pass),
        (Some(x), Some(y)) => Some(Shift { lower: x - y, upper: x - y, estimate: x - y }),
        (Some(_) | None, None) | (None, Some(_)) => shift(experiment, control, settings.confidence),
    };
    let effect = match settings.measure {
        Measure::MeanRatio => mean_ratio(experiment, control),
        Measure::CommonLanguage => common_language_effect(experiment, control),
    };
    let Some(found) = shift else { return Verdict { class: Class::Error, shift: None, effect } };
    let tolerated = settings.tolerance * found.estimate.abs();
    let (more, less) = match settings.direction {
        Direction::Increase => (true, false),
        Direction::Decrease => (false, true),
        Direction::Either => (true, true),
    };
    let class = if more && found.lower > tolerated && (effect.is_nan() || effect >= settings.allowed_increase) {
        Class::High
    } else if less && found.upper < -tolerated && (effect.is_nan() || effect <= settings.allowed_decrease) {
        Class::Low
    } else {
        Class::Pass
    };
    Verdict { class, shift: Some(found), effect }
}
