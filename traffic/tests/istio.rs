//! The Istio router: an object in, the desired routing, the patch and the object out, one file for each case in `istio/`.

// Lints for outside data do not apply to the objects a test makes.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::cases::{Suite, desired_of, objects};
use support::{apply, services};
use traffic::istio::Istio;
use traffic::{Feature, Router, Weight, Write};

fn suite() -> Suite {
    Suite {
        folder: "istio",
        crds: include_str!("crds/istio.yaml"),
        canary: json!({
            "canaryService": "web-canary", "stableService": "web-stable",
            "trafficRouting": { "istio": { "virtualService": { "name": "web" } } },
        }),
        router: |rollout| Istio::from_rollout(rollout).map(|router| Box::new(router) as Box<dyn Router>),
    }
}

fn istio(case: &Value) -> Box<dyn Router> {
    suite().router(case)
}

#[test]
fn each_case_is_written_as_its_golden_file_says() {
    suite().check();
}

#[test]
fn what_it_can_and_cannot_do_is_said_by_name() {
    let by_host = istio(&json!({}));
    for feature in [Feature::HeaderRoutes, Feature::MirrorRoutes, Feature::PingPong, Feature::ExperimentWeights] {
        assert_eq!(by_host.can(feature), Ok(()), "{feature:?}");
    }
    assert!(by_host.can(Feature::MaxTrafficWeight).unwrap_err().contains("100"));
    let by_subset = istio(&json!({ "canary": { "trafficRouting": { "istio": {
        "destinationRule": { "name": "web", "canarySubsetName": "canary", "stableSubsetName": "stable" },
    } } } }));
    assert!(by_subset.can(Feature::PingPong).unwrap_err().contains("destinationRule"));
    let tcp = istio(&json!({ "canary": { "trafficRouting": { "istio": {
        "virtualService": { "name": "web", "tcpRoutes": [{ "port": 3306 }] },
    } } } }));
    assert!(tcp.can(Feature::HeaderRoutes).unwrap_err().contains("HTTP"));
}

#[test]
fn a_broken_virtual_service_keeps_no_users_of_another_on_the_canary() {
    let case = json!({ "canary": { "trafficRouting": { "istio": {
        "virtualService": null, "virtualServices": [{ "name": "gone" }, { "name": "web" }],
    } } } });
    let router = istio(&case);
    let route = |stable: u32| {
        json!([
            { "destination": { "host": "web-stable" }, "weight": stable },
            { "destination": { "host": "web-canary" }, "weight": 100 - stable },
        ])
    };
    let given = json!([{ "kind": "VirtualService", "metadata": { "name": "web" }, "spec": { "http": [{ "route": route(40) }] } }]);
    let mut objects = objects(&*router, &given);
    assert_eq!(router.in_force(&objects), Ok(Some(Weight(60))));
    let back = desired_of(&json!({ "desired": { "weight": 0 } }), services("web-stable"));
    let writes = router.plan(&back, &objects).unwrap();
    apply(&mut objects, &writes);
    assert_eq!(router.in_force(&objects), Ok(Some(Weight(0))));
    assert!(router.plan(&back, &objects).unwrap_err().to_string().contains("\"gone\" not found"));
    let forth = desired_of(&json!({ "desired": { "weight": 10 } }), services("web-stable"));
    assert!(router.plan(&forth, &objects).is_err(), "nobody goes to the canary while one is broken");
}

#[test]
fn of_many_routes_only_the_named_one_changes() {
    let istio =
        istio(&json!({ "canary": { "trafficRouting": { "istio": { "virtualService": { "routes": ["r100"] } } } } }));
    let routes: Vec<Value> = (0..200)
        .map(|number| {
            json!({
                "name": format!("r{number}"), "match": [{ "uri": { "prefix": format!("/{number}") } }], "timeout": "3s",
                "route": [
                    { "destination": { "host": "web-stable" }, "weight": 100 },
                    { "destination": { "host": "web-canary" }, "weight": 0 },
                ],
            })
        })
        .collect();
    let given = json!([{ "kind": "VirtualService", "metadata": { "name": "web" }, "spec": { "http": routes } }]);
    let objects = objects(&*istio, &given);
    let desired = desired_of(&json!({ "desired": { "weight": 30 } }), services("web-stable"));
    let writes = istio.plan(&desired, &objects).unwrap();
    let [Write::Patch { patch, .. }] = writes.as_slice() else { panic!("{writes:?}") };
    let changed = patch["spec"]["http"].as_array().unwrap();
    let differ = changed.iter().zip(given[0]["spec"]["http"].as_array().unwrap()).filter(|(new, old)| new != old);
    assert_eq!(differ.map(|(new, _)| new["name"].clone()).collect::<Vec<_>>(), ["r100"]);
}
