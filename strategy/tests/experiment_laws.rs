//! Laws that hold for every experiment, whatever people, pods and crashes do in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod experiment_world;

use std::collections::BTreeMap;

use crds::jiff::SignedDuration;
use experiment_world::{World, given, is_over, version_of};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Something that happens to an experiment.
#[derive(Clone, Debug)]
enum Happening {
    Settle,
    PodsReady(i32),
    Time(i64),
    Break(&'static str),
    Mend,
    Analysis(&'static str, &'static str),
    RunDeleted,
    Terminate,
    Retry,
    Crash(usize),
}

fn specs() -> impl Strategy<Value = Value> {
    let analysis = prop::option::of(any::<bool>());
    let duration = prop::option::of(1_i64..90);
    let services = (any::<bool>(), any::<bool>());
    (duration, analysis.clone(), analysis, 0_i32..3, 0_i32..3, services, 0_i64..40, 20_i64..80).prop_map(
        |(duration, quality, speed, baseline, candidate, services, delay, deadline)| {
            let template = |name: &str, replicas: i32, service: bool| {
                let service = if service { json!({}) } else { Value::Null };
                json!({ "name": name, "replicas": replicas, "service": service })
            };
            let wanted: Vec<Value> = [("quality", quality), ("speed", speed)]
                .into_iter()
                .filter_map(|(name, required)| {
                    Some(json!({ "name": name, "templateName": "errors", "requiredForCompletion": required? }))
                })
                .collect();
            json!({
                "duration": duration.map(|seconds| format!("{seconds}s")), "analyses": wanted,
                "templates": [template("baseline", baseline, services.0), template("candidate", candidate, services.1)],
                "scaleDownDelaySeconds": delay, "progressDeadlineSeconds": deadline,
            })
        },
    )
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let version = prop_oneof![Just("baseline"), Just("candidate")];
    let analysis = prop_oneof![Just("quality"), Just("speed")];
    let phase = prop_oneof![3 => Just("Running"), 3 => Just("Successful"), 1 => Just("Failed"), 1 => Just("Error"), 1 => Just("Inconclusive")];
    let one = prop_oneof![
        6 => Just(Happening::Settle),
        6 => (1..3).prop_map(Happening::PodsReady),
        4 => (1_i64..60).prop_map(Happening::Time),
        1 => version.prop_map(Happening::Break),
        1 => Just(Happening::Mend),
        3 => (analysis, phase).prop_map(|(name, phase)| Happening::Analysis(name, phase)),
        1 => Just(Happening::RunDeleted),
        1 => Just(Happening::Terminate),
        1 => Just(Happening::Retry),
        4 => (0_usize..4).prop_map(Happening::Crash),
    ];
    prop::collection::vec(one, 0..30)
}

fn happen(world: &mut World, happening: &Happening) {
    match happening {
        Happening::Settle => world.settle(),
        Happening::PodsReady(count) => drop(world.pods_ready(*count)),
        Happening::Time(seconds) => world.now += SignedDuration::from_secs(*seconds),
        Happening::Break(version) => drop(world.broken.insert((*version).to_owned())),
        Happening::Mend => world.broken.clear(),
        Happening::Analysis(name, phase) => drop(world.analysis(name, &json!({ "phase": phase, "message": "" }))),
        Happening::RunDeleted => drop(world.seen.analysis_runs.pop()),
        Happening::Terminate => world.patch(&json!({ "spec": { "terminate": true } })),
        Happening::Retry => world.patch(&json!({ "status": null })),
        Happening::Crash(applied) => world.crash_after(*applied),
    }
}

fn ended(world: &World) -> bool {
    ["Successful", "Failed", "Error", "Inconclusive"].contains(&world.phase().as_str())
}

/// Ends what is still open, and lets the scale-down delay pass.
fn finish(world: &mut World) {
    world.broken.clear();
    world.patch(&json!({ "spec": { "terminate": true } }));
    world.run_for(SignedDuration::from_secs(300));
}

fn cases() -> ProptestConfig {
    ProptestConfig { cases: 250, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    /// It rests after everything that happens, a second look changes nothing, an end stays, and at last nothing is left running.
    #[test]
    fn every_experiment_rests_and_leaves_nothing_behind(spec in specs(), happenings in happenings()) {
        let mut world = given(&spec);
        for happening in &happenings {
            let before = world.phase();
            let was_ended = ended(&world);
            happen(&mut world, happening);
            if !matches!(happening, Happening::Retry | Happening::Crash(_)) {
                world.settle();
                prop_assert!(!was_ended || world.phase() == before, "{before} became {}", world.phase());
            }
        }
        finish(&mut world);
        prop_assert!(ended(&world), "{}", world.summary());
        prop_assert!(world.violations.is_empty(), "{}\n{}", world.violations.join("\n"), world.writes.join("\n"));
        for set in &world.seen.replica_sets {
            prop_assert_eq!(set.replicas_or_default(), 0, "{}", world.summary());
        }
        prop_assert!(world.seen.services.is_empty(), "{:?}", world.seen.services.keys());
        prop_assert!(world.seen.analysis_runs.iter().all(is_over), "{}", world.summary());
        let mut sets: BTreeMap<String, usize> = BTreeMap::new();
        for set in &world.seen.replica_sets {
            *sets.entry(version_of(set)).or_default() += 1;
        }
        prop_assert!(sets.values().all(|count| *count == 1), "{sets:?}");
    }

    /// A controller that is killed again and again in the middle of its writes makes nothing twice and gets to the same end.
    #[test]
    fn half_applied_decisions_converge(spec in specs(), crashes in prop::collection::vec(0_usize..3, 30)) {
        let mut smooth = given(&spec);
        smooth.run();
        finish(&mut smooth);
        let mut rough = given(&spec);
        for crash in crashes {
            rough.crash_after(crash);
            rough.pods_ready(1);
            rough.crash_after(crash);
        }
        rough.run();
        finish(&mut rough);
        prop_assert_eq!(rough.summary(), smooth.summary());
        prop_assert_eq!(rough.seen.replica_sets.len(), smooth.seen.replica_sets.len());
        prop_assert_eq!(rough.seen.analysis_runs.len(), smooth.seen.analysis_runs.len());
        prop_assert!(rough.violations.is_empty(), "{}", rough.violations.join("\n"));
    }

    /// Nobody's API server is flooded: the writes of one attempt are bounded by what there is to do.
    #[test]
    fn writes_are_bounded(spec in specs()) {
        let mut world = given(&spec);
        world.run();
        finish(&mut world);
        // For each version a ReplicaSet, a Service, a mark, a scale-down and the Service's end; for each analysis a run and its end.
        prop_assert!(world.writes.len() <= 2 * 5 + 2 * 2, "{}", world.writes.join("\n"));
    }
}
