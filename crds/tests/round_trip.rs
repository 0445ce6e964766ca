//! What the schema accepts survives JSON → types → JSON unchanged.

mod support;

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use crds::{AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate, Experiment, Guarded, ReplicaSet, Rollout};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Through text, as it goes over the wire.
fn through<K: DeserializeOwned + Serialize + Debug>(object: &Value) -> Result<Value, String> {
    let read = serde_json::from_str::<Guarded<K>>(&object.to_string()).map_err(|error| error.to_string())?;
    let read = read.into_result().map_err(|malformed| malformed.error)?;
    let written = serde_json::to_string(&read).map_err(|error| error.to_string())?;
    serde_json::from_str(&written).map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn rollouts(object in support::objects("Rollout")) {
        prop_assert_eq!(through::<Rollout>(&object), Ok(object));
    }

    #[test]
    fn analysis_runs(object in support::objects("AnalysisRun")) {
        prop_assert_eq!(through::<AnalysisRun>(&object), Ok(object));
    }

    #[test]
    fn analysis_templates(object in support::objects("AnalysisTemplate")) {
        prop_assert_eq!(through::<AnalysisTemplate>(&object), Ok(object));
    }

    #[test]
    fn cluster_analysis_templates(object in support::objects("ClusterAnalysisTemplate")) {
        prop_assert_eq!(through::<ClusterAnalysisTemplate>(&object), Ok(object));
    }

    #[test]
    fn experiments(object in support::objects("Experiment")) {
        prop_assert_eq!(through::<Experiment>(&object), Ok(object));
    }
}

/// Kubernetes keeps times to the second, in UTC; a time which a person wrote otherwise is the same moment afterwards.
#[test]
fn a_time_in_another_form_stays_the_same_moment() {
    for (written, kept) in [
        ("2026-11-24T13:19:33Z", "2026-11-24T13:19:33Z"),
        ("2026-11-24T15:19:33+02:00", "2026-11-24T13:19:33Z"),
        ("2026-11-24T13:19:33.75Z", "2026-11-24T13:19:33Z"),
    ] {
        let object = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "name": "web" },
            "spec": { "restartAt": written },
        });
        assert_eq!(through::<Rollout>(&object).expect("reads")["spec"]["restartAt"], kept, "{written}");
    }
}

/// Objects as the established controller left them on a real cluster in mid-release.
#[test]
fn objects_of_real_clusters() {
    let mut seen = std::collections::BTreeSet::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")).expect("the data folder") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a readable file");
        for object in serde_saphyr::from_multiple::<Value>(&text).expect("YAML") {
            let kind = object["kind"].as_str().unwrap_or_default().to_owned();
            let after = match kind.as_str() {
                "Rollout" => through::<Rollout>(&object),
                "AnalysisRun" => through::<AnalysisRun>(&object),
                "AnalysisTemplate" => through::<AnalysisTemplate>(&object),
                "ClusterAnalysisTemplate" => through::<ClusterAnalysisTemplate>(&object),
                "Experiment" => through::<Experiment>(&object),
                "ReplicaSet" => through::<ReplicaSet>(&object),
                _ => continue,
            };
            let difference = differences(&object, after.as_ref().unwrap_or(&Value::Null), "");
            assert!(after.is_ok() && difference.is_empty(), "{kind} in {}: {after:?}\n{difference:#?}", path.display());
            seen.insert(kind);
        }
    }
    let kinds = ["AnalysisRun", "AnalysisTemplate", "Experiment", "ReplicaSet", "Rollout"];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), kinds, "every kind is in the data");
}

/// Where two values differ, for a person to read.
fn differences(before: &Value, after: &Value, path: &str) -> Vec<String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let names: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
            let value = |of: &serde_json::Map<String, Value>, name: &str| of.get(name).cloned().unwrap_or_default();
            names
                .into_iter()
                .filter(|name| before.get(*name) != after.get(*name))
                .flat_map(|name| differences(&value(before, name), &value(after, name), &format!("{path}.{name}")))
                .collect()
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            let pairs = before.iter().zip(after).enumerate();
            pairs.flat_map(|(at, (before, after))| differences(before, after, &format!("{path}[{at}]"))).collect()
        }
        _ if before == after => Vec::new(),
        _ => vec![format!("{path}: {before} became {after}")],
    }
}

/// The random documents would prove nothing about a field they never have.
#[test]
fn the_random_documents_reach_every_field() {
    let mut runner = TestRunner::deterministic();
    for kind in ["Rollout", "AnalysisRun", "AnalysisTemplate", "ClusterAnalysisTemplate", "Experiment"] {
        let mut missing = support::field_paths(support::schema_of(&support::definition(kind)));
        let documents = support::objects(kind);
        for _ in 0..3_000 {
            let document = documents.new_tree(&mut runner).expect("a document").current();
            missing.retain(|path| !support::has(&document, path));
            if missing.is_empty() {
                break;
            }
        }
        assert!(missing.is_empty(), "{kind} never had {missing:?}");
    }
}
