//! Whole releases as people tell them: what is given, what happens, and what the controller then does.
//!
//! Each file of `tests/scenarios` is about one section of the behaviour that users of Argo Rollouts rely on. With `UPDATE=1` the
//! expectations are written anew; read the difference before you keep it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod corpus;
mod world;

use corpus::Moment;
use crds::jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use world::{World, given, given_blue_green};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// Its strategy: one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canary: Option<Value>,
    #[serde(default, rename = "blueGreen", skip_serializing_if = "Option::is_none")]
    blue_green: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spec: Option<Value>,
    /// Other objects that are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    objects: Vec<Value>,
    then: Vec<Moment>,
}

/// Lets one thing happen and the controller act. `crash 1 after abort` kills it after its first write; with `quietly abort` no pod becomes
/// ready meanwhile.
fn happen(world: &mut World, what: &str) {
    if let Some((crash, what)) = what.strip_prefix("crash ").and_then(|rest| rest.split_once(" after ")) {
        happen_unseen(world, what);
        world.crash_after(crash.parse().unwrap());
    } else if let Some(what) = what.strip_prefix("quietly ") {
        happen_unseen(world, what);
        world.settle();
    } else if happen_unseen(world, what) {
        world.run();
    } else {
        world.settle();
    }
}

/// Lets one thing happen; whether pods become ready then.
fn happen_unseen(world: &mut World, what: &str) -> bool {
    let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
    let number = || rest.parse::<i64>().unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut pods = true;
    match verb {
        "start" | "run" => {}
        "image" => world.image(rest),
        "image-without-pods" => {
            world.image(rest);
            pods = false;
        }
        "taken" => {
            world.taken(rest);
            pods = false;
        }
        "pods" => {
            world.pods_ready(i32::try_from(number()).unwrap());
            pods = false;
        }
        "look" | "duration" | "waits" | "weights" => pods = false,
        "broken" => {
            world.broken.insert(rest.to_owned());
        }
        "lost" => {
            let (image, count) = rest.split_once(' ').unwrap_or((rest, "1"));
            world.lose(image, count.parse().unwrap());
            pods = false;
        }
        "mended" => world.broken.clear(),
        "gateway-sleeps" => world.gateway_sleeps = true,
        "gateway-wakes" => world.gateway_sleeps = false,
        "scale" => world.patch_spec(&json!({ "replicas": number() })),
        "steps" => world.patch_spec(
            &json!({ "strategy": { "canary": { "steps": serde_json::from_str::<Value>(rest).unwrap() } } }),
        ),
        "spec" => world.patch_spec(&serde_json::from_str(rest).unwrap()),
        "status" => world.patch_status(&serde_json::from_str(rest).unwrap()),
        "abort" => world.patch_status(&json!({ "abort": true })),
        "retry" => world.patch_status(&json!({ "abort": false })),
        "promote" => world.promote(),
        "workload" => world.patch_workload(&serde_json::from_str(rest).unwrap()),
        "restart" => {
            world.patch_spec(&json!({ "restartAt": world.now.to_string() }));
            pods = false;
        }
        "budget" => {
            world.budget = i32::try_from(number()).unwrap();
            pods = false;
        }
        "resume-without-pods" => {
            world.patch_spec(&json!({ "paused": false }));
            pods = false;
        }
        "skip" => {
            world.promote();
            pods = false;
        }
        "add" => world.add(serde_json::from_str(rest).unwrap()),
        "workload-gone" => world.remove_workload(),
        "delete-without-pods" => {
            world.patch_metadata(&json!({ "deletionTimestamp": world.now.to_string() }));
            pods = false;
        }
        "seconds-without-pods" => {
            world.now += SignedDuration::from_secs(number());
            pods = false;
        }
        "delete" => world.patch_metadata(&json!({ "deletionTimestamp": world.now.to_string() })),
        "promote-full" => world.patch_status(&json!({ "promoteFull": true })),
        "pause" => world.patch_spec(&json!({ "paused": true })),
        "resume" => world.patch_spec(&json!({ "paused": false })),
        "analysis" => {
            let (phase, message) = rest.split_once(' ').unwrap_or((rest, ""));
            assert!(world.analysis(phase, message), "{what}: no AnalysisRun is open");
        }
        "experiment" => {
            let (phase, message) = rest.split_once(' ').unwrap_or((rest, ""));
            assert!(world.experiment(phase, message), "{what}: no Experiment is open");
        }
        "experiment-deleted" => world.seen.experiments.clear(),
        "seconds" => {
            world.run_for(SignedDuration::from_secs(number()));
        }
        other => panic!("unknown word {other:?}"),
    }
    pods
}

fn play(title: &str, scenario: &Scenario) -> Vec<Moment> {
    let spec = scenario.spec.clone().unwrap_or_else(|| json!({}));
    let objects = match (&scenario.canary, &scenario.blue_green) {
        (Some(canary), None) => given(canary, &spec),
        (None, Some(blue_green)) => given_blue_green(blue_green, &spec),
        _ => panic!("{title}: one strategy"),
    };
    let mut world = World::new(objects, "2026-01-01T00:00:00Z".parse().unwrap());
    for object in &scenario.objects {
        world.add(object.clone());
    }
    let mut seen = Vec::new();
    for moment in &scenario.then {
        let (writes, events) = (world.writes.len(), world.events.len());
        happen(&mut world, &moment.on);
        seen.push(Moment {
            on: moment.on.clone(),
            writes: world.writes.split_off(writes),
            events: world.events.split_off(events),
            shows: match moment.on.as_str() {
                "duration" => world.duration(),
                "waits" => world.waits(),
                "weights" => world.weights(),
                _ => world.summary(),
            },
        });
        let rest = world.decide();
        assert!(
            moment.on.starts_with("crash") || rest.actions.is_empty(),
            "{title}: after {}: {:?}",
            moment.on,
            rest.actions
        );
    }
    assert!(world.violations.is_empty(), "{title}: {}", world.violations.join("\n"));
    seen
}

#[test]
fn every_scenario_goes_as_it_is_told() {
    corpus::hold(
        // Experiments are told in another world: tests/experiment.rs.
        |name| !name.starts_with("experiment_"),
        |scenario: &mut Scenario| &mut scenario.then,
        play,
    );
}
