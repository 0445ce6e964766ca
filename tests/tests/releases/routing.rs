//! Canaries through NGINX: weights in the canary Ingress, versions behind the Services, pods that stay for a while.

use std::time::Duration;

use cluster_tests::crds::k8s_openapi::api::networking::v1::Ingress;
use cluster_tests::crds::kube::api::{DeleteParams, Patch, PatchParams};
use cluster_tests::{Release, eventually, holds, wait_for};
use serde_json::json;

use crate::release;

/// A spec with the routing of `name`, and what else is under `canary`.
fn routed(name: &str, replicas: u32, more: &str) -> String {
    format!(
        "
  replicas: {replicas}
  strategy:
    canary:
      canaryService: {name}-canary
      stableService: {name}-stable
      trafficRouting: {{nginx: {{stableIngress: {name}}}}}
{more}"
    )
}

const TWO_WEIGHTS: &str = "      steps: [{setWeight: 25}, {pause: {}}, {setWeight: 50}, {pause: {}}]";

async fn annotation(it: &Release, key: &str) -> Option<String> {
    let ingress = it.ns.api::<Ingress>().get(&format!("{0}-{0}-canary", it.name())).await.unwrap();
    ingress.metadata.annotations.unwrap_or_default().remove(key)
}

#[test]
fn the_weight_follows_the_steps_and_goes_back() {
    release("routed", &routed("routed", 4, TWO_WEIGHTS), async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        assert_eq!(it.weight().await, Some(25));
        it.pods_are("v1=4 v2=1").await;
        it.services_are("stable=v1 canary=v2").await;
        it.promote().await;
        it.paused_at(3).await;
        assert_eq!(it.weight().await, Some(50));
        it.pods_are("v1=4 v2=2").await;
        it.promote().await;
        it.healthy().await;
        assert_eq!(it.weight().await, Some(0));
        it.services_are("stable=v2 canary=v2").await;
    });
}

#[test]
fn a_rollback_returns_the_traffic_first() {
    release("routed-back", &routed("routed-back", 4, TWO_WEIGHTS), async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        it.set_image("v1").await;
        it.healthy().await;
        assert_eq!(it.weight().await, Some(0));
        it.services_are("stable=v1 canary=v1").await;
        it.revisions_are("v1=3 v2=2").await;
    });
}

#[test]
fn a_newer_version_starts_without_traffic() {
    release("routed-newer", &routed("routed-newer", 4, TWO_WEIGHTS), async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        it.set_image("v3").await;
        it.until("paused again", |status| status.message.as_deref() == Some("CanaryPauseStep")).await;
        it.services_are("stable=v1 canary=v3").await;
        assert_eq!(it.weight().await, Some(25));
        it.plugin_says(&["promote", it.name(), "--full"], "fully promoted").await;
        it.healthy().await;
        it.services_are("stable=v3 canary=v3").await;
    });
}

#[test]
fn a_version_that_does_not_start_gets_no_traffic() {
    release("routed-bad", &routed("routed-bad", 2, TWO_WEIGHTS), async |it| {
        it.set_image("bad").await;
        it.pods_are("bad=1 v1=2").await;
        holds("no traffic", Duration::from_secs(2), async || match it.weight().await {
            None | Some(0) => Ok(()),
            Some(weight) => Err(weight.to_string()),
        })
        .await;
        it.set_image("v1").await;
        it.healthy().await;
    });
}

#[test]
fn scaled_in_mid_release_both_versions_are_scaled() {
    release("routed-scaled", &routed("routed-scaled", 4, TWO_WEIGHTS), async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        it.patch(json!({"spec": {"replicas": 8}})).await;
        it.pods_are("v1=8 v2=2").await;
        assert_eq!(it.weight().await, Some(25));
    });
}

#[test]
fn after_an_abort_the_canary_stays_as_long_as_asked_for() {
    let spec = routed("routed-abort", 4, &format!("      abortScaleDownDelaySeconds: 3\n{TWO_WEIGHTS}"));
    release("routed-abort", &spec, async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        it.patch_status(json!({"abort": true})).await;
        it.until("aborted", |status| status.phase.as_deref() == Some("Degraded")).await;
        assert_eq!(it.weight().await, Some(0));
        holds("the canary's pod stays", Duration::from_secs(1), async || {
            let pods = it.pods_by_tag().await;
            if pods == "v1=4 v2=1" { Ok(()) } else { Err(pods) }
        })
        .await;
        it.pods_are("v1=4").await;
    });
}

#[test]
fn the_old_version_stays_as_long_as_asked_for() {
    let spec = routed("routed-delay", 2, &format!("      scaleDownDelaySeconds: 3\n{TWO_WEIGHTS}"));
    release("routed-delay", &spec, async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        it.plugin_says(&["promote", it.name(), "--full"], "fully promoted").await;
        it.healthy().await;
        it.pods_are("v1=2 v2=2").await;
        it.pods_are("v2=2").await;
    });
}

#[test]
fn weights_are_shares_of_the_greatest_weight() {
    let name = "routed-max";
    let spec = routed(name, 4, TWO_WEIGHTS)
        .replace("{stableIngress: routed-max}}", "{stableIngress: routed-max}, maxTrafficWeight: 1000}");
    release(name, &spec, async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        assert_eq!(it.weight().await, Some(25));
        assert_eq!(annotation(it, "nginx.ingress.kubernetes.io/canary-weight-total").await.as_deref(), Some("1000"));
    });
}

#[test]
fn annotations_that_others_put_on_the_canary_ingress_survive() {
    release("routed-foreign", &routed("routed-foreign", 2, TWO_WEIGHTS), async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"example.com/team": "blue"}}}));
        let ingresses = it.ns.api::<Ingress>();
        ingresses.patch("routed-foreign-routed-foreign-canary", &PatchParams::default(), &patch).await.unwrap();
        it.promote().await;
        it.paused_at(3).await;
        assert_eq!(it.weight().await, Some(50));
        assert_eq!(annotation(it, "example.com/team").await.as_deref(), Some("blue"));
    });
}

#[test]
fn a_weight_changed_by_hand_is_put_right() {
    release("routed-hand", &routed("routed-hand", 2, TWO_WEIGHTS), async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        let patch =
            Patch::Merge(json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/canary-weight": "90"}}}));
        let ingresses = it.ns.api::<Ingress>();
        ingresses.patch("routed-hand-routed-hand-canary", &PatchParams::default(), &patch).await.unwrap();
        eventually("25 again", Duration::from_secs(20), async || match it.weight().await {
            Some(25) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    });
}

#[test]
fn a_canary_ingress_deleted_by_hand_is_made_again() {
    release("routed-gone", &routed("routed-gone", 2, TWO_WEIGHTS), async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        let ingresses = it.ns.api::<Ingress>();
        let name = "routed-gone-routed-gone-canary";
        let uid = ingresses.get(name).await.unwrap().metadata.uid;
        ingresses.delete(name, &DeleteParams::default()).await.unwrap();
        wait_for(&ingresses, name, "made again", Duration::from_secs(20), |ingress| ingress.metadata.uid != uid).await;
        assert_eq!(it.weight().await, Some(25));
    });
}
