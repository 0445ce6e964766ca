//! The time of one decision: a routed release of ten steps with twelve ReplicaSets, in the middle of a pause and at rest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/world/mod.rs"]
mod world;

use divan::Bencher;
use serde_json::json;
use world::{World, given};

/// Eleven versions promoted one after the other, the twelfth at its third pause.
fn release() -> World {
    let steps: Vec<_> = (1..=5).flat_map(|step| [json!({ "setWeight": step * 20 }), json!({ "pause": {} })]).collect();
    let canary = json!({ "nginx": true, "steps": steps });
    let mut world =
        World::new(given(&canary, &json!({ "revisionHistoryLimit": 20 })), "2026-01-01T00:00:00Z".parse().unwrap());
    world.run();
    for version in 2..=11 {
        world.image(&format!("web:{version}"));
        world.run();
        world.patch_status(&json!({ "promoteFull": true }));
        world.run();
    }
    world.image("web:12");
    world.run();
    for _ in 0..2 {
        world.promote();
        world.run();
    }
    assert_eq!((world.phase().as_str(), world.weight()), ("Paused", Some(60)));
    assert_eq!(world.seen.replica_sets.len(), 12);
    world
}

#[divan::bench]
fn in_the_middle_of_a_release(bencher: Bencher<'_, '_>) {
    let world = release();
    bencher.bench_local(|| divan::black_box(world.decide()));
}

#[divan::bench]
fn at_rest(bencher: Bencher<'_, '_>) {
    let mut world = release();
    world.patch_status(&json!({ "promoteFull": true }));
    world.run();
    bencher.bench_local(|| divan::black_box(world.decide()));
}

fn main() {
    divan::main();
}
