//! Get and list: consistent pages of a collection.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::call::{Call, Place};
use super::failure::Failure;
use super::resource::Resource;
use super::selectors::{Fields, Labels};
use super::storage::{Object, State, TooOld, key};
use crate::json;

const CONTINUE_EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// The selection a list or watch makes.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub(crate) namespace: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) fields: Fields,
}

impl Selection {
    pub(crate) fn read(call: &Call, resource: &Resource, place: &Place) -> Result<Self, Failure> {
        let text = call.param("labelSelector").unwrap_or_default();
        Ok(Self {
            namespace: place.namespace.clone(),
            labels: Labels::parse(text)?,
            fields: Fields::parse(call.param("fieldSelector").unwrap_or_default(), resource)?,
        })
    }

    pub(crate) fn takes(&self, object: &Value) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| namespace == json::namespace(object))
            && self.fields.select(object)
            && self.labels.select(object)
    }
}

/// The wanted resource version; absent and 0 mean any.
pub(crate) fn wanted_version(call: &Call) -> Result<Option<u64>, Failure> {
    match call.param("resourceVersion") {
        None => Ok(None),
        Some(text) => text.parse().map(|version| Some(version).filter(|version| *version > 0)).map_err(|_| {
            Failure::bad_request(format!(
                "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        }),
    }
}

/// A page of a list.
pub(crate) struct Page {
    pub(crate) version: u64,
    pub(crate) items: Vec<Object>,
    pub(crate) next: Option<String>,
    pub(crate) remaining: Option<usize>,
}

pub(crate) fn list(state: &State, call: &Call, resource: &Resource, place: &Place) -> Result<Page, Failure> {
    let selection = Selection::read(call, resource, place)?;
    let wanted = wanted_version(call)?;
    let limit = call.param("limit").and_then(|text| text.parse::<usize>().ok()).filter(|limit| *limit > 0);
    let namespace = place.namespace.as_deref();
    let table = resource.table();
    let mut after = None;
    let (version, objects) = if let Some(token) = call.param("continue") {
        if wanted.is_some() {
            return Err(Failure::bad_request("specifying resource version is not allowed when using continue"));
        }
        let (version, start) = read_token(token)?;
        after = Some(start.clone());
        let version = if version == 0 { state.version() } else { version };
        let objects = state.all_at(&table, namespace, version).map_err(|TooOld { .. }| {
            let mut failure = Failure::expired(CONTINUE_EXPIRED);
            failure.continue_token = Some(write_token(0, &start));
            failure
        })?;
        (version, objects)
    } else {
        match wanted {
            Some(version) if version > state.version() => {
                return Err(Failure::too_large_version(version, state.version()));
            }
            Some(version) if call.param("resourceVersionMatch") == Some("Exact") => {
                let objects = state.all_at(&table, namespace, version).map_err(|_| {
                    Failure::expired("The resourceVersion for the provided list is too old.".to_string())
                })?;
                (version, objects)
            }
            _ => (state.version(), state.all(&table, namespace)),
        }
    };
    let mut items = objects.into_iter().filter(|object| selection.takes(object)).filter(|object| {
        let (namespace, name) = key(object);
        after.as_ref().is_none_or(|after| format!("{namespace}/{name}") > *after)
    });
    let page: Vec<Object> = match limit {
        Some(limit) => items.by_ref().take(limit).collect(),
        None => items.by_ref().collect(),
    };
    let rest = items.count();
    let last = page.last().map(|object| format!("{}/{}", json::namespace(object), json::name(object)));
    let next = last.filter(|_| rest > 0).map(|last| write_token(version, &last));
    let selects = !selection.labels.is_empty() || call.param("fieldSelector").is_some();
    Ok(Page { version, items: page, next, remaining: (rest > 0 && !selects).then_some(rest) })
}

fn write_token(version: u64, start: &str) -> String {
    URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": version, "start": start}).to_string())
}

fn read_token(token: &str) -> Result<(u64, String), Failure> {
    let invalid = |why: String| Failure::bad_request(format!("continue key is not valid: {why}"));
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid("illegal base64 data at input byte 3".to_owned()))?;
    let token: Value = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
    let version = token.get("rv").and_then(Value::as_u64).unwrap_or_default();
    Ok((version, json::text(&token, &["start"]).unwrap_or_default().to_owned()))
}

impl Page {
    pub(crate) fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.version.to_string()});
        if let Some(next) = &self.next {
            json::set(&mut metadata, &["continue"], next.clone());
        }
        if let Some(remaining) = self.remaining {
            json::set(&mut metadata, &["remainingItemCount"], remaining);
        }
        metadata
    }
}
