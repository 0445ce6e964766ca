//! What a metric wants of a comparison, read and checked: the same for validation and for the measurement.
//!
//! Invariants: every problem names its field, shows the value and says what would be right; a field in which an argument stands is not judged.

use crds::{ComparisonMetric, Metric};

use super::evidence::{PromoteOn, Settings};
use super::harm::Tolerance;
use crate::promql;
use crate::run::metric::duration;

/// Field and problem.
pub type Problem = (String, String);

const FALSE_ALARM: f64 = 0.01;
const MINIMUM: f64 = 100.0;
/// Of a gauge, in blocks.
const MINIMUM_BLOCKS: f64 = 5.0;

/// Who judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    /// The sequential test of our own.
    Sequential,
    /// Kayenta's.
    Kayenta,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Failed of all requests.
    Ratio {
        /// Counter of failed requests.
        failed: String,
        /// Counter of all requests.
        total: String,
    },
    /// Requests slower than the bounds of this histogram.
    Histogram(String),
    /// A value of each pod.
    Gauge(String),
}

/// A comparison that can be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// What is compared.
    pub what: What,
    /// How it is judged; the chance of a false alarm is that of the run.
    pub settings: Settings,
    /// Seconds of a block, when the user says.
    pub block: Option<i64>,
    /// Who judges.
    pub judge: Judge,
}

fn open(text: &str) -> bool {
    text.contains("{{")
}

/// Checks a query: a selector such as `like`, or a query with `$block`.
fn query(field: &str, query: &str, like: &str, found: &mut Vec<Problem>) {
    let field = format!("provider.comparison.{field}");
    if query.trim().is_empty() {
        found.push((field, format!("is empty: write a selector such as {like}{{job=\"web\"}}")));
    } else if !open(query) {
        if let Err(error) = promql::with_matchers(&query.replace("$block", "10s"), &std::collections::BTreeMap::new()) {
            found.push((field, format!("\"{}\" is no PromQL: {error}", query.trim())));
        } else if !query.contains("$block") && !promql::is_selector(query) {
            let advice = "write one selector, or let $block stand for the window, as in sum(increase(x[$block]))";
            found.push((field, format!("\"{}\" is neither a selector nor has $block: {advice}", query.trim())));
        }
    }
}

fn seconds(field: &str, text: Option<&str>, found: &mut Vec<Problem>) -> Option<i64> {
    let text = text.filter(|text| !open(text))?;
    let field = format!("provider.comparison.{field}");
    let Ok(length) = duration(&field, Some(text)) else {
        found.push((field, format!("\"{text}\" is not a duration: write for example 30s, 5m or 1h")));
        return None;
    };
    let length = length.and_then(|length| i64::try_from(length.as_secs()).ok()).filter(|length| *length > 0);
    if length.is_none() {
        found.push((field, format!("\"{text}\" is less than a second: write for example 10s")));
    }
    length
}

fn number(
    field: &str,
    value: Option<f64>,
    default: f64,
    fits: impl Fn(f64) -> bool,
    right: &str,
    found: &mut Vec<Problem>,
) -> f64 {
    let value = value.unwrap_or(default);
    if !fits(value) {
        found.push((format!("provider.comparison.{field}"), format!("is {value}: it must be {right}")));
    }
    value
}

/// What is compared: exactly one of the three.
fn what(comparison: &ComparisonMetric, found: &mut Vec<Problem>) -> Option<What> {
    match (&comparison.ratio, &comparison.histogram, &comparison.gauge) {
        (Some(ratio), None, None) => {
            query("ratio.failed", &ratio.failed, "http_requests_total", found);
            query("ratio.total", &ratio.total, "http_requests_total", found);
            Some(What::Ratio { failed: ratio.failed.clone(), total: ratio.total.clone() })
        }
        (None, Some(histogram), None) => {
            query("histogram.query", &histogram.query, "http_request_duration_seconds_bucket", found);
            Some(What::Histogram(histogram.query.clone()))
        }
        (None, None, Some(gauge)) => {
            query("gauge.query", &gauge.query, "process_resident_memory_bytes", found);
            Some(What::Gauge(gauge.query.clone()))
        }
        (None, None, None) => {
            let problem = "is absent: say what is compared, by ratio, histogram or gauge".to_owned();
            found.push(("provider.comparison.ratio".to_owned(), problem));
            None
        }
        (ratio, histogram, gauge) => {
            let fields = [("ratio", ratio.is_some()), ("histogram", histogram.is_some()), ("gauge", gauge.is_some())];
            let set: Vec<&str> = fields.into_iter().filter_map(|(field, set)| set.then_some(field)).collect();
            let last = set.last().copied().unwrap_or_default();
            let problem = format!("is set, and so are others ({}): a comparison is of one of them", set.join(", "));
            found.push((format!("provider.comparison.{last}"), problem));
            None
        }
    }
}

/// The comparison that the metric wants.
///
/// # Errors
/// All that is wrong with it.
pub fn read(comparison: &ComparisonMetric) -> Result<Wanted, Vec<Problem>> {
    let mut found = Vec::new();
    let what = what(comparison, &mut found);
    let usual = match &what {
        Some(What::Histogram(_)) => Tolerance::LATENCY,
        Some(What::Gauge(_)) => Tolerance::GAUGE,
        Some(What::Ratio { .. }) | None => Tolerance::RATIO,
    };
    let is_gauge = matches!(what, Some(What::Gauge(_)));
    for (field, labels) in [("canary", &comparison.canary), ("stable", &comparison.stable)] {
        for name in labels.iter().flat_map(|labels| labels.keys()) {
            let letters = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
            if !letters || name.is_empty() || name.starts_with(|letter: char| letter.is_ascii_digit()) {
                let problem = format!("\"{name}\" is not a label of Prometheus: use letters, digits and _");
                found.push((format!("provider.comparison.{field}"), problem));
            }
        }
    }
    if comparison.canary.is_some() && comparison.canary == comparison.stable {
        let problem = "has the same labels as stable: then nothing is compared".to_owned();
        found.push(("provider.comparison.canary".to_owned(), problem));
    }
    let tolerate = comparison.tolerate.clone().unwrap_or_default();
    let ratio = number(
        "tolerate.ratio",
        tolerate.ratio,
        usual.ratio,
        |ratio| (1.0..=100.0).contains(&ratio),
        "between 1 and 100",
        &mut found,
    );
    let absolute = number(
        "tolerate.absolute",
        tolerate.absolute,
        usual.absolute,
        |share| (0.0..1.0).contains(&share),
        "at least 0 and less than 1",
        &mut found,
    );
    if is_gauge && tolerate.absolute.is_some() {
        let problem = "is set with a gauge, which has no share of failures: use tolerate.ratio".to_owned();
        found.push(("provider.comparison.tolerate.absolute".to_owned(), problem));
    }
    let alpha = number(
        "falseAlarm",
        comparison.false_alarm,
        FALSE_ALARM,
        |chance| chance > 0.0 && chance < 1.0,
        "more than 0 and less than 1",
        &mut found,
    );
    if let Some(weight) = comparison.weight.filter(|weight| *weight < 1) {
        found.push(("provider.comparison.weight".to_owned(), format!("is {weight}: it must be at least 1")));
    }
    let samples = comparison.minimum_samples;
    if let Some(samples) = samples.filter(|samples| *samples < 0) {
        found.push(("provider.comparison.minimumSamples".to_owned(), format!("is {samples}: it must be at least 0")));
    }
    let least = if is_gauge { MINIMUM_BLOCKS } else { MINIMUM };
    let minimum = samples.and_then(|samples| u32::try_from(samples).ok()).map_or(least, f64::from);
    let maximum = seconds("maximumDuration", comparison.maximum_duration.as_deref(), &mut found);
    let block = seconds("block", comparison.block.as_deref(), &mut found);
    let promote_on = match comparison.promote_on.as_deref() {
        None | Some("noEvidenceOfHarm") => PromoteOn::NoEvidenceOfHarm,
        Some("evidenceOfNoHarm") => PromoteOn::EvidenceOfNoHarm,
        Some(other) => {
            if !open(other) {
                let problem = format!("is \"{other}\": use noEvidenceOfHarm or evidenceOfNoHarm");
                found.push(("provider.comparison.promoteOn".to_owned(), problem));
            }
            PromoteOn::NoEvidenceOfHarm
        }
    };
    let judge = match comparison.judge.as_deref() {
        None | Some("sequential") => Judge::Sequential,
        Some("kayenta") => Judge::Kayenta,
        Some(other) => {
            if !open(other) {
                let problem = format!("is \"{other}\": use sequential or kayenta");
                found.push(("provider.comparison.judge".to_owned(), problem));
            }
            Judge::Sequential
        }
    };
    if judge == Judge::Kayenta && matches!(what, Some(What::Histogram(_) | What::Gauge(_))) {
        let problem = "is kayenta, which judges a ratio only: use sequential".to_owned();
        found.push(("provider.comparison.judge".to_owned(), problem));
    }
    if judge == Judge::Kayenta && promote_on == PromoteOn::EvidenceOfNoHarm {
        let problem = "is evidenceOfNoHarm with judge kayenta, which gives none: use noEvidenceOfHarm".to_owned();
        found.push(("provider.comparison.promoteOn".to_owned(), problem));
    }
    let Some(what) = what.filter(|_| found.is_empty()) else { return Err(found) };
    let settings = Settings { alpha, tolerance: Tolerance { ratio, absolute }, promote_on, minimum, maximum };
    Ok(Wanted { what, settings, block, judge })
}

/// What a metric with a comparison may not say beside it.
pub fn beside(metric: &Metric) -> Vec<Problem> {
    let mut found = Vec::new();
    for (field, set) in [
        ("successCondition", metric.success_condition.as_deref().is_some_and(|text| !text.is_empty())),
        ("failureCondition", metric.failure_condition.as_deref().is_some_and(|text| !text.is_empty())),
    ] {
        if set {
            found.push((field.to_owned(), "is set with a comparison, which judges itself: remove it".to_owned()));
        }
    }
    let zero = |limit: &crds::IntOrString| {
        matches!(limit, crds::IntOrString::Int(0))
            || matches!(limit, crds::IntOrString::String(text) if text.trim() == "0")
    };
    for (field, limit) in [
        ("failureLimit", &metric.failure_limit),
        ("inconclusiveLimit", &metric.inconclusive_limit),
        ("consecutiveSuccessLimit", &metric.consecutive_success_limit),
    ] {
        if limit.as_ref().is_some_and(|limit| !zero(limit)) {
            let problem = "is set with a comparison, whose first failure counts: remove it, falseAlarm says how often it may be wrong";
            found.push((field.to_owned(), problem.to_owned()));
        }
    }
    if metric.interval.as_deref().unwrap_or_default().is_empty() {
        found.push((
            "interval".to_owned(),
            "is absent: a comparison looks again and again, for example every 10s".to_owned(),
        ));
    }
    found
}
