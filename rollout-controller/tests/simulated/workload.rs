//! A Rollout whose pods are described by a Deployment, on a simulated cluster.

use crds::Rollout;
use crds::kube::api::{Api, DeleteParams};
use rollout_controller::config::Config;
use serde_json::{Value, json};
use simulator::Cluster;

use crate::harness::{self, Running, until};

fn deployment(replicas: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "namespace": "shop", "name": "legacy" },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "web", "image": "web:1" }] } },
        },
    })
}

fn rollout(reference: Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "namespace": "shop", "name": "web" },
        "spec": { "replicas": 3, "workloadRef": reference, "strategy": { "canary": { "steps": [{ "setWeight": 34 }, { "pause": {} }] } } },
    })
}

fn get(cluster: &Cluster, api_version: &str, kind: &str, name: &str) -> Value {
    cluster.store().get(api_version, kind, "shop", name).map_or(Value::Null, |object| harness::json(&object))
}

fn rollout_of(cluster: &Cluster) -> Value {
    get(cluster, "argoproj.io/v1alpha1", "Rollout", "web")
}

fn legacy(cluster: &Cluster) -> Value {
    get(cluster, "apps/v1", "Deployment", "legacy")
}

/// The Deployment's own pods come up: the simulator has no controller of Deployments.
fn pods_of_the_deployment(cluster: &Cluster) {
    cluster
        .store()
        .modify(("apps/v1", "Deployment"), ("shop", "legacy"), |object| {
            let (count, generation) = (object["spec"]["replicas"].clone(), object["metadata"]["generation"].clone());
            object["status"] = json!({ "availableReplicas": count, "observedGeneration": generation });
        })
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deployment_hands_its_pods_over_and_gets_them_back_before_the_rollout_is_gone() {
    let cluster = harness::cluster();
    let _pods = cluster.start_workloads();
    let running = Running::start(&cluster, Config::default());
    running.ready().await;
    let reference =
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "legacy", "scaleDown": "onsuccess" });
    cluster.store().seed(rollout(reference)).unwrap();
    let named = || {
        rollout_of(&cluster)["status"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("Deployment \"legacy\" not found"))
    };
    until("what is missing is named", named).await;
    cluster.store().seed(deployment(3)).unwrap();
    until("it is healthy", || rollout_of(&cluster)["status"]["phase"] == "Healthy").await;
    until("the Deployment is empty", || legacy(&cluster)["spec"]["replicas"] == 0).await;
    let up_to_date = || {
        let (rollout, generation) = (rollout_of(&cluster), legacy(&cluster)["metadata"]["generation"].to_string());
        rollout["metadata"]["annotations"]["rollout.argoproj.io/workload-generation"] == generation
            && rollout["status"]["workloadObservedGeneration"] == generation
    };
    until("its generation is remembered", up_to_date).await;
    assert_eq!(rollout_of(&cluster)["spec"]["template"], Value::Null, "the template is never written");
    assert_eq!(rollout_of(&cluster)["spec"]["selector"], Value::Null);
    cluster
        .store()
        .modify(("apps/v1", "Deployment"), ("shop", "legacy"), |object| {
            object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:2");
        })
        .unwrap();
    until("a release is on its way", || rollout_of(&cluster)["status"]["phase"] == "Paused").await;
    assert_eq!(cluster.store().list("apps/v1", "ReplicaSet", Some("shop")).len(), 2);
    let rollouts: Api<Rollout> = Api::namespaced(cluster.client(), "shop");
    rollouts.delete("web", &DeleteParams::default()).await.unwrap();
    until("the Deployment is asked for pods", || legacy(&cluster)["spec"]["replicas"] == 3).await;
    assert_ne!(rollout_of(&cluster), Value::Null, "it stays as long as the Deployment has no pods");
    pods_of_the_deployment(&cluster);
    until("it is gone", || rollout_of(&cluster) == Value::Null).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn workloads_are_watched_only_when_they_are_referenced_and_others_are_not_kept() {
    let cluster = harness::cluster();
    for number in 0..5 {
        let mut other = deployment(1);
        other["metadata"]["name"] = json!(format!("other-{number}"));
        cluster.store().seed(other).unwrap();
    }
    cluster.store().seed(deployment(3)).unwrap();
    let running = Running::start(&cluster, Config::default());
    running.ready().await;
    let asked =
        |resource: &str| cluster.requests().count("list", resource) + cluster.requests().count("watch", resource);
    assert_eq!((asked("deployments"), asked("podtemplates")), (0, 0));
    cluster.store().seed(rollout(json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "legacy" }))).unwrap();
    until("the Deployment is watched", || cluster.requests().count("watch", "deployments") == 1).await;
    assert_eq!(asked("podtemplates"), 0);
    let knows = |name: &str| {
        let name = rollout_controller::view::store::Name::new("shop", name);
        running.controller.view.workloads.knows(strategy::workload::WorkloadKind::Deployment, &name)
    };
    until("it is known", || knows("legacy")).await;
    assert!(!knows("other-0"));
    running.stop().await;
}
