//! Refusals with the texts of the real API server.
//!
//! Invariant: a [`Failure`] renders to a complete `v1 Status` object; its code, reason, message and details are those a
//! client of the real server would see.

use serde_json::{Map, Value, json};
use thiserror::Error;

use super::resource::Resource;

/// A request that was refused.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{message}")]
pub struct Failure {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason, for example `NotFound`.
    pub reason: String,
    /// The message for people.
    pub message: String,
    pub(crate) details: Option<Box<Value>>,
    pub(crate) continue_token: Option<String>,
    /// Answered as plain text instead of a `Status` object.
    pub(crate) plain: bool,
}

/// One field that is wrong, as in Go's `field.Error`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldError {
    pub(crate) path: String,
    pub(crate) reason: &'static str,
    pub(crate) body: String,
}

fn shown(value: &Value) -> String {
    value.to_string()
}

impl FieldError {
    fn new(path: impl Into<String>, reason: &'static str, body: String) -> Self {
        Self { path: path.into(), reason, body }
    }

    pub(crate) fn invalid(path: impl Into<String>, value: &Value, why: &str) -> Self {
        Self::new(path, "FieldValueInvalid", format!("Invalid value: {}: {why}", shown(value)))
    }

    /// A CEL rule that does not hold; the value is not shown.
    pub(crate) fn rule_broken(path: impl Into<String>, why: &str) -> Self {
        Self::new(path, "FieldValueInvalid", format!("Invalid value: {why}"))
    }

    pub(crate) fn wrong_type(path: impl Into<String>, value: &Value, why: &str) -> Self {
        Self::new(path, "FieldValueTypeInvalid", format!("Invalid value: {}: {why}", shown(value)))
    }

    pub(crate) fn required(path: impl Into<String>, why: &str) -> Self {
        let body = if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
        Self::new(path, "FieldValueRequired", body)
    }

    pub(crate) fn unsupported(path: impl Into<String>, value: &Value, known: &[Value]) -> Self {
        let known: Vec<String> = known.iter().map(shown).collect();
        let body = format!("Unsupported value: {}: supported values: {}", shown(value), known.join(", "));
        Self::new(path, "FieldValueNotSupported", body)
    }

    pub(crate) fn duplicate(path: impl Into<String>, value: &Value) -> Self {
        Self::new(path, "FieldValueDuplicate", format!("Duplicate value: {}", shown(value)))
    }

    pub(crate) fn forbidden(path: impl Into<String>, why: &str) -> Self {
        Self::new(path, "FieldValueForbidden", format!("Forbidden: {why}"))
    }

    pub(crate) fn too_long(path: impl Into<String>, most: u64) -> Self {
        Self::new(path, "FieldValueTooLong", format!("Too long: may not be more than {most} bytes"))
    }

    pub(crate) fn too_many(path: impl Into<String>, found: usize, most: u64) -> Self {
        Self::new(path, "FieldValueTooMany", format!("Too many: {found}: must have at most {most} items"))
    }
}

impl Failure {
    pub(crate) fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            message: message.into(),
            details: None,
            continue_token: None,
            plain: false,
        }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        self.details = Some(Box::new(details(&resource.group, &resource.plural, name, None)));
        self
    }

    pub(crate) fn with_details(mut self, details: Value) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} \"{name}\" not found", resource.qualified())).about(resource, name)
    }

    pub(crate) fn exists(resource: &Resource, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} \"{name}\" already exists", resource.qualified()))
            .about(resource, name)
    }

    pub(crate) fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified());
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// A deletion whose precondition does not hold; the real server names the kind here, not the resource.
    pub(crate) fn precondition(resource: &Resource, name: &str, why: &str) -> Self {
        let kind = resource.qualified_kind();
        Self::new(409, "Conflict", format!("Operation cannot be fulfilled on {kind} \"{name}\": {why}"))
            .with_details(details(&resource.group, &resource.kind, name, None))
    }

    pub(crate) fn modified(resource: &Resource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub(crate) fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for error in errors {
            let text = format!("{}: {}", error.path, error.body);
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let all = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let causes: Vec<Value> = errors
            .iter()
            .map(|error| json!({"reason": error.reason, "message": error.body, "field": error.path}))
            .collect();
        Self::new(422, "Invalid", format!("{qualified} \"{name}\" is invalid: {all}")).with_details(details(
            group,
            kind,
            name,
            Some(causes),
        ))
    }

    pub(crate) fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is forbidden: {why}", resource.qualified());
        Self::new(403, "Forbidden", message).about(resource, name)
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn no_such_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource").with_details(json!({}))
    }

    pub(crate) fn no_such_path() -> Self {
        let mut failure = Self::new(404, "NotFound", "404 page not found\n");
        failure.plain = true;
        failure
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
            .with_details(json!({}))
    }

    pub(crate) fn method_not_supported(resource: &Resource, verb: &str) -> Self {
        let message = format!("{verb} is not supported on resources of kind \"{}\"", resource.qualified());
        Self::new(405, "MethodNotAllowed", message).with_details(details(&resource.group, &resource.plural, "", None))
    }

    /// The one thing that the real server reads and this one does not; `kubectl create deployment` and the like send it.
    pub(crate) fn no_protobuf() -> Self {
        let instead = "use kubectl apply -f FILE, or kubectl create … --dry-run=client -o yaml | kubectl apply -f -";
        Self::new(415, "UnsupportedMediaType", format!("this simulated API server reads no protobuf: {instead}"))
    }

    pub(crate) fn unsupported_media_type(accepted: &[&str]) -> Self {
        Self::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {}",
                accepted.join(", ")
            ),
        )
    }

    pub(crate) fn not_acceptable(accepted: &[&str]) -> Self {
        Self::new(406, "NotAcceptable", format!("only the following media types are accepted: {}", accepted.join(", ")))
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub(crate) fn too_large_version(wanted: u64, current: u64) -> Self {
        Self::new(504, "Timeout", format!("Too large resource version: {wanted}, current: {current}")).with_details(
            json!({
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                "retryAfterSeconds": 1
            }),
        )
    }

    pub(crate) fn too_many_requests(message: &str, retry_after: u64) -> Self {
        Self::new(429, "TooManyRequests", message).with_details(json!({"retryAfterSeconds": retry_after}))
    }

    pub(crate) fn unprocessable_patch() -> Self {
        Self::new(422, "Invalid", "the server rejected our request due to an error in our request")
            .with_details(json!({}))
    }

    /// The `v1 Status` object.
    pub fn status(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(token) = &self.continue_token {
            metadata.insert("continue".to_owned(), Value::String(token.clone()));
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure",
            "message": self.message, "reason": self.reason,
        });
        if let (Some(details), Some(map)) = (&self.details, status.as_object_mut()) {
            map.insert("details".to_owned(), (**details).clone());
        }
        if let Some(map) = status.as_object_mut() {
            map.insert("code".to_owned(), self.code.into());
        }
        status
    }
}

fn details(group: &str, kind: &str, name: &str, causes: Option<Vec<Value>>) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, text: &str| {
        if !text.is_empty() {
            map.insert(key.to_owned(), text.into());
        }
    };
    put("name", name);
    put("group", group);
    put("kind", kind);
    if let Some(causes) = causes {
        map.insert("causes".to_owned(), causes.into());
    }
    Value::Object(map)
}
