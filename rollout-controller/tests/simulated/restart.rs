//! A restart on a simulated cluster: pods are evicted, and a disruption budget is obeyed.

use std::time::Duration;

use rollout_controller::config::Config;
use serde_json::{Value, json};
use simulator::Cluster;

use crate::harness::{self, Running, until};

fn rollout() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "namespace": "shop", "name": "web" },
        "spec": {
            "replicas": 3, "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "web", "image": "web:1" }] } },
            "strategy": { "canary": {} },
        },
    })
}

fn status(cluster: &Cluster) -> Value {
    let found = cluster.store().get("argoproj.io/v1alpha1", "Rollout", "shop", "web");
    found.map_or(Value::Null, |object| object["status"].clone())
}

fn names(cluster: &Cluster) -> Vec<String> {
    let pods = cluster.store().list("v1", "Pod", Some("shop"));
    pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn ready(cluster: &Cluster) -> usize {
    let pods = cluster.store().list("v1", "Pod", Some("shop"));
    let is_ready = |pod: &Value| {
        pod["metadata"]["deletionTimestamp"].is_null()
            && pod["status"]["conditions"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
    };
    pods.iter().filter(|pod| is_ready(&harness::json(pod))).count()
}

#[tokio::test(start_paused = true)]
async fn pods_are_replaced_one_by_one_when_the_disruption_budget_lets_them_go() {
    let cluster = harness::cluster();
    let _pods = cluster.start_workloads();
    let running = Running::start(&cluster, Config::default());
    running.ready().await;
    cluster.store().seed(rollout()).unwrap();
    until("it is healthy", || status(&cluster)["phase"] == "Healthy").await;
    assert_eq!(cluster.requests().count("list", "pods"), 0, "nobody looks at pods without a restart");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "namespace": "shop", "name": "web" },
        "spec": { "minAvailable": 3, "selector": { "matchLabels": { "app": "web" } } },
    });
    cluster.store().seed(budget).unwrap();
    let before = names(&cluster);
    let time = cluster.clock().now().to_string();
    let restart = |object: &mut Value| object["spec"]["restartAt"] = json!(time[..19].to_owned() + "Z");
    cluster.store().modify(("argoproj.io/v1alpha1", "Rollout"), ("shop", "web"), restart).unwrap();
    until("it is said", || status(&cluster)["message"] == "rollout is restarting").await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(names(&cluster), before, "the budget needs every pod");
    let asked = cluster.requests().count("create", "pods/eviction");
    assert!((1..8).contains(&asked), "{asked}");
    cluster.store().remove("policy/v1", "PodDisruptionBudget", "shop", "web");
    let fewest = std::cell::Cell::new(usize::MAX);
    until("it is over", || {
        fewest.set(fewest.get().min(ready(&cluster)));
        status(&cluster)["restartedAt"].is_string() && status(&cluster)["phase"] == "Healthy"
    })
    .await;
    assert_eq!(fewest.get(), 2, "one at a time");
    assert!(names(&cluster).iter().all(|name| !before.contains(name)), "{:?} {before:?}", names(&cluster));
    assert!(cluster.requests().all().iter().all(|request| request.verb != "delete"), "pods are evicted, not deleted");
    running.stop().await;
}
