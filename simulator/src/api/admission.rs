//! From a body to an object of a kind: decoded, pruned, defaulted, not yet checked.

use serde_json::Value;

use super::call::Call;
use super::failure::{Failure, FieldError};
use super::resource::Resource;
use super::{built_in, meta};
use crate::json;

/// What to do with fields the kind does not have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Ignore,
    Warn,
    Refuse,
}

fn unknown_policy(call: &Call) -> Result<Unknown, Failure> {
    match call.param("fieldValidation") {
        None | Some("Warn") => Ok(Unknown::Warn),
        Some("Ignore") => Ok(Unknown::Ignore),
        Some("Strict") => Ok(Unknown::Refuse),
        Some(other) => {
            let (group, kind) = match call.method.as_str() {
                "POST" => ("meta.k8s.io", "CreateOptions"),
                "PUT" => ("meta.k8s.io", "UpdateOptions"),
                _ => ("meta.k8s.io", "PatchOptions"),
            };
            let known = ["", "Ignore", "Strict", "Warn"].map(Value::from);
            let error = FieldError::unsupported("fieldValidation", &Value::from(other), &known);
            Err(Failure::invalid(group, kind, "", &[error]))
        }
    }
}

/// Reads, prunes and defaults an object a client sent.
pub(crate) fn admit(
    call: &Call,
    resource: &Resource,
    mut object: Value,
    warnings: &mut Vec<String>,
) -> Result<Value, Failure> {
    let mut unknown = Vec::new();
    meta::tidy(resource, &mut object, &mut unknown)?;
    match &resource.custom {
        Some(custom) => custom.schema.prune_object(&mut object, &mut unknown),
        None => built_in::prune(resource, &mut object, &mut unknown)?,
    }
    unknown.sort();
    match unknown_policy(call)? {
        Unknown::Ignore => {}
        Unknown::Warn => warnings.extend(unknown.iter().map(|path| format!("unknown field {path:?}"))),
        Unknown::Refuse if unknown.is_empty() => {}
        Unknown::Refuse => {
            let all: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
            let text = format!("strict decoding error: {}", all.join(", "));
            let message = if call.method == http::Method::PATCH {
                text
            } else {
                format!(
                    "{} in version {:?} cannot be handled as a {}: {text}",
                    resource.kind, resource.version, resource.kind
                )
            };
            return Err(Failure::bad_request(message));
        }
    }
    fill(resource, &mut object);
    Ok(object)
}

/// Writes the defaults of the kind.
pub(crate) fn fill(resource: &Resource, object: &mut Value) {
    match &resource.custom {
        Some(custom) => custom.schema.fill(object),
        None => built_in::fill(resource, object),
    }
}

/// The bodies the server reads; it names protobuf although this one does not read it, as the real one does.
pub(crate) const MEDIA_TYPES: &[&str] =
    &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// The body as an object of this kind.
pub(crate) fn decode(call: &Call, resource: &Resource) -> Result<Value, Failure> {
    if resource.custom.is_none() && call.media_type() == "application/vnd.kubernetes.protobuf" {
        return Err(Failure::no_protobuf());
    }
    if !matches!(call.media_type(), "" | "application/json" | "application/yaml" | "*/*") {
        return Err(Failure::unsupported_media_type(MEDIA_TYPES));
    }
    let mut object = call.json().map_err(|error| {
        let message = if resource.custom.is_some() {
            format!("error decoding object: {error}")
        } else {
            format!("the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {error}", resource.kind)
        };
        Failure::bad_request(message)
    })?;
    let (version, kind) = (json::text(&object, &["apiVersion"]), json::text(&object, &["kind"]));
    if resource.custom.is_some() {
        let Some(kind) = kind else {
            let body = String::from_utf8_lossy(&call.body);
            return Err(Failure::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): Object 'Kind' is missing in '{body}' ({body})",
                resource.kind
            )));
        };
        let found = version.unwrap_or_default();
        if found != resource.api_version() {
            return Err(other_version(resource, found));
        }
        if kind != resource.kind {
            let error = FieldError::invalid("kind", &Value::from(kind), &format!("must be {}", resource.kind));
            return Err(Failure::invalid(&resource.group, kind, json::name(&object), &[error]));
        }
    } else {
        let (found, kind) = (version.unwrap_or(&resource.version), kind.unwrap_or(&resource.kind));
        let found_version = found.rsplit('/').next().unwrap_or_default();
        if kind != resource.kind {
            let group = resource.group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
            return Err(Failure::bad_request(format!(
                "{kind} in version {found_version:?} cannot be handled as a {}: converting ({found_version}.{kind}) to ({group}.{}): unknown conversion",
                resource.kind, resource.kind
            )));
        }
        if version.is_some_and(|version| version != resource.api_version()) {
            return Err(other_version(resource, found));
        }
    }
    meta::identity(resource, &mut object);
    Ok(object)
}

fn other_version(resource: &Resource, found: &str) -> Failure {
    Failure::bad_request(format!(
        "the API version in the data ({found}) does not match the expected API version ({})",
        resource.api_version()
    ))
}
