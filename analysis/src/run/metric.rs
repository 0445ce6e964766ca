//! One metric of a run: its limits, how a result is counted, what phase the counts mean, when the next measurement is due.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::jiff::Timestamp;
use crds::{IntOrString, Measurement, Metric, MetricResult, Time};

use super::{Finished, MeasureId, MeasureOutcome, RunPolicy, later, seconds};
use crate::condition::goduration;
use crate::{Phase, words};

/// Errors in a row that are tolerated when the metric does not say.
const DEFAULT_CONSECUTIVE_ERROR_LIMIT: i64 = 4;
/// After an error the provider is asked again this soon.
const ERROR_RETRY: Duration = Duration::from_secs(10);

/// The numbers of a metric, read once its arguments are known.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub name: String,
    pub interval: Option<Duration>,
    pub initial_delay: Duration,
    pub count: Option<i64>,
    pub failure_limit: i64,
    pub inconclusive_limit: i64,
    /// Absent: the user did not set it, so that no answer holds the run.
    pub error_limit: Option<i64>,
    pub success_limit: i64,
}

pub(crate) fn whole(field: &str, value: Option<&IntOrString>) -> Result<Option<i64>, String> {
    match value {
        None => Ok(None),
        Some(IntOrString::Int(i)) => Ok(Some(i64::from(*i))),
        Some(IntOrString::String(text)) => match text.trim().parse() {
            Ok(i) => Ok(Some(i)),
            Err(_) => Err(format!("{field}: \"{text}\" is not a whole number")),
        },
    }
}

pub(crate) fn duration(field: &str, value: Option<&str>) -> Result<Option<Duration>, String> {
    let Some(text) = value.filter(|text| !text.is_empty()) else { return Ok(None) };
    let nanos = goduration::parse_duration(text)
        .map_err(|_| format!("{field}: \"{text}\" is not a duration: write for example 30s, 5m or 1h"))?;
    u64::try_from(nanos)
        .map(|nanos| Some(Duration::from_nanos(nanos)))
        .map_err(|_| format!("{field}: \"{text}\" is negative"))
}

impl Plan {
    pub(crate) fn of(metric: &Metric) -> Result<Self, String> {
        let interval = duration("interval", metric.interval.as_deref())?;
        let count = whole("count", metric.count.as_ref())?.filter(|count| *count > 0);
        Ok(Self {
            name: metric.name.clone(),
            interval,
            initial_delay: duration("initialDelay", metric.initial_delay.as_deref())?.unwrap_or_default(),
            count: count.or(if interval.is_none() { Some(1) } else { None }),
            failure_limit: whole("failureLimit", metric.failure_limit.as_ref())?.unwrap_or(0),
            inconclusive_limit: whole("inconclusiveLimit", metric.inconclusive_limit.as_ref())?.unwrap_or(0),
            error_limit: whole("consecutiveErrorLimit", metric.consecutive_error_limit.as_ref())?,
            success_limit: whole("consecutiveSuccessLimit", metric.consecutive_success_limit.as_ref())?.unwrap_or(0),
        })
    }
}

fn number(field: Option<i32>) -> i64 {
    i64::from(field.unwrap_or(0))
}

fn bump(field: &mut Option<i32>) {
    *field = Some(field.unwrap_or(0).saturating_add(1));
}

/// The id of the measurement that comes next.
pub(super) fn next_id(name: &str, result: &MetricResult) -> MeasureId {
    let counted = [result.count, result.error];
    MeasureId { metric: name.to_owned(), measurement: counted.into_iter().map(number).sum(), attempt: attempts(result) }
}

fn note<'a>(result: &'a MetricResult, key: &str) -> Option<&'a str> {
    result.metadata.as_ref()?.get(key).map(String::as_str)
}

/// What the provider noted for itself.
pub(super) fn evidence(result: &MetricResult) -> Option<String> {
    note(result, words::COMPARISON_EVIDENCE).map(str::to_owned)
}

/// Attempts in a row that got no answer.
pub(super) fn attempts(result: &MetricResult) -> i64 {
    note(result, words::HOLD_ATTEMPTS).and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(super) fn hold_since(result: &MetricResult) -> Option<Timestamp> {
    note(result, words::HOLD_SINCE)?.parse().ok()
}

/// When the hold has lasted as long as allowed.
pub(super) fn hold_end(result: &MetricResult, policy: &RunPolicy) -> Option<Timestamp> {
    Some(later(hold_since(result)?, policy.max_hold?))
}

pub(super) fn clear_hold(result: &mut MetricResult) {
    if let Some(metadata) = &mut result.metadata {
        for key in [words::HOLD_SINCE, words::HOLD_ATTEMPTS, words::HOLD_RETRY_AT, words::HOLD_REASON] {
            metadata.remove(key);
        }
    }
    if result.metadata.as_ref().is_some_and(BTreeMap::is_empty) {
        result.metadata = None;
    }
}

/// The delay before attempt `attempt + 1`: doubling, and up to a quarter shorter so that many runs do not ask at once.
/// The jitter follows from the run and the attempt: the same input gives the same moment.
fn back_off(attempt: i64, policy: &RunPolicy, uid: &str, name: &str) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let whole = policy.hold_first_delay.saturating_mul(1 << doublings).min(policy.hold_longest_delay);
    let seed = uid.bytes().chain(name.bytes()).chain(attempt.to_le_bytes());
    // FNV-1a: any hash that is the same on every machine will do.
    let hash =
        seed.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let share = u32::try_from((hash >> 16) % 1_000).unwrap_or(0);
    whole.saturating_sub(whole / 4_000 * share)
}

/// Counts one result.
pub(super) fn take(plan: &Plan, result: &mut MetricResult, finished: &Finished, policy: &RunPolicy, uid: &str) {
    let mut measurement = Measurement {
        started_at: Some(Time(seconds(finished.started_at))),
        finished_at: Some(Time(seconds(finished.finished_at))),
        ..Measurement::default()
    };
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match &finished.outcome {
        MeasureOutcome::NoAnswer { reason } if plan.error_limit.is_none() => {
            return hold(plan, result, finished, reason, policy, uid);
        }
        MeasureOutcome::NoAnswer { reason } => {
            measurement.phase = Phase::Error.to_string();
            measurement.message = text(reason);
        }
        MeasureOutcome::Error { value, message, metadata } => {
            measurement.phase = Phase::Error.to_string();
            measurement.message = text(message);
            measurement.value = text(value);
            notes(result, &mut measurement, metadata);
        }
        MeasureOutcome::Measured { phase, value, message, metadata } => {
            measurement.phase = phase.to_string();
            measurement.message = text(message);
            measurement.value = text(value);
            notes(result, &mut measurement, metadata);
        }
    }
    clear_hold(result);
    count(result, Phase::of_status(Some(&measurement.phase)));
    result.measurements.get_or_insert_default().push(measurement);
}

fn count(result: &mut MetricResult, phase: Phase) {
    match phase {
        Phase::Successful => {
            bump(&mut result.count);
            bump(&mut result.successful);
            bump(&mut result.consecutive_success);
            result.consecutive_error = None;
        }
        Phase::Failed => {
            bump(&mut result.count);
            bump(&mut result.failed);
            result.consecutive_success = None;
            result.consecutive_error = None;
        }
        Phase::Inconclusive => {
            bump(&mut result.count);
            bump(&mut result.inconclusive);
            result.consecutive_success = None;
            result.consecutive_error = None;
        }
        // Measured, but too little for a verdict.
        Phase::Running => {
            bump(&mut result.count);
            result.consecutive_success = None;
            result.consecutive_error = None;
        }
        // An outcome that is no verdict is an error of whoever gave it.
        Phase::Error | Phase::Pending => {
            bump(&mut result.error);
            bump(&mut result.consecutive_error);
            result.consecutive_success = None;
        }
    }
}

/// The resolved query and what a provider goes on from belong to the metric, everything else to the measurement.
fn notes(result: &mut MetricResult, measurement: &mut Measurement, metadata: &BTreeMap<String, String>) {
    for (key, value) in metadata {
        let of_metric = [words::RESOLVED_PROMETHEUS_QUERY, words::COMPARISON_EVIDENCE, words::CONCLUDED];
        if of_metric.contains(&key.as_str()) {
            result.metadata.get_or_insert_default().insert(key.clone(), value.clone());
        } else {
            measurement.metadata.get_or_insert_default().insert(key.clone(), value.clone());
        }
    }
}

fn hold(plan: &Plan, result: &mut MetricResult, finished: &Finished, reason: &str, policy: &RunPolicy, uid: &str) {
    let attempt = attempts(result).saturating_add(1);
    let since = hold_since(result).unwrap_or_else(|| seconds(finished.started_at));
    let retry = seconds(later(finished.finished_at, back_off(attempt, policy, uid, &plan.name)));
    let metadata = result.metadata.get_or_insert_default();
    metadata.insert(words::HOLD_SINCE.to_owned(), since.to_string());
    metadata.insert(words::HOLD_ATTEMPTS.to_owned(), attempt.to_string());
    metadata.insert(words::HOLD_RETRY_AT.to_owned(), retry.to_string());
    metadata.insert(words::HOLD_REASON.to_owned(), reason.to_owned());
    result.message = Some(format!(
        "holding: no answer from the provider since {since} ({attempt} {}): {reason}",
        if attempt == 1 { "attempt" } else { "attempts" }
    ));
}

/// Keeps the newest measurements.
pub(super) fn trim(result: &mut MetricResult, keep: usize) {
    if let Some(measurements) = &mut result.measurements {
        let extra = measurements.len().saturating_sub(keep.max(1));
        measurements.drain(..extra);
    }
}

/// Which limit is passed, if any.
pub(super) fn passed_limit(plan: &Plan, result: &MetricResult) -> Option<(Phase, String)> {
    let failed = number(result.failed);
    if plan.failure_limit >= 0 && failed > plan.failure_limit {
        return Some((Phase::Failed, format!("failed ({failed}) > failureLimit ({})", plan.failure_limit)));
    }
    let inconclusive = number(result.inconclusive);
    if inconclusive > plan.inconclusive_limit {
        let limit = plan.inconclusive_limit;
        return Some((Phase::Inconclusive, format!("inconclusive ({inconclusive}) > inconclusiveLimit ({limit})")));
    }
    let errors = number(result.consecutive_error);
    let limit = plan.error_limit.unwrap_or(DEFAULT_CONSECUTIVE_ERROR_LIMIT);
    if errors > limit {
        return Some((Phase::Error, format!("consecutiveErrors ({errors}) > consecutiveErrorLimit ({limit})")));
    }
    None
}

/// The phase of a metric, and what to say of it.
pub(super) fn assess(
    plan: &Plan,
    result: &MetricResult,
    terminating: bool,
    now: Timestamp,
    policy: &RunPolicy,
) -> (Phase, Option<String>) {
    let last_message = result.measurements.as_ref().and_then(|all| all.last()).and_then(|last| last.message.clone());
    if let Some((phase, _)) = passed_limit(plan, result) {
        return (phase, last_message);
    }
    if plan.success_limit > 0 && number(result.consecutive_success) >= plan.success_limit {
        return (Phase::Successful, None);
    }
    if note(result, words::CONCLUDED).is_some() {
        return (Phase::Successful, last_message);
    }
    if plan.count.is_some_and(|count| number(result.count) >= count) {
        let last = result.measurements.as_ref().and_then(|all| all.last());
        if last.is_some_and(|last| Phase::of_status(Some(&last.phase)) == Phase::Running) {
            return (Phase::Inconclusive, last_message);
        }
        if plan.success_limit > 0 {
            let phase = if plan.failure_limit < 0 { Phase::Failed } else { Phase::Inconclusive };
            return (phase, Some(unreached(plan, result)));
        }
        return (Phase::Successful, None);
    }
    if let (Some(end), Some(bound)) = (hold_end(result, policy), policy.max_hold)
        && end <= now
    {
        let reason = note(result, words::HOLD_REASON).unwrap_or_default();
        let bound = goduration::print_duration(i64::try_from(bound.as_nanos()).unwrap_or(i64::MAX));
        return (Phase::Error, Some(format!("no answer from the provider for longer than {bound}: {reason}")));
    }
    if terminating {
        return (Phase::Successful, Some(words::METRIC_TERMINATED.to_owned()));
    }
    let begun = result.measurements.is_some() || attempts(result) > 0;
    (if begun { Phase::Running } else { Phase::Pending }, None)
}

fn unreached(plan: &Plan, result: &MetricResult) -> String {
    format!(
        "consecutiveSuccess ({}) < consecutiveSuccessLimit ({})",
        number(result.consecutive_success),
        plan.success_limit
    )
}

/// Why a metric ended badly: the limit, or what it says itself.
pub(super) fn why(plan: &Plan, result: &MetricResult) -> String {
    match passed_limit(plan, result) {
        Some((_, limit)) => {
            let message = result.message.as_deref().filter(|message| !message.is_empty());
            message.map_or_else(|| limit.clone(), |message| format!("{limit}: \"Error Message: {message}\""))
        }
        None => result.message.clone().unwrap_or_default(),
    }
}

/// When the next measurement is due.
pub(super) fn due(plan: &Plan, result: &MetricResult, started: Timestamp) -> Timestamp {
    if let Some(retry) = note(result, words::HOLD_RETRY_AT).and_then(|text| text.parse().ok()) {
        return retry;
    }
    let last = result.measurements.as_ref().and_then(|all| all.last());
    let Some(last) = last else { return later(started, plan.initial_delay) };
    let finished = last.finished_at.as_ref().map_or(started, |at| at.0);
    let wait = match (Phase::of_status(Some(&last.phase)), plan.interval) {
        (Phase::Error, _) | (_, None) => ERROR_RETRY,
        (_, Some(interval)) => interval,
    };
    later(finished, wait)
}
