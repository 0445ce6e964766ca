//! The router for the Gateway API: an object in, the desired routing, the patch and the object out, one file for each case in `gateway/`.

// Lints for outside data do not apply to the objects a test makes.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::cases::{Suite, desired_of, objects};
use support::{apply, services};
use traffic::gateway::Gateway;
use traffic::{Feature, Router, Weight};

fn suite() -> Suite {
    Suite {
        folder: "gateway",
        crds: include_str!("crds/gateway.yaml"),
        canary: json!({
            "canaryService": "web-canary", "stableService": "web-stable",
            "trafficRouting": { "gatewayAPI": { "httpRoute": "web" } },
        }),
        router: |rollout| Gateway::from_rollout(rollout).map(|router| Box::new(router) as Box<dyn Router>),
    }
}

fn gateway(case: &Value) -> Box<dyn Router> {
    suite().router(case)
}

#[test]
fn each_case_is_written_as_its_golden_file_says() {
    suite().check();
}

#[test]
fn what_it_can_and_cannot_do_is_said_by_name() {
    let all = [
        Feature::HeaderRoutes,
        Feature::MirrorRoutes,
        Feature::PingPong,
        Feature::ExperimentWeights,
        Feature::MaxTrafficWeight,
    ];
    for feature in all {
        assert_eq!(gateway(&json!({})).can(feature), Ok(()), "{feature:?}");
    }
    let listed = gateway(&json!({ "canary": { "trafficRouting": { "gatewayAPI": {
        "httpRoute": null, "httpRoutes": [{ "name": "web" }], "tcpRoute": "raw",
    } } } }));
    assert!(listed.can(Feature::HeaderRoutes).unwrap_err().contains("useHeaderRoutes"));
}

#[test]
fn a_broken_route_keeps_no_users_of_another_on_the_canary() {
    let case = json!({ "canary": { "trafficRouting": { "gatewayAPI": { "httpRoutes": [{ "name": "gone" }] } } } });
    let router = gateway(&case);
    let given = json!([{ "kind": "HTTPRoute", "metadata": { "name": "web" }, "spec": { "rules": [{ "backendRefs": [
        { "name": "web-stable", "port": 80, "weight": 40 }, { "name": "web-canary", "port": 80, "weight": 60 },
    ] }] } }]);
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
fn a_route_that_would_grow_too_large_is_refused_before_the_server_does() {
    let router = gateway(&json!({ "canary": { "trafficRouting": { "managedRoutes": [{ "name": "qa" }] } } }));
    let rule = json!({ "backendRefs": [{ "name": "web-stable", "port": 80 }, { "name": "web-canary", "port": 80 }] });
    let given = json!([{ "kind": "HTTPRoute", "metadata": { "name": "web" }, "spec": { "rules": vec![rule; 9] } }]);
    let desired = json!({ "desired": { "headers": [{ "name": "qa", "header": "x-qa", "exact": "1" }] } });
    let problem = router.plan(&desired_of(&desired, services("web-stable")), &objects(&*router, &given)).unwrap_err();
    assert!(problem.to_string().contains("would have 18 rules"), "{problem}");
}
