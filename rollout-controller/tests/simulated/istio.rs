//! Istio's kinds: a cluster without them, and with an old Istio only.

use rollout_controller::config::Config;
use serde_json::{Value, json};
use simulator::Cluster;

use crate::harness::{self, Running, until};

fn rollout(name: &str, strategy: Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "namespace": "shop", "name": name },
        "spec": {
            "replicas": 2, "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } }, "spec": { "containers": [{ "name": "web", "image": "web:1" }] },
            },
            "strategy": strategy,
        },
    })
}

fn canary() -> Value {
    json!({ "canary": {
        "canaryService": "web-canary", "stableService": "web-stable",
        "trafficRouting": { "istio": { "virtualService": { "name": "web" } } },
        "steps": [{ "setWeight": 50 }, { "pause": {} }],
    } })
}

fn service(name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": "shop", "name": name },
        "spec": { "selector": { "app": app }, "ports": [{ "port": 80 }] },
    })
}

/// The definition of a kind as an Istio had it that served this version only.
fn definition(kind: &str, version: &str) -> Value {
    let plural = format!("{}s", kind.to_lowercase());
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.networking.istio.io") },
        "spec": {
            "group": "networking.istio.io", "scope": "Namespaced",
            "names": { "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase() },
            "versions": [{ "name": version, "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            } } }],
        },
    })
}

fn virtual_service(version: &str) -> Value {
    json!({
        "apiVersion": format!("networking.istio.io/{version}"), "kind": "VirtualService",
        "metadata": { "namespace": "shop", "name": "web" },
        "spec": { "hosts": ["web"], "http": [{ "timeout": "3s", "route": [
            { "destination": { "host": "web-stable" }, "weight": 100 },
            { "destination": { "host": "web-canary" }, "weight": 0 },
        ] }] },
    })
}

fn status(cluster: &Cluster, name: &str) -> Value {
    let found = cluster.store().get("argoproj.io/v1alpha1", "Rollout", "shop", name);
    found.map_or(Value::Null, |object| harness::json(&object)["status"].clone())
}

fn weights(cluster: &Cluster, version: &str) -> Vec<Value> {
    let api_version = format!("networking.istio.io/{version}");
    let object = cluster.store().get(&api_version, "VirtualService", "shop", "web");
    let object = object.map_or(Value::Null, |object| harness::json(&object));
    assert_eq!(object["spec"]["http"][0]["timeout"], "3s");
    let route = object["spec"]["http"][0]["route"].as_array().cloned().unwrap_or_default();
    route.iter().map(|one| one["weight"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn without_istio_only_those_who_need_it_wait_and_go_on_when_it_comes() {
    let cluster = harness::cluster();
    let _pods = cluster.start_workloads();
    let running = Running::start(&cluster, Config::default());
    running.ready().await;
    for object in [
        service("web-stable", "web"),
        service("web-canary", "web"),
        service("other", "other"),
        rollout("web", canary()),
        rollout("other", json!({ "blueGreen": { "activeService": "other" } })),
    ] {
        cluster.store().seed(object).unwrap();
    }
    until("the other one is healthy", || status(&cluster, "other")["phase"] == "Healthy").await;
    until("what is missing is told", || {
        let status = status(&cluster, "web");
        let message = status["message"].as_str().unwrap_or_default();
        message.contains("VirtualService \"web\": the cluster does not know this kind (networking.istio.io/v1)")
    })
    .await;
    assert!(running.controller.readiness.missing().is_empty(), "the controller is ready without Istio");

    // An Istio of long ago.
    cluster.store().seed(definition("VirtualService", "v1alpha3")).unwrap();
    until("the object is missing now", || {
        status(&cluster, "web")["message"].as_str().unwrap_or_default().contains("VirtualService \"web\" not found")
    })
    .await;
    cluster.store().seed(virtual_service("v1alpha3")).unwrap();
    until("it is healthy", || status(&cluster, "web")["phase"] == "Healthy").await;
    let mut next = rollout("web", canary());
    next["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:2");
    cluster
        .store()
        .modify(("argoproj.io/v1alpha1", "Rollout"), ("shop", "web"), |object| {
            object["spec"]["template"] = next["spec"]["template"].clone();
        })
        .unwrap();
    until("half of the requests go to the canary", || weights(&cluster, "v1alpha3") == [json!(50), json!(50)]).await;
    running.stop().await;
}
