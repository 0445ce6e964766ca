//! What stands around a Rollout, with Kubernetes' own controllers: a Deployment that describes its pods, a disruption budget, an autoscaler.

#![allow(clippy::unwrap_used, reason = "helpers fail like the tests that call them")]

use std::time::Duration;

use cluster_tests::crds::k8s_openapi::api::apps::v1::Deployment;
use cluster_tests::crds::k8s_openapi::api::core::v1::Pod;
use cluster_tests::crds::kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use cluster_tests::{Cluster, Release, eventually, holds, wait_gone};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_mins(1);

fn deployment(replicas: u32) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: legacy}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
      - {{name: web, image: 'registry.example/web:v1', ports: [{{name: http, containerPort: 8080}}]}}
"
    )
}

const REFERS: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web}
spec:
  replicas: 3
  workloadRef: {apiVersion: apps/v1, kind: Deployment, name: legacy, scaleDown: progressively}
  strategy: {canary: {steps: [{setWeight: 34}, {pause: {}}]}}
";

const PLAIN: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: 'registry.example/web:v1', ports: [{name: http, containerPort: 8080}]}
  strategy: {canary: {steps: [{setWeight: 34}, {pause: {}}]}}
";

/// Pods that are ready and stay.
async fn ready(release: &Release) -> usize {
    let pods = release.ns.api::<Pod>().list(&ListParams::default()).await.unwrap();
    let is_ready = |pod: &Pod| {
        pod.metadata.deletion_timestamp.is_none()
            && pod
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten())
                .any(|one| one.type_ == "Ready" && one.status == "True")
    };
    pods.items.iter().filter(|pod| is_ready(pod)).count()
}

async fn wanted(release: &Release) -> Option<i32> {
    release.ns.api::<Deployment>().get("legacy").await.unwrap().spec.unwrap().replicas
}

async fn deployment_has(release: &Release, pods: i32) {
    eventually(&format!("the Deployment has {pods} pods"), MINUTE, async || {
        let found = wanted(release).await;
        if found == Some(pods) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_deployment_hands_its_pods_over_and_gets_them_back_when_the_rollout_is_deleted() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("a_deployment_hands_its_pods_over_and_gets_them_back_when_the_rollout_is_deleted") {
        return;
    }
    let ns = cluster.fast_namespace("workload").await;
    ns.apply(&deployment(3)).await;
    let mut release = Release::without_controller(cluster, ns);
    eventually("the Deployment's pods are ready", MINUTE, async || {
        let count = ready(&release).await;
        if count == 3 { Ok(()) } else { Err(count.to_string()) }
    })
    .await;
    release.ns.apply(REFERS).await;
    release.start_controller();
    eventually("the pods have moved", MINUTE, async || {
        let count = ready(&release).await;
        assert!(count >= 3, "{count} ready pods in the middle of the move");
        let found = wanted(&release).await;
        if found == Some(0) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    release.healthy().await;

    let image =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "registry.example/web:v2"}]}}}});
    let deployments = release.ns.api::<Deployment>();
    deployments.patch("legacy", &PatchParams::default(), &Patch::Strategic(&image)).await.unwrap();
    release.paused_at(1).await;
    let (code, _, problem) = release.plugin(&["promote", "web"]).await;
    assert_eq!(code, 0, "{problem}");
    release.healthy().await;
    assert_eq!(wanted(&release).await, Some(0));

    // Somebody applies the Deployment's manifest again.
    let scale = json!({"spec": {"replicas": 2}});
    deployments.patch("legacy", &PatchParams::default(), &Patch::Merge(&scale)).await.unwrap();
    deployment_has(&release, 0).await;

    release.rollouts().delete("web", &DeleteParams::default()).await.unwrap();
    eventually("the Rollout is gone and the Deployment whole", MINUTE, async || {
        let count = ready(&release).await;
        assert!(count >= 3, "{count} ready pods while the Rollout is deleted");
        match release.rollouts().get_opt("web").await.unwrap() {
            None => Ok(()),
            Some(rollout) => Err(format!("{:?}", rollout.metadata.finalizers)),
        }
    })
    .await;
    wait_gone(&release.rollouts(), "web", MINUTE).await;
    assert_eq!(wanted(&release).await, Some(3));
}

#[tokio::test]
async fn a_restart_replaces_every_pod_and_obeys_the_disruption_budget() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("a_restart_replaces_every_pod_and_obeys_the_disruption_budget") {
        return;
    }
    let ns = cluster.fast_namespace("restart").await;
    let budget = |least: u32| {
        format!(
            "
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: web}}
spec: {{minAvailable: {least}, selector: {{matchLabels: {{app: web}}}}}}
"
        )
    };
    ns.apply(PLAIN).await;
    ns.apply(&budget(3)).await;
    let mut release = Release::without_controller(cluster, ns);
    release.start_controller();
    release.healthy().await;
    let before = release.pods().await;
    // Times of pods have whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (code, _, problem) = release.plugin(&["restart", "web"]).await;
    assert_eq!(code, 0, "{problem}");
    release.until("restarting", |status| status.message.as_deref() == Some("rollout is restarting")).await;
    holds("the budget needs every pod", Duration::from_secs(4), async || {
        let now = release.pods().await;
        if now == before { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    release.ns.apply(&budget(2)).await;
    eventually("every pod is new", 2 * MINUTE, async || {
        let count = ready(&release).await;
        assert!(count >= 2, "{count} ready pods");
        let now = release.pods().await;
        if now.len() == 3 && now.iter().all(|pod| !before.contains(pod)) { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    release.until("restarted", |status| status.restarted_at.is_some()).await;
    release.healthy().await;
}

#[tokio::test]
async fn an_autoscaler_scales_it_through_the_scale_sub_resource_also_in_the_middle_of_a_release() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("an_autoscaler_scales_it_through_the_scale_sub_resource_also_in_the_middle_of_a_release") {
        return;
    }
    let ns = cluster.fast_namespace("hpa").await;
    let autoscaler = |least: u32, most: u32| {
        format!(
            "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: web}}
spec:
  minReplicas: {least}
  maxReplicas: {most}
  scaleTargetRef: {{apiVersion: argoproj.io/v1alpha1, kind: Rollout, name: web}}
  metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 50}}}}}}]
"
        )
    };
    ns.apply(PLAIN).await;
    let mut release = Release::without_controller(cluster, ns);
    release.start_controller();
    release.healthy().await;
    let scale = release.rollouts().get_scale("web").await.unwrap();
    let status = scale.status.unwrap();
    assert_eq!((status.replicas, status.selector.as_deref()), (3, Some("app=web")));

    release.ns.apply(&autoscaler(5, 8)).await;
    release
        .until("scaled up", |status| status.hpa_replicas == Some(5) && status.phase.as_deref() == Some("Healthy"))
        .await;
    release.set_image("v2").await;
    release.paused_at(1).await;
    release.ns.apply(&autoscaler(1, 3)).await;
    let scaled = release
        .until("scaled down in the middle of the release", |status| {
            status.hpa_replicas.is_some_and(|count| count <= 4) && status.current_step_index == Some(1)
        })
        .await;
    assert_eq!(scaled.spec.replicas, Some(3));
    release.promote().await;
    let healthy = release.healthy().await;
    assert_eq!(healthy.status.and_then(|status| status.hpa_replicas), Some(3));
    let autoscaler: Value = serde_json::to_value(
        release
            .ns
            .api::<cluster_tests::crds::k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler>()
            .get("web")
            .await
            .unwrap(),
    )
    .unwrap();
    let able = autoscaler["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["type"] == "AbleToScale")
        .unwrap()
        .clone();
    assert_eq!(able["status"], "True", "{able}");
}
