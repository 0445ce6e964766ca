//! Golden files of a router: objects in, the desired routing, the patches and the objects out, one file for each case in a folder.
//!
//! A case says `about`, `objects` and `desired` (`weight`, `additional`, `retired`, `headers`, `mirrors`), and may change the `canary`
//! strategy, the `status` of the Rollout, and the `versions` that pointers lead to.

use std::fs;
use std::path::Path;

use crds::Rollout;
use serde_json::{Value, json};
use traffic::{
    Additional, HeaderRoute, HeaderValue, MirrorRoute, Objects, Router, Routing, Services, Verified, Versions, Weight,
    Write,
};

use super::{apply, golden, schema};

/// A router and what its cases have in common.
pub struct Suite {
    /// Name of the folder of cases, and of that of golden files.
    pub folder: &'static str,
    /// CustomResourceDefinitions, which every object has to fit; kinds without one are not checked.
    pub crds: &'static str,
    /// The canary strategy, to which a case adds.
    pub canary: Value,
    pub router: fn(&Rollout) -> Option<Box<dyn Router>>,
}

/// A Rollout "web" in "shop" with this canary strategy and status.
pub fn rollout(canary: &Value, status: &Value) -> Rollout {
    serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": { "name": "web", "namespace": "shop", "uid": "rollout-uid" },
        "spec": { "strategy": { "canary": canary } },
        "status": status,
    }))
    .unwrap()
}

impl Suite {
    /// The Rollout of a case.
    pub fn rollout(&self, case: &Value) -> Rollout {
        let mut canary = self.canary.clone();
        if case["canary"].is_object() {
            crds::json_patch::merge(&mut canary, &case["canary"]);
        }
        rollout(&canary, &case["status"])
    }

    /// The router of a case.
    pub fn router(&self, case: &Value) -> Box<dyn Router> {
        (self.router)(&self.rollout(case)).unwrap()
    }

    /// The writes, or the error in words.
    pub fn plan(&self, router: &dyn Router, case: &Value, objects: &Objects) -> Result<Vec<Write>, String> {
        let services = traffic::services(&self.rollout(case));
        let desired = desired_of(case, services.clone());
        let additional: Vec<String> =
            desired.additional.iter().map(|one| one.service.clone()).chain(desired.retired.clone()).collect();
        router.validate(&services, &additional, objects).map_err(|error| format!("refused: {error}"))?;
        let mut writes: Vec<Write> =
            router.point(&versions_of(case), objects).map_err(|error| error.to_string())?.into_iter().collect();
        writes.extend(router.plan(&desired, objects).map_err(|error| error.to_string())?);
        Ok(writes)
    }

    /// Compares every case with its golden file; a second look must write nothing, and every object fits its schema.
    pub fn check(&self) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(self.folder);
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty());
        for file in files {
            let case: Value = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
            let result = self.outcome(&case, &file.display().to_string());
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => format!("../snapshots/{}", self.folder), description => case["about"].as_str().unwrap(), omit_expression => true }, {
                insta::assert_yaml_snapshot!(name, result);
            });
        }
    }

    fn outcome(&self, case: &Value, called: &str) -> Value {
        let router = self.router(case);
        let before = objects(&*router, &case["objects"]);
        let mut after = before.clone();
        let writes = match self.plan(&*router, case, &before) {
            Err(problem) => return json!({ "problem": problem }),
            Ok(writes) => writes,
        };
        apply(&mut after, &writes);
        let again = self.plan(&*router, case, &after).unwrap();
        assert!(again.is_empty(), "{called}: a second look writes {again:?}");
        for object in before.values().chain(after.values()) {
            let kind = object["kind"].as_str().unwrap();
            if let Some(schema) = schema_of(self.crds, kind) {
                let wrong = schema::wrong(&object["spec"], &schema, "spec");
                assert!(wrong.is_empty(), "{called}: {kind}: {wrong:?}");
            }
        }
        let out: Vec<&Value> = after.values().filter(|object| !before.values().any(|old| old == *object)).collect();
        let in_force = router.in_force(&after).unwrap().map(|weight| weight.0);
        let mut result = json!({ "in force": in_force, "writes": golden(&writes), "out": out });
        match router.verified(&after) {
            Verified::Unknown => {}
            Verified::NotYet => result["verified"] = json!(false),
            Verified::Yes => result["verified"] = json!(true),
            Verified::No(why) => result["verified"] = json!(why),
        }
        result
    }
}

/// The objects of a case among what the router looks at.
pub fn objects(router: &dyn Router, given: &Value) -> Objects {
    let mut objects = Objects::new();
    for object in given.as_array().unwrap() {
        let mut object = object.clone();
        let (kind, name) = (object["kind"].clone(), object["metadata"]["name"].clone());
        object["metadata"]["uid"] = json!(format!("uid-{}", name.as_str().unwrap()));
        object["metadata"]["resourceVersion"] = json!("7");
        let namespace = object["metadata"].get("namespace").and_then(Value::as_str).map(str::to_owned);
        let named = router.references().into_iter().find(|one| json!(one.name) == name && json!(one.kind) == kind);
        let selected = || router.selected().into_iter().map(|one| one.like).find(|one| json!(one.kind) == kind);
        let mut reference =
            named.or_else(selected).unwrap_or_else(|| panic!("the router does not look at {kind} {name}"));
        name.as_str().unwrap().clone_into(&mut reference.name);
        assert_eq!(reference.namespace, namespace, "{kind} {name}");
        objects.insert(reference, object);
    }
    objects
}

/// The routing that a case desires.
pub fn desired_of(case: &Value, services: Services) -> Routing {
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
        max: Weight(desired["max"].as_u64().map_or(100, |max| u32::try_from(max).unwrap())),
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

/// The schema of the spec of a kind, as its project publishes it.
fn schema_of(crds: &str, kind: &str) -> Option<Value> {
    let definitions = serde_saphyr::from_multiple::<Value>(crds).unwrap();
    let found = definitions.into_iter().find(|one| one["spec"]["names"]["kind"] == kind)?;
    Some(found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone())
}
