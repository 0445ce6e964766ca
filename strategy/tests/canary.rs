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
