//! What scenarios start with.

use serde_json::{Value, json};

/// A blue-green Rollout `web` and what it names; `blue_green` may leave the names of the Services out.
pub fn given_blue_green(blue_green: &Value, spec: &Value) -> Vec<Value> {
    let mut strategy = json!({ "activeService": "web-active", "previewService": "web-preview" });
    crds::json_patch::merge(&mut strategy, blue_green);
    let mut whole = json!({ "strategy": { "canary": null, "blueGreen": strategy } });
    crds::json_patch::merge(&mut whole, spec);
    given(&json!({}), &whole)
}

/// A Rollout `web` and what it names. `canary` is its strategy; with `nginx: true` in it, it is routed.
pub fn given(canary: &Value, spec: &Value) -> Vec<Value> {
    let mut canary = canary.clone();
    let mut objects = Vec::new();
    if canary.as_object_mut().unwrap().shift_remove("nginx").is_some_and(|value| value == true) {
        let routing = json!({
            "canaryService": "web-canary", "stableService": "web-stable", "trafficRouting": { "nginx": { "stableIngress": "web" } },
        });
        crds::json_patch::merge(&mut canary, &routing);
        for name in ["web-canary", "web-stable"] {
            let metadata = json!({ "name": name, "uid": name });
            objects.push(json!({ "kind": "Service", "metadata": metadata, "spec": { "selector": { "app": "web" } } }));
        }
        let backend = json!({ "service": { "name": "web-stable", "port": { "number": 80 } } });
        objects.push(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "web", "uid": "ingress" },
            "spec": { "rules": [{ "host": "web.example", "http": { "paths": [{ "path": "/", "pathType": "Prefix", "backend": backend }] } }] },
        }));
    }
    for name in ["web-active", "web-preview"] {
        let metadata = json!({ "name": name, "uid": name });
        objects.push(json!({ "kind": "Service", "metadata": metadata, "spec": { "selector": { "app": "web" } } }));
    }
    objects.push(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": { "name": "errors", "uid": "errors" },
        "spec": { "metrics": [{ "name": "errors", "count": 3, "interval": "10s", "successCondition": "result < 0.01",
                                "provider": { "prometheus": { "address": "http://prometheus", "query": "errors" } } }] },
    }));
    let containers = json!([{ "name": "web", "image": "web:1" }]);
    let mut rollout = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": { "name": "web", "namespace": "shop", "uid": "rollout", "generation": 1 },
        "spec": {
            "replicas": 4,
            "selector": { "matchLabels": { "app": "web" } },
            "strategy": { "canary": canary },
            "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": containers } },
        },
    });
    crds::json_patch::merge(&mut rollout["spec"], spec);
    objects.push(rollout);
    objects
}
