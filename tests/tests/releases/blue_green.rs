//! Blue-green: the stable Service is the active one, the canary Service the preview.

use std::time::Duration;

use cluster_tests::holds;
use serde_json::json;

use crate::release;

fn blue_green(name: &str, more: &str) -> String {
    format!(
        "
  replicas: 2
  strategy:
    blueGreen:
      activeService: {name}-stable
      previewService: {name}-canary
{more}"
    )
}

#[test]
fn a_preview_waits_for_a_person() {
    release("bg-manual", &blue_green("bg-manual", "      autoPromotionEnabled: false"), async |it| {
        it.set_image("v2").await;
        it.paused().await;
        it.pods_are("v1=2 v2=2").await;
        it.services_are("stable=v1 canary=v2").await;
        it.plugin_says(&["promote", it.name()], "promoted").await;
        it.healthy().await;
        it.services_are("stable=v2 canary=v2").await;
    });
}

#[test]
fn it_switches_by_itself_when_all_pods_are_ready() {
    release("bg-auto", &blue_green("bg-auto", "      scaleDownDelaySeconds: 1"), async |it| {
        it.set_image("v2").await;
        it.healthy().await;
        it.services_are("stable=v2 canary=v2").await;
        it.pods_are("v2=2").await;
    });
}

#[test]
fn it_switches_after_some_seconds() {
    let more = "      autoPromotionEnabled: false\n      autoPromotionSeconds: 2";
    release("bg-seconds", &blue_green("bg-seconds", more), async |it| {
        it.set_image("v2").await;
        it.paused().await;
        it.services_are("stable=v1 canary=v2").await;
        it.healthy().await;
        it.services_are("stable=v2 canary=v2").await;
    });
}

#[test]
fn a_version_that_does_not_start_never_becomes_active() {
    release("bg-bad", &blue_green("bg-bad", "      autoPromotionEnabled: true"), async |it| {
        it.set_image("bad").await;
        it.pods_are("bad=2 v1=2").await;
        holds("the old version is active", Duration::from_secs(1), async || {
            let services = it.services().await;
            if services == "stable=v1 canary=bad" { Ok(()) } else { Err(services) }
        })
        .await;
        it.set_image("v1").await;
        it.healthy().await;
        it.services_are("stable=v1 canary=v1").await;
    });
}

#[test]
fn a_small_preview_is_scaled_up_before_the_switch() {
    let more = "      autoPromotionEnabled: false\n      previewReplicaCount: 1";
    release("bg-small", &blue_green("bg-small", more), async |it| {
        it.set_image("v2").await;
        it.paused().await;
        it.pods_are("v1=2 v2=1").await;
        it.promote().await;
        it.healthy().await;
        it.services_are("stable=v2 canary=v2").await;
        assert!(it.pods_by_tag().await.contains("v2=2"));
    });
}

#[test]
fn an_aborted_preview_goes_and_is_tried_again() {
    let more = "      autoPromotionEnabled: false\n      abortScaleDownDelaySeconds: 1";
    release("bg-abort", &blue_green("bg-abort", more), async |it| {
        it.set_image("v2").await;
        it.paused().await;
        it.plugin_says(&["abort", it.name()], "aborted").await;
        it.until("aborted", |status| status.phase.as_deref() == Some("Degraded")).await;
        it.pods_are("v1=2").await;
        it.plugin_says(&["retry", "rollout", it.name()], "retried").await;
        it.paused().await;
        it.pods_are("v1=2 v2=2").await;
        it.promote().await;
        it.healthy().await;
    });
}

#[test]
fn back_to_the_old_version_while_it_still_runs() {
    release("bg-back", &blue_green("bg-back", "      scaleDownDelaySeconds: 60"), async |it| {
        let pods = it.pods_by_version().await;
        it.set_image("v2").await;
        it.healthy().await;
        it.pods_are("v1=2 v2=2").await;
        it.set_image("v1").await;
        it.healthy().await;
        it.services_are("stable=v1 canary=v1").await;
        let now = it.pods_by_version().await;
        assert!(pods.keys().all(|uid| now.contains_key(uid)), "the same pods: {pods:?} → {now:?}");
    });
}

#[test]
fn scaled_while_it_waits() {
    release("bg-scaled", &blue_green("bg-scaled", "      autoPromotionEnabled: false"), async |it| {
        it.set_image("v2").await;
        it.paused().await;
        it.patch(json!({"spec": {"replicas": 3}})).await;
        it.pods_are("v1=3 v2=3").await;
        it.services_are("stable=v1 canary=v2").await;
    });
}

#[test]
fn a_newer_version_takes_the_place_of_the_preview() {
    release("bg-newer", &blue_green("bg-newer", "      autoPromotionEnabled: false"), async |it| {
        it.set_image("v2").await;
        it.paused().await;
        it.set_image("v3").await;
        it.services_are("stable=v1 canary=v3").await;
        it.paused().await;
        it.promote().await;
        it.healthy().await;
        it.services_are("stable=v3 canary=v3").await;
    });
}
