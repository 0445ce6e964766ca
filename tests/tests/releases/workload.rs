//! Rollouts whose pods are described by a Deployment.

use std::time::Duration;

use cluster_tests::Release;
use cluster_tests::crds::k8s_openapi::api::apps::v1::Deployment;
use cluster_tests::crds::kube::api::{Patch, PatchParams};
use cluster_tests::wait_for;
use serde_json::json;

use crate::{RUNTIME, World, manifest, surroundings, template};

/// As `release`, with a Deployment `NAME` that runs two pods of `v1` before the Rollout takes over.
fn taken_over(name: &str, scale_down: &str, test: impl AsyncFnOnce(&Release)) {
    RUNTIME.block_on(async {
        let world = World::shared().await;
        if !world.cluster.pods_answer(name) {
            return;
        }
        let it = Release::shared(world.cluster, world.ns.clone(), world.controller.clone(), name);
        it.ns.apply(&surroundings(name)).await;
        let deployment = format!(
            "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: {name}}}}}
{}",
            template(name, "v1")
        );
        it.ns.apply(&deployment).await;
        it.pods_are("v1=2").await;
        let spec = format!(
            "
  replicas: 2
  workloadRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}, scaleDown: {scale_down}}}
  strategy: {{canary: {{steps: [{{setWeight: 50}}, {{pause: {{}}}}]}}}}"
        );
        it.ns.apply(&manifest(name, &spec)).await;
        it.healthy().await;
        test(&it).await;
        it.delete().await;
    });
}

async fn deployment_has(it: &Release, replicas: i32) {
    let what = format!("{replicas} replicas");
    wait_for(&it.ns.api::<Deployment>(), it.name(), &what, Duration::from_mins(1), |deployment| {
        deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(replicas)
    })
    .await;
}

#[test]
fn the_deployment_is_scaled_down_when_the_rollout_is_healthy() {
    taken_over("ref-success", "onsuccess", async |it| {
        deployment_has(it, 0).await;
        it.pods_are("v1=2").await;
    });
}

#[test]
fn the_deployment_keeps_its_pods_when_nobody_asks() {
    taken_over("ref-never", "never", async |it| {
        deployment_has(it, 2).await;
        it.pods_are("v1=4").await;
    });
}

#[test]
fn a_new_template_of_the_deployment_is_released() {
    taken_over("ref-release", "onsuccess", async |it| {
        deployment_has(it, 0).await;
        it.pods_are("v1=2").await;
        let image = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "web", "image": "registry.example/web:v2"}
        ]}}}});
        let deployments = it.ns.api::<Deployment>();
        deployments.patch(it.name(), &PatchParams::default(), &Patch::Strategic(image)).await.unwrap();
        it.paused_at(1).await;
        it.pods_are("v1=1 v2=1").await;
        it.promote().await;
        it.healthy().await;
        it.pods_are("v2=2").await;
    });
}

#[test]
fn a_new_image_is_set_in_the_deployment() {
    taken_over("ref-image", "progressively", async |it| {
        deployment_has(it, 0).await;
        it.plugin_says(&["set", "image", it.name(), "web=registry.example/web:v2"], "image updated").await;
        it.paused_at(1).await;
        it.pods_are("v1=1 v2=1").await;
        it.plugin_says(&["abort", it.name()], "aborted").await;
        it.pods_are("v1=2").await;
    });
}
