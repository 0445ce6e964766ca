//! Object metadata: what the server sets, what it checks, what a client may not change.

use serde_json::{Value, json};

use super::failure::{Failure, FieldError};
use super::resource::{NameRule, Resource};
use super::storage::State;
use crate::json;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Why a name is not allowed, or nothing.
pub(crate) fn wrong_name(rule: NameRule, name: &str) -> Vec<String> {
    let label = |text: &str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !text.starts_with('-')
            && !text.ends_with('-')
    };
    let (fits, most, why) = match rule {
        NameRule::Subdomain => (name.split('.').all(label), 253, SUBDOMAIN),
        NameRule::Label => (label(name), 63, LABEL),
        NameRule::Segment => {
            (!name.contains(['/', '%']) && name != "." && name != "..", 253, "may not contain '/' or '%'")
        }
    };
    let mut wrong = Vec::new();
    if name.len() > most {
        wrong.push(format!("must be no more than {most} characters"));
    }
    if rule == NameRule::Label && name.contains('.') {
        wrong.push("must not contain dots".to_owned());
    } else if !fits {
        wrong.push(why.to_owned());
    }
    wrong
}

fn qualified_end(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    text.chars().all(inner)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// Errors of a label map.
pub(crate) fn wrong_labels(labels: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        wrong_key(key, path, errors);
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 {
            errors.push(FieldError::invalid(path, value, "must be no more than 63 bytes"));
        }
        if !text.is_empty() && !qualified_end(text) {
            errors.push(FieldError::invalid(path, value, LABEL_VALUE));
        }
    }
}

fn wrong_key(key: &str, path: &str, errors: &mut Vec<FieldError>) {
    let shown = Value::from(key);
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            errors.push(FieldError::invalid(path, &shown, "prefix part must be non-empty"));
        } else if !wrong_name(NameRule::Subdomain, prefix).is_empty() {
            errors.push(FieldError::invalid(path, &shown, &format!("prefix part {SUBDOMAIN}")));
        }
    }
    if name.is_empty() {
        errors.push(FieldError::invalid(path, &shown, "name part must be non-empty"));
    } else if name.len() > 63 {
        errors.push(FieldError::invalid(path, &shown, "name part must be no more than 63 bytes"));
    }
    if !qualified_end(name) {
        errors.push(FieldError::invalid(path, &shown, QUALIFIED));
    }
}

/// Errors of metadata as a whole.
pub(crate) fn check(resource: &Resource, object: &Value, errors: &mut Vec<FieldError>) {
    let name = json::name(object);
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        for why in wrong_name(resource.names, name) {
            errors.push(FieldError::invalid("metadata.name", &Value::from(name), &why));
        }
    }
    let metadata = |key: &str| json::at(object, &["metadata", key]);
    wrong_labels(metadata("labels"), "metadata.labels", errors);
    for (key, _) in metadata("annotations").and_then(Value::as_object).into_iter().flatten() {
        wrong_key(&key.to_lowercase(), "metadata.annotations", errors);
    }
    for (index, owner) in json::list(object, &["metadata", "ownerReferences"]).iter().enumerate() {
        for key in ["apiVersion", "kind", "name", "uid"] {
            if json::text(owner, &[key]).is_none() {
                let path = format!("metadata.ownerReferences[{index}].{key}");
                errors.push(FieldError::required(path, "must not be empty"));
            }
        }
    }
    let controllers = json::list(object, &["metadata", "ownerReferences"])
        .iter()
        .filter(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))
        .count();
    if controllers > 1 {
        let found = metadata("ownerReferences").cloned().unwrap_or_default();
        let why = "Only one reference can have Controller set to true.";
        errors.push(FieldError::invalid("metadata.ownerReferences", &found, why));
    }
    for finalizer in json::list(object, &["metadata", "finalizers"]) {
        let text = finalizer.as_str().unwrap_or_default();
        if !text.contains('/') && !matches!(text, "orphan" | "foregroundDeletion" | "kubernetes") {
            if !qualified_end(text) {
                errors.push(FieldError::invalid("metadata.finalizers", finalizer, QUALIFIED));
            } else if resource.custom.is_none() {
                let why = "name is neither a standard finalizer name nor is it fully qualified";
                errors.push(FieldError::invalid("metadata.finalizers[0]", finalizer, why));
            }
        }
    }
}

/// Keeps of `metadata` what an object may have, with the right types; a wrong type is a refusal.
pub(crate) fn tidy(resource: &Resource, object: &mut Value, unknown: &mut Vec<String>) -> Result<(), Failure> {
    const KNOWN: &[(&str, &str)] = &[
        ("name", "string"),
        ("generateName", "string"),
        ("namespace", "string"),
        ("uid", "string"),
        ("resourceVersion", "string"),
        ("generation", "int64"),
        ("creationTimestamp", "time"),
        ("deletionTimestamp", "time"),
        ("deletionGracePeriodSeconds", "int64"),
        ("labels", "map"),
        ("annotations", "map"),
        ("ownerReferences", "list"),
        ("finalizers", "list"),
    ];
    let metadata = json::object_mut(object, &["metadata"]);
    metadata.shift_remove("managedFields");
    metadata.shift_remove("selfLink");
    metadata.retain(|key, value| {
        let known = KNOWN.iter().any(|(name, _)| name == key);
        if !known && !value.is_null() {
            unknown.push(format!("metadata.{key}"));
        }
        known && !value.is_null()
    });
    for (key, kind) in KNOWN {
        let Some(value) = metadata.get(*key) else { continue };
        let right = match *kind {
            "string" | "time" => value.is_string(),
            "int64" => value.is_i64(),
            "list" => value.is_array(),
            _ => value.is_object_and_texts(),
        };
        if !right {
            let go = match *kind {
                "time" => "string",
                "map" => "map[string]string",
                "list" => "[]string",
                other => other,
            };
            let found = match value {
                Value::Object(map) => map.values().find(|inner| !inner.is_string()).map_or("object", go_type_name),
                other => go_type_name(other),
            };
            let go = if *kind == "map" && value.is_object() { "string" } else { go };
            return Err(Failure::bad_request(format!(
                "{} in version {:?} cannot be handled as a {}: json: cannot unmarshal {found} into Go struct field ObjectMeta.metadata.{key} of type {go}",
                resource.kind, resource.version, resource.kind
            )));
        }
    }
    for key in ["labels", "annotations", "ownerReferences", "finalizers"] {
        let empty = |value: &Value| {
            value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
        };
        if metadata.get(key).is_some_and(empty) {
            metadata.shift_remove(key);
        }
    }
    Ok(())
}

trait Texts {
    fn is_object_and_texts(&self) -> bool;
}

impl Texts for Value {
    fn is_object_and_texts(&self) -> bool {
        self.as_object().is_some_and(|map| map.values().all(|value| value.is_string() || value.is_null()))
    }
}

/// The name Go's JSON decoder gives a value's type.
pub(crate) fn go_type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Sets what the server sets on creation.
pub(crate) fn birth(state: &mut State, resource: &Resource, namespace: Option<&str>, object: &mut Value) {
    if json::name(object).is_empty()
        && let Some(prefix) = json::text(object, &["metadata", "generateName"])
    {
        let prefix: String = prefix.chars().take(58).collect();
        let name = format!("{prefix}{}", state.suffix());
        json::set(object, &["metadata", "name"], name);
    }
    match namespace {
        Some(namespace) => json::set(object, &["metadata", "namespace"], namespace),
        None => {
            json::remove(object, &["metadata", "namespace"]);
        }
    }
    for key in ["deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "generation"] {
        json::remove(object, &["metadata", key]);
    }
    let uid = state.uid();
    json::set(object, &["metadata", "uid"], uid);
    json::set(object, &["metadata", "creationTimestamp"], state.clock.stamp());
    if resource.generation {
        json::set(object, &["metadata", "generation"], 1);
    }
}

/// Carries from `old` what an update cannot change and checks what it must not try to change.
pub(crate) fn inherit(old: &Value, new: &mut Value) -> Vec<FieldError> {
    for key in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName", "generation"] {
        json::carry(old, new, &["metadata", key]);
    }
    let mut errors = Vec::new();
    for key in ["name", "namespace", "uid"] {
        let (was, is) = (json::text(old, &["metadata", key]), json::text(new, &["metadata", key]));
        if is.is_none() {
            json::carry(old, new, &["metadata", key]);
        } else if was != is {
            let shown = Value::from(is.unwrap_or_default());
            errors.push(FieldError::invalid(format!("metadata.{key}"), &shown, "field is immutable"));
        }
    }
    if json::at(old, &["metadata", "deletionTimestamp"]).is_some() {
        let had = json::list(old, &["metadata", "finalizers"]);
        let fresh: Vec<Value> = json::list(new, &["metadata", "finalizers"])
            .iter()
            .filter(|finalizer| !had.contains(finalizer))
            .cloned()
            .collect();
        if !fresh.is_empty() {
            let fresh: Vec<&str> = fresh.iter().filter_map(Value::as_str).collect();
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                fresh.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", ")
            );
            errors.push(FieldError::forbidden("metadata.finalizers", &why));
        }
    }
    errors
}

/// `metadata` in an order people know; the rest follows.
pub(crate) fn identity(resource: &Resource, object: &mut Value) {
    json::set(object, &["apiVersion"], resource.api_version());
    json::set(object, &["kind"], resource.kind.clone());
    if object.get("metadata").is_none() {
        json::set(object, &["metadata"], json!({}));
    }
}
