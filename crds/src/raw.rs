//! JSON objects which are kept exactly as they came.
//!
//! Pod templates and Job specs belong to Kubernetes and grow with it; plugin settings belong to the plugin. Kept as raw
//! JSON, fields newer than our types survive every write and never change a hash. A value that is not an object is
//! refused when it is read, so the accessors never meet one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::JobSpec as TypedJobSpec;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

macro_rules! raw_object {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(transparent)]
        pub struct $name(pub Value);

        impl $name {
            /// The value of a top-level field.
            pub fn get(&self, field: &str) -> Option<&Value> {
                self.0.get(field)
            }

            /// The fields; `None` only when the public value was replaced by something that is not an object.
            pub fn fields(&self) -> Option<&Map<String, Value>> {
                self.0.as_object()
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self(Value::Object(Map::new()))
            }
        }

        impl From<Map<String, Value>> for $name {
            fn from(fields: Map<String, Value>) -> Self {
                Self(Value::Object(fields))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Map::deserialize(deserializer).map(Self::from)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
            }
        }
    };
}

raw_object! {
    /// An object whose fields are known only to a plugin or another party.
    RawObject
}

raw_object! {
    /// The pods to run, as the user wrote them.
    PodTemplate
}

raw_object! {
    /// The spec of a batch/v1 Job, as the user wrote it.
    JobSpec
}

impl PodTemplate {
    /// The template as Kubernetes' own type. Fields which that type does not know are absent from it.
    ///
    /// # Errors
    ///
    /// When a field has a type that Kubernetes would not accept; the message names it.
    pub fn typed(&self) -> Result<PodTemplateSpec, serde_json::Error> {
        PodTemplateSpec::deserialize(&self.0)
    }

    /// `metadata.labels`; empty when absent. Values that are not text are left out.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.texts("labels")
    }

    /// The value of one of `metadata.labels`.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.0.get("metadata")?.get("labels")?.get(key)?.as_str()
    }

    /// `metadata.annotations`; empty when absent. Values that are not text are left out.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.texts("annotations")
    }

    /// Sets one label, making `metadata.labels` when it is absent.
    pub fn set_label(&mut self, key: &str, value: &str) {
        self.set_text("labels", key, value);
    }

    /// Sets one annotation, making `metadata.annotations` when it is absent.
    pub fn set_annotation(&mut self, key: &str, value: &str) {
        self.set_text("annotations", key, value);
    }

    /// Removes one label. `metadata.labels` stays, even when it is now empty.
    pub fn remove_label(&mut self, key: &str) {
        self.remove_text("labels", key);
    }

    /// Removes one annotation. `metadata.annotations` stays, even when it is now empty.
    pub fn remove_annotation(&mut self, key: &str) {
        self.remove_text("annotations", key);
    }

    /// The entries of `spec.containers`; empty when absent.
    pub fn containers(&self) -> &[Value] {
        self.list("containers")
    }

    /// The entries of `spec.initContainers`; empty when absent.
    pub fn init_containers(&self) -> &[Value] {
        self.list("initContainers")
    }

    /// Name and image of each container, in order, init containers left out.
    pub fn images(&self) -> Vec<(&str, &str)> {
        self.containers()
            .iter()
            .filter_map(|container| Some((container.get("name")?.as_str()?, container.get("image")?.as_str()?)))
            .collect()
    }

    fn list(&self, field: &str) -> &[Value] {
        self.0.get("spec").and_then(|spec| spec.get(field)).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn texts(&self, field: &str) -> BTreeMap<String, String> {
        let Some(Value::Object(map)) = self.0.get("metadata").and_then(|metadata| metadata.get(field)) else {
            return BTreeMap::new();
        };
        map.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    }

    fn set_text(&mut self, field: &str, key: &str, value: &str) {
        let map = object(&mut self.0).and_then(|template| member(template, "metadata"));
        if let Some(map) = map.and_then(|metadata| member(metadata, field)) {
            map.insert(key.to_owned(), Value::String(value.to_owned()));
        }
    }

    fn remove_text(&mut self, field: &str, key: &str) {
        let map = self.0.get_mut("metadata").and_then(|metadata| metadata.get_mut(field));
        if let Some(Value::Object(map)) = map {
            map.shift_remove(key);
        }
    }
}

impl TryFrom<&PodTemplateSpec> for PodTemplate {
    type Error = serde_json::Error;

    fn try_from(typed: &PodTemplateSpec) -> Result<Self, Self::Error> {
        serde_json::to_value(typed).map(Self)
    }
}

impl JobSpec {
    /// The spec as Kubernetes' own type. Fields which that type does not know are absent from it.
    ///
    /// # Errors
    ///
    /// When a field has a type that Kubernetes would not accept; the message names it.
    pub fn typed(&self) -> Result<TypedJobSpec, serde_json::Error> {
        TypedJobSpec::deserialize(&self.0)
    }
}

/// The value as an object; anything else is first replaced by an empty one.
fn object(value: &mut Value) -> Option<&mut Map<String, Value>> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

fn member<'a>(map: &'a mut Map<String, Value>, field: &str) -> Option<&'a mut Map<String, Value>> {
    object(map.entry(field).or_insert(Value::Null))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_keeps_what_it_does_not_know() {
        let template = json!({
            "metadata": { "creationTimestamp": null, "labels": { "app": "web" } },
            "spec": { "containers": [{ "name": "web", "image": "web:2", "newer": 1.5 }, { "name": "no-image" }] },
        });
        let mut read: PodTemplate = serde_json::from_value(template.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), template);
        assert_eq!(read.images(), [("web", "web:2")]);
        assert!(read.init_containers().is_empty());
        assert_eq!(read.typed().unwrap().spec.unwrap().containers.len(), 2);

        read.set_label("hash", "abc");
        read.set_annotation("role", "canary");
        assert_eq!(read.labels().into_iter().collect::<Vec<_>>().len(), 2);
        assert_eq!(read.annotations(), BTreeMap::from([("role".to_owned(), "canary".to_owned())]));
        read.remove_label("hash");
        read.remove_annotation("role");
        assert_eq!(read.0["metadata"]["labels"], template["metadata"]["labels"]);
        assert_eq!(read.0["spec"], template["spec"]);
    }

    #[test]
    fn only_objects_are_read_and_wrong_types_are_told() {
        assert!(serde_json::from_value::<PodTemplate>(json!("text")).is_err());
        assert!(serde_json::from_value::<RawObject>(json!([])).is_err());
        assert!(PodTemplate(json!({ "spec": { "containers": "none" } })).typed().is_err());
        assert!(JobSpec(json!({ "template": {}, "backoffLimit": 1 })).typed().is_ok());
    }
}
