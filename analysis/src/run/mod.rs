//! The AnalysisRun machine: from a run, what came back and the time to the next status and the measurements to make.
//!
//! Invariants: [`decide`] is pure and idempotent (feeding the written status and the same results again changes nothing);
//! a completed run never changes; a result is counted once, whatever is lost or repeated, because its [`MeasureId`]
//! follows from the status alone; a run in which nothing was measured well is never Successful; a provider that does not
//! answer neither helps nor harms the release: the run holds.

pub(crate) mod metric;
pub(crate) mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crds::jiff::{SignedDuration, Timestamp};
use crds::{AnalysisRun, AnalysisRunStatus, Argument, Metric, MetricResult, Time};

use crate::template::args;
use crate::{Phase, words};

/// Which measurement: follows from the status, so it is the same after a restart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeasureId {
    /// Name of the metric.
    pub metric: String,
    /// Measurements of the metric that were counted before this one.
    pub measurement: i64,
    /// Attempts at this measurement that got no answer.
    pub attempt: i64,
}

/// A measurement to make now.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasureRequest {
    /// Which one it is.
    pub id: MeasureId,
    /// Namespace of the run; secrets are looked up there.
    pub namespace: String,
    /// Name of the run.
    pub run: String,
    /// Uid of the run.
    pub uid: String,
    /// When the run began.
    pub started_at: Timestamp,
    /// What the run knows beside the metric.
    pub standing: Standing,
    /// The metric as written; arguments are filled in when it is measured.
    pub metric: Metric,
    /// The arguments of the run.
    pub args: Vec<Argument>,
}

/// What a provider that goes on where it stopped needs to know of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// What it noted last time under [`words::COMPARISON_EVIDENCE`].
    pub evidence: Option<String>,
    /// The part of the run's false-alarm budget that the metric has.
    pub share: f64,
}

impl Default for Standing {
    fn default() -> Self {
        Self { evidence: None, share: 1.0 }
    }
}

/// How a measurement ended. All texts are free of secrets.
#[derive(Debug, Clone, PartialEq)]
pub enum MeasureOutcome {
    /// The provider answered and the conditions gave a verdict.
    Measured {
        /// Successful, Failed or Inconclusive; Running while the provider has too little for a verdict.
        phase: Phase,
        /// The value as text.
        value: String,
        /// What there is to say; often empty.
        message: String,
        /// Notes of the provider.
        metadata: BTreeMap<String, String>,
    },
    /// A wrong query, a wrong condition, no data: counts towards `consecutiveErrorLimit`.
    Error {
        /// The value as text, if there was one.
        value: String,
        /// What was wrong.
        message: String,
        /// Notes of the provider.
        metadata: BTreeMap<String, String>,
    },
    /// Refused, timed out, not found in DNS, TLS failed, 5xx: says nothing about the release.
    NoAnswer {
        /// Why there was no answer.
        reason: String,
    },
}

/// A measurement that came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Which one it is.
    pub id: MeasureId,
    /// When the provider was asked.
    pub started_at: Timestamp,
    /// When it was over.
    pub finished_at: Timestamp,
    /// How it ended.
    pub outcome: MeasureOutcome,
}

/// What is known beside the run itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunInputs {
    /// Results; they may stay here until the status that contains them is written.
    pub finished: Vec<Finished>,
    /// Measurements under way.
    pub in_flight: BTreeSet<MeasureId>,
}

/// How the machine treats providers that do not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPolicy {
    /// Longest hold of a metric; after it the metric ends in an Error. `None` holds for ever.
    pub max_hold: Option<Duration>,
    /// Time to the second attempt; doubles from there.
    pub hold_first_delay: Duration,
    /// Longest time between two attempts.
    pub hold_longest_delay: Duration,
}

impl Default for RunPolicy {
    fn default() -> Self {
        Self { max_hold: None, hold_first_delay: Duration::from_secs(5), hold_longest_delay: Duration::from_mins(1) }
    }
}

/// The run waits for providers that do not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Since when the first of them gives no answer.
    pub since: Timestamp,
    /// Names of the metrics.
    pub metrics: Vec<String>,
    /// What to tell a person.
    pub message: String,
}

/// What a person should be told, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEvent {
    /// Whether it is a warning.
    pub warning: bool,
    /// Reason, for example `AnalysisRunFailed`.
    pub reason: String,
    /// Text.
    pub message: String,
}

/// The next status and what to do.
#[derive(Debug, Clone, PartialEq)]
pub struct RunDecision {
    /// Write it when it differs from the run's.
    pub status: AnalysisRunStatus,
    /// Measurements to start; none of them is in flight.
    pub measure: Vec<MeasureRequest>,
    /// Measurements under way that nobody waits for any more.
    pub cancel: Vec<MeasureId>,
    /// Present while a provider gives no answer.
    pub hold: Option<Hold>,
    /// Each is given with the status change that it tells of.
    pub events: Vec<RunEvent>,
    /// The run has outlived its time to live.
    pub delete: bool,
    /// When time alone changes the answer.
    pub requeue_after: Option<Duration>,
}

/// Cuts to the whole seconds that the API stores; otherwise a written status would differ from the decided one.
fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// Decides. See the module for what holds.
pub fn decide(run: &AnalysisRun, inputs: &RunInputs, now: Timestamp, policy: &RunPolicy) -> RunDecision {
    let status = run.status.clone().unwrap_or_default();
    let mut machine = Machine { run, inputs, now, policy, status, events: Vec::new(), wake: None };
    if !Phase::of_status(Some(&machine.status.phase)).is_completed() {
        machine.advance();
    }
    machine.finish()
}

struct Machine<'a> {
    run: &'a AnalysisRun,
    inputs: &'a RunInputs,
    now: Timestamp,
    policy: &'a RunPolicy,
    status: AnalysisRunStatus,
    events: Vec<RunEvent>,
    /// The next moment at which something is due.
    wake: Option<Timestamp>,
}

impl Machine<'_> {
    fn event(&mut self, warning: bool, reason: impl Into<String>, message: impl Into<String>) {
        self.events.push(RunEvent { warning, reason: reason.into(), message: message.into() });
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    fn complete(&mut self, phase: Phase, message: Option<String>) {
        self.status.phase = phase.to_string();
        self.status.message = message;
        self.status.completed_at = Some(Time(seconds(self.now)));
        self.event(
            phase != Phase::Successful,
            format!("AnalysisRun{phase}"),
            format!("Analysis Completed. Result: {phase}"),
        );
    }

    fn advance(&mut self) {
        if self.status.started_at.is_none() {
            self.status.started_at = Some(Time(seconds(self.now)));
        }
        self.status.phase = Phase::Running.to_string();
        let spec = &self.run.spec;
        let problems = crate::template::validate_run(spec);
        if let Some(problem) = problems.first() {
            return self.complete(Phase::Error, Some(format!("Analysis spec invalid: {problem}")));
        }
        let given = spec.args.clone().unwrap_or_default();
        let mut plans = Vec::new();
        for metric in &spec.metrics {
            match args::known(metric, &given).map_err(|error| error.to_string()).and_then(|m| metric::Plan::of(&m)) {
                Ok(plan) => plans.push(plan),
                Err(problem) => {
                    let message = format!("Unable to resolve metric arguments: {problem}");
                    return self.complete(Phase::Error, Some(message));
                }
            }
        }
        self.fold(&plans);
        self.judge(&plans);
    }

    /// Takes in what came back.
    fn fold(&mut self, plans: &[metric::Plan]) {
        let mut results = self.status.metric_results.take().unwrap_or_default();
        for plan in plans {
            if let Some(result) = results.iter_mut().find(|result| result.name == plan.name) {
                self.fold_one(plan, result);
            }
        }
        // A metric gets its place in the status with its first result.
        for plan in plans {
            if results.iter().all(|result| result.name != plan.name) {
                let mut fresh = MetricResult {
                    name: plan.name.clone(),
                    phase: Phase::Pending.to_string(),
                    dry_run: summary::is_dry_run(&self.run.spec, &plan.name).then_some(true),
                    ..MetricResult::default()
                };
                self.fold_one(plan, &mut fresh);
                if fresh.measurements.is_some() || metric::attempts(&fresh) > 0 {
                    results.push(fresh);
                }
            }
        }
        self.status.metric_results = (!results.is_empty()).then_some(results);
    }

    fn fold_one(&mut self, plan: &metric::Plan, result: &mut MetricResult) {
        let keep = summary::retention(&self.run.spec, &plan.name);
        let uid = self.run.metadata.uid.as_deref().unwrap_or_default();
        // Each result moves the id on, so one that is repeated no longer fits.
        while !Phase::of_status(Some(&result.phase)).is_completed() {
            let id = metric::next_id(&plan.name, result);
            let Some(finished) = self.inputs.finished.iter().find(|finished| finished.id == id) else { break };
            let held = metric::attempts(result) > 0;
            metric::take(plan, result, finished, self.policy, uid);
            metric::trim(result, keep);
            let holds = metric::attempts(result) > 0;
            if holds && !held {
                let why = result.message.clone().unwrap_or_default();
                self.event(true, words::REASON_HOLDING, format!("Metric '{}': {why}", plan.name));
            } else if held && !holds {
                let name = &plan.name;
                self.event(false, words::REASON_HOLD_OVER, format!("Metric '{name}': the provider answers again"));
            }
            // The verdict closes the metric before another result can be taken in.
            self.settle(plan, result, false);
        }
        self.settle(plan, result, false);
    }

    /// Gives a metric its phase.
    fn settle(&mut self, plan: &metric::Plan, result: &mut MetricResult, terminating: bool) {
        let before = Phase::of_status(Some(&result.phase));
        if before.is_completed() {
            return;
        }
        let (phase, message) = metric::assess(plan, result, terminating, self.now, self.policy);
        result.phase = phase.to_string();
        if message.is_some() || metric::attempts(result) == 0 {
            result.message = message;
        }
        if phase.is_completed() {
            metric::clear_hold(result);
            self.event(
                phase != Phase::Successful,
                format!("Metric{phase}"),
                format!("Metric '{}' Completed. Result: {phase}", plan.name),
            );
        }
    }

    fn judge(&mut self, plans: &[metric::Plan]) {
        let told_to_stop = self.run.spec.terminate == Some(true);
        let mut results = self.status.metric_results.take().unwrap_or_default();
        let bad = |result: &MetricResult| {
            let phase = Phase::of_status(Some(&result.phase));
            phase.is_completed() && phase != Phase::Successful && result.dry_run != Some(true)
        };
        if told_to_stop || results.iter().any(bad) {
            for plan in plans {
                if let Some(result) = results.iter_mut().find(|result| result.name == plan.name) {
                    self.settle(plan, result, true);
                } else {
                    let mut result = MetricResult {
                        name: plan.name.clone(),
                        phase: Phase::Pending.to_string(),
                        dry_run: summary::is_dry_run(&self.run.spec, &plan.name).then_some(true),
                        ..MetricResult::default()
                    };
                    self.settle(plan, &mut result, true);
                    results.push(result);
                }
            }
        }
        let complete = |plan: &metric::Plan| {
            let result = results.iter().find(|result| result.name == plan.name);
            result.is_some_and(|result| Phase::of_status(Some(&result.phase)).is_completed())
        };
        let all_complete = plans.iter().all(complete);
        let (counted, rehearsed) = summary::count(&self.run.spec, &results);
        self.status.run_summary = Some(counted);
        self.status.dry_run_summary = rehearsed;
        if all_complete {
            let (phase, message) = summary::verdict(plans, &results, told_to_stop);
            self.status.metric_results = (!results.is_empty()).then_some(results);
            self.complete(phase, message);
            return;
        }
        self.status.message = hold_of(&results).map(|hold| hold.message);
        self.status.metric_results = (!results.is_empty()).then_some(results);
    }

    /// Which measurements are due, what is no longer wanted, when to look again.
    fn finish(mut self) -> RunDecision {
        let phase = Phase::of_status(Some(&self.status.phase));
        let mut measure = Vec::new();
        let mut wanted = BTreeSet::new();
        let mut delete = false;
        if phase.is_completed() {
            if let Some(at) = summary::time_to_delete(&self.run.spec, &self.status, phase) {
                delete = at <= self.now;
                if !delete {
                    self.wake_at(at);
                }
            }
        } else {
            self.schedule(&mut measure, &mut wanted);
        }
        let cancel = self.inputs.in_flight.iter().filter(|id| !wanted.contains(*id)).cloned().collect();
        let hold = if phase.is_completed() {
            None
        } else {
            hold_of(self.status.metric_results.as_deref().unwrap_or_default())
        };
        RunDecision {
            measure,
            cancel,
            hold,
            events: self.events,
            delete,
            requeue_after: self.wake.map(|at| until(at, self.now)),
            status: self.status,
        }
    }

    fn schedule(&mut self, measure: &mut Vec<MeasureRequest>, wanted: &mut BTreeSet<MeasureId>) {
        let spec = &self.run.spec;
        let given = spec.args.clone().unwrap_or_default();
        let started = self.status.started_at.as_ref().map_or(self.now, |at| at.0);
        let results = self.status.metric_results.clone().unwrap_or_default();
        for written in &spec.metrics {
            let plan = args::known(written, &given).ok().and_then(|metric| metric::Plan::of(&metric).ok());
            let Some(plan) = plan else { continue };
            let fresh = MetricResult { name: plan.name.clone(), ..MetricResult::default() };
            let result = results.iter().find(|result| result.name == plan.name).unwrap_or(&fresh);
            if Phase::of_status(Some(&result.phase)).is_completed() {
                continue;
            }
            if let Some(end) = metric::hold_end(result, self.policy) {
                self.wake_at(end);
            }
            let id = metric::next_id(&plan.name, result);
            let due = metric::due(&plan, result, started);
            wanted.insert(id.clone());
            if self.inputs.in_flight.contains(&id) {
                continue;
            }
            if due > self.now {
                self.wake_at(due);
                continue;
            }
            measure.push(MeasureRequest {
                id,
                namespace: self.run.metadata.namespace.clone().unwrap_or_default(),
                run: self.run.metadata.name.clone().unwrap_or_default(),
                uid: self.run.metadata.uid.clone().unwrap_or_default(),
                started_at: started,
                standing: Standing { evidence: metric::evidence(result), share: summary::budget_share(spec, written) },
                metric: written.clone(),
                args: given.clone(),
            });
        }
    }
}

fn hold_of(results: &[MetricResult]) -> Option<Hold> {
    let held: Vec<(&MetricResult, Timestamp)> = results
        .iter()
        .filter(|result| !Phase::of_status(Some(&result.phase)).is_completed() && result.dry_run != Some(true))
        .filter_map(|result| Some((result, metric::hold_since(result)?)))
        .collect();
    let since = held.iter().map(|(_, since)| *since).min()?;
    let told = held.iter().map(|(result, _)| {
        format!("Metric \"{}\": {}", result.name, result.message.as_deref().unwrap_or("no answer from the provider"))
    });
    Some(Hold {
        since,
        metrics: held.iter().map(|(result, _)| result.name.clone()).collect(),
        message: told.collect::<Vec<_>>().join("; "),
    })
}
