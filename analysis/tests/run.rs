//! The AnalysisRun machine, driven by scripts of measurements in virtual time.

// Helpers of tests fail by panicking, too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use analysis::Phase;
use analysis::run::{Finished, MeasureOutcome, RunDecision, RunInputs, RunPolicy, decide};
use crds::jiff::{SignedDuration, Timestamp};
use crds::{AnalysisRun, AnalysisRunSpec};
use proptest::prelude::*;
use serde_json::json;

fn start() -> Timestamp {
    "2024-03-15T12:00:00Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    start().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

fn run_of(spec: serde_json::Value) -> AnalysisRun {
    let spec: AnalysisRunSpec = serde_json::from_value(spec).unwrap();
    let mut run = AnalysisRun::new("web-1", spec);
    run.metadata.namespace = Some("shop".to_owned());
    run.metadata.uid = Some("7b9c".to_owned());
    run
}

fn metric(extra: serde_json::Value) -> serde_json::Value {
    let mut metric = json!({"name": "errors", "provider": {"prometheus": {"query": "up"}}});
    metric.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    metric
}

/// What the provider does, one letter for each time it is asked.
fn outcome(letter: char) -> MeasureOutcome {
    let measured = |phase| MeasureOutcome::Measured {
        phase,
        value: "0.5".to_owned(),
        message: String::new(),
        metadata: BTreeMap::new(),
    };
    match letter {
        's' => measured(Phase::Successful),
        'f' => measured(Phase::Failed),
        'i' => measured(Phase::Inconclusive),
        'e' => {
            MeasureOutcome::Error { value: String::new(), message: "bad query".to_owned(), metadata: BTreeMap::new() }
        }
        '-' => MeasureOutcome::NoAnswer { reason: "connection refused".to_owned() },
        other => panic!("no such outcome: {other}"),
    }
}

/// Through JSON, as the API server stores it.
fn stored(run: &AnalysisRun, decision: &RunDecision) -> AnalysisRun {
    let mut next = run.clone();
    next.status = Some(decision.status.clone());
    serde_json::from_value(serde_json::to_value(&next).unwrap()).unwrap()
}

struct Played {
    run: AnalysisRun,
    last: RunDecision,
    events: Vec<String>,
    /// Seconds at which each measurement was asked for.
    asked: Vec<i64>,
}

impl Played {
    fn phase(&self) -> &str {
        &self.run.status.as_ref().unwrap().phase
    }

    fn message(&self) -> &str {
        self.run.status.as_ref().unwrap().message.as_deref().unwrap_or_default()
    }
}

/// Plays a script: each measurement gets the next letter at once; ends with the script, or the run.
fn play(mut run: AnalysisRun, script: &str, policy: &RunPolicy) -> Played {
    let mut letters = script.chars();
    let mut now = start();
    let (mut events, mut asked) = (Vec::new(), Vec::new());
    let mut inputs = RunInputs::default();
    for _ in 0..400 {
        let decision = decide(&run, &inputs, now, policy);
        events.extend(decision.events.iter().map(|event| event.reason.clone()));
        let next = stored(&run, &decision);
        // The law of the machine: written and fed the same again, nothing changes and nobody is told twice.
        let again = decide(&next, &inputs, now, policy);
        assert_eq!(again.status, decision.status, "the decision is not idempotent");
        assert_eq!(again.measure, decision.measure);
        assert_eq!(again.events, vec![], "an event is told twice");
        run = next;
        let done = Phase::of_status(Some(&run.status.as_ref().unwrap().phase)).is_completed();
        inputs = RunInputs::default();
        let mut exhausted = false;
        for request in &decision.measure {
            match letters.next() {
                Some(letter) => {
                    asked.push(now.duration_since(start()).as_secs());
                    inputs.finished.push(Finished {
                        id: request.id.clone(),
                        started_at: now,
                        finished_at: now,
                        outcome: outcome(letter),
                    });
                }
                None => exhausted = true,
            }
        }
        if done || exhausted {
            return Played { run, last: decision, events, asked };
        }
        if inputs.finished.is_empty() {
            let wait = decision.requeue_after.expect("a run that waits says for how long");
            now = now.checked_add(SignedDuration::try_from(wait.max(Duration::from_millis(1))).unwrap()).unwrap();
        }
    }
    panic!("the run does not end");
}

#[test]
fn how_runs_end() {
    let every = |extra: serde_json::Value| {
        let mut all = json!({"interval": "10s", "count": 3});
        all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        metric(all)
    };
    let table: Vec<(serde_json::Value, &str, &str, &str)> = vec![
        (metric(json!({})), "s", "Successful", ""),
        (metric(json!({})), "f", "Failed", "Metric \"errors\" assessed Failed due to failed (1) > failureLimit (0)"),
        (
            metric(json!({})),
            "i",
            "Inconclusive",
            "Metric \"errors\" assessed Inconclusive due to inconclusive (1) > inconclusiveLimit (0)",
        ),
        (metric(json!({})), "es", "Successful", ""),
        (
            metric(json!({})),
            "eeeee",
            "Error",
            "Metric \"errors\" assessed Error due to consecutiveErrors (5) > consecutiveErrorLimit (4): \"Error Message: bad query\"",
        ),
        (
            metric(json!({"consecutiveErrorLimit": 0})),
            "e",
            "Error",
            "Metric \"errors\" assessed Error due to consecutiveErrors (1) > consecutiveErrorLimit (0): \"Error Message: bad query\"",
        ),
        (every(json!({})), "sss", "Successful", ""),
        (every(json!({})), "ssf", "Failed", "Metric \"errors\" assessed Failed due to failed (1) > failureLimit (0)"),
        (every(json!({"failureLimit": 1})), "sfs", "Successful", ""),
        (
            every(json!({"failureLimit": 1})),
            "fsf",
            "Failed",
            "Metric \"errors\" assessed Failed due to failed (2) > failureLimit (1)",
        ),
        (every(json!({"inconclusiveLimit": 1})), "sis", "Successful", ""),
        (
            every(json!({"inconclusiveLimit": "1"})),
            "iis",
            "Inconclusive",
            "Metric \"errors\" assessed Inconclusive due to inconclusive (2) > inconclusiveLimit (1)",
        ),
        (every(json!({})), "eseses", "Successful", ""),
        (
            every(json!({"consecutiveErrorLimit": 1})),
            "seee",
            "Error",
            "Metric \"errors\" assessed Error due to consecutiveErrors (2) > consecutiveErrorLimit (1): \"Error Message: bad query\"",
        ),
        (every(json!({"consecutiveSuccessLimit": 2})), "ss", "Successful", ""),
        (
            every(json!({"consecutiveSuccessLimit": 2, "failureLimit": 1})),
            "sfs",
            "Inconclusive",
            "Metric \"errors\" assessed Inconclusive due to consecutiveSuccess (1) < consecutiveSuccessLimit (2)",
        ),
        (
            every(json!({"consecutiveSuccessLimit": 2, "failureLimit": -1})),
            "ffs",
            "Failed",
            "Metric \"errors\" assessed Failed due to consecutiveSuccess (1) < consecutiveSuccessLimit (2)",
        ),
        (every(json!({"consecutiveSuccessLimit": 2, "failureLimit": -1})), "fss", "Successful", ""),
        // Nothing measured well is never a success, whatever the limits tolerate.
        (every(json!({"failureLimit": 3})), "fff", "Failed", "nothing was measured well (failed: 3, errors: 0)"),
        (
            every(json!({"inconclusiveLimit": 3})),
            "iii",
            "Inconclusive",
            "nothing was measured well (failed: 0, errors: 0)",
        ),
        // No answer neither helps nor harms.
        (metric(json!({})), "--------------------s", "Successful", ""),
        (every(json!({})), "s---s--s", "Successful", ""),
        (every(json!({})), "----f", "Failed", "Metric \"errors\" assessed Failed due to failed (1) > failureLimit (0)"),
        // Unless the user set the limit himself.
        (
            every(json!({"consecutiveErrorLimit": 2})),
            "s---",
            "Error",
            "Metric \"errors\" assessed Error due to consecutiveErrors (3) > consecutiveErrorLimit (2): \"Error Message: connection refused\"",
        ),
        // Specs that cannot be.
        (
            metric(json!({"interval": "abc"})),
            "",
            "Error",
            "Analysis spec invalid: metric 'errors': interval: \"abc\" is not a duration: write for example 30s, 5m or 1h",
        ),
        (
            metric(json!({"count": 2})),
            "",
            "Error",
            "Analysis spec invalid: metric 'errors': interval: is absent with count 2: interval must be specified when count > 1",
        ),
        (
            metric(json!({"provider": {"prometheus": {"query": "sum(rate(x[5m])"}}})),
            "",
            "Error",
            "Analysis spec invalid: metric 'errors': provider.prometheus.query: \"sum(rate(x[5m])\" is no PromQL: at 1:16: expected an operator, a comma or a closing parenthesis, found the end of the query",
        ),
        (
            metric(json!({"successCondition": "result < {{args.limit}}"})),
            "",
            "Error",
            "Unable to resolve metric arguments: metric 'errors': arguments: failed to resolve {{args.limit}}",
        ),
    ];
    for (metric, script, phase, message) in table {
        let played = play(run_of(json!({"metrics": [metric]})), script, &RunPolicy::default());
        assert_eq!((played.phase(), played.message()), (phase, message), "{metric} with {script:?}");
        let status = played.run.status.unwrap();
        assert!(status.completed_at.is_some() && status.started_at.is_some());
        assert_eq!(played.events.iter().filter(|reason| **reason == format!("AnalysisRun{phase}")).count(), 1);
    }
}

#[test]
fn measurements_come_at_their_time() {
    let run = |extra| run_of(json!({"metrics": [metric(extra)]}));
    for (extra, script, times) in [
        (json!({"interval": "1m", "count": 3}), "sss", vec![0, 60, 120]),
        (json!({"interval": "1m", "count": 2, "initialDelay": "30s"}), "ss", vec![30, 90]),
        // After an error again in 10 s.
        (json!({"interval": "1m", "count": 2}), "ess", vec![0, 10, 70]),
        (json!({}), "ees", vec![0, 10, 20]),
    ] {
        assert_eq!(play(run(extra.clone()), script, &RunPolicy::default()).asked, times, "{extra}");
    }
}

#[test]
fn a_hold_backs_off_tells_and_survives_a_restart() {
    let run = run_of(json!({"metrics": [metric(json!({"interval": "10s", "count": 2}))]}));
    let played = play(run, "s----", &RunPolicy::default());
    assert_eq!(played.phase(), "Running");
    let waits: Vec<i64> = played.asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[1..].is_sorted() && waits[1] >= 3 && waits[1] <= 6, "the time between attempts grows: {waits:?}");
    let hold = played.last.hold.clone().expect("the run says that it holds");
    assert_eq!(hold.metrics, ["errors"]);
    assert!(hold.message.contains("connection refused") && hold.message.contains("4 attempts"), "{}", hold.message);
    assert_eq!(played.message(), hold.message);
    let result = &played.run.status.as_ref().unwrap().metric_results.as_ref().unwrap()[0];
    assert_eq!((result.count, result.error, result.measurements.as_ref().unwrap().len()), (Some(1), None, 1));
    assert_eq!(played.events.iter().filter(|reason| *reason == "AnalysisRunHolding").count(), 1, "told once");

    // All that a new controller has is the object: it asks for the very same attempt, when it is due.
    let soon = decide(&played.run, &RunInputs::default(), after(3600), &RunPolicy::default());
    assert_eq!(soon.measure.len(), 1);
    assert_eq!((soon.measure[0].id.measurement, soon.measure[0].id.attempt), (1, 4));
    let answered = Finished {
        id: soon.measure[0].id.clone(),
        started_at: after(3600),
        finished_at: after(3601),
        outcome: outcome('s'),
    };
    let inputs = RunInputs { finished: vec![answered.clone(), answered], in_flight: BTreeSet::new() };
    let over = decide(&played.run, &inputs, after(3601), &RunPolicy::default());
    assert_eq!(over.status.phase, "Successful");
    assert!(over.hold.is_none());
    assert!(over.events.iter().any(|event| event.reason == "AnalysisRunHoldOver"));
    let result = &over.status.metric_results.as_ref().unwrap()[0];
    assert_eq!((result.count, result.successful), (Some(2), Some(2)), "a repeated result counts once");
    assert_eq!(result.metadata, None, "nothing is left of the hold");
}

#[test]
fn a_hold_ends_at_its_bound() {
    let policy = RunPolicy { max_hold: Some(Duration::from_mins(2)), ..RunPolicy::default() };
    let run = run_of(json!({"metrics": [metric(json!({}))]}));
    let played = play(run, &"-".repeat(50), &policy);
    assert_eq!(played.phase(), "Error");
    assert_eq!(
        played.message(),
        "Metric \"errors\" assessed Error due to no answer from the provider for longer than 2m0s: connection refused"
    );
}

#[test]
fn one_bad_metric_ends_the_run_and_dry_runs_never_do() {
    let other = json!({"name": "latency", "interval": "10s", "provider": {"prometheus": {"query": "up"}}});
    let both = json!({"metrics": [metric(json!({"interval": "10s"})), other]});
    let played = play(run_of(both.clone()), "sssf", &RunPolicy::default());
    assert_eq!(played.phase(), "Failed");
    assert_eq!(played.message(), "Metric \"latency\" assessed Failed due to failed (1) > failureLimit (0)");
    let summary = played.run.status.as_ref().unwrap().run_summary.clone().unwrap();
    assert_eq!((summary.count, summary.failed, summary.successful), (Some(2), Some(1), Some(1)));

    let mut dry = both;
    dry["metrics"][0]["count"] = json!(2);
    dry["metrics"][1]["count"] = json!(2);
    dry["dryRun"] = json!([{"metricName": "late.*"}]);
    let played = play(run_of(dry), "sfs", &RunPolicy::default());
    assert_eq!(played.phase(), "Successful");
    let status = played.run.status.unwrap();
    let rehearsed = status.dry_run_summary.unwrap();
    assert_eq!((rehearsed.count, rehearsed.failed), (Some(1), Some(1)));
    assert_eq!(status.run_summary.unwrap().count, Some(1));
    assert_eq!(status.metric_results.unwrap()[1].dry_run, Some(true));
}

#[test]
fn terminate_ends_a_run_as_it_stands() {
    let spec = json!({"metrics": [metric(json!({"interval": "10s"}))]});
    for (script, phase, message) in [
        ("ss", "Successful", "Run Terminated"),
        ("", "Inconclusive", "Run Terminated: nothing was measured well (failed: 0, errors: 0)"),
        ("--", "Inconclusive", "Run Terminated: nothing was measured well (failed: 0, errors: 0)"),
        ("e", "Inconclusive", "Run Terminated: nothing was measured well (failed: 0, errors: 1)"),
    ] {
        let mut played = play(run_of(spec.clone()), script, &RunPolicy::default());
        assert_eq!(played.phase(), "Running");
        played.run.spec.terminate = Some(true);
        let id = played.last.measure.first().map(|request| request.id.clone());
        let inputs = RunInputs { finished: vec![], in_flight: id.clone().into_iter().collect() };
        let decision = decide(&played.run, &inputs, after(100), &RunPolicy::default());
        assert_eq!(
            (decision.status.phase.as_str(), decision.status.message.as_deref()),
            (phase, Some(message)),
            "{script}"
        );
        assert_eq!(decision.cancel, Vec::from_iter(id), "nobody waits for the measurement under way");
    }
}

#[test]
fn measurements_are_kept_as_the_rules_say() {
    let many = "s".repeat(15);
    let spec = |retention: serde_json::Value| json!({"metrics": [metric(json!({"interval": "1s", "count": 15}))], "measurementRetention": retention});
    for (rules, kept) in [
        (json!([]), 10),
        (json!([{"metricName": "err.*", "limit": 3}]), 3),
        (json!([{"metricName": "*", "limit": 20}]), 15),
    ] {
        let played = play(run_of(spec(rules)), &many, &RunPolicy::default());
        let result = played.run.status.unwrap().metric_results.unwrap().remove(0);
        assert_eq!((result.measurements.unwrap().len(), result.count), (kept, Some(15)));
    }
}

#[test]
fn a_completed_run_is_deleted_after_its_time() {
    for (script, ttl, seconds) in [
        ("s", json!({"secondsAfterCompletion": 100}), 100),
        ("s", json!({"secondsAfterCompletion": 100, "secondsAfterSuccess": 10}), 10),
        ("f", json!({"secondsAfterCompletion": 100, "secondsAfterSuccess": 10}), 100),
        ("f", json!({"secondsAfterFailure": 7, "secondsAfterSuccess": 10}), 7),
    ] {
        let run = run_of(json!({"metrics": [metric(json!({}))], "ttlStrategy": ttl}));
        let played = play(run, script, &RunPolicy::default());
        let at = |t| decide(&played.run, &RunInputs::default(), after(t), &RunPolicy::default());
        assert!(!at(seconds - 1).delete && at(seconds).delete, "{ttl}");
        assert_eq!(at(seconds - 1).requeue_after, Some(Duration::from_secs(1)));
    }
}

#[test]
fn what_is_in_flight_is_not_asked_again() {
    let run = run_of(json!({"metrics": [metric(json!({"interval": "10s"}))]}));
    let first = decide(&run, &RunInputs::default(), start(), &RunPolicy::default());
    assert_eq!(first.measure.len(), 1);
    assert_eq!((first.measure[0].namespace.as_str(), first.measure[0].run.as_str()), ("shop", "web-1"));
    let inputs = RunInputs { finished: vec![], in_flight: [first.measure[0].id.clone()].into() };
    let second = decide(&stored(&run, &first), &inputs, after(500), &RunPolicy::default());
    assert!(second.measure.is_empty() && second.cancel.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Idempotence is asserted by `play` itself, at every step.
    #[test]
    fn whatever_is_measured(
        scripts in "[sfie-]{0,30}",
        count in prop::option::of(1i32..6),
        failure_limit in -1i32..3,
        inconclusive_limit in 0i32..3,
        error_limit in prop::option::of(0i32..3),
        success_limit in 0i32..3,
        second in any::<bool>(),
        dry in any::<bool>(),
    ) {
        let mut one = json!({"interval": "10s", "failureLimit": failure_limit, "inconclusiveLimit": inconclusive_limit, "consecutiveSuccessLimit": success_limit});
        if let Some(count) = count { one["count"] = json!(count); }
        if let Some(limit) = error_limit { one["consecutiveErrorLimit"] = json!(limit); }
        let mut spec = json!({"metrics": [metric(one)]});
        if second {
            spec["metrics"].as_array_mut().unwrap().push(json!({"name": "latency", "interval": "7s", "count": 2, "provider": {"prometheus": {"query": "up"}}}));
            if dry { spec["dryRun"] = json!([{"metricName": "latency"}]); }
        }
        let played = play(run_of(spec), &scripts, &RunPolicy::default());
        let status = played.run.status.clone().unwrap();
        let results = status.metric_results.clone().unwrap_or_default();
        if status.phase == "Successful" {
            prop_assert!(results.iter().any(|result| result.dry_run != Some(true) && result.successful.unwrap_or(0) > 0));
        }
        // A completed run stays as it is, whatever comes and however late.
        if Phase::of_status(Some(&status.phase)).is_completed() {
            let late = played.last.measure.iter().map(|request| Finished { id: request.id.clone(), started_at: start(), finished_at: start(), outcome: outcome('f') });
            let inputs = RunInputs { finished: late.collect(), in_flight: BTreeSet::new() };
            let after_all = decide(&played.run, &inputs, after(100_000), &RunPolicy::default());
            prop_assert_eq!(after_all.status, status);
            prop_assert!(after_all.measure.is_empty());
        }
    }
}

#[test]
fn comparisons_share_the_false_alarm_budget_and_go_on_from_their_notes() {
    let compared = |name: &str, weight: i32| {
        let comparison = json!({"ratio": {"failed": "bad", "total": "all"}, "weight": weight});
        json!({"name": name, "interval": "10s", "provider": {"comparison": comparison}})
    };
    let mut run = run_of(json!({
        "metrics": [compared("critical", 3), compared("other", 1), compared("rehearsed", 1), metric(json!({}))],
        "dryRun": [{"metricName": "rehearsed"}],
    }));
    let decision = decide(&run, &RunInputs::default(), start(), &RunPolicy::default());
    let shares: Vec<f64> = decision.measure.iter().map(|request| request.standing.share).collect();
    assert_eq!(shares, [0.75, 0.25, 1.0, 1.0]);

    let open = MeasureOutcome::Measured {
        phase: Phase::Running,
        value: String::new(),
        message: "412 of 1,000 requests so far".to_owned(),
        metadata: BTreeMap::from([("comparisonEvidence".to_owned(), "what is known".to_owned())]),
    };
    let id = decision.measure[0].id.clone();
    let finished = Finished { id, started_at: start(), finished_at: start(), outcome: open };
    let inputs = RunInputs { finished: vec![finished], ..RunInputs::default() };
    let decision = decide(&run, &inputs, start(), &RunPolicy::default());
    run = stored(&run, &decision);
    let again = decide(&run, &inputs, after(10), &RunPolicy::default());
    let request = again.measure.iter().find(|request| request.id.metric == "critical").unwrap();
    assert_eq!(request.standing.evidence.as_deref(), Some("what is known"));
    assert_eq!(request.id.measurement, 1, "a look without a verdict is a look");
}
