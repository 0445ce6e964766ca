//! The Istio router: an object in, the desired routing, the patch and the object out, one file for each case in `istio/`.

// Lints for outside data do not apply to the objects a test makes.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;

use crds::Rollout;
use serde_json::{Value, json};
use support::{apply, golden, schema};
use traffic::istio::Istio;
use traffic::{
    Additional, Feature, HeaderRoute, HeaderValue, MirrorRoute, Objects, Router, Routing, Services, Versions, Weight,
    Write,
};

/// A Rollout "web" in "shop" with this canary strategy and status.
fn rollout(canary: &Value, status: &Value) -> Rollout {
    serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": { "name": "web", "namespace": "shop", "uid": "rollout-uid" },
        "spec": { "strategy": { "canary": canary } },
        "status": status,
    }))
    .unwrap()
}

/// The canary strategy of a case: by host unless it says otherwise.
fn canary_of(case: &Value) -> Value {
    let mut canary = json!({
        "canaryService": "web-canary", "stableService": "web-stable",
        "trafficRouting": { "istio": { "virtualService": { "name": "web" } } },
    });
    if case["canary"].is_object() {
        crds::json_patch::merge(&mut canary, &case["canary"]);
    }
    canary
}

fn istio(case: &Value) -> Istio {
    Istio::from_rollout(&rollout(&canary_of(case), &case["status"])).unwrap()
}

/// The objects of a case among what the router looks at.
fn objects(router: &Istio, given: &Value) -> Objects {
    let mut objects = Objects::new();
    for object in given.as_array().unwrap() {
        let mut object = object.clone();
        let (kind, name) = (object["kind"].clone(), object["metadata"]["name"].clone());
        object["metadata"]["uid"] = json!(format!("uid-{}", name.as_str().unwrap()));
        object["metadata"]["resourceVersion"] = json!("7");
        let namespace = object["metadata"].get("namespace").and_then(Value::as_str).map(str::to_owned);
        let reference = router
            .references()
            .into_iter()
            .find(|one| json!(one.kind) == kind && json!(one.name) == name && one.namespace == namespace)
            .unwrap_or_else(|| panic!("the router does not look at {kind} {name}"));
        objects.insert(reference, object);
    }
    objects
}

fn desired_of(case: &Value, services: Services) -> Routing {
    let desired = &case["desired"];
    let number = |value: &Value| u32::try_from(value.as_u64().unwrap_or(0)).unwrap();
    let items = |field: &str| desired[field].as_array().cloned().unwrap_or_default();
    let header = |one: &Value| HeaderRoute {
        name: one["name"].as_str().unwrap().to_owned(),
        header: one["header"].as_str().unwrap().to_owned(),
        value: ["exact", "prefix", "regex"]
            .iter()
            .find_map(|kind| {
                let text = one[*kind].as_str()?.to_owned();
                Some(match *kind {
                    "exact" => HeaderValue::Exact(text),
                    "prefix" => HeaderValue::Prefix(text),
                    _ => HeaderValue::Regex(text),
                })
            })
            .unwrap(),
    };
    Routing {
        canary: Weight(number(&desired["weight"])),
        max: Weight(100),
        additional: items("additional")
            .iter()
            .map(|one| Additional {
                service: one["service"].as_str().unwrap().to_owned(),
                weight: Weight(number(&one["weight"])),
            })
            .collect(),
        retired: items("retired").iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        headers: items("headers").iter().map(header).collect(),
        mirrors: items("mirrors")
            .iter()
            .map(|one| MirrorRoute {
                name: one["name"].as_str().unwrap().to_owned(),
                matches: serde_json::from_value(one["match"].clone()).unwrap(),
                percentage: number(&one["percentage"]),
            })
            .collect(),
        canary_service: services.canary,
        stable_service: services.stable,
    }
}

fn versions_of(case: &Value) -> Versions {
    let version = |role: &str| case["versions"][role].as_str().map(str::to_owned);
    Versions { canary: version("canary"), stable: version("stable") }
}

/// The schema of a kind, as Istio publishes it.
fn schema_of(kind: &str) -> Value {
    let definitions = serde_saphyr::from_multiple::<Value>(include_str!("crds/istio.yaml")).unwrap();
    let found = definitions.into_iter().find(|one| one["spec"]["names"]["kind"] == kind).unwrap();
    found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

/// The writes, or the error in words.
fn plan(router: &Istio, case: &Value, objects: &Objects) -> Result<Vec<Write>, String> {
    let services = traffic::services(&rollout(&canary_of(case), &case["status"]));
    let desired = desired_of(case, services.clone());
    let additional: Vec<String> =
        desired.additional.iter().map(|one| one.service.clone()).chain(desired.retired.clone()).collect();
    router.validate(&services, &additional, objects).map_err(|error| format!("refused: {error}"))?;
    let mut writes: Vec<Write> =
        router.point(&versions_of(case), objects).map_err(|error| error.to_string())?.into_iter().collect();
    writes.extend(router.plan(&desired, objects).map_err(|error| error.to_string())?);
    Ok(writes)
}

#[test]
fn each_case_is_written_as_its_golden_file_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/istio");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let case: Value = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let router = istio(&case);
        let before = objects(&router, &case["objects"]);
        let mut after = before.clone();
        let result = match plan(&router, &case, &before) {
            Err(problem) => json!({ "problem": problem }),
            Ok(writes) => {
                apply(&mut after, &writes);
                let again = plan(&router, &case, &after).unwrap();
                assert!(again.is_empty(), "{}: a second look writes {again:?}", file.display());
                for object in before.values().chain(after.values()) {
                    let kind = object["kind"].as_str().unwrap();
                    let wrong = schema::wrong(&object["spec"], &schema_of(kind), "spec");
                    assert!(wrong.is_empty(), "{}: {kind}: {wrong:?}", file.display());
                }
                let out: Vec<&Value> =
                    after.values().filter(|object| !before.values().any(|old| old == *object)).collect();
                json!({ "in force": router.in_force(&after).unwrap().map(|weight| weight.0), "writes": golden(&writes), "out": out })
            }
        };
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "snapshots/istio", description => case["about"].as_str().unwrap(), omit_expression => true }, {
            insta::assert_yaml_snapshot!(name, result);
        });
    }
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
    let mut objects = objects(&router, &given);
    assert_eq!(router.in_force(&objects), Ok(Some(Weight(60))));
    let back = desired_of(&json!({ "desired": { "weight": 0 } }), support::services("web-stable"));
    let writes = router.plan(&back, &objects).unwrap();
    apply(&mut objects, &writes);
    assert_eq!(router.in_force(&objects), Ok(Some(Weight(0))));
    assert!(router.plan(&back, &objects).unwrap_err().to_string().contains("\"gone\" not found"));
    let forth = desired_of(&json!({ "desired": { "weight": 10 } }), support::services("web-stable"));
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
    let objects = objects(&istio, &given);
    let desired = desired_of(&json!({ "desired": { "weight": 30 } }), support::services("web-stable"));
    let writes = istio.plan(&desired, &objects).unwrap();
    let [Write::Patch { patch, .. }] = writes.as_slice() else { panic!("{writes:?}") };
    let changed = patch["spec"]["http"].as_array().unwrap();
    let differ = changed.iter().zip(given[0]["spec"]["http"].as_array().unwrap()).filter(|(new, old)| new != old);
    assert_eq!(differ.map(|(new, _)| new["name"].clone()).collect::<Vec<_>>(), ["r100"]);
}
