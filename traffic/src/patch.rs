//! The smallest JSON merge patch (RFC 7386) that brings the fields somebody manages to their desired values.
//!
//! Invariants: fields which the desired object does not name are never in the patch; an object which already says what
//! is desired needs no patch; applying the patch and asking again gives none.

use serde_json::{Map, Value};

/// What must be merged into `current` so that it says everything `desired` says. In `desired`, `null` means that the
/// field should be absent, and a list is one value. `None` when there is nothing to do.
pub fn difference(current: &Value, desired: &Value) -> Option<Value> {
    match desired {
        Value::Object(wanted) => {
            let empty = Map::new();
            let present = current.as_object().unwrap_or(&empty);
            let fields: Map<String, Value> = wanted
                .iter()
                .filter_map(|(name, value)| {
                    Some((name.clone(), difference(present.get(name).unwrap_or(&Value::Null), value)?))
                })
                .collect();
            // An empty object is itself something to write where there is none.
            (!fields.is_empty() || (wanted.is_empty() && !current.is_object())).then_some(Value::Object(fields))
        }
        Value::Null if is_absent(current) => None,
        _ => (current != desired).then(|| desired.clone()),
    }
}

/// The API server drops empty lists of optional fields, so they say the same as no list.
fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_patched() {
        let current = json!({ "a": { "keep": 1, "change": 2, "remove": 3 }, "list": [1, 2], "other": true });
        let desired = json!({ "a": { "change": 20, "remove": null, "missing": null, "keep": 1 }, "list": [2, 1] });
        assert_eq!(
            difference(&current, &desired),
            Some(json!({ "a": { "change": 20, "remove": null }, "list": [2, 1] }))
        );
    }

    #[test]
    fn an_absent_an_empty_and_a_null_list_are_the_same() {
        for current in [json!({}), json!({ "tls": [] }), json!({ "tls": null })] {
            assert_eq!(difference(&current, &json!({ "tls": null })), None);
        }
        assert_eq!(difference(&json!({ "tls": [1] }), &json!({ "tls": null })), Some(json!({ "tls": null })));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), (0..3).prop_map(Value::from)];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn any_object() -> impl Strategy<Value = Value> {
        prop::collection::btree_map("[abc]", any_json(), 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn a_merged_patch_leaves_nothing_to_do(current in any_object(), desired in any_object()) {
            let mut merged = current.clone();
            if let Some(patch) = difference(&current, &desired) {
                crds::json_patch::merge(&mut merged, &patch);
            }
            prop_assert_eq!(difference(&merged, &desired), None, "merged: {}", merged);
        }

        #[test]
        fn a_field_that_is_not_desired_is_never_touched(current in any_object(), desired in any_object()) {
            if let Some(patch) = difference(&current, &desired) {
                for name in patch.as_object().unwrap().keys() {
                    prop_assert!(desired.get(name).is_some());
                }
            }
        }
    }
}
