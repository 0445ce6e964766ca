//! CustomResourceDefinitions: creating one serves its kinds at once.

use std::sync::Arc;

use serde_json::{Value, json};

use super::delete;
use super::failure::{Failure, FieldError};
use super::resource::{self, Resource};
use super::storage::{Object, State, key};
use crate::json;

fn is_definition(resource: &Resource) -> bool {
    resource.is("apiextensions.k8s.io", "customresourcedefinitions")
}

fn identity(definition: &Value) -> (String, String) {
    let text = |path: &[&str]| json::text(definition, path).unwrap_or_default().to_owned();
    (text(&["spec", "group"]), text(&["spec", "names", "plural"]))
}

/// The name of a definition follows from its group and plural name.
pub(crate) fn check(_: &State, resource: &Resource, object: &Value) -> Result<(), Failure> {
    if !is_definition(resource) {
        return Ok(());
    }
    let (group, plural) = identity(object);
    let wanted = format!("{plural}.{group}");
    if json::name(object) == wanted {
        return Ok(());
    }
    let why = "must be spec.names.plural+\".\"+spec.group";
    let error = FieldError::invalid("metadata.name", &Value::from(json::name(object)), why);
    Err(Failure::invalid(&resource.group, &resource.kind, json::name(object), &[error]))
}

/// Serves what a new or changed definition defines.
pub(crate) fn changed(state: &mut State, resource: &Arc<Resource>, object: &Object) {
    if !is_definition(resource) {
        return;
    }
    let (group, plural) = identity(object);
    state.serve(&group, &plural, resource::from_definition(object));
    let accepted = json::list(object, &["status", "conditions"]).iter().any(|found| {
        json::text(found, &["type"]) == Some("Established") && json::text(found, &["status"]) == Some("True")
    });
    if accepted {
        return;
    }
    let mut new = (**object).clone();
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "lastTransitionTime": state.clock.stamp(), "reason": reason, "message": message});
    let stored: Vec<&str> = json::list(object, &["spec", "versions"])
        .iter()
        .filter(|version| version.get("storage").and_then(Value::as_bool) == Some(true))
        .filter_map(|version| json::text(version, &["name"]))
        .collect();
    let status = json!({
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "acceptedNames": json::at(object, &["spec", "names"]),
        "storedVersions": stored,
    });
    json::set(&mut new, &["status"], status);
    state.write(&resource.table(), new);
}

/// Stops serving what a removed definition defined, and removes the objects.
pub(crate) fn removed(state: &mut State, table: &str, object: &Object) {
    if table != "apiextensions.k8s.io/customresourcedefinitions" {
        return;
    }
    let (group, plural) = identity(object);
    let rows = format!("{group}/{plural}");
    for object in state.all(&rows, None) {
        delete::erase(state, &rows, &key(&object));
    }
    state.serve(&group, &plural, Vec::new());
}
