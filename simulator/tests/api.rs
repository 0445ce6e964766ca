//! The API through a kube client: what controllers rely on.

// A test fails by panicking.
#![allow(clippy::expect_used, clippy::panic)]

use std::time::Duration;

use crds::k8s_openapi::api::apps::v1::ReplicaSet;
use crds::k8s_openapi::api::core::v1::{ConfigMap, Pod};
use crds::kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, PropagationPolicy, WatchEvent,
    WatchParams,
};
use crds::kube::core::{ApiResource, GroupVersionKind};
use crds::kube::{self, Client, ResourceExt};
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use simulator::{Cluster, Config, Fault};

fn cluster() -> Cluster {
    Cluster::new(Config { definitions: vec![widget_definition()], ..Config::default() })
}

fn widget_definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}},
                "additionalPrinterColumns": [{"name": "Size", "type": "string", "jsonPath": ".spec.size"}],
                "schema": {"openAPIV3Schema": {
                    "type": "object", "required": ["spec"],
                    "properties": {
                        "spec": {"type": "object", "required": ["size"], "properties": {
                            "size": {"type": "string", "enum": ["small", "large"]},
                            "replicas": {"type": "integer", "format": "int32", "minimum": 0, "default": 1},
                            "port": {"x-kubernetes-int-or-string": true},
                            "parts": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "weight": {"type": "integer"}}}},
                        }},
                        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}},
                    },
                }},
            }],
        },
    })
}

fn widgets(client: Client) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("example.com", "v1", "Widget"), "widgets");
    Api::namespaced_with(client, "default", &kind)
}

fn widget(name: &str, spec: &Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec,
    }))
    .expect("a widget")
}

fn refusal(error: kube::Error) -> (u16, String, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.reason, status.message),
        other => panic!("not an answer of the API: {other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_custom_object_lives_from_create_to_delete() {
    let cluster = cluster();
    let api = widgets(cluster.client());
    let made = api
        .create(&PostParams::default(), &widget("a", &json!({"size": "small", "unknown": 1})))
        .await
        .expect("created");
    assert_eq!(made.data["spec"], json!({"size": "small", "replicas": 1}), "pruned and defaulted");
    assert_eq!(made.metadata.generation, Some(1));
    assert!(made.uid().is_some() && made.resource_version().is_some() && made.creation_timestamp().is_some());

    let patch = Patch::Merge(json!({"spec": {"size": "large"}, "status": {"replicas": 9}}));
    let changed = api.patch("a", &PatchParams::default(), &patch).await.expect("patched");
    assert_eq!(
        (changed.metadata.generation, changed.data.get("status")),
        (Some(2), None),
        "status is not the main resource's"
    );

    let patch = Patch::Merge(json!({"spec": {"size": "small"}, "status": {"replicas": 3}}));
    let changed = api.patch_status("a", &PatchParams::default(), &patch).await.expect("status patched");
    assert_eq!(changed.data, json!({"spec": {"size": "large", "replicas": 1}, "status": {"replicas": 3}}));
    assert_eq!(changed.metadata.generation, Some(2));

    let same = api.patch_status("a", &PatchParams::default(), &patch).await.expect("nothing to change");
    assert_eq!(same.resource_version(), changed.resource_version(), "a write that changes nothing takes no version");

    let (code, reason, _) = refusal(api.replace("a", &PostParams::default(), &made).await.expect_err("stale"));
    assert_eq!((code, reason.as_str()), (409, "Conflict"));

    api.delete("a", &DeleteParams::default()).await.expect("deleted");
    let (code, reason, message) = refusal(api.get("a").await.expect_err("gone"));
    assert_eq!((code, reason.as_str(), message.as_str()), (404, "NotFound", "widgets.example.com \"a\" not found"));
}

#[tokio::test(start_paused = true)]
async fn wrong_fields_are_named_as_the_real_server_names_them() {
    let api = widgets(cluster().client());
    for (spec, message) in [
        (
            json!({"size": "huge"}),
            "Widget.example.com \"a\" is invalid: spec.size: Unsupported value: \"huge\": supported values: \"small\", \"large\"",
        ),
        (
            json!({"size": "small", "replicas": "x"}),
            "Widget.example.com \"a\" is invalid: [spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\", .spec.replicas: Invalid value: 0: .spec.replicas accessor error: x is of the type string, expected int64]",
        ),
        (
            json!({"size": "small", "replicas": -1}),
            "Widget.example.com \"a\" is invalid: [spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0, .spec.replicas: Invalid value: -1: should be a non-negative integer]",
        ),
        (json!({"replicas": 1}), "Widget.example.com \"a\" is invalid: spec.size: Required value"),
    ] {
        let (code, reason, found) =
            refusal(api.create(&PostParams::default(), &widget("a", &spec)).await.expect_err("refused"));
        assert_eq!((code, reason.as_str(), found.as_str()), (422, "Invalid", message));
    }
}

#[tokio::test(start_paused = true)]
async fn lists_page_consistently_while_objects_change() {
    let cluster = cluster();
    let api: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    for index in 0..5 {
        let map = serde_json::from_value(
            json!({"metadata": {"name": format!("c{index}"), "labels": {"odd": (index % 2 == 1).to_string()}}}),
        );
        api.create(&PostParams::default(), &map.expect("a map")).await.expect("created");
    }
    let first = api.list(&ListParams::default().limit(2)).await.expect("a page");
    api.delete("c3", &DeleteParams::default()).await.expect("deleted");
    let token = first.metadata.continue_.expect("more");
    let rest = api.list(&ListParams::default().continue_token(&token)).await.expect("the rest");
    let names: Vec<String> = rest.items.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["c2", "c3", "c4"], "the second page is of the same moment");
    let odd = api.list(&ListParams::default().labels("odd=true")).await.expect("selected");
    assert_eq!(odd.items.len(), 1);
    let one = api.list(&ListParams::default().fields("metadata.name=c4")).await.expect("selected");
    assert_eq!(one.items.len(), 1);
    cluster.store().compact();
    let (code, reason, _) =
        refusal(api.list(&ListParams::default().continue_token(&token)).await.expect_err("too old"));
    assert_eq!((code, reason.as_str()), (410, "Expired"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_reports_what_enters_and_leaves_the_selection() {
    let cluster = cluster();
    let api: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    let start = cluster.store().version().to_string();
    let params = WatchParams::default().labels("app=a");
    let mut events = api.watch(&params, &start).await.expect("a watch").boxed();
    let map = json!({"metadata": {"name": "c", "labels": {"app": "a"}}});
    api.create(&PostParams::default(), &serde_json::from_value(map).expect("a map")).await.expect("created");
    for labels in [json!({"more": "b"}), json!({"app": "b"})] {
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        api.patch("c", &PatchParams::default(), &patch).await.expect("patched");
    }
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(match events.try_next().await.expect("an event").expect("still open") {
            WatchEvent::Added(_) => "added",
            WatchEvent::Modified(_) => "modified",
            WatchEvent::Deleted(_) => "deleted",
            WatchEvent::Bookmark(_) => "bookmark",
            WatchEvent::Error(_) => "error",
        });
    }
    assert_eq!(seen, ["added", "modified", "deleted"]);
    assert!(matches!(events.try_next().await.expect("an event"), Some(WatchEvent::Bookmark(_))), "a minute later");
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_forgotten_history_is_told_so() {
    let cluster = cluster();
    let api: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    let map = json!({"metadata": {"name": "c"}});
    api.create(&PostParams::default(), &serde_json::from_value(map).expect("a map")).await.expect("created");
    cluster.store().compact();
    let mut events = api.watch(&WatchParams::default(), "1").await.expect("a watch").boxed();
    match events.try_next().await.expect("an event") {
        Some(WatchEvent::Error(status)) => assert_eq!((status.code, status.reason.as_str()), (410, "Expired")),
        other => panic!("expected 410, got {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn dependents_go_with_their_last_owner() {
    let cluster = cluster();
    let api = widgets(cluster.client());
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    for (policy, left) in
        [(PropagationPolicy::Background, 0), (PropagationPolicy::Foreground, 0), (PropagationPolicy::Orphan, 1)]
    {
        let owner = api.create(&PostParams::default(), &widget("o", &json!({"size": "small"}))).await.expect("created");
        let map = json!({"metadata": {"name": "c", "ownerReferences": [{
            "apiVersion": "example.com/v1", "kind": "Widget", "name": "o", "uid": owner.uid(), "controller": true, "blockOwnerDeletion": true,
        }]}});
        maps.create(&PostParams::default(), &serde_json::from_value(map).expect("a map")).await.expect("created");
        let params = DeleteParams { propagation_policy: Some(policy.clone()), ..DeleteParams::default() };
        api.delete("o", &params).await.expect("deleted");
        assert!(api.get_opt("o").await.expect("looked").is_none());
        let found = maps.list(&ListParams::default()).await.expect("listed").items;
        assert_eq!(found.len(), left, "{policy:?}");
        assert!(found.iter().all(|map| map.owner_references().is_empty()));
    }
}

#[tokio::test(start_paused = true)]
async fn patches_of_lists_merge_by_name() {
    let cluster = cluster();
    let api: Api<ReplicaSet> = Api::namespaced(cluster.client(), "default");
    let set = json!({
        "metadata": {"name": "r"},
        "spec": {"selector": {"matchLabels": {"app": "r"}}, "template": {"metadata": {"labels": {"app": "r"}}, "spec": {"containers": [
            {"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]}}},
    });
    api.create(&PostParams::default(), &serde_json::from_value(set).expect("a set")).await.expect("created");
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "b:2"}]}}}});
    let set = api.patch("r", &PatchParams::default(), &Patch::Strategic(patch)).await.expect("patched");
    let images = |set: &ReplicaSet| -> Vec<String> {
        let spec = set.spec.clone().and_then(|spec| spec.template).and_then(|template| template.spec).expect("pods");
        spec.containers.into_iter().filter_map(|container| container.image).collect()
    };
    assert_eq!(images(&set), ["a:1", "b:2"]);
    assert_eq!(set.spec.as_ref().and_then(|spec| spec.replicas), Some(1), "defaulted");
    let scale = api
        .patch_scale("r", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 4}})))
        .await
        .expect("scaled");
    assert_eq!(scale.spec.and_then(|spec| spec.replicas), Some(4));
}

#[tokio::test(start_paused = true)]
async fn faults_break_requests_and_watches() {
    let cluster = cluster();
    let api: Api<Pod> = Api::namespaced(cluster.client(), "default");
    cluster.faults().next("list", "pods", Fault::Error(503), 1);
    assert_eq!(refusal(api.list(&ListParams::default()).await.expect_err("unavailable")).0, 503);
    assert!(api.list(&ListParams::default()).await.is_ok());
    cluster.faults().next("list", "pods", Fault::Latency(Duration::from_secs(7)), 1);
    let before = cluster.clock().now();
    assert!(api.list(&ListParams::default()).await.is_ok());
    assert_eq!(cluster.clock().now().duration_since(before).as_secs(), 7);
    let mut events = api.watch(&WatchParams::default(), "0").await.expect("a watch").boxed();
    cluster.faults().drop_watches("pods");
    assert!(events.try_next().await.expect("no error").is_none());
    assert_eq!(cluster.requests().count("list", "pods"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_of_the_client_library_survives_dropped_and_forgotten_watches() {
    use crds::kube::runtime::{WatchStreamExt as _, watcher};
    let cluster = cluster();
    let api: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut seen = watcher(api.clone(), config).default_backoff().applied_objects().boxed();
        for (name, trouble) in [("a", 0), ("b", 1), ("c", 2)] {
            match trouble {
                1 => cluster.faults().drop_watches("configmaps"),
                2 => {
                    cluster.faults().next("watch", "configmaps", Fault::Error(500), 2);
                    cluster.store().compact();
                    cluster.faults().drop_watches("configmaps");
                }
                _ => {}
            }
            let map = serde_json::from_value(json!({"metadata": {"name": name}})).expect("a map");
            api.create(&PostParams::default(), &map).await.expect("created");
            loop {
                // Errors are what the watcher recovers from.
                let Some(next) = seen.next().await else { panic!("the watcher ended") };
                if next.is_ok_and(|map| map.name_any() == name) {
                    break;
                }
            }
        }
        for name in ["a", "b", "c"] {
            api.delete(name, &DeleteParams::default()).await.expect("deleted");
        }
    }
}

#[tokio::test]
async fn a_body_in_protobuf_is_refused_with_what_to_do_instead() {
    let cluster = cluster();
    let request = http::Request::post("/api/v1/namespaces/default/configmaps")
        .header("content-type", "application/vnd.kubernetes.protobuf")
        .body(b"k8s\0".to_vec())
        .expect("a request");
    let error = cluster.client().request::<Value>(request).await.expect_err("no protobuf is read");
    let kube::Error::Api(status) = error else { panic!("{error}") };
    assert_eq!(status.code, 415);
    assert!(status.message.contains("kubectl apply -f FILE"), "{}", status.message);
}
