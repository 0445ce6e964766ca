//! The definitions are what a cluster and its users expect.

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::{definition, schema_of};

/// What makes `kubectl apply` fail: the annotation it writes with the whole object has this limit.
const LARGEST: usize = 256 * 1024;

#[test]
fn the_files_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds");
    for (name, text) in crds::yaml() {
        let on_disk = fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert!(on_disk == text, "deploy/crds/{name} is stale: run `cargo xtask crds` and commit the result");
    }
    let files = fs::read_dir(folder).expect("deploy/crds").count();
    assert_eq!(files, crds::yaml().len(), "deploy/crds holds a file which is not generated");
}

#[test]
fn each_is_small_enough_for_kubectl_apply() {
    for (name, text) in crds::yaml() {
        assert!(text.len() < LARGEST, "{name} has {} bytes", text.len());
    }
}

#[test]
fn yaml_and_json_are_the_same() {
    let read: Vec<Value> =
        crds::yaml().iter().map(|(_, text)| serde_saphyr::from_str(text).expect("readable YAML")).collect();
    assert_eq!(read, crds::definitions());
}

#[test]
fn schemas_are_structural_and_described() {
    for definition in crds::definitions() {
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap_or_default();
        check(schema_of(&definition), kind, true);
    }
}

/// Kubernetes' rules of structural schemas, as far as ours could break them; and a description on every field.
fn check(schema: &Value, path: &str, logical: bool) {
    let fields = schema.as_object().cloned().unwrap_or_default();
    assert!(!fields.is_empty(), "{path} is not a schema");
    for never in ["nullable", "$ref", "oneOf", "allOf", "not", "definitions", "$schema", "const", "patternProperties"] {
        assert!(!fields.contains_key(never), "{path} has {never}");
    }
    let int_or_string = schema["x-kubernetes-int-or-string"] == json!(true);
    assert_eq!(fields.contains_key("anyOf"), int_or_string, "{path}: anyOf is for int-or-string alone");
    assert_eq!(fields.contains_key("type"), !int_or_string, "{path}: type or int-or-string");
    assert!(
        !(fields.contains_key("properties") && fields.contains_key("additionalProperties")),
        "{path} has both properties and additionalProperties"
    );
    if let Some(format) = schema["format"].as_str() {
        assert!(["int32", "int64", "double", "date-time"].contains(&format), "{path} has the unknown format {format}");
    }
    if schema["type"] == json!("object") {
        let open = ["properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields"];
        let marker = path.ends_with("requiredDuringSchedulingIgnoredDuringExecution");
        let known = open.iter().any(|key| fields.contains_key(*key)) || path.ends_with(".metadata") || marker;
        assert!(known, "{path} is an object of which all fields would be dropped");
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if !(logical && name == "metadata") {
            let text = property["description"].as_str().unwrap_or_default();
            assert!(text.len() > 3 && text.ends_with(['.', '"']), "{path} needs a description, has {text:?}");
        }
        check(property, &path, false);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get(inner) {
            check(inner, &format!("{path}[]"), false);
        }
    }
}

#[test]
fn names_and_columns_are_those_people_know() {
    let age = ("Age", "date", ".metadata.creationTimestamp");
    let status = ("Status", "string", ".status.phase");
    let replicas = [
        ("Desired", "integer", ".spec.replicas"),
        ("Current", "integer", ".status.replicas"),
        ("Up-to-date", "integer", ".status.updatedReplicas"),
        ("Available", "integer", ".status.availableReplicas"),
        age,
    ];
    let run = [status, age];
    for (kind, plural, short, scope, columns) in [
        ("Rollout", "rollouts", "ro", "Namespaced", &replicas[..]),
        ("AnalysisRun", "analysisruns", "ar", "Namespaced", &run[..]),
        ("AnalysisTemplate", "analysistemplates", "at", "Namespaced", &run[1..]),
        ("ClusterAnalysisTemplate", "clusteranalysistemplates", "cat", "Cluster", &run[1..]),
        ("Experiment", "experiments", "exp", "Namespaced", &run[..]),
    ] {
        let definition = definition(kind);
        assert_eq!(definition["metadata"]["name"], format!("{plural}.argoproj.io"));
        assert_eq!(definition["spec"]["group"], "argoproj.io");
        assert_eq!(definition["spec"]["scope"], scope);
        assert_eq!(
            definition["spec"]["names"],
            json!({
                "kind": kind, "listKind": format!("{kind}List"), "plural": plural,
                "singular": kind.to_lowercase(), "shortNames": [short],
            })
        );
        let version = &definition["spec"]["versions"][0];
        assert_eq!(
            (&version["name"], &version["served"], &version["storage"]),
            (&json!("v1alpha1"), &json!(true), &json!(true))
        );
        let found: Vec<_> = version["additionalPrinterColumns"].as_array().into_iter().flatten().collect();
        assert_eq!(found.len(), columns.len(), "{kind}");
        for (column, (name, of_type, path)) in found.into_iter().zip(columns) {
            assert_eq!(
                (&column["name"], &column["type"], &column["jsonPath"]),
                (&json!(name), &json!(of_type), &json!(path))
            );
        }
    }
}

#[test]
fn only_rollouts_have_sub_resources() {
    for definition in crds::definitions() {
        let sub = definition["spec"]["versions"][0].get("subresources").cloned().unwrap_or(json!({}));
        let wanted = if definition["spec"]["names"]["kind"] == "Rollout" {
            json!({
                "status": {},
                "scale": {
                    "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.HPAReplicas",
                    "labelSelectorPath": ".status.selector",
                },
            })
        } else {
            json!({})
        };
        assert_eq!(sub, wanted, "{}", definition["metadata"]["name"]);
    }
}

#[test]
fn rules_defaults_and_open_fields() {
    let rollout = definition("Rollout");
    let at = |pointer: &str| {
        let steps: Vec<_> = pointer.split('.').collect();
        steps.iter().fold(schema_of(&rollout), |schema, step| match step.strip_suffix("[]") {
            Some(name) => &schema["properties"][name]["items"],
            None => &schema["properties"][*step],
        })
    };
    assert_eq!(
        at("spec.selector")["x-kubernetes-validations"],
        json!([{ "rule": "self == oldSelf", "message": ".spec.selector is immutable" }])
    );
    assert_eq!(at("spec.selector")["x-kubernetes-map-type"], "atomic");
    assert_eq!(at("spec.selector.matchExpressions")["x-kubernetes-list-type"], "atomic");
    assert_eq!(at("status.observedGeneration")["type"], "string");
    for open in [
        "spec.template",
        "spec.strategy.canary.steps[].plugin.config",
        "spec.strategy.canary.trafficRouting.plugins",
        "status.canary.stepPluginStatuses[].status",
    ] {
        assert_eq!(at(open)["x-kubernetes-preserve-unknown-fields"], true, "{open}");
    }
    for kind in ["AnalysisRun", "AnalysisTemplate", "ClusterAnalysisTemplate"] {
        let definition = definition(kind);
        let provider =
            &schema_of(&definition)["properties"]["spec"]["properties"]["metrics"]["items"]["properties"]["provider"];
        let provider = &provider["properties"];
        let datadog = &provider["datadog"]["properties"];
        assert_eq!(datadog["interval"]["default"], "5m");
        assert_eq!(
            (&datadog["apiVersion"]["default"], &datadog["apiVersion"]["enum"]),
            (&json!("v1"), &json!(["v1", "v2"]))
        );
        assert!(datadog["aggregator"]["enum"].as_array().is_some_and(|words| words.contains(&json!("l2norm"))));
        for open in
            [&provider["plugin"], &provider["web"]["properties"]["jsonBody"], &provider["job"]["properties"]["spec"]]
        {
            assert_eq!(open["x-kubernetes-preserve-unknown-fields"], true, "{kind}");
        }
    }
}
