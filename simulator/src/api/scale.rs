//! The scale and eviction sub-resources.

use std::sync::Arc;

use serde_json::{Value, json};

use super::call::Call;
use super::delete;
use super::failure::{Failure, FieldError};
use super::patch::{self, Format, Shape};
use super::resource::{Resource, Scale};
use super::selectors::Labels;
use super::storage::{Key, Object, State, key};
use super::write;
use crate::json;

/// The `autoscaling/v1 Scale` view of an object.
fn view(scale: &Scale, object: &Value) -> Value {
    let number = |path: &str| json::int(object, &json::dotted(path)).unwrap_or_default();
    let mut metadata = json!({});
    for part in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        json::carry(object, &mut metadata, &["metadata", part]);
    }
    let metadata = json::remove(&mut metadata, &["metadata"]).unwrap_or_default();
    let mut status = json!({"replicas": number(&scale.status)});
    let selector = match &scale.selector {
        Some(path) => json::text(object, &json::dotted(path)).map(str::to_owned),
        None => json::object(object, &["spec", "selector", "matchLabels"]).map(|labels| {
            let mut pairs: Vec<String> =
                labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
            pairs.sort();
            pairs.join(",")
        }),
    };
    if let Some(selector) = selector {
        json::set(&mut status, &["selector"], selector);
    }
    let mut spec = json!({});
    if number(&scale.spec) != 0 {
        json::set(&mut spec, &["replicas"], number(&scale.spec));
    }
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status})
}

/// Errors in the counts the scale sub-resource reads.
pub(crate) fn wrong_counts(scale: &Scale, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for path in [&scale.spec, &scale.status] {
        let mut inner = object;
        let mut wrong = None;
        for key in json::dotted(path) {
            if !inner.is_object() {
                wrong = Some((inner, "map[string]interface{}"));
                break;
            }
            match inner.get(key) {
                Some(found) => inner = found,
                None => return errors,
            }
        }
        if wrong.is_none() && !inner.is_i64() {
            wrong = Some((inner, "int64"));
        }
        if let Some((found, wanted)) = wrong {
            let (shown, kind) = match found {
                Value::String(text) => (text.clone(), "string"),
                Value::Array(_) => (found.to_string(), "[]interface {}"),
                Value::Object(_) => (found.to_string(), "map[string]interface {}"),
                Value::Bool(_) => (found.to_string(), "bool"),
                Value::Null => ("<nil>".to_owned(), "<nil>"),
                Value::Number(_) => (found.to_string(), "float64"),
            };
            let why = format!("{path} accessor error: {shown} is of the type {kind}, expected {wanted}");
            errors.push(FieldError::invalid(path.as_str(), &Value::from(0), &why));
        } else if inner.as_i64().is_some_and(|count| count < 0) {
            errors.push(FieldError::invalid(path.as_str(), inner, "should be a non-negative integer"));
        }
    }
    errors
}

/// GET, PUT and PATCH of `…/scale`.
pub(crate) fn handle(
    state: &mut State,
    call: &Call,
    resource: &Arc<Resource>,
    scale: &Scale,
    target: &Key,
) -> Result<Value, Failure> {
    let Some(old) = state.get(&resource.table(), target) else { return Err(Failure::not_found(resource, &target.1)) };
    let shown = view(scale, &old);
    let wanted = match call.method.as_str() {
        "GET" => return Ok(shown),
        "PUT" => call.json().map_err(Failure::bad_request)?,
        "PATCH" => {
            let body = call.json().map_err(Failure::bad_request)?;
            let mut new = shown;
            match Format::of(call.media_type(), resource.custom.is_some())? {
                Format::Json => patch::json_patch(&mut new, &body)?,
                Format::Merge => crds::json_patch::merge(&mut new, &body),
                Format::Strategic | Format::Apply => patch::strategic(&mut new, &body, Shape::BuiltIn)?,
            }
            new
        }
        _ => return Err(Failure::method_not_allowed()),
    };
    let replicas = json::int(&wanted, &["spec", "replicas"]).unwrap_or_default();
    if replicas < 0 && resource.custom.is_none() {
        let why = "must be greater than or equal to 0";
        let error = FieldError::invalid("spec.replicas", &Value::from(replicas), why);
        return Err(Failure::invalid("autoscaling", "Scale", &target.1, &[error]));
    }
    let mut new = (*old).clone();
    json::set(&mut new, &json::dotted(&scale.spec), replicas);
    if let Some(version) = json::text(&wanted, &["metadata", "resourceVersion"]) {
        json::set(&mut new, &["metadata", "resourceVersion"], version);
    }
    let object: Object = write::replace(state, resource, &old, new, None, call.dry_run())?;
    Ok(view(scale, &object))
}

/// POST of `…/eviction`: a deletion that disruption budgets may refuse.
pub(crate) fn evict(state: &mut State, call: &Call, resource: &Arc<Resource>, target: &Key) -> Result<Value, Failure> {
    let Some(pod) = state.get(&resource.table(), target) else { return Err(Failure::not_found(resource, &target.1)) };
    for budget in state.all("policy/poddisruptionbudgets", Some(&target.0)) {
        let selector = Labels::from_object(json::at(&budget, &["spec", "selector"]).unwrap_or(&Value::Null));
        if !selector.select(&pod) || !ready(&pod) {
            continue;
        }
        let pods: Vec<Object> =
            state.all("/pods", Some(&target.0)).into_iter().filter(|pod| selector.select(pod)).collect();
        let healthy = pods.iter().filter(|pod| ready(pod)).count();
        if healthy <= needed(&budget, pods.len()) {
            let message = "Cannot evict pod as it would violate the pod's disruption budget.";
            return Err(Failure::new(429, "TooManyRequests", message).with_details(json!({
                "causes": [{
                    "reason": "DisruptionBudget",
                    "message": format!(
                        "The disruption budget {} needs {} healthy pods and has {healthy} currently",
                        json::name(&budget), needed(&budget, pods.len()),
                    ),
                }],
            })));
        }
    }
    let mut options = delete::Options::default();
    let body = call.json().unwrap_or_default();
    options.grace = json::int(&body, &["deleteOptions", "gracePeriodSeconds"]);
    if !call.dry_run() {
        delete::delete(state, resource, &key(&pod), &options)?;
    }
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
}

pub(crate) fn ready(pod: &Value) -> bool {
    json::at(pod, &["metadata", "deletionTimestamp"]).is_none()
        && json::list(pod, &["status", "conditions"]).iter().any(|found| {
            json::text(found, &["type"]) == Some("Ready") && json::text(found, &["status"]) == Some("True")
        })
}

/// How many healthy pods a budget wants left.
fn needed(budget: &Value, expected: usize) -> usize {
    let amount = |key: &str| {
        json::at(budget, &["spec", key]).and_then(|found| match found {
            Value::String(text) => {
                let percent: usize = text.trim_end_matches('%').parse().ok()?;
                Some((expected * percent).div_ceil(100))
            }
            other => usize::try_from(other.as_u64()?).ok(),
        })
    };
    match (amount("minAvailable"), amount("maxUnavailable")) {
        (Some(least), _) => least,
        (None, Some(most)) => expected.saturating_sub(most),
        (None, None) => 0,
    }
}
