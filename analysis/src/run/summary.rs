//! From the metrics of a run to the run: dry-run rules, retention, counts, the verdict, the time to live.

use crds::jiff::Timestamp;
use crds::{AnalysisRunSpec, AnalysisRunStatus, Metric, MetricResult, RunSummary};

use super::later;
use super::metric::{self, Plan};
use crate::comparison::budget;
use crate::{Phase, words};

/// Measurements that are kept of a metric.
const DEFAULT_RETENTION: usize = 10;

/// Whether a rule's name, which may be a regular expression or `*`, means the metric.
pub(crate) fn rule_fits(rule: &str, name: &str) -> bool {
    rule == "*" || rule == name || regex::Regex::new(rule).is_ok_and(|rule| rule.is_match(name))
}

pub(super) fn is_dry_run(spec: &AnalysisRunSpec, name: &str) -> bool {
    spec.dry_run.iter().flatten().any(|rule| rule_fits(&rule.metric_name, name))
}

pub(super) fn retention(spec: &AnalysisRunSpec, name: &str) -> usize {
    let rule = spec.measurement_retention.iter().flatten().find(|rule| rule_fits(&rule.metric_name, name));
    rule.and_then(|rule| usize::try_from(rule.limit).ok()).filter(|limit| *limit > 0).unwrap_or(DEFAULT_RETENTION)
}

fn bump(field: &mut Option<i32>) {
    *field = Some(field.unwrap_or(0).saturating_add(1));
}

/// Numbers of metrics by outcome: of those that count, and of those in dry-run mode if there are any.
pub(super) fn count(spec: &AnalysisRunSpec, results: &[MetricResult]) -> (RunSummary, Option<RunSummary>) {
    let (mut counted, mut rehearsed) = (RunSummary::default(), RunSummary::default());
    for metric in &spec.metrics {
        let summary = if is_dry_run(spec, &metric.name) { &mut rehearsed } else { &mut counted };
        bump(&mut summary.count);
        let result = results.iter().find(|result| result.name == metric.name);
        match result.map_or(Phase::Pending, |result| Phase::of_status(Some(&result.phase))) {
            Phase::Successful => bump(&mut summary.successful),
            Phase::Failed => bump(&mut summary.failed),
            Phase::Inconclusive => bump(&mut summary.inconclusive),
            Phase::Error => bump(&mut summary.error),
            Phase::Pending | Phase::Running => {}
        }
    }
    let any = rehearsed.count.is_some();
    (counted, any.then_some(rehearsed))
}

/// The phase of a run whose metrics are all complete. The worst metric decides; dry-run metrics never do.
pub(super) fn verdict(plans: &[Plan], results: &[MetricResult], told_to_stop: bool) -> (Phase, Option<String>) {
    let counted: Vec<&MetricResult> = results.iter().filter(|result| result.dry_run != Some(true)).collect();
    let mut worst = Phase::Successful;
    let mut message = None;
    for result in &counted {
        let phase = Phase::of_status(Some(&result.phase));
        if phase.severity() <= worst.severity() {
            continue;
        }
        worst = phase;
        let plan = plans.iter().find(|plan| plan.name == result.name);
        let why = plan.map(|plan| metric::why(plan, result)).unwrap_or_default();
        message = Some(format!("Metric \"{}\" assessed {phase} due to {why}", result.name));
    }
    if worst != Phase::Successful {
        return (worst, message);
    }
    let total = |field: fn(&MetricResult) -> Option<i32>| -> i64 {
        counted.iter().map(|result| i64::from(field(result).unwrap_or(0))).sum()
    };
    let good = total(|result| result.successful);
    if good == 0 && !counted.is_empty() {
        let (failed, errors) = (total(|result| result.failed), total(|result| result.error));
        let phase = if failed > 0 { Phase::Failed } else { Phase::Inconclusive };
        let stopped = if told_to_stop { format!("{}: ", words::RUN_TERMINATED) } else { String::new() };
        let message = format!("{stopped}nothing was measured well (failed: {failed}, errors: {errors})");
        return (phase, Some(message));
    }
    (Phase::Successful, told_to_stop.then(|| words::RUN_TERMINATED.to_owned()))
}

/// When the time to live of a completed run is over.
pub(super) fn time_to_delete(spec: &AnalysisRunSpec, status: &AnalysisRunStatus, phase: Phase) -> Option<Timestamp> {
    let ttl = spec.ttl_strategy.as_ref()?;
    let own = if phase == Phase::Successful { ttl.seconds_after_success } else { ttl.seconds_after_failure };
    let seconds = u64::try_from(own.or(ttl.seconds_after_completion)?).unwrap_or(0);
    Some(later(status.completed_at.as_ref()?.0, std::time::Duration::from_secs(seconds)))
}

/// The part of the run's false-alarm budget that a comparison has: by weight among those that count.
pub(super) fn budget_share(spec: &AnalysisRunSpec, metric: &Metric) -> f64 {
    let weight = |metric: &Metric| {
        let comparison = metric.provider.comparison.as_ref()?;
        Some(f64::from(comparison.weight.unwrap_or(1)))
    };
    let Some(own) = weight(metric).filter(|_| !is_dry_run(spec, &metric.name)) else { return 1.0 };
    let counted = spec.metrics.iter().filter(|other| other.name != metric.name && !is_dry_run(spec, &other.name));
    let weights: Vec<f64> = std::iter::once(own).chain(counted.filter_map(weight)).collect();
    budget::shares(1.0, &weights).first().copied().unwrap_or(1.0)
}
