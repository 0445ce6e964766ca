//! The merge patch (RFC 7386) that turns one JSON value into another.
//!
//! Invariant: applying `diff(old, new)` to `old` gives `new`; `None` means that they are equal. A `null` inside an array
//! is kept, a `null` as a field's value cannot be expressed by a merge patch and counts as absent.

use serde::Serialize;
use serde_json::{Map, Value};

/// The difference as a merge patch, or `None` when there is none.
pub fn diff(old: &Value, new: &Value) -> Option<Value> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let mut patch = Map::new();
            for (key, value) in new {
                if value.is_null() {
                    continue;
                }
                match old.get(key) {
                    Some(before) if !before.is_null() => {
                        if let Some(change) = diff(before, value) {
                            patch.insert(key.clone(), change);
                        }
                    }
                    _ => {
                        patch.insert(key.clone(), value.clone());
                    }
                }
            }
            for (key, before) in old {
                if !before.is_null() && new.get(key).is_none_or(Value::is_null) {
                    patch.insert(key.clone(), Value::Null);
                }
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        (old, new) if old == new => None,
        (_, new) => Some(new.clone()),
    }
}

/// [`diff`] of two serializable values; an absent one counts as an empty object.
pub fn diff_of<T: Serialize>(old: Option<&T>, new: &T) -> Result<Option<Value>, serde_json::Error> {
    let old = match old {
        Some(old) => serde_json::to_value(old)?,
        None => Value::Object(Map::new()),
    };
    Ok(diff(&old, &serde_json::to_value(new)?))
}

/// Adds the preconditions of a write to a merge patch: the API server answers with a conflict when they do not hold.
pub fn with_preconditions(mut patch: Value, uid: Option<&str>, resource_version: Option<&str>) -> Value {
    if !patch.is_object() {
        return patch;
    }
    if let Some(object) = patch.as_object_mut() {
        let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if let Some(metadata) = metadata.as_object_mut() {
            if let Some(uid) = uid {
                metadata.insert("uid".to_owned(), Value::String(uid.to_owned()));
            }
            if let Some(version) = resource_version {
                metadata.insert("resourceVersion".to_owned(), Value::String(version.to_owned()));
            }
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i8>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 40, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::hash_map("[a-d]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn applying_the_difference_gives_the_new_value(old in json_value(), new in json_value()) {
            // Inside of a wrapper, because a merge patch of a non-object replaces the whole document.
            let (old, new) = (json!({ "x": old }), json!({ "x": new }));
            let mut result = old.clone();
            if let Some(patch) = diff(&old, &new) {
                crds::json_patch::merge(&mut result, &patch);
            }
            prop_assert_eq!(result, new);
        }
    }

    #[test]
    fn preconditions_join_metadata_that_is_patched_anyway() {
        let patch = json!({ "metadata": { "annotations": { "a": "b" } } });
        assert_eq!(
            with_preconditions(patch, Some("u"), Some("7")),
            json!({ "metadata": { "annotations": { "a": "b" }, "uid": "u", "resourceVersion": "7" } })
        );
    }
}
