//! Services are the user's again once no Rollout moves them, on a simulated cluster.

use crds::Rollout;
use crds::kube::api::{Api, DeleteParams};
use rollout_controller::config::Config;
use serde_json::{Value, json};
use simulator::{Cluster, Fault};

use crate::harness::{self, Running, until};

const MANAGED: &str = "argo-rollouts.argoproj.io/managed-by-rollouts";

fn rollout() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "namespace": "shop", "name": "web" },
        "spec": {
            "replicas": 2, "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "web", "image": "web:1" }] } },
            "strategy": { "blueGreen": { "activeService": "web" } },
        },
    })
}

fn service(metadata: Value, selector: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": { "selector": selector, "ports": [{ "port": 80 }] },
    })
}

/// What a Service selects, and whose it is.
fn found(cluster: &Cluster, name: &str) -> (Value, Value) {
    let object =
        cluster.store().get("v1", "Service", "shop", name).map_or(Value::Null, |object| harness::json(&object));
    (object["spec"]["selector"].clone(), object["metadata"]["annotations"][MANAGED].clone())
}

#[tokio::test(start_paused = true)]
async fn a_service_selects_what_its_user_wrote_once_the_rollout_is_deleted() {
    let cluster = harness::cluster();
    let _pods = cluster.start_workloads();
    let running = Running::start(&cluster, Config::default());
    running.ready().await;
    cluster.store().seed(service(json!({ "namespace": "shop", "name": "web" }), json!({ "app": "web" }))).unwrap();
    cluster.store().seed(rollout()).unwrap();
    until("it is the Rollout's", || found(&cluster, "web").1 == "web").await;
    assert!(found(&cluster, "web").0["rollouts-pod-template-hash"].is_string());
    cluster.faults().always("patch", "services", Fault::Error(500));
    Api::<Rollout>::namespaced(cluster.client(), "shop").delete("web", &DeleteParams::default()).await.unwrap();
    until("it was tried", || {
        let tried = cluster.requests().all();
        tried.iter().filter(|request| request.verb == "patch" && request.resource == "services").count() > 2
    })
    .await;
    cluster.faults().clear();
    until("it is the user's", || found(&cluster, "web") == (json!({ "app": "web" }), Value::Null)).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn only_a_rollout_that_is_gone_from_the_api_server_lets_go() {
    let cluster = harness::cluster();
    let selector = json!({ "app": "web", "rollouts-pod-template-hash": "abc" });
    for (name, rollout) in [("mine", "gone"), ("theirs", "other")] {
        let metadata = json!({ "namespace": "shop", "name": name, "annotations": { MANAGED: rollout } });
        cluster.store().seed(service(metadata, selector.clone())).unwrap();
    }
    let mut other = rollout();
    other["metadata"] = json!({ "namespace": "shop", "name": "other", "labels": { "argo-rollouts.argoproj.io/controller-instance-id": "elsewhere" } });
    cluster.store().seed(other).unwrap();
    let running = Running::start(&cluster, Config::default());
    running.ready().await;
    until("what nobody moves is let go", || found(&cluster, "mine") == (json!({ "app": "web" }), Value::Null)).await;
    tokio::time::sleep(std::time::Duration::from_mins(2)).await;
    assert_eq!(found(&cluster, "theirs"), (selector, json!("other")), "another instance's Rollout still moves it");
    running.stop().await;
}
