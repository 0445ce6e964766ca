//! Laws of the router for the Gateway API which hold for any route, settings and order of events.

// Lints for outside data do not apply to the objects a test makes.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::random::{EXPERIMENT, any_json, any_routing};
use support::{apply, services};
use traffic::gateway::{Gateway, Kind};
use traffic::{Objects, Router};

const MANAGED: [&str; 2] = ["copies", "qa"];

fn router() -> Gateway {
    let rollout = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "name": "web", "namespace": "shop", "uid": "u" },
        "spec": { "strategy": { "canary": {
            "canaryService": "web-canary", "stableService": "web-stable",
            "trafficRouting": {
                "managedRoutes": [{ "name": "copies" }, { "name": "qa" }],
                "gatewayAPI": { "httpRoute": "web" },
            },
        } } },
    });
    Gateway::from_rollout(&serde_json::from_value(rollout).unwrap()).unwrap()
}

/// Fields a person may write on a rule or a backend, and that this router knows nothing of.
fn foreign() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(
        prop_oneof![Just("timeouts"), Just("retry"), Just("sessionPersistence"), Just("newer")],
        any_json(),
        0..3,
    )
    .prop_map(|map| map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn backend(name: &'static str) -> impl Strategy<Value = Value> {
    (option::of(0..120_u32), 1..9000_u32, foreign()).prop_map(move |(weight, port, mut one)| {
        one["name"] = json!(name);
        one["port"] = json!(port);
        if let Some(weight) = weight {
            one["weight"] = json!(weight);
        }
        one
    })
}

fn paths() -> impl Strategy<Value = Value> {
    vec("/[a-c]{0,2}", 0..3).prop_map(|paths| {
        paths.into_iter().map(|path| json!({ "path": { "type": "PathPrefix", "value": path } })).collect()
    })
}

fn rule(shared: bool) -> impl Strategy<Value = Value> {
    let backends = if shared {
        (backend("web-stable"), backend("web-canary"), any::<bool>())
            .prop_map(
                |(stable, canary, swapped)| if swapped { json!([canary, stable]) } else { json!([stable, canary]) },
            )
            .boxed()
    } else {
        vec(backend("cart"), 1..3).prop_map(Value::from).boxed()
    };
    (foreign(), paths(), backends).prop_map(|(mut rule, paths, backends)| {
        if paths.as_array().is_some_and(|paths| !paths.is_empty()) {
            rule["matches"] = paths;
        }
        rule["backendRefs"] = backends;
        rule
    })
}

/// A route in which at least one rule leads to both versions.
fn any_route() -> impl Strategy<Value = Value> {
    (rule(true), vec(any::<bool>().prop_flat_map(rule), 0..4), any::<bool>(), foreign()).prop_map(
        |(first, mut rules, last, annotations)| {
            rules.insert(if last { rules.len() } else { 0 }, first);
            json!({
                "kind": "HTTPRoute",
                "metadata": { "name": "web", "uid": "uid-web", "resourceVersion": "7", "annotations": annotations },
                "spec": { "hostnames": ["shop.example"], "rules": rules },
            })
        },
    )
}

fn is_managed(rule: &Value) -> bool {
    let name = rule["name"].as_str().unwrap_or_default();
    MANAGED.iter().any(|managed| name.starts_with(managed))
}

fn is_shared(rule: &Value) -> bool {
    let names: Vec<_> = rule["backendRefs"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    names.contains(&json!("web-canary")) && names.contains(&json!("web-stable"))
}

fn rules(object: &Value) -> Vec<Value> {
    object["spec"]["rules"].as_array().unwrap().clone()
}

/// The object without what the router may write.
fn foreign_part(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"].as_object_mut().unwrap().remove("labels");
    let rules = object["spec"]["rules"].as_array_mut().unwrap();
    rules.retain(|rule| !is_managed(rule));
    for rule in rules.iter_mut().filter(|rule| is_shared(rule)) {
        let backends = rule["backendRefs"].as_array_mut().unwrap();
        backends.retain(|one| !EXPERIMENT.contains(&one["name"].as_str().unwrap()));
        for one in backends {
            one.as_object_mut().unwrap().remove("weight");
        }
    }
    object
}

fn held(object: Value) -> Objects {
    Objects::from([(Kind::Http.reference("web".to_owned(), None), object)])
}

proptest! {
    #[test]
    fn whatever_is_desired_is_there_and_nothing_foreign_is_lost(
        mut object in any_route(),
        desired in vec(any_routing(), 1..5),
        edits in vec(foreign(), 5),
    ) {
        let router = router();
        for (routing, edit) in desired.iter().zip(&edits) {
            // A person edits the object between our writes.
            for (name, value) in edit.as_object().unwrap() {
                object["metadata"]["annotations"][name] = value.clone();
                for rule in object["spec"]["rules"].as_array_mut().unwrap().iter_mut().filter(|rule| !is_managed(rule)) {
                    rule[name] = value.clone();
                }
            }
            let mut objects = held(object.clone());
            let writes = router.plan(routing, &objects).unwrap();
            prop_assert!(writes.len() <= 1);
            apply(&mut objects, &writes);
            prop_assert!(router.plan(routing, &objects).unwrap().is_empty(), "a second look writes");
            prop_assert_eq!(router.in_force(&objects).unwrap(), Some(routing.canary));
            let after = objects.values().next().unwrap().clone();
            prop_assert_eq!(foreign_part(&after), foreign_part(&object));
            let users: Vec<Value> = rules(&after).into_iter().filter(|rule| !is_managed(rule)).collect();
            for rule in users.iter().filter(|rule| is_shared(rule)) {
                let shares = rule["backendRefs"].as_array().unwrap();
                prop_assert_eq!(shares.iter().map(|one| one["weight"].as_u64().unwrap()).sum::<u64>(), 100, "{}", rule);
            }
            let shared = users.iter().filter(|rule| is_shared(rule)).count();
            let managed = rules(&after).iter().take_while(|rule| is_managed(rule)).count();
            let routes = usize::from(!routing.mirrors.is_empty()) + usize::from(!routing.headers.is_empty());
            prop_assert_eq!(managed, routes * shared, "one beside each rule that takes part, all of them first");
            let names: std::collections::BTreeSet<_> = rules(&after).iter().filter_map(|rule| rule["name"].as_str().map(str::to_owned)).collect();
            prop_assert_eq!(names.len(), managed, "names are unique");
            object = after;
        }
    }

    #[test]
    fn no_object_whatever_makes_it_panic(spec in any_json(), metadata in any_json(), status in any_json(), routing in any_routing()) {
        let router = router();
        for spec in [json!({ "rules": spec.clone() }), json!({ "rules": [{ "backendRefs": spec, "matches": spec, "name": "qa" }] }), spec] {
            let objects = held(json!({ "kind": "HTTPRoute", "metadata": metadata, "spec": spec, "status": { "parents": status } }));
            let _ = router.in_force(&objects);
            let _ = router.plan(&routing, &objects);
            let _ = router.verified(&objects);
            let _ = router.validate(&services("web-stable"), &[], &objects);
        }
    }
}
