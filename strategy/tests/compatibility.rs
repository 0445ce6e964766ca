//! `docs/compatibility.md`: every field of the objects that users of Argo Rollouts have, and what becomes of it here.
//!
//! Nothing in the page is believed: a field works when a scenario that passes sets it, it does not when a refusal that is tested names
//! it. What neither can show stands in `compatibility.yaml` with the test that proves it, or the reason. A field without any of these
//! fails this test. With `UPDATE=1` the page is written anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Value, json};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is known of a field apart from scenarios and refusals; it holds for the fields below as well.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    /// Test file that proves it.
    by: Option<String>,
    /// Why it does not work.
    not: Option<String>,
    /// What is to be known of it beside.
    note: Option<String>,
}

/// Paths of the fields below `schema`, in its order. Free-form values and pod templates are one field.
fn fields(schema: &Value, path: &str, found: &mut Vec<String>) {
    let schema = schema.get("items").unwrap_or(schema);
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, inner) in properties {
        let list = if inner.get("items").is_some() { "[]" } else { "" };
        let below = format!("{path}.{name}{list}");
        let before = found.len();
        found.push(below.clone());
        let whole = ["template", "selector", "metadata"].contains(&name.as_str());
        if !whole {
            fields(inner, &below, found);
        }
        // The leaves stand for their parents.
        if found.len() > before + 1 {
            found.remove(before);
        }
    }
}

/// Paths of the values that are set in `value`.
fn used(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            found.push(path.to_owned());
            for (name, inner) in fields {
                used(inner, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                used(item, &format!("{path}[]"), found);
            }
        }
        Value::Null => {}
        _ => found.push(path.to_owned()),
    }
}

/// Everything a scenario sets on its objects, by kind.
fn set_by(scenario: &Value) -> Vec<(String, Value)> {
    let mut specs = vec![];
    let mut spec = json!({});
    for strategy in ["canary", "blueGreen"] {
        let Some(mut own) = scenario.get(strategy).filter(|own| own.is_object()).cloned() else { continue };
        if own.as_object_mut().unwrap().shift_remove("nginx").is_some() {
            let routing = json!({ "canaryService": "c", "stableService": "s", "trafficRouting": { "nginx": { "stableIngress": "w" } } });
            crds::json_patch::merge(&mut own, &routing);
        }
        if let Some(by) = own.as_object_mut().unwrap().shift_remove("istio") {
            let mut routing =
                json!({ "trafficRouting": { "istio": { "virtualService": { "name": "w", "routes": ["p"] } } } });
            if by == "subsets" {
                routing["trafficRouting"]["istio"]["destinationRule"] =
                    json!({ "name": "w", "canarySubsetName": "c", "stableSubsetName": "s" });
            } else if own.get("pingPong").is_some() {
                routing["pingPong"] = json!({ "pingService": "a", "pongService": "b" });
            }
            crds::json_patch::merge(&mut own, &routing);
        }
        crds::json_patch::merge(&mut spec, &json!({ "strategy": { strategy: own } }));
    }
    crds::json_patch::merge(&mut spec, scenario.get("spec").unwrap_or(&json!({})));
    // Every scenario has these.
    crds::json_patch::merge(&mut spec, &json!({ "replicas": 4, "selector": {}, "template": { "spec": {} } }));
    if scenario.get("experiment").is_none() {
        specs.push(("Rollout".to_owned(), spec));
    }
    if let Some(experiment) = scenario.get("experiment") {
        specs.push(("Experiment".to_owned(), experiment.get("spec").unwrap_or(experiment).clone()));
    }
    for object in scenario.get("objects").and_then(Value::as_array).into_iter().flatten() {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        specs.push((kind, object["spec"].clone()));
    }
    for moment in scenario.get("then").and_then(Value::as_array).into_iter().flatten() {
        let happens = moment["on"].as_str().unwrap_or_default();
        let Some((verb, rest)) = happens.split_once(' ') else { continue };
        let Ok(patch) = serde_json::from_str::<Value>(rest) else { continue };
        match verb {
            "steps" => specs.push(("Rollout".to_owned(), json!({ "strategy": { "canary": { "steps": patch } } }))),
            "spec" => specs.push(("Rollout".to_owned(), patch)),
            _ => {}
        }
    }
    specs
}

/// For each field the scenario that sets it and least beside it.
fn proofs() -> BTreeMap<String, String> {
    let mut best: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        let content = read(&path);
        for (title, scenario) in content["scenarios"].as_object().unwrap() {
            let mut set = Vec::new();
            for (kind, spec) in set_by(scenario) {
                used(&spec, &format!("{kind}.spec"), &mut set);
            }
            set.sort();
            set.dedup();
            let proof = format!("“{title}” ({file})");
            for field in &set {
                let better = best.get(field).is_none_or(|(size, _)| set.len() < *size);
                if better {
                    best.insert(field.clone(), (set.len(), proof.clone()));
                }
            }
        }
    }
    best.into_iter().map(|(field, (_, proof))| (field, proof)).collect()
}

/// Fields that are refused by name, with what is said.
fn refusals() -> BTreeMap<String, String> {
    let rows = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refusals.yaml"));
    let mut refused = BTreeMap::new();
    for row in rows.as_array().unwrap() {
        let says = row["says"].as_str().unwrap_or_default();
        let Some((_, rest)) = says.split_once("is invalid: ") else { continue };
        let Some((path, message)) = rest.split_once(": Invalid value: ") else { continue };
        if message.contains("not supported") {
            let parts: Vec<_> = path
                .split('.')
                .map(|part| {
                    part.split('[').next().map_or(part.to_owned(), |name| {
                        if part.contains('[') { format!("{name}[]") } else { name.to_owned() }
                    })
                })
                .collect();
            refused.insert(format!("Rollout.{}", parts.join(".")), message.to_owned());
        }
    }
    refused
}

/// The entry of the field itself, or of the nearest one above it.
fn nearest<'a, T>(entries: impl Iterator<Item = (&'a String, &'a T)>, field: &str) -> Option<&'a T> {
    let above = |path: &str| field == path || field.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[']));
    entries.filter(|(path, _)| above(path)).max_by_key(|(path, _)| path.len()).map(|(_, entry)| entry)
}

fn page() -> (String, Vec<String>) {
    let (proofs, refusals) = (proofs(), refusals());
    let known =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compatibility.yaml")).unwrap();
    let known: IndexMap<String, Known> = serde_saphyr::from_str(&known).unwrap();
    let mut out = "# Compatibility\n\nWhat becomes of each field of Argo Rollouts' objects here. Generated and checked by a test \
        (`UPDATE=1 cargo test -p strategy --test compatibility`):\na field *works* when the named scenario of `strategy/tests/scenarios` or the \
        named test sets it and passes; it is *refused* when the controller says so on the\nobject instead of ignoring it.\n"
        .to_owned();
    let mut problems = Vec::new();
    for (kind, plural) in
        [("Rollout", "rollouts"), ("AnalysisTemplate", "analysistemplates"), ("Experiment", "experiments")]
    {
        let crd = read(&repository().join(format!("deploy/crds/{plural}.yaml")));
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let mut all = Vec::new();
        fields(schema, &format!("{kind}.spec"), &mut all);
        assert!(all.len() > 5, "{kind}: {all:?}");
        let mut rows = String::new();
        let mut works = 0;
        for field in &all {
            let entry = nearest(known.iter(), field);
            let note = entry.and_then(|entry| entry.note.as_deref()).map_or(String::new(), |note| format!("; {note}"));
            let shown = field.strip_prefix(kind).unwrap().trim_start_matches('.');
            let (state, why) = if let Some(message) = nearest(refusals.iter(), field) {
                ("refused", message.clone())
            } else if let Some(reason) = entry.and_then(|entry| entry.not.clone()) {
                if proofs.contains_key(field) {
                    problems.push(format!("{field}: said not to work ({reason}), but a scenario sets it"));
                }
                ("not yet", reason)
            } else if let Some(proof) = proofs.get(field) {
                works += 1;
                ("works", proof.clone())
            } else if let Some(by) = entry.and_then(|entry| entry.by.clone()) {
                if !repository().join(&by).is_file() {
                    problems.push(format!("{field}: there is no {by}"));
                }
                works += 1;
                ("works", format!("`{by}`"))
            } else {
                problems.push(format!(
                    "{field}: no scenario sets it, no refusal names it, and compatibility.yaml does not know it"
                ));
                ("?", String::new())
            };
            writeln!(rows, "| `{shown}` | {state} | {why}{note} |").unwrap();
        }
        write!(
            out,
            "\n## {kind}\n\n{works} of {} fields work.\n\n| Field | State | Proof, or why not |\n|---|---|---|\n{rows}",
            all.len()
        )
        .unwrap();
    }
    (out, problems)
}

#[test]
fn every_field_has_a_proof_or_a_reason() {
    let (page, problems) = page();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let path = repository().join("docs/compatibility.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/compatibility.md is stale: UPDATE=1 cargo test -p strategy --test compatibility");
}
