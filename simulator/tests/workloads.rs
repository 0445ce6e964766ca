//! ReplicaSets make pods, pods get ready, Services get addresses.

// A test fails by panicking.
#![allow(clippy::expect_used, clippy::panic)]

use std::time::Duration;

use crds::k8s_openapi::api::apps::v1::ReplicaSet;
use crds::k8s_openapi::api::core::v1::{Pod, Service};
use crds::k8s_openapi::api::discovery::v1::EndpointSlice;
use crds::kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use simulator::{Cluster, Config, Delays};

fn cluster() -> Cluster {
    let cluster = Cluster::new(Config { definitions: Vec::new(), ..Config::default() });
    cluster.start_workloads();
    cluster
}

fn set(name: &str, image: &str, replicas: i32, min_ready: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "minReadySeconds": min_ready, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [
                {"name": "a", "image": image, "ports": [{"name": "web", "containerPort": 8080}]}]}}},
    }))
    .expect("a set")
}

/// Waits for the status of a set, at most five simulated minutes.
async fn status(api: &Api<ReplicaSet>, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..3000 {
        last = serde_json::to_value(api.get(name).await.expect("there").status).expect("JSON");
        if wanted(&last) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{name} stays at {last}");
}

#[tokio::test(start_paused = true)]
async fn a_set_becomes_ready_then_available() {
    let cluster = cluster();
    let api: Api<ReplicaSet> = Api::namespaced(cluster.client(), "default");
    let start = cluster.clock().now();
    api.create(&PostParams::default(), &set("a", "app:good", 3, 10)).await.expect("created");
    status(&api, "a", |status| status["readyReplicas"] == 3).await;
    assert!(api.get("a").await.expect("there").status.expect("one").available_replicas.is_none());
    let delays = Delays::default();
    let ready = cluster.clock().now().duration_since(start).as_millis();
    let least = (delays.schedule + delays.start + delays.ready).as_millis();
    assert!(ready >= i128::try_from(least).expect("small") && ready < 3000, "{ready} ms");
    status(&api, "a", |status| status["availableReplicas"] == 3).await;
    let waited = cluster.clock().now().duration_since(start).as_secs();
    assert!((10..=13).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn services_follow_their_pods() {
    let cluster = cluster();
    let service = json!({"metadata": {"name": "s"}, "spec": {"selector": {"app": "a"}, "ports": [{"port": 80, "targetPort": "web"}]}});
    let services: Api<Service> = Api::namespaced(cluster.client(), "default");
    services
        .create(&PostParams::default(), &serde_json::from_value(service).expect("a service"))
        .await
        .expect("created");
    let api: Api<ReplicaSet> = Api::namespaced(cluster.client(), "default");
    api.create(&PostParams::default(), &set("a", "app:good", 2, 0)).await.expect("created");
    status(&api, "a", |status| status["availableReplicas"] == 2).await;
    let slices: Api<EndpointSlice> = Api::namespaced(cluster.client(), "default");
    let all = slices.list(&ListParams::default().labels("kubernetes.io/service-name=s")).await.expect("listed").items;
    let slice = all.first().expect("one slice");
    assert_eq!(slice.ports.as_ref().and_then(|ports| ports.first()).and_then(|port| port.port), Some(8080));
    let ready = |slice: &EndpointSlice| {
        slice
            .endpoints
            .iter()
            .flatten()
            .filter(|one| one.conditions.as_ref().is_some_and(|found| found.ready == Some(true)))
            .count()
    };
    assert_eq!(ready(slice), 2);
    let patch = Patch::Merge(json!({"spec": {"replicas": 0}}));
    api.patch("a", &PatchParams::default(), &patch).await.expect("scaled");
    status(&api, "a", |status| status["replicas"] == 0).await;
    let pods: Api<Pod> = Api::namespaced(cluster.client(), "default");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(pods.list(&ListParams::default()).await.expect("listed").items.is_empty());
    let all = slices.list(&ListParams::default()).await.expect("listed").items;
    assert!(all.iter().all(|slice| slice.endpoints.iter().flatten().next().is_none()));
}

#[tokio::test(start_paused = true)]
async fn images_that_cannot_be_pulled_stay_pending_and_go_first() {
    let cluster = cluster();
    let api: Api<ReplicaSet> = Api::namespaced(cluster.client(), "default");
    api.create(&PostParams::default(), &set("a", "app:bad", 2, 0)).await.expect("created");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let pods: Api<Pod> = Api::namespaced(cluster.client(), "default");
    for pod in pods.list(&ListParams::default()).await.expect("listed").items {
        let pod = serde_json::to_value(pod).expect("JSON");
        assert_eq!(pod["status"]["phase"], "Pending");
        assert_eq!(pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"], "ErrImagePull");
    }
    assert_eq!(api.get("a").await.expect("there").status.expect("one").ready_replicas, None);
}

#[tokio::test(start_paused = true)]
async fn two_runs_with_one_seed_are_the_same() {
    let run = || async {
        let cluster = cluster();
        let api: Api<ReplicaSet> = Api::namespaced(cluster.client(), "default");
        api.create(&PostParams::default(), &set("a", "app:good", 3, 0)).await.expect("created");
        status(&api, "a", |status| status["availableReplicas"] == 3).await;
        let pods = cluster.store().list("v1", "Pod", None);
        let shown = |pod: &Value| {
            (pod["metadata"]["name"].clone(), pod["metadata"]["uid"].clone(), pod["status"]["podIP"].clone())
        };
        pods.iter().map(|pod| shown(pod)).collect::<Vec<_>>()
    };
    assert_eq!(run().await, run().await);
}

#[tokio::test(start_paused = true)]
async fn a_fleet_of_sets_in_one_namespace_settles() {
    let cluster = cluster();
    let api: Api<ReplicaSet> = Api::namespaced(cluster.client(), "default");
    for index in 0..300 {
        api.create(&PostParams::default(), &set(&format!("r{index}"), "app:good", 2, 0)).await.expect("created");
    }
    tokio::time::sleep(Duration::from_mins(1)).await;
    for set in api.list(&ListParams::default()).await.expect("listed").items {
        assert_eq!(set.status.and_then(|status| status.available_replicas), Some(2));
    }
}
