//! Objects that do not fit: said on the object, and the others go on.

use rollout_controller::config::Config;
use serde_json::{Value, json};

use crate::harness::{self, Running, until};

/// The product's definitions without their schemas: a cluster on which somebody loosened them.
fn loose_definitions() -> Vec<Value> {
    let mut definitions = simulator::own_definitions();
    for definition in &mut definitions {
        for version in definition["spec"]["versions"].as_array_mut().unwrap() {
            version["schema"] =
                json!({ "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } });
        }
    }
    definitions
}

#[tokio::test(start_paused = true)]
async fn a_malformed_rollout_is_told_on_itself_and_counted() {
    let cluster = harness::cluster_with(loose_definitions());
    let rollout = |name: &str, seconds: Value| {
        json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "namespace": "default", "name": name },
            "spec": { "minReadySeconds": seconds, "selector": { "matchLabels": { "app": name } },
                "template": { "metadata": { "labels": { "app": name } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } },
                "strategy": { "canary": {} } } })
    };
    cluster.store().seed(rollout("bad", json!("soon"))).unwrap();
    cluster.store().seed(rollout("good", json!(1))).unwrap();
    let running = Running::start(&cluster, Config::default());
    running.ready().await;
    let get = |name: &str| {
        cluster.store().get("argoproj.io/v1alpha1", "Rollout", "default", name).map(|object| harness::json(&object))
    };
    until("the condition is there", || get("bad").is_some_and(|bad| bad["status"]["phase"] == "Degraded")).await;
    let bad = get("bad").unwrap();
    let expected = "The Rollout \"bad\" is invalid: spec.minReadySeconds: ";
    assert_eq!(bad["status"]["conditions"][0]["type"], "InvalidSpec");
    let said = bad["status"]["conditions"][0]["message"].as_str().unwrap();
    assert!(said.starts_with(expected) && said.contains("soon"), "{said}");
    until("the event is there", || harness::events(&cluster, "default").iter().any(|(_, message, _)| message == said))
        .await;
    assert!(running.controller.metrics.text().contains("controller_malformed_objects{kind=\"Rollout\"} 1"));
    // Repaired, it is an ordinary Rollout again.
    cluster
        .store()
        .modify(("argoproj.io/v1alpha1", "Rollout"), ("default", "bad"), |object| {
            object["spec"]["minReadySeconds"] = json!(1);
        })
        .unwrap();
    until("it is no longer counted", || {
        running.controller.metrics.text().contains("controller_malformed_objects{kind=\"Rollout\"} 0")
    })
    .await;
    running.stop().await;
}
