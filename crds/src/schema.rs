//! The CustomResourceDefinitions as YAML, from the types.
//!
//! What the derive prints is made fit for users of the existing CRDs: an absent field is absent, never `null`, so no
//! schema says `nullable`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::{AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate, Experiment, Rollout};

/// All definitions of `argoproj.io/v1alpha1`, as JSON.
pub fn definitions() -> Vec<Value> {
    [Rollout::crd(), AnalysisRun::crd(), AnalysisTemplate::crd(), ClusterAnalysisTemplate::crd(), Experiment::crd()]
        .iter()
        .map(definition)
        .collect()
}

/// File name and YAML text of every definition.
pub fn yaml() -> Vec<(String, String)> {
    definitions()
        .iter()
        .map(|definition| {
            let plural = definition.pointer("/spec/names/plural").and_then(Value::as_str).unwrap_or("unnamed");
            (format!("{plural}.yaml"), serde_saphyr::to_string(definition).unwrap_or_default())
        })
        .collect()
}

fn definition(derived: &CustomResourceDefinition) -> Value {
    let mut value = serde_json::to_value(derived).unwrap_or_default();
    without_null(&mut value);
    value
}

fn without_null(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                fields.remove("nullable");
            }
            fields.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
