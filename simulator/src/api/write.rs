//! Create, update, patch: one path from a body to a stored object.
//!
//! Invariants: nothing is stored that was not pruned, defaulted and checked; a write that changes nothing takes no
//! version and wakes no watcher; `generation` grows exactly when something besides metadata and status changed.

use std::sync::Arc;

use serde_json::Value;

use super::admission::{admit, decode, fill};
use super::built_in;
use super::call::{Call, Place};
use super::failure::{Failure, FieldError};
use super::patch::{self, Format, Shape};
use super::resource::Resource;
use super::storage::{Key, Object, State, key};
use super::{definition, delete, meta, scale};
use crate::json;

/// A successful write.
pub(crate) struct Outcome {
    pub(crate) code: u16,
    pub(crate) object: Object,
    pub(crate) warnings: Vec<String>,
}

/// The namespace of the body must be that of the path.
fn same_namespace(place: &Place, object: &Value) -> Result<(), Failure> {
    match (json::namespace(object), place.namespace.as_deref()) {
        ("", _) => Ok(()),
        (found, Some(wanted)) if found == wanted => Ok(()),
        _ => Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
    }
}

fn validate(resource: &Resource, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    meta::check(resource, object, &mut errors);
    match &resource.custom {
        Some(custom) => {
            errors.extend(custom.schema.check(object));
            errors.extend(resource.scale.iter().flat_map(|scale| scale::wrong_counts(scale, object)));
        }
        None => built_in::check(resource, object, old, &mut errors),
    }
    if let Some((old, custom)) = old.zip(resource.custom.as_ref()) {
        if errors.is_empty() {
            errors.extend(custom.schema.check_change(old, object));
        }
        errors.retain(|error| {
            let (is, was) = (find(object, &error.path), find(old, &error.path));
            is.is_none() || is != was || error.path.starts_with("metadata")
        });
    }
    errors
}

/// What stands at a path written as in messages: `spec.steps[0].pause`.
fn find<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(object, |inner, part| {
        let (name, indexes) = part.split_once('[').unwrap_or((part, ""));
        let inner = inner.get(name)?;
        indexes
            .split('[')
            .filter(|text| !text.is_empty())
            .try_fold(inner, |inner, text| inner.get(text.trim_end_matches(']').parse::<usize>().ok()?))
    })
}

fn refuse(resource: &Resource, object: &Value, errors: &[FieldError]) -> Result<(), Failure> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid(&resource.group, &resource.kind, json::name(object), errors))
}

/// POST to a collection.
pub(crate) fn create(
    state: &mut State,
    call: &Call,
    resource: &Arc<Resource>,
    place: &Place,
) -> Result<Outcome, Failure> {
    let mut warnings = Vec::new();
    let object = decode(call, resource)?;
    let object = admit(call, resource, object, &mut warnings)?;
    same_namespace(place, &object)?;
    let object = store_new(state, resource, place.namespace.as_deref(), object, call.dry_run())?;
    Ok(Outcome { code: 201, object, warnings })
}

/// Stores a new object that is already pruned and defaulted.
pub(crate) fn store_new(
    state: &mut State,
    resource: &Arc<Resource>,
    namespace: Option<&str>,
    mut object: Value,
    dry_run: bool,
) -> Result<Object, Failure> {
    meta::identity(resource, &mut object);
    meta::birth(state, resource, namespace, &mut object);
    if resource.status {
        json::remove(&mut object, &["status"]);
        fill(resource, &mut object);
    }
    if resource.custom.is_none() {
        built_in::birth(state, resource, &mut object);
    }
    let mut errors = Vec::new();
    if resource.namespaced {
        lookup_namespace(state, namespace.unwrap_or_default())?;
    }
    errors.extend(validate(resource, &object, None));
    refuse(resource, &object, &errors)?;
    let table = resource.table();
    if state.get(&table, &key(&object)).is_some() {
        return Err(Failure::exists(resource, json::name(&object)));
    }
    definition::check(state, resource, &object)?;
    stored_form(resource, &mut object);
    if dry_run {
        return Ok(Arc::new(object));
    }
    let object = state.write(&table, object);
    definition::changed(state, resource, &object);
    Ok(object)
}

/// Objects of a kind with several versions are kept in one.
fn stored_form(resource: &Resource, object: &mut Value) {
    if let Some(custom) = &resource.custom {
        json::set(object, &["apiVersion"], format!("{}/{}", resource.group, custom.storage_version));
    }
}

fn lookup_namespace(state: &State, namespace: &str) -> Result<(), Failure> {
    let found = state.get("/namespaces", &(String::new(), namespace.to_owned()));
    let terminating = found.as_ref().is_some_and(|found| json::at(found, &["metadata", "deletionTimestamp"]).is_some());
    match state.resource("", "v1", "namespaces") {
        Some(namespaces) if found.is_none() => Err(Failure::not_found(&namespaces, namespace)),
        Some(namespaces) if terminating => {
            Err(Failure::forbidden(&namespaces, namespace, "because it is being terminated"))
        }
        _ => Ok(()),
    }
}

/// PUT of an object or of its status.
pub(crate) fn update(
    state: &mut State,
    call: &Call,
    resource: &Arc<Resource>,
    place: &Place,
    target: &Key,
) -> Result<Outcome, Failure> {
    let mut warnings = Vec::new();
    let object = decode(call, resource)?;
    let object = admit(call, resource, object, &mut warnings)?;
    if json::name(&object) != target.1 {
        let found = json::name(&object);
        return Err(Failure::bad_request(if found.is_empty() {
            format!("the name of the object ({} based on URL) was undeterminable: name must be provided", target.1)
        } else {
            format!("the name of the object ({found}) does not match the name on the URL ({})", target.1)
        }));
    }
    same_namespace(place, &object)?;
    let Some(old) = state.get(&resource.table(), target) else {
        if resource.create_on_update && place.sub.is_none() {
            let object = store_new(state, resource, place.namespace.as_deref(), object, call.dry_run())?;
            return Ok(Outcome { code: 201, object, warnings });
        }
        return Err(Failure::not_found(resource, &target.1));
    };
    if json::text(&object, &["metadata", "resourceVersion"]).is_none() && !resource.unconditional_update {
        let why = "must be specified for an update";
        let mut error = FieldError::invalid("metadata.resourceVersion", &Value::Null, why);
        error.body = format!("Invalid value: 0: {why}");
        return Err(Failure::invalid(&resource.group, &resource.plural, &target.1, &[error]));
    }
    let object = replace(state, resource, &old, object, place.sub.as_deref(), call.dry_run())?;
    Ok(Outcome { code: 200, object, warnings })
}

/// Stores the changed form of `old`: the part the sub-resource may change comes from `new`, the rest from `old`.
pub(crate) fn replace(
    state: &mut State,
    resource: &Arc<Resource>,
    old: &Object,
    mut new: Value,
    sub: Option<&str>,
    dry_run: bool,
) -> Result<Object, Failure> {
    let name = json::name(old).to_owned();
    let (wanted, found) = (
        json::text(&new, &["metadata", "resourceVersion"]).map(str::to_owned),
        json::text(old, &["metadata", "resourceVersion"]).unwrap_or_default(),
    );
    if let Some(uid) = json::text(&new, &["metadata", "uid"]).filter(|uid| *uid != json::uid(old)) {
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {}/{}/{name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            resource.registry(),
            json::namespace(old),
            json::uid(old)
        );
        return Err(Failure::conflict(resource, &name, &why));
    }
    if wanted.is_some_and(|wanted| wanted != found) {
        return Err(Failure::modified(resource, &name));
    }
    json::set(&mut new, &["metadata", "resourceVersion"], found.to_owned());
    let mut errors = meta::inherit(old, &mut new);
    match sub {
        Some("status") if resource.custom.is_some() => {
            let status = json::remove(&mut new, &["status"]);
            new = (**old).clone();
            meta::identity(resource, &mut new);
            match status {
                Some(status) => json::set(&mut new, &["status"], status),
                None => {
                    json::remove(&mut new, &["status"]);
                }
            }
        }
        Some("status") => json::carry(old, &mut new, &["spec"]),
        _ if resource.status => json::carry(old, &mut new, &["status"]),
        _ => {}
    }
    if resource.custom.is_none() {
        built_in::inherit(resource, old, &mut new);
    }
    errors.extend(validate(resource, &new, Some(old)));
    refuse(resource, &new, &errors)?;
    stored_form(resource, &mut new);
    if resource.generation && sub != Some("status") && changed_beyond_status(resource, old, &new) {
        let generation = json::int(old, &["metadata", "generation"]).unwrap_or_default();
        json::set(&mut new, &["metadata", "generation"], generation + 1);
    }
    if new == **old || dry_run {
        return Ok(Arc::new(new));
    }
    let table = resource.table();
    let gone = json::at(&new, &["metadata", "deletionTimestamp"]).is_some()
        && json::list(&new, &["metadata", "finalizers"]).is_empty()
        && json::int(&new, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or_default() == 0;
    if gone {
        let object = Arc::new(new);
        delete::erase(state, &table, &key(&object));
        return Ok(object);
    }
    let object = state.write(&table, new);
    definition::changed(state, resource, &object);
    Ok(object)
}

fn changed_beyond_status(resource: &Resource, old: &Value, new: &Value) -> bool {
    let part = |object: &Value| {
        let mut part = object.clone();
        json::remove(&mut part, &["metadata"]);
        if resource.status {
            json::remove(&mut part, &["status"]);
        }
        part
    };
    part(old) != part(new)
}

/// PATCH of an object or of its status.
pub(crate) fn patch(
    state: &mut State,
    call: &Call,
    resource: &Arc<Resource>,
    place: &Place,
    target: &Key,
) -> Result<Outcome, Failure> {
    let format = Format::of(call.media_type(), resource.custom.is_some())?;
    if format == Format::Apply && call.param("fieldManager").is_none() {
        let error = FieldError::required("fieldManager", "is required for apply patch");
        return Err(Failure::invalid("meta.k8s.io", "PatchOptions", "", &[error]));
    }
    if format != Format::Apply && call.flag("force") {
        let error = FieldError::forbidden("force", "may not be specified for non-apply patch");
        return Err(Failure::invalid("meta.k8s.io", "PatchOptions", "", &[error]));
    }
    let body = call.json().map_err(|error| match format {
        Format::Apply => Failure::bad_request(format!("error decoding YAML: {error}")),
        Format::Json => Failure::bad_request(format!("error decoding patch: {error}")),
        Format::Merge | Format::Strategic => Failure::bad_request(error),
    })?;
    let mut warnings = Vec::new();
    let Some(old) = state.get(&resource.table(), target) else {
        if format != Format::Apply || place.sub.is_some() {
            return Err(Failure::not_found(resource, &target.1));
        }
        let mut object = body.clone();
        check_applied(resource, &body, target)?;
        json::set(&mut object, &["metadata", "name"], target.1.clone());
        meta::identity(resource, &mut object);
        let object = admit(call, resource, object, &mut warnings)?;
        let object = store_new(state, resource, place.namespace.as_deref(), object, call.dry_run())?;
        remember(state, call, place, &object, body);
        return Ok(Outcome { code: 201, object, warnings });
    };
    let mut new = (*old).clone();
    meta::identity(resource, &mut new);
    let shape = match &resource.custom {
        Some(custom) => Shape::Custom(Some(&custom.schema)),
        None => Shape::BuiltIn,
    };
    match format {
        Format::Json => patch::json_patch(&mut new, &body)?,
        Format::Merge => {
            if !body.is_object() {
                let found = meta::go_type_name(&body);
                return Err(Failure::bad_request(format!(
                    "json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
                )));
            }
            crds::json_patch::merge(&mut new, &body);
        }
        Format::Strategic => patch::strategic(&mut new, &body, shape)?,
        Format::Apply => {
            check_applied(resource, &body, target)?;
            let last = state.applied.get(&applied_key(call, place, &old)).cloned();
            patch::apply(&mut new, &body, last.as_ref(), shape)?;
        }
    }
    if !new.is_object() {
        return Err(Failure::unprocessable_patch());
    }
    let name = json::name(&new);
    if name != target.1 {
        return Err(Failure::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.1
        )));
    }
    if let Some(uid) = json::at(&new, &["metadata", "uid"]).filter(|uid| uid.as_str() != Some(json::uid(&old))) {
        // The real server checks it twice.
        let error = FieldError::invalid("metadata.uid", uid, "field is immutable");
        return Err(Failure::invalid(&resource.group, &resource.kind, &target.1, &[error.clone(), error]));
    }
    let patched = new.to_string();
    let new = admit(call, resource, new, &mut warnings).map_err(|failure| in_patch(failure, format, patched))?;
    let object = replace(state, resource, &old, new, place.sub.as_deref(), call.dry_run())?;
    if format == Format::Apply && !call.dry_run() {
        remember(state, call, place, &object, body);
    }
    Ok(Outcome { code: 200, object, warnings })
}

/// What cannot be decoded after a patch is the patch's fault; the real server quotes the whole patched object.
fn in_patch(failure: Failure, format: Format, patched: String) -> Failure {
    if failure.code != 400 || format == Format::Apply {
        return failure;
    }
    let why = failure.message.split_once(" cannot be handled as a ").and_then(|(_, rest)| rest.split_once(": "));
    let why = why.map_or(failure.message.as_str(), |(_, why)| why);
    Failure::invalid("", "", "", &[FieldError::invalid("patch", &Value::from(patched), why)])
}

fn check_applied(resource: &Resource, body: &Value, target: &Key) -> Result<(), Failure> {
    for (key, wanted) in [("apiVersion", resource.api_version()), ("kind", resource.kind.clone())] {
        match json::text(body, &[key]) {
            Some(found) if found == wanted => {}
            _ => {
                let found = json::text(body, &["apiVersion"]).unwrap_or_default();
                let kind = json::text(body, &["kind"]).unwrap_or_default();
                return Err(Failure::bad_request(format!(
                    "invalid object type: {found}, Kind={kind}; expected {}, Kind={}",
                    resource.api_version(),
                    resource.kind
                )));
            }
        }
    }
    let name = json::name(body);
    if !name.is_empty() && name != target.1 {
        let error = FieldError::invalid("metadata.name", &Value::from(name), "field is immutable");
        return Err(Failure::invalid(&resource.group, &resource.kind, &target.1, &[error]));
    }
    if json::at(body, &["metadata", "managedFields"]).is_some_and(|found| !found.is_null()) {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    Ok(())
}

fn applied_key(call: &Call, place: &Place, object: &Value) -> (String, String, String) {
    let manager = call.param("fieldManager").unwrap_or_default().to_owned();
    (json::uid(object).to_owned(), manager, place.sub.clone().unwrap_or_default())
}

fn remember(state: &mut State, call: &Call, place: &Place, object: &Value, body: Value) {
    state.applied.insert(applied_key(call, place, object), body);
}
