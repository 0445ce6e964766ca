//! The settle loop, with a decision simple enough to see through: one ReplicaSet, as many replicas as wanted, a status.

use std::sync::Arc;
use std::time::Duration;

use crds::jiff::Timestamp;
use crds::{ReplicaSet, RolloutStatus};
use rollout_controller::config::Config;
use rollout_controller::run::Controller;
use serde_json::{Value, json};
use simulator::{Cluster, Fault};
use strategy::{Action, Decision, Event, EventType, Observation, Target};

use crate::harness::{self, Running, until};

fn decide(seen: &Observation, _now: Timestamp) -> Decision {
    let meta = &seen.rollout.metadata;
    let mut decision = Decision { status: seen.rollout.status.clone().unwrap_or_default(), ..Decision::default() };
    let Some(set) = seen.replica_sets.first() else {
        let set: ReplicaSet = serde_json::from_value(json!({
            "metadata": { "name": "web-1", "namespace": meta.namespace, "labels": { "app": "web", "rollouts-pod-template-hash": "1" },
                "ownerReferences": [{ "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": meta.name, "uid": meta.uid, "controller": true }] },
            "spec": { "replicas": 0, "selector": { "matchLabels": { "app": "web", "rollouts-pod-template-hash": "1" } },
                "template": { "metadata": { "labels": { "app": "web", "rollouts-pod-template-hash": "1" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } } },
        }))
        .unwrap();
        decision.actions.push(Action::CreateReplicaSet { replica_set: Box::new(set) });
        decision.events.push(event("NewReplicaSetCreated", "Created ReplicaSet web-1"));
        return decision;
    };
    let wanted = seen.rollout.spec.replicas.unwrap_or(1);
    if set.replicas_or_default() != wanted {
        let target = Target {
            name: "web-1".into(),
            uid: set.metadata.uid.clone().unwrap(),
            resource_version: set.metadata.resource_version.clone(),
        };
        decision.actions.push(Action::PatchReplicaSet { target, patch: json!({ "spec": { "replicas": wanted } }) });
        decision.events.push(event("ScalingReplicaSet", &format!("Scaled to {wanted}")));
        return decision;
    }
    let available = set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
    let phase = if available == wanted { "Healthy" } else { "Progressing" };
    if decision.status.phase.as_deref() != Some(phase) && phase == "Healthy" {
        decision.events.push(event("RolloutCompleted", "Rollout completed"));
    }
    decision.status =
        RolloutStatus { available_replicas: Some(available), phase: Some(phase.to_owned()), ..decision.status };
    decision
}

fn event(reason: &'static str, message: &str) -> Event {
    Event { event_type: EventType::Normal, reason, message: message.to_owned() }
}

fn start(cluster: &Cluster) -> Running {
    let controller = Controller { decide: Arc::new(decide), ..Controller::default() };
    Running::start_as(controller, cluster, Config::default())
}

fn seed(cluster: &Cluster, replicas: i32) {
    let rollout = json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "namespace": "default", "name": "web" },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } },
            "strategy": { "canary": {} } } });
    cluster.store().seed(rollout).unwrap();
}

fn get(cluster: &Cluster) -> Value {
    cluster
        .store()
        .get("argoproj.io/v1alpha1", "Rollout", "default", "web")
        .map(|object| harness::json(&object))
        .unwrap_or_default()
}

fn phase(cluster: &Cluster) -> String {
    get(cluster)["status"]["phase"].as_str().unwrap_or_default().to_owned()
}

fn told(cluster: &Cluster, reason: &str) -> Vec<(String, String, i64)> {
    harness::events(cluster, "default").into_iter().filter(|(known, ..)| known == reason).collect()
}

#[tokio::test(start_paused = true)]
async fn actions_are_applied_once_the_status_follows_and_then_the_events() {
    let cluster = harness::cluster();
    let _workloads = cluster.start_workloads();
    seed(&cluster, 3);
    let running = start(&cluster);
    until("it is healthy", || phase(&cluster) == "Healthy").await;
    assert_eq!(cluster.requests().count("create", "replicasets"), 1);
    let all = cluster.requests().all();
    let scaled = all
        .iter()
        .filter(|request| request.verb == "patch" && request.resource == "replicasets" && request.code == 200);
    assert_eq!(scaled.count(), 1);
    let statuses = cluster.requests().count("patch", "rollouts/status");
    assert!(statuses <= 5, "{statuses} status writes");
    until("all is told", || !told(&cluster, "NewReplicaSetCreated").is_empty()).await;
    assert_eq!(
        told(&cluster, "RolloutCompleted"),
        [("RolloutCompleted".to_owned(), "Rollout completed".to_owned(), 1)]
    );
    assert_eq!(told(&cluster, "ScalingReplicaSet"), [("ScalingReplicaSet".to_owned(), "Scaled to 3".to_owned(), 1)]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_the_end_is_the_same() {
    let faults = [
        Fault::Error(409),
        Fault::Error(500),
        Fault::Error(503),
        Fault::LoseAnswer,
        Fault::Refuse,
        Fault::Latency(Duration::from_secs(30)),
    ];
    for fault in faults {
        for resource in ["replicasets", "rollouts/status"] {
            let cluster = harness::cluster();
            let _workloads = cluster.start_workloads();
            seed(&cluster, 2);
            for verb in ["create", "patch"] {
                cluster.faults().next(verb, resource, fault.clone(), 3);
            }
            let running = start(&cluster);
            until(&format!("healthy in spite of {fault:?} on {resource}"), || phase(&cluster) == "Healthy").await;
            assert_eq!(cluster.store().list("apps/v1", "ReplicaSet", Some("default")).len(), 1);
            until("it is told", || told(&cluster, "RolloutCompleted").len() == 1).await;
            tokio::time::sleep(Duration::from_secs(20)).await;
            let created = told(&cluster, "NewReplicaSetCreated");
            // When the answer was lost, nobody knows who made it.
            assert!(
                created.len() == 1 || matches!(fault, Fault::LoseAnswer | Fault::Latency(_)),
                "{fault:?} {resource}: {created:?}"
            );
            running.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_is_said_on_the_object_and_tried_again() {
    let cluster = harness::cluster();
    let _workloads = cluster.start_workloads();
    seed(&cluster, 1);
    cluster.faults().always("create", "replicasets", Fault::Error(403));
    let running = start(&cluster);
    let condition = || get(&cluster)["status"]["conditions"][0].clone();
    until("the condition is there", || condition()["type"] == "ReplicaFailure").await;
    assert_eq!(condition()["reason"], "ReplicaSetCreateError");
    until("it is told", || told(&cluster, "ReplicaSetCreateError").len() == 1).await;
    let tries = cluster.requests().count("create", "replicasets");
    assert!(tries <= 3, "{tries} tries at once");
    cluster.faults().clear();
    until("it is healthy", || phase(&cluster) == "Healthy").await;
    until("the condition is gone", || get(&cluster)["status"]["conditions"].as_array().is_none_or(Vec::is_empty)).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn counters_alone_are_written_at_most_twice_a_second() {
    let cluster = harness::cluster();
    seed(&cluster, 100);
    let running = start(&cluster);
    until("the set is there", || phase(&cluster) == "Progressing").await;
    cluster.requests().clear();
    for available in 1..=50 {
        let change = |set: &mut Value| set["status"] = json!({ "replicas": 100, "availableReplicas": available });
        cluster.store().modify(("apps/v1", "ReplicaSet"), ("default", "web-1"), change).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until("the last one is written", || get(&cluster)["status"]["availableReplicas"] == 50).await;
    let writes = cluster.requests().count("patch", "rollouts/status");
    assert!((1..=3).contains(&writes), "{writes} status writes for 50 changes within a second");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_person_wrote_meanwhile_is_never_overwritten() {
    let cluster = harness::cluster();
    let _workloads = cluster.start_workloads();
    seed(&cluster, 1);
    let running = start(&cluster);
    until("it is healthy", || phase(&cluster) == "Healthy").await;
    // The watch is silent while a person aborts and the number of replicas changes.
    let change = |rollout: &mut Value| rollout["status"]["abort"] = json!(true);
    cluster.store().modify(("argoproj.io/v1alpha1", "Rollout"), ("default", "web"), change).unwrap();
    cluster
        .store()
        .modify(("argoproj.io/v1alpha1", "Rollout"), ("default", "web"), |rollout| {
            rollout["spec"]["replicas"] = json!(2);
        })
        .unwrap();
    until("it is progressing or past it", || get(&cluster)["status"]["availableReplicas"] == 2).await;
    assert_eq!(get(&cluster)["status"]["abort"], true);
    running.stop().await;
}
