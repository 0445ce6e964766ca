//! Objects that people wrote, read so that one which does not fit never hides the others.
//!
//! A watch of a typed kind ends at the first object it cannot read. [`Guarded`] reads the metadata first and keeps the
//! rest as it came when it does not fit, together with what is wrong.

use std::borrow::Cow;

use kube::Resource;
use kube::api::ObjectMeta;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// An object of kind `K`, or what came in its place.
#[derive(Clone, Debug)]
pub enum Guarded<K> {
    /// It fits.
    Valid(Box<K>),
    /// It does not.
    Malformed(Box<Malformed>),
}

/// An object which is not of the form its kind has.
#[derive(Clone, Debug)]
pub struct Malformed {
    /// Its metadata, which could be read.
    pub metadata: ObjectMeta,
    /// What is wrong: the path of the field, the value found there and what would be right.
    pub error: String,
    /// The whole object as it came.
    pub raw: Value,
}

impl<K> Guarded<K> {
    /// The object, if it fits.
    pub fn valid(self) -> Option<K> {
        match self {
            Self::Valid(object) => Some(*object),
            Self::Malformed(_) => None,
        }
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Value::deserialize(deserializer)?;
        match serde_path_to_error::deserialize(&raw) {
            Ok(object) => Ok(Self::Valid(Box::new(object))),
            Err(problem) => {
                let metadata = raw.get("metadata").ok_or_else(|| D::Error::missing_field("metadata"))?;
                let metadata = ObjectMeta::deserialize(metadata).map_err(D::Error::custom)?;
                let error = format!("{}: {}", problem.path(), problem.inner());
                Ok(Self::Malformed(Box::new(Malformed { metadata, error, raw })))
            }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Rollout;

    fn read(spec: &Value) -> Guarded<Rollout> {
        let object = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web", "namespace": "shop"},
            "spec": spec
        });
        serde_json::from_value(object).expect("metadata is readable")
    }

    #[test]
    fn an_object_that_fits_is_valid() {
        let rollout = read(&json!({"replicas": 3})).valid().expect("it fits");
        assert_eq!(rollout.spec.replicas, Some(3));
    }

    #[test]
    fn a_wrong_type_names_the_field_the_value_and_what_would_be_right() {
        let Guarded::Malformed(malformed) = read(&json!({"replicas": "three"})) else {
            panic!("replicas must be a number");
        };
        assert_eq!(malformed.metadata.name.as_deref(), Some("web"));
        assert_eq!(malformed.error, "spec.replicas: invalid type: string \"three\", expected i32");
        assert_eq!(malformed.raw["spec"]["replicas"], "three");
    }

    #[test]
    fn the_path_reaches_into_lists() {
        let spec = json!({"strategy": {"canary": {"steps": [{"setWeight": 20}, {"setWeight": "much"}]}}});
        let Guarded::Malformed(malformed) = read(&spec) else { panic!("setWeight must be a number") };
        assert!(malformed.error.starts_with("spec.strategy.canary.steps[1].setWeight: invalid type"), "{}", malformed.error);
    }
}
