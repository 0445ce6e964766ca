//! One release from its plan to its end, and whether the laws held at every state on the way.

use crds::jiff::SignedDuration;
use serde_json::{Value, json};
use strategy::{Action, Observation};
use traffic::Write;

use crate::plan::{End, Happening, Plan};
use crate::world::{World, given, given_blue_green, laws};

/// What came of a plan.
pub enum Outcome {
    /// The laws held.
    Held,
    /// Its spec is refused, so nothing is released.
    Refused,
}

/// The world a plan begins in, before anything is decided.
fn begin(plan: &Plan) -> World {
    let mut spec = plan.spec.clone();
    let mut objects = Vec::new();
    if let Some((kind, scale_down)) = plan.workload {
        let template = json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "web", "image": "web:1" }] } });
        let metadata = json!({ "name": "legacy", "uid": "legacy", "generation": 1 });
        let api_version = if kind == "PodTemplate" { "v1" } else { "apps/v1" };
        let mut workload = json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata });
        if kind == "PodTemplate" {
            workload["template"] = template;
        } else {
            workload["spec"] =
                json!({ "replicas": 3, "selector": { "matchLabels": { "app": "web" } }, "template": template });
        }
        objects.push(workload);
        spec["template"] = Value::Null;
        spec["workloadRef"] =
            json!({ "apiVersion": api_version, "kind": kind, "name": "legacy", "scaleDown": scale_down });
    }
    let given = match plan.strategy.get("blueGreen") {
        Some(blue_green) => given_blue_green(blue_green, &spec),
        None => given(&plan.strategy["canary"], &spec),
    };
    let mut world = World::new(given, "2026-01-01T00:00:00Z".parse().unwrap());
    for object in objects {
        world.add(object);
    }
    world
}

/// Plays a plan.
///
/// # Panics
/// When a law is broken; the message tells which.
pub fn play(plan: &Plan) -> Outcome {
    let mut world = begin(plan);
    if strategy::validate::validate(&world.seen).is_err() {
        return Outcome::Refused;
    }
    world.run_for(SignedDuration::from_secs(100));
    assert_eq!(world.stable_image(), "web:1", "the first version is released: {}", world.summary());
    if plan.end == End::Smooth {
        interrupted(plan, world);
        return Outcome::Held;
    }
    for happening in &plan.happenings {
        let before = world.seen.rollout.clone();
        happen(&mut world, happening);
        check(&world, happening);
        let status = world.seen.rollout.status.clone().unwrap_or_default();
        let old = before.status.clone().unwrap_or_default();
        // What a person or a new template may end; everybody else leaves an aborted release aborted.
        let observed = old.observed_generation == before.metadata.generation.map(|generation| generation.to_string());
        let by_hand = !observed
            || before.spec != world.seen.rollout.spec
            || !matches!(
                happening,
                Happening::Settle
                    | Happening::PodsReady(_)
                    | Happening::Time(_)
                    | Happening::Crash(_)
                    | Happening::Accept
            );
        let releasing = status.stable_rs != status.current_pod_hash;
        let aborted = old.abort == Some(true) && old.aborted_at.is_some() && old.promote_full != Some(true);
        if aborted && !by_hand && old.current_pod_hash == status.current_pod_hash {
            assert_eq!(
                status.abort,
                Some(true),
                "an aborted release went on by itself after {happening:?}: {}",
                world.summary()
            );
            // Where the stable version has no pods, traffic stays with those there are; with dynamicStableScale it comes back
            // once the pods for all of it are there.
            let needed = if dynamic(&world) { world.seen.rollout.spec.replicas_or_default() } else { 1 };
            let there = laws::available_with(&world, status.stable_rs.as_deref().unwrap_or_default()) >= needed;
            assert!(
                !matches!(happening, Happening::Settle) || !there || world.weight().unwrap_or(0) == 0,
                "an aborted release gets traffic after {happening:?}: {}",
                world.summary()
            );
        }
        if before.spec.paused == Some(true) && !by_hand && old.current_pod_hash == status.current_pod_hash && releasing
        {
            assert!(
                status.current_step_index <= old.current_step_index,
                "a release that is paused by hand went on after {happening:?}: {}",
                world.summary()
            );
        }
    }
    world.settle();
    check(&world, &Happening::Settle);
    let budget = 60 + 40 * (plan.happenings.len() + 1);
    assert!(world.writes.len() <= budget, "{} writes for {} happenings", world.writes.len(), plan.happenings.len());
    if plan.end == End::Aborted {
        abort(&mut world);
    } else {
        finish(&mut world);
        check(&world, &Happening::Settle);
        the_end(&world);
    }
    Outcome::Held
}

/// An abort ends with everything on the stable version, whatever was going on, and the canary without pods.
fn abort(world: &mut World) {
    world.broken.clear();
    world.budget = -1;
    let replicas = world.seen.rollout.spec.replicas_or_default().max(1);
    world.patch_spec(&json!({ "paused": false, "replicas": replicas }));
    let (stable, wanted) = (world.stable_image(), world.wanted_image());
    let releasing = stable != wanted;
    world.patch_status(&json!({ "abort": true, "promoteFull": null }));
    world.run_for(SignedDuration::from_secs(300));
    check(world, &Happening::Settle);
    let end = world.summary();
    assert_eq!(world.stable_image(), stable, "{end}");
    assert_eq!(world.weight().unwrap_or(0), 0, "{end}");
    assert_eq!(world.available(Some(&stable)), replicas, "{end}");
    let kept = world.seen.rollout.spec.abort_scale_down_delay().is_none();
    if releasing {
        assert!(kept || world.wanted(&wanted) == 0, "the aborted version keeps pods: {end}");
        assert_eq!(world.phase(), "Degraded", "{end}");
    }
}

/// A controller that is killed again and again in the middle of its writes gets to the same end as one that is not, without a second
/// ReplicaSet; and the one that is not writes no more than there is to do.
fn interrupted(plan: &Plan, mut smooth: World) {
    let mut rough = begin(plan);
    rough.run_for(SignedDuration::from_secs(100));
    let before = smooth.writes.len();
    smooth.image("web:2");
    finish(&mut smooth);
    // For each pod of either version one scaling at most, for each step a weight and a run, and the frame.
    let steps = smooth.seen.rollout.canary().map_or(0, |canary| canary.steps().len());
    let pods = usize::try_from(smooth.seen.rollout.spec.replicas_or_default()).unwrap();
    let (writes, most) = (smooth.writes.len() - before, pods * 6 + steps * (4 + pods) + 12);
    assert!(writes <= most, "{writes} > {most}:\n{}", smooth.writes[before..].join("\n"));
    rough.image("web:2");
    for round in 0..40 {
        let crash = round * 7 % 4;
        rough.crash_after(crash);
        rough.pods_ready(1);
        rough.crash_after(crash);
        rough.now += SignedDuration::from_secs(1);
    }
    finish(&mut rough);
    check(&smooth, &Happening::Settle);
    check(&rough, &Happening::Settle);
    assert_eq!(rough.summary(), smooth.summary());
    assert_eq!(rough.seen.replica_sets.len(), smooth.seen.replica_sets.len());
}

fn dynamic(world: &World) -> bool {
    world.seen.rollout.canary().is_some_and(crds::CanaryStrategy::is_dynamic_stable_scale)
}

fn check(world: &World, after: &Happening) {
    let last = || world.writes[world.writes.len().saturating_sub(12)..].join("\n  ");
    assert!(
        world.violations.is_empty(),
        "{} (after {after:?}: {})\n  {}",
        world.violations.join("\n"),
        world.summary(),
        last()
    );
    if matches!(after, Happening::Settle) {
        let wrong = laws::at_rest(world);
        assert!(wrong.is_empty(), "{} ({})", wrong.join("\n"), world.summary());
    }
}

fn happen(world: &mut World, happening: &Happening) {
    match happening {
        Happening::Settle => drop(world.settle()),
        Happening::PodsReady(count) => drop(world.pods_ready(*count)),
        Happening::Time(seconds) => world.now += SignedDuration::from_secs(*seconds),
        Happening::Image(number) => world.image(&format!("web:{number}")),
        Happening::Break(number) => drop(world.broken.insert(format!("web:{number}"))),
        Happening::Mend => world.broken.clear(),
        Happening::Accept => drop(world.accept()),
        Happening::PodLost(number) => world.lose(&format!("web:{number}"), 1),
        Happening::Scale(count) => world.patch_spec(&json!({ "replicas": count })),
        Happening::Abort => world.patch_status(&json!({ "abort": true })),
        Happening::Retry => world.patch_status(&json!({ "abort": false })),
        Happening::Promote => world.promote(),
        Happening::PromoteFull => world.patch_status(&json!({ "promoteFull": true })),
        Happening::Pause(paused) => world.patch_spec(&json!({ "paused": paused })),
        Happening::Analysis(phase) => drop(world.analysis(phase, "as the test says")),
        Happening::Experiment(phase) => drop(world.experiment(phase, "as the test says")),
        Happening::OtherStrategy(steps) => {
            let strategy = if world.seen.rollout.canary().is_some() {
                json!({ "canary": null, "blueGreen": { "activeService": "web-active", "previewService": "web-preview" } })
            } else {
                json!({ "blueGreen": null, "canary": { "steps": steps } })
            };
            world.patch_spec(&json!({ "strategy": strategy }));
        }
        Happening::Steps(steps) if world.seen.rollout.canary().is_some() => {
            let old = world.seen.rollout.clone();
            world.patch_spec(&json!({ "strategy": { "canary": { "steps": steps } } }));
            if strategy::validate::validate(&world.seen).is_err() {
                // Refused, which is told elsewhere.
                world.seen.rollout = old;
            }
        }
        Happening::Steps(_) => {}
        Happening::Restart => world.patch_spec(&json!({ "restartAt": world.now.to_string() })),
        Happening::Budget(pods) => world.budget = *pods,
        Happening::Workload(count) => {
            if world.seen.workload.as_ref().is_some_and(|found| found.kind.kind() == "Deployment") {
                world.patch_workload(&json!({ "spec": { "replicas": count } }));
            }
        }
        Happening::Crash(writes) => world.crash_after(*writes),
        Happening::Repeat(writes) => {
            let actions = world.decide().actions;
            actions.iter().chain(actions.iter().take(*writes)).for_each(|action| world.apply(action));
        }
        Happening::Unseen(inner) => {
            let old = world.seen.clone();
            happen(world, inner);
            act_on(world, &old);
        }
    }
}

/// The controller acts once on an old picture. What it cannot know is not held against it; what it does must not keep it from the end.
fn act_on(world: &mut World, old: &Observation) {
    let decision = strategy::decide(old, world.now);
    let unchanged = json!(old.rollout) == json!(world.seen.rollout);
    let known = world.violations.len();
    for action in &decision.actions {
        let stands = match action {
            // Names the version it was decided on.
            Action::PatchRollout { .. } => unchanged,
            Action::Route(Write::Patch { reference, .. }) => world.seen.routes.contains_key(reference),
            Action::EvictPod { .. } => false,
            _ => true,
        };
        if !stands {
            break;
        }
        world.apply(action);
    }
    if decision.actions.is_empty() && unchanged {
        world.store(&decision);
    }
    world.violations.truncate(known);
}

/// Whatever waits is ended well and whatever is broken is mended, until the release is over.
fn finish(world: &mut World) {
    world.broken.clear();
    world.budget = -1;
    let replicas = world.seen.rollout.spec.replicas_or_default().max(1);
    world.patch_spec(&json!({ "paused": false, "replicas": replicas }));
    for _ in 0..60 {
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
    panic!("it does not end: {}", world.summary());
}

/// The same end, whatever happened on the way.
fn the_end(world: &World) {
    let (wanted, desired) = (world.wanted_image(), world.seen.rollout.spec.replicas_or_default());
    let end = world.summary();
    assert_eq!(world.stable_image(), wanted, "{end}");
    assert_eq!(world.available(Some(&wanted)), desired, "{end}");
    assert_eq!(world.available(None), desired, "{end}");
    assert_eq!(world.weight().unwrap_or(0), 0, "{end}");
    let status = world.seen.rollout.status.clone().unwrap_or_default();
    assert_eq!(status.current_pod_hash, status.stable_rs, "{end}");
    assert_eq!(status.restarted_at, world.seen.rollout.spec.restart_at, "{end}");
    let drains = world.seen.rollout.spec.workload_ref.as_ref().and_then(|found| found.scale_down.as_deref());
    if let (Some("onsuccess" | "progressively"), Some(workload)) = (drains, &world.seen.workload) {
        assert_eq!(workload.replicas, 0, "{end}");
    }
}
