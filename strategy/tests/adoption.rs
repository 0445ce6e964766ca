//! Fleets that Argo Rollouts left in the middle of a release are taken over: nothing is done at first, and then they end as they would have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use crds::jiff::SignedDuration;
use serde_json::{Value, json};
use world::{World, is_over};

macro_rules! captured {
    ($($name:ident),+ $(,)?) => {
        const ALL: &[&str] = &[$(stringify!($name)),+];
        fn text(name: &str) -> &'static str {
            match name {
                $(stringify!($name) => include_str!(concat!("adoption/", stringify!($name), ".yaml")),)+
                other => panic!("{other}"),
            }
        }
    };
}

captured!(
    bluegreen_aborted,
    bluegreen_old_waiting_scaledown,
    bluegreen_preview_paused,
    canary_basic_paused_at_40,
    canary_experiment_running,
    canary_healthy_with_history,
    canary_istio_host_paused_at_25,
    canary_istio_subset_paused_at_10,
    canary_nginx_aborted,
    canary_nginx_background_analysis,
    canary_nginx_paused_at_20,
    canary_progress_deadline_exceeded,
    canary_spec_paused,
    canary_workload_ref,
);

/// The world one second after the last thing that happened in it.
fn adopt(name: &str) -> World {
    let mut objects = serde_saphyr::from_multiple::<Value>(text(name)).unwrap();
    // A Deployment's own ReplicaSets are never in the picture of a Rollout.
    objects.retain(|object| object["metadata"]["ownerReferences"][0]["kind"] != "Deployment");
    let mut last = None;
    for object in &objects {
        latest(object, &mut last);
    }
    World::new(objects, last.unwrap() + SignedDuration::from_secs(1))
}

fn latest(value: &Value, last: &mut Option<crds::jiff::Timestamp>) {
    match value {
        Value::String(text) => *last = (*last).max(text.parse().ok()),
        Value::Array(items) => items.iter().for_each(|item| latest(item, last)),
        // When something will be scaled down is not in the past.
        Value::Object(map) => {
            map.iter().filter(|(key, _)| *key != "scale-down-deadline").for_each(|(_, item)| latest(item, last));
        }
        _ => {}
    }
}

/// Every field of `before` is in `after`, with the same value unless the paths say otherwise.
fn lost(before: &Value, after: &Value, path: &str, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                lost(value, after.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"), found);
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for (index, value) in before.iter().enumerate() {
                lost(value, after.get(index).unwrap_or(&Value::Null), &format!("{path}[{index}]"), found);
            }
        }
        (before, after) if before != after => found.push(format!("{path}: {before} → {after}")),
        _ => {}
    }
}

#[test]
fn nothing_is_done_and_nothing_is_lost() {
    let mut problems = Vec::new();
    for name in ALL {
        let mut world = adopt(name);
        let before = serde_json::to_value(&world.seen.rollout.status).unwrap();
        world.settle();
        let after = serde_json::to_value(&world.seen.rollout.status).unwrap();
        for write in &world.writes {
            problems.push(format!("{name}: {write}"));
        }
        let mut changed = Vec::new();
        lost(&before, &after, "status", &mut changed);
        problems.extend(changed.into_iter().map(|change| format!("{name}: {change}")));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// With the template of the workload that it names.
fn resolved(name: &str) -> World {
    let mut world = adopt(name);
    let rollout = strategy::workload::resolved(&world.seen.rollout, world.seen.workload.as_ref()).into_owned();
    world.seen.rollout = rollout;
    world
}

#[test]
fn each_rollout_finds_its_own_version_by_comparing_templates() {
    for name in ALL {
        let world = resolved(name);
        let revisions = strategy::revision::sort(&world.seen);
        let status = world.seen.rollout.status.clone().unwrap();
        let new = revisions.new.and_then(strategy::revision::hash_of);
        assert_eq!(new, status.current_pod_hash.as_deref(), "{name}");
        let steps = world.seen.rollout.canary().map(|canary| canary.steps().to_vec()).unwrap_or_default();
        assert!(!strategy::revision::steps_changed(&status, &steps), "{name}");
        // And by nothing else: with the status gone, the template alone tells.
        let mut forgotten = resolved(name);
        forgotten.seen.rollout.status = None;
        let revisions = strategy::revision::sort(&forgotten.seen);
        assert_eq!(revisions.new.and_then(strategy::revision::hash_of), status.current_pod_hash.as_deref(), "{name}");
    }
}

/// Ends every run well, as the provider would, and goes on until nothing happens.
fn finish(world: &mut World) {
    for _ in 0..20 {
        world.run_for(SignedDuration::from_mins(5));
        if world.phase() == "Healthy" && world.seen.analysis_runs.iter().all(is_over) {
            return;
        }
        world.analysis("Successful", "");
        world.experiment("Successful", "");
        if world.phase() == "Paused" {
            world.promote();
        }
    }
    panic!("does not finish: {}\n{}", world.summary(), world.writes.join("\n"));
}

#[test]
fn promoted_they_end_healthy_with_the_new_version() {
    for name in ALL {
        let mut world = adopt(name);
        let wanted = world.wanted_image();
        world.settle();
        if world.seen.rollout.spec.is_paused() {
            world.promote();
        }
        if world.seen.rollout.status.as_ref().unwrap().abort == Some(true) {
            world.patch_status(&json!({ "abort": false }));
        }
        finish(&mut world);
        assert_eq!(
            (world.stable_image(), world.phase()),
            (wanted, "Healthy".to_owned()),
            "{name}: {}",
            world.summary()
        );
        assert_eq!(world.violations, Vec::<String>::new(), "{name}");
        assert!(!world.writes.iter().any(|write| write.contains(": create replicas")), "{name}: {:?}", world.writes);
    }
}

#[test]
fn aborted_they_end_on_the_stable_version() {
    for name in ALL {
        let mut world = adopt(name);
        world.settle();
        let stable = world.stable_image();
        let releasing = stable != world.wanted_image();
        world.patch_status(&json!({ "abort": true }));
        // Some fleets keep what was taken back for an hour.
        world.run_for(SignedDuration::from_hours(2));
        let replicas = world.seen.rollout.spec.replicas_or_default();
        assert_eq!(world.available(Some(&stable)), replicas, "{name}: {}", world.summary());
        assert_eq!(world.weight().unwrap_or(0), 0, "{name}: {}", world.summary());
        assert_eq!(world.stable_image(), stable, "{name}");
        if releasing {
            assert_eq!(world.phase(), "Degraded", "{name}: {}", world.summary());
            assert_eq!(world.wanted(&world.wanted_image()), 0, "{name}: {}", world.summary());
        }
    }
}

#[test]
fn rolled_back_they_end_healthy_on_the_stable_version() {
    for name in ALL {
        let mut world = adopt(name);
        world.settle();
        let stable = world.stable_image();
        if stable == world.wanted_image() {
            continue;
        }
        let set = world.seen.replica_sets.iter().find(|set| world::image_of(set) == stable).unwrap();
        let template = strategy::revision::template_for_undo(set);
        if world.seen.workload.is_some() {
            world.patch_workload(&json!({ "spec": { "template": template } }));
        } else {
            world.seen.rollout.spec.template = Some(template);
        }
        world.patch_spec(&json!({ "paused": null }));
        world.run_for(SignedDuration::from_mins(5));
        assert_eq!(world.phase(), "Healthy", "{name}: {}", world.summary());
        assert_eq!(world.available(Some(&stable)), world.seen.rollout.spec.replicas_or_default(), "{name}");
        assert!(!world.writes.iter().any(|write| write.contains(": create replicas")), "{name}: {:?}", world.writes);
        assert_eq!(world.violations, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn an_experiment_goes_on_where_it_was() {
    let objects = serde_saphyr::from_multiple::<Value>(text("canary_experiment_running")).unwrap();
    let of = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).cloned().collect::<Vec<_>>();
    let experiment = serde_json::from_value(of("Experiment").remove(0)).unwrap();
    let mut seen = strategy::experiment::ExperimentObservation::new(experiment);
    let own = of("ReplicaSet").into_iter().filter(|set| set["metadata"]["ownerReferences"][0]["kind"] == "Experiment");
    seen.replica_sets = own.map(|set| serde_json::from_value(set).unwrap()).collect();
    assert_eq!(seen.replica_sets.len(), 2);
    let decision = strategy::experiment::decide(&seen, adopt("canary_experiment_running").now);
    assert_eq!(decision.actions, Vec::new());
    assert_eq!(decision.events, Vec::new());
    assert_eq!(json!(decision.status), json!(seen.experiment.status));
    // Its hour ends when it would have.
    let later = "2026-11-24T14:22:11Z".parse().unwrap();
    let decision = strategy::experiment::decide(&seen, later);
    assert_eq!(decision.status.phase.as_deref(), Some("Successful"));
}
