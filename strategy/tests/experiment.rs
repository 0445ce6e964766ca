//! Experiments as people tell them: what is given, what happens, and what the controller then does.
//!
//! The files are `tests/scenarios/experiment_*.yaml`. With `UPDATE=1` the expectations are written anew; read the difference before you keep it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod corpus;
mod experiment_world;

use corpus::Moment;
use crds::jiff::SignedDuration;
use experiment_world::{World, given};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    experiment: Value,
    then: Vec<Moment>,
}

/// Lets one thing happen and the controller act. `crash 1 after terminate` kills it after its first write.
fn happen(world: &mut World, what: &str) {
    if let Some((crash, what)) = what.strip_prefix("crash ").and_then(|rest| rest.split_once(" after ")) {
        happen_unseen(world, what);
        world.crash_after(crash.parse().unwrap());
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
    match verb {
        "start" | "run" => {}
        "look" => return false,
        // Only the clock moves; nobody looks.
        "clock" => {
            world.now += SignedDuration::from_secs(number());
            return false;
        }
        "pods" => {
            world.pods_ready(i32::try_from(number()).unwrap());
            return false;
        }
        "pods-lost" => {
            let set = world.seen.replica_sets.iter_mut().find(|set| experiment_world::version_of(set) == rest).unwrap();
            let status = set.status.get_or_insert_default();
            (status.available_replicas, status.ready_replicas) = (None, None);
            return false;
        }
        "broken" => drop(world.broken.insert(rest.to_owned())),
        "clock-of-the-server-behind" => world.behind = SignedDuration::from_secs(number()),
        "mended" => world.broken.clear(),
        "spec" => world.patch(&json!({ "spec": serde_json::from_str::<Value>(rest).unwrap() })),
        "labels" => world.patch(&json!({ "metadata": { "labels": serde_json::from_str::<Value>(rest).unwrap() } })),
        "terminate" => world.patch(&json!({ "spec": { "terminate": true } })),
        "retry" => world.patch(&json!({ "status": null })),
        "taken" => {
            let (kind, name) = rest.split_once(' ').unwrap();
            world.taken(kind, name);
        }
        "no-template" => drop(world.seen.analysis_templates.remove(rest)),
        "run-deleted" => world.seen.analysis_runs.retain(|run| run.metadata.name.as_deref() != Some(rest)),
        "holds" => {
            let status = json!({ "phase": "Running", "metricResults": [{ "name": "errors", "phase": "Running",
                "metadata": { (analysis::words::HOLD_SINCE): "2026-01-01T00:00:00Z", (analysis::words::HOLD_REASON): "connection refused" } }] });
            assert!(world.analysis(rest, &status), "{what}: no AnalysisRun is open");
        }
        "analysis" => {
            let mut words = rest.splitn(3, ' ');
            let (name, phase) = (words.next().unwrap(), words.next().unwrap());
            let status = json!({ "phase": phase, "message": words.next().unwrap_or(""), "metricResults": null });
            assert!(world.analysis(name, &status), "{what}: no AnalysisRun is open");
        }
        "seconds" => world.run_for(SignedDuration::from_secs(number())),
        other => panic!("unknown word {other:?}"),
    }
    true
}

fn play(title: &str, scenario: &Scenario) -> Vec<Moment> {
    let mut world = given(&scenario.experiment);
    let mut seen = Vec::new();
    for moment in &scenario.then {
        let (writes, events) = (world.writes.len(), world.events.len());
        happen(&mut world, &moment.on);
        seen.push(Moment {
            on: moment.on.clone(),
            writes: world.writes.split_off(writes),
            events: world.events.split_off(events),
            shows: world.summary(),
        });
    }
    assert!(world.violations.is_empty(), "{title}: {}", world.violations.join("\n"));
    seen
}

#[test]
fn every_experiment_goes_as_it_is_told() {
    corpus::hold(|name| name.starts_with("experiment_"), |scenario: &mut Scenario| &mut scenario.then, play);
}
