//! Small readers and writers on untyped JSON objects.
//!
//! Invariant: no function here panics on any input; a path that does not exist reads as absent, and writing creates the
//! objects on the way.

use serde_json::{Map, Value};

/// What stands at `path`, if every step of it exists.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |inner, key| inner.get(*key))
}

/// The text at `path`; the empty text reads as absent, as in Go's types.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path).and_then(Value::as_str).filter(|found| !found.is_empty())
}

/// The integer at `path`.
pub(crate) fn int(value: &Value, path: &[&str]) -> Option<i64> {
    at(value, path).and_then(Value::as_i64)
}

/// The list at `path`; absent reads as empty.
pub(crate) fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The object at `path`.
pub(crate) fn object<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Map<String, Value>> {
    at(value, path).and_then(Value::as_object)
}

/// The object at `path`, made when absent or when something else stands there.
pub(crate) fn object_mut<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut inner = value;
    for key in path {
        inner = as_object(inner).entry((*key).to_owned()).or_insert(Value::Null);
    }
    as_object(inner)
}

fn as_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

/// Writes `new` at `path`.
pub(crate) fn set(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    if let Some((last, parents)) = path.split_last() {
        object_mut(value, parents).insert((*last).to_owned(), new.into());
    }
}

/// Removes and returns what stands at `path`.
pub(crate) fn remove(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let mut inner = value;
    for key in parents {
        inner = inner.get_mut(*key)?;
    }
    inner.as_object_mut()?.shift_remove(*last)
}

/// Makes `path` in `to` what it is in `from`, absence included.
pub(crate) fn carry(from: &Value, to: &mut Value, path: &[&str]) {
    match at(from, path) {
        Some(found) => set(to, path, found.clone()),
        None => {
            remove(to, path);
        }
    }
}

/// Writes `new` at `path` unless something other than `null` stands there.
pub(crate) fn default(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    if at(value, path).is_none_or(Value::is_null) {
        set(value, path, new);
    }
}

/// `metadata.name`, or the empty text.
pub(crate) fn name(value: &Value) -> &str {
    text(value, &["metadata", "name"]).unwrap_or_default()
}

/// `metadata.namespace`, or the empty text.
pub(crate) fn namespace(value: &Value) -> &str {
    text(value, &["metadata", "namespace"]).unwrap_or_default()
}

/// `metadata.uid`, or the empty text.
pub(crate) fn uid(value: &Value) -> &str {
    text(value, &["metadata", "uid"]).unwrap_or_default()
}

/// The `ownerReferences` entry with `controller: true`.
pub(crate) fn controller_of(value: &Value) -> Option<&Value> {
    list(value, &["metadata", "ownerReferences"])
        .iter()
        .find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))
}

/// Walks a dotted JSONPath of plain fields (`.spec.replicas`), as CRDs use for the scale sub-resource.
pub(crate) fn dotted(path: &str) -> Vec<&str> {
    path.split('.').filter(|part| !part.is_empty()).collect()
}
