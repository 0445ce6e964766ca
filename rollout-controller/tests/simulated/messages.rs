//! `--status-message=full`: the message says what a Rollout waits for.

use rollout_controller::config::Config;
use serde_json::{Value, json};

use crate::harness::{self, Running, until};

async fn message(full: bool) -> String {
    let cluster = harness::cluster();
    let _pods = cluster.start_workloads();
    let running = Running::start(&cluster, Config { full_messages: full, ..Config::default() });
    running.ready().await;
    let found = || {
        let object = cluster.store().get("argoproj.io/v1alpha1", "Rollout", "shop", "web");
        object.map_or(Value::Null, |object| harness::json(&object)["status"].clone())
    };
    cluster
        .store()
        .seed(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "namespace": "shop", "name": "web" },
            "spec": {
                "replicas": 2, "selector": { "matchLabels": { "app": "web" } },
                "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "web", "image": "web:1" }] } },
                "strategy": { "canary": { "steps": [{ "setWeight": 50 }, { "pause": {} }] } },
            },
        }))
        .unwrap();
    until("it is released", || found()["phase"] == "Healthy").await;
    cluster
        .store()
        .modify(("argoproj.io/v1alpha1", "Rollout"), ("shop", "web"), |object| {
            object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:2");
        })
        .unwrap();
    until("it is paused", || found()["phase"] == "Paused").await;
    let text = found()["message"].as_str().unwrap_or_default().to_owned();
    running.stop().await;
    text
}

#[tokio::test(start_paused = true)]
async fn the_message_is_argos_word_unless_more_is_asked_for() {
    assert_eq!(message(false).await, "CanaryPauseStep");
    assert_eq!(message(true).await, "CanaryPauseStep: waits for a person, to promote it past the pause at step 2 of 2");
}
