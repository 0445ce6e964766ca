//! Laws that hold for every release, whatever people, pods and crashes do in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use crds::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use world::{World, given, given_blue_green};

/// Something that happens to a release.
#[derive(Clone, Debug)]
enum Happening {
    Settle,
    PodsReady(i32),
    Time(i64),
    Image(u8),
    Break(u8),
    Mend,
    PodLost(u8),
    Scale(i32),
    Abort,
    Retry,
    Promote,
    PromoteFull,
    Pause(bool),
    Analysis(&'static str),
    Experiment(&'static str),
    Crash(usize),
    Steps(Vec<Value>),
    /// To the other strategy; not from a canary with routing, whose routes nobody would take down.
    OtherStrategy(Vec<Value>),
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn steps(routed: bool) -> impl Strategy<Value = Vec<Value>> {
    let scale = prop_oneof![
        (0..=100).prop_map(|weight| json!({ "weight": weight })),
        (0..6).prop_map(|replicas| json!({ "replicas": replicas })),
        Just(json!({ "matchTrafficWeight": true })),
    ];
    let step = prop_oneof![
        u32::from(routed) => scale.prop_map(|scale| json!({ "setCanaryScale": scale })),
        4 => (0..=100).prop_map(|weight| json!({ "setWeight": weight })),
        2 => Just(json!({ "pause": {} })),
        2 => (1..60).prop_map(|seconds| json!({ "pause": { "duration": format!("{seconds}s") } })),
        1 => Just(json!({ "analysis": { "templates": [{ "templateName": "errors" }] } })),
        1 => Just(json!({ "experiment": { "templates": [{ "name": "candidate", "specRef": "canary" }] } })),
    ];
    prop::collection::vec(step, 0..6)
}

/// Blue-green in all its forms; `{"blueGreen": …}`, unlike a canary.
fn blue_green() -> impl Strategy<Value = Value> {
    let seconds = || prop::option::of(0..60);
    let analysis = || prop::option::of(Just(json!({ "templates": [{ "templateName": "errors" }] })));
    let promotion = (prop::option::of(any::<bool>()), seconds(), prop::option::of(1..4));
    let delays = (seconds(), prop::option::of(0..3), prop::option::of(1..60));
    (promotion, delays, analysis(), analysis(), any::<bool>()).prop_map(|(promotion, delays, pre, post, preview)| {
        let mut wanted = json!({
            "autoPromotionEnabled": promotion.0, "autoPromotionSeconds": promotion.1, "previewReplicaCount": promotion.2,
            "scaleDownDelaySeconds": delays.0, "scaleDownDelayRevisionLimit": delays.1,
            "abortScaleDownDelaySeconds": delays.2, "prePromotionAnalysis": pre, "postPromotionAnalysis": post,
        });
        if !preview {
            wanted["previewService"] = Value::Null;
        }
        json!({ "blueGreen": wanted })
    })
}

fn strategies() -> impl Strategy<Value = Value> {
    prop_oneof![canaries(), blue_green()]
}

fn canaries() -> impl Strategy<Value = Value> {
    let amount =
        prop_oneof![(0..3).prop_map(|count| json!(count)), (0..5).prop_map(|part| json!(format!("{}%", part * 25)))];
    let steps = any::<bool>().prop_flat_map(|nginx| (steps(nginx), Just(nginx)));
    (steps, any::<bool>(), any::<bool>(), amount.clone(), amount).prop_map(
        |((steps, nginx), dynamic, background, surge, unavailable)| {
            let mut canary = json!({ "steps": steps, "nginx": nginx });
            if nginx && dynamic {
                canary["dynamicStableScale"] = json!(true);
            }
            let none = |value: &Value| *value == json!(0) || *value == json!("0%");
            if !(none(&surge) && none(&unavailable)) {
                canary["maxSurge"] = surge;
                canary["maxUnavailable"] = unavailable;
            }
            if background {
                canary["analysis"] = json!({ "templates": [{ "templateName": "errors" }] });
            }
            canary
        },
    )
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        6 => Just(Happening::Settle),
        6 => (1..4).prop_map(Happening::PodsReady),
        3 => (1_i64..120).prop_map(Happening::Time),
        2 => (1_u8..5).prop_map(Happening::Image),
        1 => (2_u8..5).prop_map(Happening::Break),
        1 => Just(Happening::Mend),
        1 => (1_u8..5).prop_map(Happening::PodLost),
        1 => (1..7).prop_map(Happening::Scale),
        1 => Just(Happening::Abort),
        1 => Just(Happening::Retry),
        3 => Just(Happening::Promote),
        1 => Just(Happening::PromoteFull),
        1 => any::<bool>().prop_map(Happening::Pause),
        2 => prop_oneof![Just("Successful"), Just("Successful"), Just("Failed"), Just("Error"), Just("Inconclusive")].prop_map(Happening::Analysis),
        1 => prop_oneof![Just("Successful"), Just("Successful"), Just("Failed"), Just("Inconclusive")].prop_map(Happening::Experiment),
        4 => (0_usize..4).prop_map(Happening::Crash),
        1 => steps(false).prop_map(Happening::Steps),
        1 => steps(false).prop_map(Happening::OtherStrategy),
    ];
    prop::collection::vec(one, 0..30)
}

/// A world in which `web:1` is stable and whole.
fn stable(canary: &Value, replicas: i32) -> World {
    let spec = json!({ "replicas": replicas });
    let objects = match canary.get("blueGreen") {
        Some(blue_green) => given_blue_green(blue_green, &spec),
        None => given(canary, &spec),
    };
    let mut world = World::new(objects, start());
    world.run_for(SignedDuration::from_secs(60));
    assert_eq!(world.stable_image(), "web:1", "{}", world.summary());
    world
}

fn happen(world: &mut World, happening: &Happening) {
    match happening {
        Happening::Settle => drop(world.settle()),
        Happening::PodsReady(count) => drop(world.pods_ready(*count)),
        Happening::Time(seconds) => world.now += SignedDuration::from_secs(*seconds),
        Happening::Image(number) => world.image(&format!("web:{number}")),
        Happening::Break(number) => drop(world.broken.insert(format!("web:{number}"))),
        Happening::Mend => world.broken.clear(),
        Happening::PodLost(number) => world.lose(&format!("web:{number}"), 1),
        Happening::Scale(count) => world.patch_spec(&json!({ "replicas": count })),
        Happening::Abort => world.patch_status(&json!({ "abort": true })),
        Happening::Retry => world.patch_status(&json!({ "abort": false })),
        Happening::Promote => world.promote(),
        Happening::PromoteFull => world.patch_status(&json!({ "promoteFull": true })),
        Happening::Pause(paused) => world.patch_spec(&json!({ "paused": paused })),
        Happening::Analysis(phase) => drop(world.analysis(phase, "as the test says")),
        Happening::Experiment(phase) => drop(world.experiment(phase, "as the test says")),
        Happening::Crash(applied) => world.crash_after(*applied),
        Happening::OtherStrategy(_)
            if world.seen.rollout.canary().is_some_and(|canary| canary.traffic_routing.is_some()) => {}
        Happening::OtherStrategy(steps) => {
            let canary = world.seen.rollout.canary().is_some();
            let blue_green = json!({ "activeService": "web-active", "previewService": "web-preview" });
            let strategy = if canary {
                json!({ "canary": null, "blueGreen": blue_green })
            } else {
                json!({ "blueGreen": null, "canary": { "steps": steps } })
            };
            world.patch_spec(&json!({ "strategy": strategy }));
        }
        Happening::Steps(_) if world.seen.rollout.canary().is_none() => {}
        Happening::Steps(steps) => world.patch_spec(&json!({ "strategy": { "canary": { "steps": steps } } })),
    }
}

/// Whatever waits is ended well and whatever is broken is mended, until the release is over.
fn finish(world: &mut World) {
    world.broken.clear();
    world.patch_spec(&json!({ "paused": false }));
    for _ in 0..40 {
        world.run_for(SignedDuration::from_secs(200));
        if world.phase() == "Healthy" {
            // Old versions leave after their delay.
            return world.run_for(SignedDuration::from_secs(200));
        }
        if world.seen.rollout.status.as_ref().is_some_and(|status| status.abort == Some(true)) {
            world.patch_status(&json!({ "abort": false }));
        } else if !world.analysis("Successful", "") && !world.experiment("Successful", "") && world.phase() == "Paused"
        {
            world.promote();
        }
    }
    panic!("does not end: {}\n{}", world.summary(), world.writes.join("\n"));
}

/// The same cases each time, unless `PROPTEST_RNG_SEED` says otherwise: `cargo xtask soak` is what looks for new ones.
fn cases() -> ProptestConfig {
    let mut config =
        ProptestConfig { cases: 250, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() };
    if matches!(config.rng_seed, RngSeed::Random) {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config
}

proptest! {
    #![proptest_config(cases())]

    /// Never fewer available pods than allowed, never traffic on a version without pods, always rest, and always an end.
    #[test]
    fn every_release_is_safe_and_ends(canary in strategies(), replicas in 1..6, happenings in happenings()) {
        let mut world = stable(&canary, replicas);
        for happening in &happenings {
            happen(&mut world, happening);
        }
        world.settle();
        prop_assert!(world.violations.is_empty(), "{}\n{}\n{}", world.violations.join("\n"), world.writes.join("\n"), world.summary());
        finish(&mut world);
        prop_assert!(world.violations.is_empty(), "{}\n{}\n{}", world.violations.join("\n"), world.writes.join("\n"), world.summary());
        let wanted = world.wanted_image();
        let desired = world.seen.rollout.spec.replicas_or_default();
        prop_assert_eq!(world.stable_image(), wanted.clone());
        prop_assert_eq!(world.available(Some(&wanted)), desired);
        prop_assert_eq!(world.weight().unwrap_or(0), 0);
        prop_assert_eq!(world.available(None), desired, "{}", world.summary());
    }

    /// At rest, the same picture gives no action, the same status and no event.
    #[test]
    fn a_second_look_changes_nothing(canary in strategies(), replicas in 1..6, happenings in happenings()) {
        let mut world = stable(&canary, replicas);
        for happening in &happenings {
            happen(&mut world, happening);
            world.settle();
            let again = world.decide();
            prop_assert_eq!(&again.actions, &Vec::new());
            prop_assert_eq!(json!(again.status), json!(world.seen.rollout.status));
            prop_assert_eq!(again.events, Vec::new(), "{}", world.summary());
        }
    }

    /// An abort ends with everything on the stable version, whatever was going on, and the canary without pods.
    #[test]
    fn an_abort_ends_on_the_stable_version(canary in strategies(), replicas in 1..6, happenings in happenings()) {
        let mut world = stable(&canary, replicas);
        for happening in &happenings {
            happen(&mut world, happening);
        }
        world.settle();
        world.broken.clear();
        let stable = world.stable_image();
        let releasing = stable != world.wanted_image();
        world.patch_status(&json!({ "abort": true, "promoteFull": null }));
        world.run_for(SignedDuration::from_secs(300));
        prop_assert_eq!(world.stable_image(), stable.clone());
        prop_assert_eq!(world.weight().unwrap_or(0), 0);
        prop_assert_eq!(world.available(Some(&stable)), world.seen.rollout.spec.replicas_or_default(), "{}", world.summary());
        if releasing {
            prop_assert_eq!(world.wanted(&world.wanted_image()), 0, "{}", world.summary());
            prop_assert_eq!(world.phase(), "Degraded");
        }
        prop_assert!(world.violations.is_empty(), "{}\n{}", world.violations.join("\n"), world.writes.join("\n"));
    }

    /// A controller that is killed again and again in the middle of its writes gets to the same end, without a second ReplicaSet.
    #[test]
    fn half_applied_decisions_converge(canary in strategies(), replicas in 1..6, crashes in prop::collection::vec(0_usize..4, 40)) {
        let mut smooth = stable(&canary, replicas);
        smooth.image("web:2");
        finish(&mut smooth);
        let mut rough = stable(&canary, replicas);
        rough.image("web:2");
        for crash in crashes {
            rough.crash_after(crash);
            rough.pods_ready(1);
            rough.crash_after(crash);
            rough.now += SignedDuration::from_secs(1);
        }
        finish(&mut rough);
        prop_assert_eq!(rough.summary(), smooth.summary());
        prop_assert_eq!(rough.seen.replica_sets.len(), 2);
        prop_assert!(rough.violations.is_empty(), "{}", rough.violations.join("\n"));
    }

    /// Writes are bounded by what there is to do: nobody's API server is flooded.
    #[test]
    fn writes_are_bounded(canary in strategies(), replicas in 1..6) {
        let mut world = stable(&canary, replicas);
        let before = world.writes.len();
        world.image("web:2");
        finish(&mut world);
        let steps = world.seen.rollout.canary().map_or(0, |canary| canary.steps().len());
        let writes = world.writes.len() - before;
        // For each pod of either version one scaling at most, for each step a weight and a run, and the frame.
        let most = usize::try_from(replicas).unwrap() * 4 + steps * (4 + usize::try_from(replicas).unwrap()) + 12;
        prop_assert!(writes <= most, "{writes} > {most}:\n{}", world.writes[before..].join("\n"));
    }
}
