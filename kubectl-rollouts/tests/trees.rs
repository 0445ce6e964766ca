//! Golden files of what a person sees of releases that real clusters held.

// Lints for outside data do not apply to the objects a test makes.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use crds::jiff::Timestamp;
use kubectl_rollouts::model::RolloutInfo;
use kubectl_rollouts::render;
use support::{captured, picture};

fn tree(name: &str, now: &str) -> String {
    let now: Timestamp = now.parse().unwrap();
    render::rollout(&RolloutInfo::new(&picture(&captured(name)), now), false)
}

#[test]
fn a_canary_in_mid_step_with_pods_and_background_analysis() {
    insta::assert_snapshot!(tree("canary-nginx-background-analysis", "2026-11-24T13:20:10Z"));
}

#[test]
fn a_canary_without_traffic_routing_that_waits() {
    insta::assert_snapshot!(tree("canary-basic-paused-at-40", "2026-11-24T15:00:00Z"));
}

#[test]
fn an_aborted_canary_whose_pods_have_some_seconds_left() {
    insta::assert_snapshot!(tree("canary-nginx-aborted", "2026-11-24T13:20:20Z"));
}

#[test]
fn a_healthy_rollout_with_its_history() {
    insta::assert_snapshot!(tree("canary-healthy-with-history", "2026-11-27T13:20:00Z"));
}

#[test]
fn an_experiment_with_its_own_versions_and_analysis() {
    insta::assert_snapshot!(tree("canary-experiment-running", "2026-11-24T13:25:00Z"));
}

#[test]
fn a_blue_green_release_in_preview() {
    insta::assert_snapshot!(tree("bluegreen-preview-paused", "2026-11-24T13:25:00Z"));
}

#[test]
fn an_old_version_that_still_runs_after_the_switch() {
    insta::assert_snapshot!(tree("bluegreen-old-waiting-scaledown", "2026-11-24T13:40:00Z"));
}

#[test]
fn colours_show_states_and_roles_and_nothing_else() {
    let now: Timestamp = "2026-11-24T13:20:20Z".parse().unwrap();
    let info = RolloutInfo::new(&picture(&captured("canary-nginx-aborted")), now);
    let coloured = render::rollout(&info, true);
    insta::assert_snapshot!(coloured.replace('\u{1b}', "ESC"));
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert_eq!(plain, render::rollout(&info, false));
}

#[test]
fn objects_of_others_do_not_show() {
    let mut objects = captured("canary-nginx-background-analysis");
    let before = RolloutInfo::new(&picture(&objects), support::now());
    for object in captured("bluegreen-preview-paused") {
        if object["kind"] != "Rollout" {
            objects.push(object);
        }
    }
    assert_eq!(RolloutInfo::new(&picture(&objects), support::now()), before);
}
