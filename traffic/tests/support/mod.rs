//! Objects for the router tests, and a stand-in for the API server that carries writes out.

// Each test file uses its own part.
#![allow(dead_code)]

pub mod cases;
pub mod random;
pub mod schema;

use crds::Rollout;
use serde_json::{Value, json};
use traffic::{Objects, Reference, Routing, Services, Weight, Write};

/// A Rollout "web" whose nginx settings are these.
pub fn rollout(nginx: &Value, max_traffic_weight: Option<u32>) -> Rollout {
    let mut routing = json!({ "nginx": nginx });
    if let Some(max) = max_traffic_weight {
        routing["maxTrafficWeight"] = json!(max);
    }
    serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": { "name": "web", "namespace": "shop", "uid": "rollout-uid" },
        "spec": { "strategy": { "canary": {
            "stableService": "web-stable", "canaryService": "web-canary", "trafficRouting": routing,
        } } },
    }))
    .unwrap()
}

pub fn routing(weight: u32, max: u32) -> Routing {
    Routing {
        headers: Vec::new(),
        mirrors: Vec::new(),
        additional: Vec::new(),
        retired: Vec::new(),
        canary: Weight(weight),
        max: Weight(max),
        canary_service: "web-canary".to_owned(),
        stable_service: "web-stable".to_owned(),
    }
}

pub fn services(stable: &str) -> Services {
    Services { stable: stable.to_owned(), canary: "web-canary".to_owned() }
}

pub fn ingress_reference(name: &str) -> Reference {
    Reference {
        api_version: "networking.k8s.io/v1",
        kind: "Ingress",
        plural: "ingresses",
        namespace: None,
        name: name.to_owned(),
    }
}

pub fn path(path: &str, service: &str) -> Value {
    json!({ "path": path, "pathType": "Prefix", "backend": { "service": { "name": service, "port": { "number": 80 } } } })
}

/// A stable Ingress with one host whose paths lead to the stable Service and to another one.
pub fn stable_ingress(name: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"),
            "annotations": { "nginx.ingress.kubernetes.io/proxy-body-size": "8m" },
            "labels": { "team": "shop" },
        },
        "spec": {
            "ingressClassName": "nginx",
            "rules": [
                { "host": "shop.example", "http": { "paths": [path("/", "web-stable"), path("/cart", "cart")] } },
                { "host": "cart.example", "http": { "paths": [path("/", "cart")] } },
                { "host": "bare.example" },
            ],
            "tls": [{ "hosts": ["shop.example"], "secretName": "shop-tls" }],
        },
    })
}

pub fn objects(ingresses: impl IntoIterator<Item = Value>) -> Objects {
    ingresses
        .into_iter()
        .map(|object| (ingress_reference(object["metadata"]["name"].as_str().unwrap()), object))
        .collect()
}

/// What the API server would hold after these writes. A merge patch must not bring a resourceVersion other than the one
/// in place, and must be meant for the object that is there.
pub fn apply(objects: &mut Objects, writes: &[Write]) {
    for write in writes {
        match write {
            Write::Create { reference, object, .. } => {
                let mut object = object.clone();
                object["metadata"]["uid"] = json!(format!("uid-{}", reference.name));
                assert!(objects.insert(reference.clone(), object).is_none(), "{} exists", reference.name);
            }
            Write::Patch { reference, uid, patch, .. } => {
                let object = objects.get_mut(reference).expect("only what exists is patched");
                assert_eq!(object["metadata"]["uid"], json!(uid));
                if let Some(version) = patch.pointer("/metadata/resourceVersion") {
                    assert_eq!(object.pointer("/metadata/resourceVersion"), Some(version));
                }
                crds::json_patch::merge(object, patch);
            }
            Write::Delete { reference, .. } => {
                objects.remove(reference);
            }
        }
    }
}

/// The writes in a form for golden files.
pub fn golden(writes: &[Write]) -> Value {
    let one = |write: &Write| match write {
        Write::Create { reference, object, event } => {
            json!({ "create": reference.name, "event": [event.0, event.1], "object": object })
        }
        Write::Patch { reference, uid, patch, event } => {
            json!({ "patch": reference.name, "uid": uid, "event": [event.0, event.1], "merge": patch })
        }
        Write::Delete { reference, uid } => json!({ "delete": reference.name, "uid": uid }),
    };
    writes.iter().map(one).collect()
}
