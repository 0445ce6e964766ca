//! The form an answer takes: the object itself, its metadata only, or a table for people.

use serde_json::{Value, json};

use super::admission::MEDIA_TYPES;
use super::call::Call;
use super::failure::Failure;
use super::read::Page;
use super::resource::Resource;
use super::storage::State;
use super::table;
use crate::json;

/// The form a client asked for.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    Whole,
    Metadata,
    Table { include: String, headers: bool },
}

impl Form {
    /// Reads the `Accept` header.
    pub(crate) fn of(call: &Call, resource: &Resource) -> Result<Self, Failure> {
        let accept = call.header("accept");
        let accept = if accept.is_empty() { "*/*" } else { accept };
        for part in accept.split(',') {
            let mut pieces = part.split(';').map(str::trim);
            let media = pieces.next().unwrap_or_default();
            if !matches!(media, "application/json" | "*/*" | "application/*") {
                continue;
            }
            let asked = pieces.find_map(|piece| piece.strip_prefix("as="));
            return Ok(match asked {
                Some("Table") => {
                    Self::Table { include: call.param("includeObject").unwrap_or("Metadata").to_owned(), headers: true }
                }
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Self::Metadata,
                _ => Self::Whole,
            });
        }
        Err(if resource.custom.is_some() { Failure::not_acceptable(MEDIA_TYPES) } else { unavailable(call) })
    }

    /// A table's column definitions go out once.
    pub(crate) fn headers_sent(&mut self, sent: bool) {
        if let Self::Table { headers, .. } = self {
            *headers &= !sent;
        }
    }

    /// One object in this form.
    pub(crate) fn one(&self, state: &mut State, resource: &Resource, object: &Value, first: bool) -> Value {
        match self {
            Self::Whole => served(resource, object),
            Self::Metadata => metadata_only(object),
            Self::Table { include, headers } => {
                let rows = vec![table::row(state, resource, object, include)];
                let metadata = json!({"resourceVersion": json::at(object, &["metadata", "resourceVersion"])});
                table::table(resource, &metadata, &rows, *headers || first)
            }
        }
    }

    /// A list in this form.
    pub(crate) fn many(&self, state: &mut State, resource: &Resource, page: &Page) -> Value {
        let mut metadata = page.metadata();
        if resource.custom.is_some() && matches!(self, Self::Whole) {
            json::default(&mut metadata, &["continue"], "");
        }
        match self {
            Self::Whole => json!({
                "kind": resource.list_kind, "apiVersion": resource.api_version(), "metadata": metadata,
                "items": page.items.iter().map(|item| element(resource, item)).collect::<Vec<_>>(),
            }),
            Self::Metadata => json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "items": page.items.iter().map(|item| metadata_only(item)).collect::<Vec<_>>(),
            }),
            Self::Table { include, .. } => {
                let rows: Vec<Value> =
                    page.items.iter().map(|item| table::row(state, resource, item, include)).collect();
                table::table(resource, &metadata, &rows, true)
            }
        }
    }
}

/// The refusal of the router in front of the built-in kinds.
fn unavailable(call: &Call) -> Failure {
    let mut all: Vec<String> = MEDIA_TYPES.iter().map(|media| (*media).to_owned()).collect();
    if matches!(call.verb(), "list" | "watch") {
        all.extend(
            ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"].map(str::to_owned),
        );
    }
    let message = format!("406: Not Acceptable\n\nAvailable representations: {}", all.join(", "));
    Failure::new(406, "NotAcceptable", message).with_details(json!({}))
}

/// The object in the version it was asked in.
pub(crate) fn served(resource: &Resource, object: &Value) -> Value {
    let mut object = object.clone();
    if resource.custom.is_some() && object.get("kind").and_then(Value::as_str) != Some("Status") {
        json::set(&mut object, &["apiVersion"], resource.api_version());
    }
    object
}

/// Elements of typed lists do not repeat their kind.
fn element(resource: &Resource, object: &Value) -> Value {
    let mut object = served(resource, object);
    if resource.custom.is_none() {
        json::remove(&mut object, &["apiVersion"]);
        json::remove(&mut object, &["kind"]);
    }
    object
}

fn metadata_only(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_default(),
    })
}
