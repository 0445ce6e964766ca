//! Mistakes people make, and what they are told. The rows of `refusals.yaml` start from a Rollout that is right and change one thing;
//! `says: nothing` means that it is accepted. With `UPDATE=1` the answers are written anew; read the difference before you keep it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strategy::validate::validate;
use world::{World, given};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    case: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canary: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spec: Option<Value>,
    /// Merge patches of the objects around it, by kind and name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    change: BTreeMap<String, Value>,
    /// Other objects that are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    objects: Vec<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    remove: Vec<String>,
    #[serde(default)]
    says: String,
    /// Looked at again by itself, because an object may still appear.
    #[serde(default)]
    looks_again: bool,
}

fn world(row: &Row) -> World {
    let canary =
        row.canary.clone().unwrap_or_else(|| json!({ "nginx": true, "steps": [{ "setWeight": 50 }, { "pause": {} }] }));
    let routing = canary.get("trafficRouting").cloned();
    let mut objects = given(&canary, row.spec.as_ref().unwrap_or(&json!({})));
    for object in &mut objects {
        if object["kind"] == "Rollout" && (canary.get("nginx").is_some() || canary.get("istio").is_some()) {
            // What the row says goes over what `nginx: true` stands for.
            let mut over = canary.clone();
            over.as_object_mut().unwrap().shift_remove("nginx");
            over.as_object_mut().unwrap().shift_remove("istio");
            crds::json_patch::merge(&mut object["spec"]["strategy"]["canary"], &over);
            if let Some(routing) = &routing {
                crds::json_patch::merge(&mut object["spec"]["strategy"]["canary"]["trafficRouting"], routing);
            }
            crds::json_patch::merge(&mut object["spec"], row.spec.as_ref().unwrap_or(&json!({})));
        }
        let name = format!("{}/{}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        if let Some(patch) = row.change.get(&name) {
            crds::json_patch::merge(object, patch);
        }
        if row.remove.contains(&name) {
            object["kind"] = json!("Removed");
        }
    }
    objects.extend(row.objects.iter().cloned());
    World::new(objects, "2026-01-01T00:00:00Z".parse().unwrap())
}

#[test]
fn every_mistake_is_told() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refusals.yaml");
    let mut rows: Vec<Row> = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let update = std::env::var_os("UPDATE").is_some();
    let mut problems = Vec::new();
    for row in &mut rows {
        let mut world = world(row);
        let (says, looks_again) = match validate(&world.seen) {
            Ok(()) => ("nothing".to_owned(), false),
            Err(invalid) => {
                assert!(invalid.message.contains(&invalid.field), "{}: the field is named", row.case);
                (invalid.message, invalid.transient)
            }
        };
        if says != "nothing" {
            world.settle();
            let status = world.seen.rollout.status.clone().unwrap();
            let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == "InvalidSpec");
            assert_eq!(condition.map(|condition| condition.message.as_str()), Some(says.as_str()), "{}", row.case);
            assert_eq!(status.phase.as_deref(), Some("Degraded"), "{}", row.case);
            assert_eq!(world.writes, Vec::<String>::new(), "{}: nothing is touched", row.case);
            assert_eq!(world.events, [format!("InvalidSpec: {says}")], "{}: it is told once", row.case);
            assert_eq!(world.decide().requeue_after.is_some(), looks_again, "{}", row.case);
        }
        if (&says, looks_again) != (&row.says, row.looks_again) {
            problems.push(format!("{}:\n  expected {}\n  says     {says} ({looks_again})", row.case, row.says));
        }
        (row.says, row.looks_again) = (says, looks_again);
    }
    if update {
        std::fs::write(&path, serde_saphyr::to_string(&rows).unwrap()).unwrap();
        return;
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(rows.iter().filter(|row| row.says != "nothing").count() >= 25);
}
