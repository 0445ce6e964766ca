//! Laws of the Istio router which hold for any VirtualService, settings and order of events.

// Lints for outside data do not apply to the objects a test makes.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::random::{EXPERIMENT, any_json, any_routing};
use support::{apply, services};
use traffic::istio::{Istio, virtual_service};
use traffic::{Objects, Router};

fn router() -> Istio {
    let rollout = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "name": "web", "namespace": "shop", "uid": "u" },
        "spec": { "strategy": { "canary": {
            "canaryService": "web-canary", "stableService": "web-stable",
            "trafficRouting": {
                "managedRoutes": [{ "name": "copies" }, { "name": "qa" }],
                "istio": { "virtualService": { "name": "web", "routes": ["primary"] } },
            },
        } } },
    });
    Istio::from_rollout(&serde_json::from_value(rollout).unwrap()).unwrap()
}

/// Fields a person may write on a route or a destination, and that this router knows nothing of.
fn foreign() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(
        prop_oneof![Just("timeout"), Just("retries"), Just("headers"), Just("corsPolicy")],
        any_json(),
        0..3,
    )
    .prop_map(|map| map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn destination(host: &'static str) -> impl Strategy<Value = Value> {
    let full = prop_oneof![Just(host.to_owned()), Just(format!("{host}.shop.svc.cluster.local"))];
    (full, option::of(0..120_u32), option::of(1..9000_u32), foreign()).prop_map(|(host, weight, port, mut one)| {
        one["destination"] = json!({ "host": host });
        if let Some(port) = port {
            one["destination"]["port"] = json!({ "number": port });
        }
        if let Some(weight) = weight {
            one["weight"] = json!(weight);
        }
        one
    })
}

fn users_route() -> impl Strategy<Value = Value> {
    (foreign(), vec(destination("cart"), 1..3), option::of("[a-c]{1,3}"), option::of(any_json())).prop_map(
        |(mut route, destinations, name, tests)| {
            route["route"] = json!(destinations);
            if let Some(name) = name {
                route["name"] = json!(name);
            }
            if let Some(tests) = tests {
                route["match"] = json!([tests]);
            }
            route
        },
    )
}

/// A VirtualService whose route "primary" is somewhere among others.
fn any_virtual_service() -> impl Strategy<Value = Value> {
    let primary = (foreign(), destination("web-stable"), destination("web-canary"), any::<bool>()).prop_map(
        |(mut route, stable, canary, swapped)| {
            route["name"] = json!("primary");
            route["route"] = if swapped { json!([canary, stable]) } else { json!([stable, canary]) };
            route
        },
    );
    (primary, vec(users_route(), 0..3), vec(users_route(), 0..3), any_json(), foreign()).prop_map(
        |(primary, before, after, other, metadata)| {
            let routes: Vec<Value> = before.into_iter().chain([primary]).chain(after).collect();
            json!({
                "kind": "VirtualService",
                "metadata": { "name": "web", "uid": "uid-web", "resourceVersion": "7", "annotations": metadata },
                "spec": { "hosts": ["web"], "http": routes, "tcp": other.clone(), "exportTo": other },
            })
        },
    )
}

fn is_ours(destination: &Value) -> bool {
    let host = destination["destination"]["host"].as_str().unwrap_or_default();
    EXPERIMENT.iter().any(|name| host.starts_with(name))
}

/// The object without what the router may write.
fn foreign_part(object: &Value) -> Value {
    let mut object = object.clone();
    let Some(routes) = object["spec"]["http"].as_array_mut() else { return object };
    routes.retain(|route| route["name"] != "qa" && route["name"] != "copies");
    for route in routes.iter_mut().filter(|route| route["name"] == "primary") {
        let destinations = route["route"].as_array_mut().unwrap();
        destinations.retain(|one| !is_ours(one));
        for one in destinations {
            one.as_object_mut().unwrap().remove("weight");
        }
    }
    object
}

fn primary(object: &Value) -> &Value {
    object["spec"]["http"].as_array().unwrap().iter().find(|route| route["name"] == "primary").unwrap()
}

fn held(object: Value) -> Objects {
    Objects::from([(virtual_service("web".to_owned(), None), object)])
}

proptest! {
    #[test]
    fn whatever_is_desired_is_there_and_nothing_foreign_is_lost(
        mut object in any_virtual_service(),
        desired in vec(any_routing(), 1..5),
        edits in vec(foreign(), 5),
    ) {
        let router = router();
        for (routing, edit) in desired.iter().zip(&edits) {
            // A person edits the object between our writes.
            for (name, value) in edit.as_object().unwrap() {
                object["metadata"]["annotations"][name] = value.clone();
                for route in object["spec"]["http"].as_array_mut().unwrap() {
                    if route["name"] != "qa" && route["name"] != "copies" {
                        route[name] = value.clone();
                    }
                }
            }
            let mut objects = held(object.clone());
            let writes = router.plan(routing, &objects).unwrap();
            apply(&mut objects, &writes);
            prop_assert!(router.plan(routing, &objects).unwrap().is_empty(), "a second look writes");
            prop_assert_eq!(router.in_force(&objects).unwrap(), Some(routing.canary));
            let after = objects.values().next().unwrap().clone();
            prop_assert_eq!(foreign_part(&after), foreign_part(&object));
            let shares = primary(&after)["route"].as_array().unwrap();
            let sum: u64 = shares.iter().map(|one| one["weight"].as_u64().unwrap_or(0)).sum();
            prop_assert_eq!(sum, 100, "{}", primary(&after));
            prop_assert_eq!(shares.iter().filter(|one| is_ours(one)).count(), routing.additional.len());
            let names: Vec<&str> =
                after["spec"]["http"].as_array().unwrap().iter().filter_map(|route| route["name"].as_str()).collect();
            let managed: Vec<&str> = names.iter().copied().take_while(|name| ["copies", "qa"].contains(name)).collect();
            let mut wanted = Vec::new();
            wanted.extend((!routing.mirrors.is_empty()).then_some("copies"));
            wanted.extend((!routing.headers.is_empty()).then_some("qa"));
            prop_assert_eq!(managed, wanted, "managed routes stand first and in order");
            object = after;
        }
    }

    #[test]
    fn no_object_whatever_makes_it_panic(spec in any_json(), metadata in any_json(), routing in any_routing()) {
        let router = router();
        let objects = held(json!({ "kind": "VirtualService", "metadata": metadata, "spec": { "http": spec.clone(), "tcp": spec } }));
        let _ = router.in_force(&objects);
        let _ = router.plan(&routing, &objects);
        let _ = router.validate(&services("web-stable"), &[], &objects);
        let rule = json!({ "kind": "DestinationRule", "metadata": {}, "spec": { "subsets": objects.values().next().unwrap()["spec"]["http"] } });
        let rollout = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "strategy": { "canary": { "trafficRouting": { "istio": {
                "virtualService": { "name": "web" },
                "destinationRule": { "name": "web", "canarySubsetName": "a", "stableSubsetName": "b" },
            } } } } },
        });
        let by_subset = Istio::from_rollout(&serde_json::from_value(rollout).unwrap()).unwrap();
        let mut objects = objects;
        objects.insert(by_subset.references().pop().unwrap(), rule);
        let _ = by_subset.versions(&objects);
        let _ = by_subset.plan(&routing, &objects);
        let to = traffic::Versions { canary: Some("x".into()), stable: Some("y".into()) };
        let _ = by_subset.point(&to, &objects);
    }
}
