//! What scenarios start with.

use serde_json::{Value, json};

/// A blue-green Rollout `web` and what it names; `blue_green` may leave the names of the Services out.
pub fn given_blue_green(blue_green: &Value, spec: &Value) -> Vec<Value> {
    let mut strategy = json!({ "activeService": "web-active", "previewService": "web-preview" });
    crds::json_patch::merge(&mut strategy, blue_green);
    // Not a merge: a null in the spec takes something away.
    let mut whole = spec.clone();
    whole["strategy"] = json!({ "canary": null, "blueGreen": strategy });
    given(&json!({}), &whole)
}

fn service(name: &str) -> Value {
    json!({ "kind": "Service", "metadata": { "name": name, "uid": name }, "spec": { "selector": { "app": "web" } } })
}

/// The VirtualService and what it leads to: `hosts` (Services) or `subsets` (of a DestinationRule).
fn istio(canary: &mut Value, by: &str) -> Vec<Value> {
    let mut objects = Vec::new();
    let subset = |name: &str| json!({ "host": "web", "subset": name });
    let host = |name: &str| json!({ "host": name });
    let (stable, other) = match by {
        "subsets" => (subset("stable"), subset("canary")),
        _ if canary.get("pingPong").is_some() => (host("web-ping"), host("web-pong")),
        _ => (host("web-stable"), host("web-canary")),
    };
    let mut routing =
        json!({ "trafficRouting": { "istio": { "virtualService": { "name": "web", "routes": ["primary"] } } } });
    if by == "subsets" {
        routing["trafficRouting"]["istio"]["destinationRule"] =
            json!({ "name": "web", "canarySubsetName": "canary", "stableSubsetName": "stable" });
        objects.push(json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": { "name": "web", "uid": "rule" },
            "spec": { "host": "web", "subsets": [{ "name": "stable" }, { "name": "canary" }] },
        }));
    } else {
        let names = if canary.get("pingPong").is_some() {
            routing["pingPong"] = json!({ "pingService": "web-ping", "pongService": "web-pong" });
            ["web-ping", "web-pong"]
        } else {
            crds::json_patch::merge(
                &mut routing,
                &json!({ "canaryService": "web-canary", "stableService": "web-stable" }),
            );
            ["web-canary", "web-stable"]
        };
        objects.extend(names.map(service));
    }
    objects.push(json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": { "name": "web", "uid": "virtual-service" },
        "spec": { "hosts": ["web"], "http": [{ "name": "primary", "timeout": "3s", "route": [
            { "destination": stable, "weight": 100 }, { "destination": other, "weight": 0 },
        ] }] },
    }));
    crds::json_patch::merge(canary, &routing);
    objects
}

/// A Rollout `web` and what it names. `canary` is its strategy; with `nginx: true`, `istio: hosts`, `istio: subsets` or
/// `gateway: true` in it, it is routed.
pub fn given(canary: &Value, spec: &Value) -> Vec<Value> {
    let mut canary = canary.clone();
    let mut objects = Vec::new();
    if canary.as_object_mut().unwrap().shift_remove("nginx").is_some_and(|value| value == true) {
        let routing = json!({
            "canaryService": "web-canary", "stableService": "web-stable", "trafficRouting": { "nginx": { "stableIngress": "web" } },
        });
        crds::json_patch::merge(&mut canary, &routing);
        objects.extend(["web-canary", "web-stable"].map(service));
        let backend = json!({ "service": { "name": "web-stable", "port": { "number": 80 } } });
        objects.push(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "web", "uid": "ingress" },
            "spec": { "rules": [{ "host": "web.example", "http": { "paths": [{ "path": "/", "pathType": "Prefix", "backend": backend }] } }] },
        }));
    }
    if let Some(by) = canary.as_object_mut().unwrap().shift_remove("istio") {
        objects.extend(istio(&mut canary, by.as_str().unwrap()));
    }
    if canary.as_object_mut().unwrap().shift_remove("gateway").is_some_and(|value| value == true) {
        let routing = json!({
            "canaryService": "web-canary", "stableService": "web-stable", "trafficRouting": { "gatewayAPI": { "httpRoute": "web" } },
        });
        // What the scenario says of the routing counts.
        let said = std::mem::replace(&mut canary, routing);
        crds::json_patch::merge(&mut canary, &said);
        objects.extend(["web-canary", "web-stable"].map(service));
        objects.push(super::gateway::http_route());
    }
    if canary.as_object_mut().unwrap().shift_remove("header").is_some_and(|value| value == true) {
        crds::json_patch::merge(&mut canary, &json!({ "trafficRouting": { "managedRoutes": [{ "name": "qa" }] } }));
    }
    objects.extend(["web-active", "web-preview"].map(service));
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
