//! The API server: a request in, an answer out.
//!
//! Everything but watches is answered within one lock on the state, so requests are strictly ordered.

pub(crate) mod admission;
pub(crate) mod built_in;
pub(crate) mod call;
pub(crate) mod definition;
pub(crate) mod delete;
pub(crate) mod discovery;
pub(crate) mod endpoints_rules;
pub(crate) mod failure;
pub(crate) mod meta;
pub(crate) mod patch;
pub(crate) mod pod_defaults;
pub(crate) mod read;
pub(crate) mod render;
pub(crate) mod resource;
pub(crate) mod scale;
pub(crate) mod schema;
pub(crate) mod selectors;
pub(crate) mod storage;
pub(crate) mod table;
pub(crate) mod watch;
pub(crate) mod write;

use std::sync::Arc;

use serde_json::Value;

use call::{Call, Place};
use failure::Failure;
use render::Form;
use resource::Resource;
use storage::{Key, State};

/// An answer that is not a stream.
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) body: Value,
    pub(crate) warnings: Vec<String>,
}

impl Reply {
    fn ok(body: Value) -> Self {
        Self { code: 200, body, warnings: Vec::new() }
    }
}

/// The kind a place names.
pub(crate) fn resource_at(state: &State, place: &Place) -> Result<Arc<Resource>, Failure> {
    let Some(found) = state.resource(&place.group, &place.version, &place.plural) else {
        let built_in = state.resources().iter().any(|found| found.group == place.group && found.custom.is_none());
        return Err(if built_in { Failure::no_such_resource() } else { Failure::no_such_path() });
    };
    let wrong_scope = match (&place.namespace, &place.name) {
        (Some(_), _) => !found.namespaced,
        (None, Some(_)) => found.namespaced,
        (None, None) => false,
    };
    if wrong_scope {
        return Err(if found.custom.is_some() { Failure::no_such_path() } else { Failure::no_such_resource() });
    }
    Ok(found)
}

/// Answers everything about objects except watches.
pub(crate) fn answer(
    state: &mut State,
    call: &Call,
    resource: &Arc<Resource>,
    place: &Place,
) -> Result<Reply, Failure> {
    let form = Form::of(call, resource)?;
    let Some(name) = &place.name else { return collection(state, call, resource, place, &form) };
    let target: Key = (place.namespace.clone().unwrap_or_default(), name.clone());
    match (place.sub.as_deref(), &resource.scale) {
        (None, _) => {}
        (Some("status"), _) if resource.status => {}
        (Some("finalize"), _) if resource.is("", "namespaces") => {}
        (Some("scale"), Some(scale)) => {
            return scale::handle(state, call, resource, scale, &target).map(Reply::ok);
        }
        (Some("eviction"), _) if resource.is("", "pods") && call.method == http::Method::POST => {
            let body = scale::evict(state, call, resource, &target)?;
            return Ok(Reply { code: 201, body, warnings: Vec::new() });
        }
        (Some(_), _) if resource.custom.is_some() => return Err(Failure::not_found(resource, name)),
        (Some(_), _) => return Err(Failure::no_such_resource()),
    }
    let outcome = match call.method.as_str() {
        "GET" => {
            let found = state.get(&resource.table(), &target).ok_or_else(|| Failure::not_found(resource, name))?;
            let body = form.one(state, resource, &found, true);
            return Ok(Reply::ok(body));
        }
        "PUT" => write::update(state, call, resource, place, &target)?,
        "PATCH" => write::patch(state, call, resource, place, &target)?,
        "DELETE" if place.sub.is_none() => {
            let body = delete::one(state, call, resource, &target)?;
            return Ok(Reply::ok(render::served(resource, &body)));
        }
        // The real server takes this for a creation, whatever the path names.
        "POST" if resource.custom.is_some() && place.sub.is_none() => write::create(state, call, resource, place)?,
        method => return Err(not_allowed(resource, method)),
    };
    let body = form.one(state, resource, &outcome.object, true);
    Ok(Reply { code: outcome.code, body, warnings: outcome.warnings })
}

fn collection(
    state: &mut State,
    call: &Call,
    resource: &Arc<Resource>,
    place: &Place,
    form: &Form,
) -> Result<Reply, Failure> {
    match call.method.as_str() {
        "GET" => {
            let page = read::list(state, call, resource, place)?;
            Ok(Reply::ok(form.many(state, resource, &page)))
        }
        "POST" if !resource.namespaced || place.namespace.is_some() => {
            let outcome = write::create(state, call, resource, place)?;
            let body = form.one(state, resource, &outcome.object, true);
            Ok(Reply { code: outcome.code, body, warnings: outcome.warnings })
        }
        "DELETE" if !resource.namespaced || place.namespace.is_some() => {
            let items = delete::many(state, call, resource, place)?;
            let page = read::Page { version: state.version(), items, next: None, remaining: None };
            Ok(Reply::ok(form.many(state, resource, &page)))
        }
        _ if resource.custom.is_some() && resource.namespaced && place.namespace.is_none() => {
            Err(Failure::no_such_path())
        }
        "PUT" | "PATCH" if resource.custom.is_some() => Err(Failure::bad_request("name must be provided")),
        method => Err(not_allowed(resource, method)),
    }
}

fn not_allowed(resource: &Resource, method: &str) -> Failure {
    if resource.custom.is_some() {
        let verb = match method {
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" => "delete",
            other => return Failure::method_not_supported(resource, &other.to_lowercase()),
        };
        Failure::method_not_supported(resource, verb)
    } else {
        Failure::method_not_allowed()
    }
}
