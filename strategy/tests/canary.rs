//! Releases from the first pod to the last, in a world where each write is checked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::json;
use strategy::Action;
use support::{basic, nginx};

#[test]
fn a_routed_canary_walks_its_steps_with_few_writes() {
    let steps = json!([
        { "setWeight": 20 }, { "pause": { "duration": "5s" } }, { "setWeight": 40 }, { "pause": { "duration": "5s" } },
        { "setWeight": 60 }, { "pause": { "duration": "5s" } }, { "setWeight": 80 }, { "pause": { "duration": "5s" } },
    ]);
    let mut world = nginx(2, &steps);
    world.run(10);
    assert_eq!(world.status().phase.as_deref(), Some("Healthy"));
    let stable = world.hash_of_image("web:1");
    assert_eq!(world.behind("web-stable"), stable);
    world.writes.clear();
    world.events.clear();
    world.image("web:2");
    let mut weights = Vec::new();
    for _ in 0..12 {
        let after = world.rest().requeue_after;
        weights.push(world.weight().unwrap());
        let Some(after) = after.filter(|_| world.weight() != Some(0)) else { break };
        world.now += crds::jiff::SignedDuration::try_from(after).unwrap();
    }
    weights.dedup();
    assert_eq!(weights, [20, 40, 60, 80, 0]);
    assert_eq!(world.status().phase.as_deref(), Some("Healthy"));
    assert_eq!(world.behind("web-stable"), world.hash_of_image("web:2"));
    assert_eq!((world.pods("web:1"), world.pods("web:2"), world.waits_for_scale_down("web:1")), (2, 2, true));
    // With the events, which are written as one for each reason, this stays under 24 requests.
    assert!(world.writes.len() <= 18, "{} writes: {:#?}", world.writes.len(), world.writes);
    let reasons: std::collections::BTreeSet<_> = world.events.iter().map(|event| event.reason).collect();
    assert!(reasons.len() <= 6, "{reasons:?}");
    // Later the pods of the old version go.
    world.run(10);
    assert_eq!((world.pods("web:1"), world.pods("web:2")), (0, 2));
}

#[test]
fn an_abort_takes_traffic_first_and_pods_later() {
    let mut world = nginx(5, &json!([{ "setWeight": 40 }, { "pause": {} }]));
    world.run(10);
    world.image("web:2");
    world.rest();
    assert_eq!((world.weight(), world.pods("web:2")), (Some(40), 2));
    assert_eq!(world.status().phase.as_deref(), Some("Paused"));
    world.person(&json!({ "abort": true }));
    let decision = world.decide();
    assert!(matches!(decision.actions.first(), Some(Action::Route(_))), "{:?}", decision.actions);
    world.rest();
    assert_eq!((world.weight(), world.pods("web:2")), (Some(0), 2));
    assert_eq!(world.status().phase.as_deref(), Some("Degraded"));
    world.after(29);
    world.rest();
    assert_eq!(world.pods("web:2"), 2);
    world.after(2);
    world.rest();
    assert_eq!((world.pods("web:1"), world.pods("web:2")), (5, 0));
    // Tried again, it starts at the first step.
    world.person(&json!({ "abort": false }));
    world.rest();
    assert_eq!((world.weight(), world.pods("web:2")), (Some(40), 2));
    world.promote();
    world.run(10);
    assert_eq!((world.weight(), world.pods("web:1"), world.pods("web:2")), (Some(0), 0, 5));
    assert_eq!(world.status().phase.as_deref(), Some("Healthy"));
}

#[test]
fn without_routing_the_pods_follow_the_weight() {
    let mut world = basic(10, &json!([{ "setWeight": 30 }, { "pause": {} }]));
    world.run(10);
    world.image("web:2");
    world.rest();
    assert_eq!((world.pods("web:1"), world.pods("web:2")), (7, 3));
    world.person(&json!({ "abort": true }));
    world.rest();
    assert_eq!((world.pods("web:1"), world.pods("web:2")), (10, 0));
    world.person(&json!({ "abort": false }));
    world.rest();
    assert_eq!((world.pods("web:1"), world.pods("web:2")), (7, 3));
    world.promote();
    world.run(10);
    assert_eq!((world.pods("web:1"), world.pods("web:2")), (0, 10));
    assert_eq!(world.status().phase.as_deref(), Some("Healthy"));
}

#[test]
fn a_newer_revision_in_the_middle_takes_over_and_never_gets_the_others_traffic() {
    let mut world = nginx(4, &json!([{ "setWeight": 25 }, { "pause": {} }, { "setWeight": 50 }, { "pause": {} }]));
    world.run(10);
    world.image("web:2");
    world.rest();
    world.promote();
    world.rest();
    assert_eq!(world.weight(), Some(50));
    world.image("web:3");
    world.settle();
    assert_eq!(world.weight(), Some(0), "nothing goes to a version without pods");
    world.rest();
    assert_eq!((world.weight(), world.pods("web:2"), world.pods("web:3")), (Some(25), 0, 1));
    assert_eq!(world.status().current_step_index, Some(1));
    // Back to the stable template: the release is over at once.
    world.image("web:1");
    world.run(10);
    assert_eq!((world.weight(), world.pods("web:1"), world.pods("web:3")), (Some(0), 4, 0));
    assert_eq!(world.status().phase.as_deref(), Some("Healthy"));
}

#[test]
fn a_full_promotion_skips_the_steps_and_waits_for_pods() {
    let mut world = nginx(4, &json!([{ "setWeight": 25 }, { "pause": {} }]));
    world.run(10);
    world.image("web:2");
    world.rest();
    world.person(&json!({ "promoteFull": true }));
    world.settle();
    assert_eq!(world.pods("web:2"), 4);
    assert_ne!(world.status().stable_rs, world.hash_of_image("web:2"), "not before its pods are there");
    world.run(10);
    assert_eq!(world.status().stable_rs, world.hash_of_image("web:2"));
    assert_eq!(world.status().promote_full, None);
}

#[test]
fn a_version_that_never_comes_up_runs_into_the_deadline() {
    for abort in [false, true] {
        let mut world = nginx(3, &json!([{ "setWeight": 50 }]));
        world.spec(&json!({ "progressDeadlineSeconds": 60, "progressDeadlineAbort": abort }));
        world.broken.insert("web:2".to_owned());
        world.run(10);
        world.image("web:2");
        world.rest();
        assert_eq!((world.weight(), world.pods("web:2")), (Some(0), 2));
        world.after(59);
        world.rest();
        assert_eq!(world.status().phase.as_deref(), Some("Progressing"));
        world.after(3);
        world.rest();
        assert_eq!(world.status().phase.as_deref(), Some("Degraded"), "{abort}");
        assert_eq!(world.status().abort == Some(true), abort);
        world.run(10);
        assert_eq!(world.pods("web:2"), if abort { 0 } else { 2 });
        assert_eq!(world.behind("web-stable"), world.hash_of_image("web:1"));
    }
}

#[test]
fn the_first_version_that_never_comes_up_is_told_once() {
    let mut world = nginx(2, &json!([{ "setWeight": 50 }]));
    world.spec(&json!({ "progressDeadlineSeconds": 60, "progressDeadlineAbort": true }));
    world.broken.insert("web:1".to_owned());
    world.run(10);
    let told = world.events.iter().filter(|event| event.reason == "ProgressDeadlineExceeded").count();
    assert_eq!((told, world.status().phase.as_deref()), (1, Some("Degraded")));
}

#[test]
fn pods_that_still_get_requests_are_kept_when_the_ingress_can_not_be_written() {
    let mut world = nginx(4, &json!([{ "setWeight": 50 }, { "pause": {} }]));
    world.run(10);
    world.image("web:2");
    world.rest();
    world.person(&json!({ "abort": true }));
    // Whatever the Ingress says stays; all other writes go through.
    for _ in 0..30 {
        let decision = world.decide();
        let done = decision.actions.iter().all(|action| matches!(action, Action::Route(_)));
        for action in
            decision.actions.iter().filter(|action| !matches!(action, Action::Route(_) | Action::PatchService { .. }))
        {
            world.apply(action);
        }
        if done {
            world.write_status(&decision);
        }
        world.after(20);
    }
    assert_eq!((world.weight(), world.pods("web:2")), (Some(50), 2));
}

#[test]
fn an_abort_goes_through_a_pause_by_hand() {
    let steps = json!([{ "setWeight": 30 }, { "pause": {} }]);
    for mut world in [basic(10, &steps), nginx(10, &steps)] {
        world.run(10);
        world.image("web:2");
        world.rest();
        world.spec(&json!({ "paused": true }));
        world.rest();
        assert_eq!(world.status().message.as_deref(), Some("manually paused"));
        world.person(&json!({ "abort": true }));
        world.run(10);
        assert_eq!((world.weight().unwrap_or(0), world.pods("web:1"), world.pods("web:2")), (0, 10, 0));
    }
}

#[test]
fn a_pause_by_hand_holds_steps_and_new_pods_until_it_is_taken_away() {
    let mut world = nginx(
        4,
        &json!([{ "setWeight": 25 }, { "pause": { "duration": "10s" } }, { "setWeight": 50 }, { "pause": {} }]),
    );
    world.run(10);
    world.image("web:2");
    world.rest();
    world.spec(&json!({ "paused": true }));
    world.after(60);
    world.rest();
    assert_eq!((world.weight(), world.pods("web:2"), world.status().phase.as_deref()), (Some(25), 1, Some("Paused")));
    // Scaling goes on.
    world.spec(&json!({ "replicas": 8 }));
    world.rest();
    assert_eq!((world.weight(), world.pods("web:1"), world.pods("web:2")), (Some(25), 8, 2));
    world.promote();
    world.rest();
    assert_eq!((world.weight(), world.pods("web:2")), (Some(50), 4));
}

/// A run that ended, as the AnalysisRun machine leaves it.
fn ended(name: &str, hash: &str, second: i32) -> crds::AnalysisRun {
    serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {
            "name": name, "namespace": "shop", "uid": name, "labels": { "rollouts-pod-template-hash": hash },
            "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
        },
        "spec": { "metrics": [] }, "status": { "phase": "Failed" },
    }))
    .unwrap()
}

#[test]
fn old_analysis_runs_go_and_so_do_those_of_versions_that_are_gone() {
    let mut world = nginx(2, &json!([{ "setWeight": 50 }]));
    world.run(10);
    let hash = world.hash_of_image("web:1").unwrap();
    for number in 0..7 {
        world.seen.analysis_runs.push(ended(&format!("run-{number}"), &hash, number));
    }
    world.seen.analysis_runs.push(ended("run-of-a-gone-version", "gone", 50));
    world.settle();
    let mut left: Vec<_> = world.seen.analysis_runs.iter().filter_map(|run| run.metadata.name.clone()).collect();
    left.sort();
    assert_eq!(left, ["run-2", "run-3", "run-4", "run-5", "run-6"]);
}

#[test]
fn the_arithmetic_of_pods_has_the_known_answers() {
    use strategy::replicas::{Bounds, Pods, split, step};
    let bounds = |surge, unavailable| Bounds { surge, unavailable };
    // replicas, weight, surge → canary, stable
    let table = [
        (10, 0, 3, (0, 10)),
        (10, 100, 3, (10, 0)),
        (10, 10, 3, (1, 9)),
        (10, 25, 0, (3, 7)),
        (10, 25, 3, (3, 8)),
        (10, 1, 0, (1, 9)),
        (10, 99, 0, (9, 1)),
        (5, 40, 2, (2, 3)),
        (1, 50, 1, (1, 1)),
        (1, 50, 0, (1, 0)),
        (1, 40, 0, (0, 1)),
        (4, 50, 1, (2, 2)),
        (0, 50, 1, (0, 0)),
    ];
    for (replicas, weight, surge, expected) in table {
        assert_eq!(split(replicas, weight, bounds(surge, 0)), expected, "{replicas} at {weight} with surge {surge}");
    }
    let all = |wanted| Pods { wanted, available: wanted, counted: wanted };
    let none = Pods::default();
    // Up: stable keeps what must be available until the canary is.
    assert_eq!(step(10, bounds(1, 0), (5, 5), all(0), all(10), none), (1, 10));
    assert_eq!(step(10, bounds(1, 0), (5, 5), Pods { wanted: 1, available: 0, counted: 1 }, all(10), none), (1, 10));
    assert_eq!(step(10, bounds(1, 0), (5, 5), all(1), all(10), none), (1, 9));
    assert_eq!(step(10, bounds(0, 1), (5, 5), all(0), all(10), none), (0, 9));
    // Down: the canary goes as stable comes.
    assert_eq!(step(10, bounds(1, 0), (0, 10), all(5), all(5), none), (5, 6));
    assert_eq!(step(10, bounds(1, 0), (0, 10), all(5), all(6), none), (4, 6));
    // What was told to go and is still there takes up room.
    let leaving = Pods { wanted: 9, available: 10, counted: 10 };
    assert_eq!(step(10, bounds(0, 1), (5, 5), none, leaving, none), (0, 9));
    assert_eq!(step(10, bounds(0, 1), (5, 5), none, all(9), none), (1, 9));
    // Versions of older releases go first.
    assert_eq!(step(10, bounds(1, 0), (5, 5), all(1), all(9), all(1)), (1, 9));
}

/// A world with a template, and a canary whose first step is judged by it, or whose whole way is.
fn judged(background: bool) -> support::World {
    let analysis = json!({ "templates": [{ "templateName": "errors" }] });
    let steps = if background {
        json!([{ "setWeight": 20 }, { "pause": {} }])
    } else {
        json!([{ "setWeight": 20 }, { "analysis": analysis }, { "pause": {} }])
    };
    let mut world = nginx(5, &steps);
    if background {
        world.spec(&json!({ "strategy": { "canary": { "analysis": analysis } } }));
    }
    let template = serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": { "name": "errors" },
        "spec": { "metrics": [{
            "name": "errors", "interval": "10s", "count": 3, "successCondition": "result[0] < 0.01",
            "provider": { "prometheus": { "address": "http://prometheus", "query": "errors" } },
        }] },
    }));
    world.seen.analysis_templates.insert("errors".to_owned(), template.unwrap());
    world.run(10);
    world.image("web:2");
    world.rest();
    assert_eq!(world.seen.analysis_runs.len(), 1);
    assert_eq!(world.weight(), Some(20));
    world
}

fn found(world: &mut support::World, status: &serde_json::Value) {
    world.seen.analysis_runs.last_mut().unwrap().status = Some(serde_json::from_value(status.clone()).unwrap());
}

#[test]
fn a_failed_analysis_takes_the_release_back_with_the_traffic_first() {
    for background in [false, true] {
        let mut world = judged(background);
        found(&mut world, &json!({ "phase": "Failed", "message": "Metric \"errors\" assessed Failed" }));
        let first = world.decide().actions.first().cloned();
        assert!(matches!(first, Some(Action::Route(_))), "{first:?}");
        world.rest();
        let what = if background { "Background analysis" } else { "Step-based analysis" };
        let message = format!(
            "RolloutAborted: Rollout aborted update to revision 2: {what} phase error/failed: Metric \"errors\" assessed Failed"
        );
        assert_eq!(world.status().message, Some(message));
        assert_eq!((world.weight(), world.status().abort), (Some(0), Some(true)));
        // A retry makes a new run.
        world.person(&json!({ "abort": false }));
        world.rest();
        assert_eq!(world.seen.analysis_runs.len(), 2);
        assert_ne!(world.status().abort, Some(true));
    }
}

#[test]
fn a_run_that_could_not_tell_waits_for_a_person_and_is_made_again() {
    let mut world = judged(false);
    found(&mut world, &json!({ "phase": "Inconclusive" }));
    world.rest();
    assert_eq!(world.status().message.as_deref(), Some("InconclusiveAnalysisRun"));
    world.person(&json!({ "pauseConditions": null, "controllerPause": false }));
    world.rest();
    assert_eq!(world.seen.analysis_runs.len(), 2);
    found(&mut world, &json!({ "phase": "Successful" }));
    world.rest();
    assert_eq!(world.status().current_step_index, Some(2));
    world.promote();
    world.run(10);
    assert_eq!(world.status().phase.as_deref(), Some("Healthy"));
}

#[test]
fn a_provider_that_does_not_answer_holds_the_release_and_is_told_once() {
    for background in [false, true] {
        let mut world = judged(background);
        let index = world.status().current_step_index;
        world.events.clear();
        let held = json!({ "phase": "Running", "metricResults": [{
            "name": "errors", "phase": "Running", "metadata": { "holdSince": "2026-01-01T00:00:00Z", "holdReason": "connection refused" },
        }] });
        found(&mut world, &held);
        for _ in 0..100 {
            world.after(20);
            world.rest();
        }
        assert_eq!(world.events.len(), 1, "{:?}", world.events);
        assert_eq!(world.events[0].reason, "AnalysisHolding");
        assert_eq!((world.weight(), world.status().current_step_index), (Some(20), index));
        assert_ne!(world.status().phase.as_deref(), Some("Degraded"));
        found(&mut world, &json!({ "phase": if background { "Running" } else { "Successful" } }));
        world.rest();
        world.promote();
        world.run(10);
        assert_eq!(world.status().phase.as_deref(), Some("Healthy"), "{}", json!(world.status()));
    }
}

#[test]
fn a_version_with_any_traffic_has_the_least_number_of_pods_asked_for() {
    let mut world = nginx(5, &json!([{ "setWeight": 0 }, { "pause": {} }, { "setWeight": 20 }, { "pause": {} }]));
    world.spec(&json!({ "strategy": { "canary": { "minPodsPerReplicaSet": 3 } } }));
    world.run(10);
    world.image("web:2");
    world.rest();
    assert_eq!(world.pods("web:2"), 0);
    world.promote();
    world.rest();
    assert_eq!((world.weight(), world.pods("web:2")), (Some(20), 3));
}

#[test]
fn what_is_not_built_yet_is_refused_by_name() {
    let spec = json!({ "strategy": { "canary": { "trafficRouting": { "smi": {} } } } });
    let field = "spec.strategy.canary.trafficRouting.smi";
    let mut world = nginx(2, &json!([{ "setWeight": 20 }]));
    world.spec(&spec);
    world.settle();
    let message = world.status().message.unwrap_or_default();
    assert!(message.contains(field) && message.contains("is not supported yet"), "{message}");
    assert!(world.seen.replica_sets.is_empty());
    world.settle();
    assert_eq!(world.events.len(), 1, "it is told once: {:?}", world.events);
}
