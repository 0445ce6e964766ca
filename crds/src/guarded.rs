//! Reading objects which may not fit their type.
//!
//! A watch answers with many objects at once; one which cannot be read must not hide the others. [`Guarded`] reads as
//! `K` when it can, and otherwise keeps the object as it came, with a message that names the field, its value and what
//! would be right. Reading a `Guarded` fails only when the bytes are not JSON.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

/// An object of kind `K`, or one that should be but does not fit.
#[derive(Clone, Debug, PartialEq)]
pub enum Guarded<K> {
    /// The object fits.
    Valid(Box<K>),
    /// The object does not fit.
    Malformed(Box<Malformed>),
}

/// An object which does not fit its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Malformed {
    /// As much of the metadata as could be read: name, namespace, uid and resourceVersion at least, where they are text.
    pub metadata: ObjectMeta,
    /// What is wrong, for example `spec.replicas: "three" is not an integer (32 bits)`.
    pub error: String,
    /// The object as it came.
    pub raw: Value,
}

impl<K> Guarded<K> {
    /// The object, when it fits.
    pub fn as_valid(&self) -> Option<&K> {
        match self {
            Self::Valid(object) => Some(object),
            Self::Malformed(_) => None,
        }
    }

    /// The object by value, when it fits.
    pub fn valid(self) -> Option<K> {
        self.into_result().ok()
    }

    /// The object, or what is wrong with it.
    ///
    /// # Errors
    ///
    /// When the object does not fit its type.
    pub fn into_result(self) -> Result<K, Box<Malformed>> {
        match self {
            Self::Valid(object) => Ok(*object),
            Self::Malformed(malformed) => Err(malformed),
        }
    }
}

impl<K: DeserializeOwned> Guarded<K> {
    /// Reads an object; never fails.
    pub fn from_value(raw: Value) -> Self {
        match serde_path_to_error::deserialize(&raw) {
            Ok(object) => Self::Valid(Box::new(object)),
            Err(error) => {
                let error = message(error.path(), &error.inner().to_string(), &raw);
                Self::Malformed(Box::new(Malformed { metadata: metadata(&raw), error, raw }))
            }
        }
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from_value)
    }
}

impl<K: Serialize> Serialize for Guarded<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Valid(object) => object.serialize(serializer),
            Self::Malformed(malformed) => malformed.raw.serialize(serializer),
        }
    }
}

impl<K: Resource> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Valid(object) => object.meta(),
            Self::Malformed(malformed) => &malformed.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Valid(object) => object.meta_mut(),
            Self::Malformed(malformed) => &mut malformed.metadata,
        }
    }
}

/// The metadata; when it does not fit either, field by field what does.
fn metadata(raw: &Value) -> ObjectMeta {
    let Some(raw) = raw.get("metadata") else {
        return ObjectMeta::default();
    };
    if let Ok(metadata) = ObjectMeta::deserialize(raw) {
        return metadata;
    }
    let fitting = |field: &str| raw.get(field).and_then(Value::as_str).map(str::to_owned);
    ObjectMeta {
        name: fitting("name"),
        namespace: fitting("namespace"),
        uid: fitting("uid"),
        resource_version: fitting("resourceVersion"),
        generation: raw.get("generation").and_then(Value::as_i64),
        ..ObjectMeta::default()
    }
}

/// Puts the path, the value and the expectation into one sentence.
fn message(path: &Path, inner: &str, raw: &Value) -> String {
    let place = match path.to_string() {
        root if root == "." => String::new(),
        path => format!("{path}: "),
    };
    let Some((_, expected)) = inner.split_once(", expected ") else {
        return format!("{place}{inner}");
    };
    let value = value_at(path, raw).map_or_else(|| "the object".to_owned(), excerpt);
    format!("{place}{value} is not {}", in_words(expected))
}

fn value_at<'a>(path: &Path, raw: &'a Value) -> Option<&'a Value> {
    path.iter().try_fold(raw, |value, segment| match segment {
        Segment::Seq { index } => value.get(index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}

/// The value as JSON, cut when it is long.
fn excerpt(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// What Rust calls a type, in words of the API.
fn in_words(expected: &str) -> String {
    match expected {
        "i32" => "an integer (32 bits)".to_owned(),
        "i64" => "an integer (64 bits)".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "a borrowed string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        "IntOrString" => "an integer (32 bits) or text".to_owned(),
        other if other.starts_with("struct ") => "an object".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
    use serde_json::json;

    use super::*;
    use crate::Rollout;

    fn rollout(spec: &Value) -> Value {
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": { "name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7" },
            "spec": spec,
        })
    }

    #[track_caller]
    fn says(raw: &Value, wanted: &str) {
        match Guarded::<Rollout>::from_value(raw.clone()) {
            Guarded::Valid(_) => panic!("fits, but should say: {wanted}"),
            Guarded::Malformed(malformed) => {
                assert_eq!(malformed.error, wanted);
                assert_eq!(malformed.raw, *raw);
                assert_eq!(malformed.metadata.name.as_deref(), Some("web"));
                assert_eq!(malformed.metadata.uid.as_deref(), Some("u1"));
            }
        }
    }

    #[test]
    fn the_error_names_field_value_and_what_would_be_right() {
        says(&rollout(&json!({ "replicas": "three" })), "spec.replicas: \"three\" is not an integer (32 bits)");
        says(
            &rollout(&json!({ "replicas": 5_000_000_000_i64 })),
            "spec.replicas: 5000000000 is not an integer (32 bits)",
        );
        says(&rollout(&json!({ "paused": "yes" })), "spec.paused: \"yes\" is not true or false");
        says(&rollout(&json!({ "template": [1] })), "spec.template: [1] is not an object");
        says(
            &rollout(&json!({ "strategy": { "canary": { "steps": [{ "setWeight": 1 }, { "setWeight": 1.5 }] } } })),
            "spec.strategy.canary.steps[1].setWeight: 1.5 is not an integer (32 bits)",
        );
        says(
            &rollout(&json!({ "strategy": { "canary": { "steps": { "setWeight": 1 } } } })),
            "spec.strategy.canary.steps: {\"setWeight\":1} is not a list",
        );
        says(
            &rollout(&json!({ "strategy": { "canary": { "maxSurge": true } } })),
            "spec.strategy.canary.maxSurge: true is not an integer (32 bits) or text",
        );
        says(
            &rollout(&json!({ "strategy": { "blueGreen": {} } })),
            "spec.strategy.blueGreen: missing field `activeService`",
        );
    }

    #[test]
    fn metadata_which_does_not_fit_is_read_as_far_as_possible() {
        let mut raw = rollout(&json!({}));
        raw["metadata"]["labels"] = json!(["not", "a", "map"]);
        says(&raw, "metadata.labels: [\"not\",\"a\",\"map\"] is not an object");
    }

    #[test]
    fn one_which_does_not_fit_leaves_the_others_readable() {
        let list = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "RolloutList", "metadata": { "resourceVersion": "9" },
            "items": [rollout(&json!({ "replicas": 3 })), rollout(&json!({ "replicas": "x" })), 5],
        });
        let list: kube::core::ObjectList<Guarded<Rollout>> = serde_json::from_value(list).unwrap();
        assert_eq!(list.items.len(), 3);
        assert_eq!(list.items[0].as_valid().and_then(|rollout| rollout.spec.replicas), Some(3));
        assert!(list.items[1].as_valid().is_none());
        assert_eq!(list.items[1].name_any(), "web");
        assert_eq!(list.items[2].name_any(), "");
        assert_eq!(
            Guarded::<Rollout>::url_path(&(), Some("shop")),
            "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts"
        );
    }

    #[test]
    fn kube_watches_it() {
        fn watchable<K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static>() {}
        watchable::<Guarded<Rollout>>();
    }
}
