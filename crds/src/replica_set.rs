//! A light ReplicaSet: Kubernetes' own, with the pod template kept as raw JSON.
//!
//! It stands for the same resource as `k8s_openapi`'s apps/v1 ReplicaSet in every request.

use std::borrow::Cow;

use k8s_openapi::api::apps::v1::ReplicaSet as AppsReplicaSet;
pub use k8s_openapi::api::apps::v1::ReplicaSetStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::Resource;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::PodTemplate;

/// A set of equal pods, all of one version.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaSet {
    /// Name, labels, owners and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: Option<ReplicaSetSpec>,
    /// What there is.
    pub status: Option<ReplicaSetStatus>,
}

/// What is wanted of a ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaSetSpec {
    /// Number of pods. The API server writes the default. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Seconds for which a new pod must be ready before it counts as available. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ready_seconds: Option<i32>,
    /// Which pods belong to the set.
    #[serde(default)]
    pub selector: LabelSelector,
    /// The pods to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PodTemplate>,
}

impl ReplicaSet {
    /// `spec.replicas`, or its default 1.
    pub fn replicas_or_default(&self) -> i32 {
        self.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
    }

    /// `spec.template`, when there is one.
    pub fn template(&self) -> Option<&PodTemplate> {
        self.spec.as_ref()?.template.as_ref()
    }
}

// Written by hand because every object must carry its apiVersion and kind when it is sent.
impl Serialize for ReplicaSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = 3 + usize::from(self.spec.is_some()) + usize::from(self.status.is_some());
        let mut object = serializer.serialize_struct("ReplicaSet", fields)?;
        object.serialize_field("apiVersion", &Self::api_version(&()))?;
        object.serialize_field("kind", &Self::kind(&()))?;
        object.serialize_field("metadata", &self.metadata)?;
        if let Some(spec) = &self.spec {
            object.serialize_field("spec", spec)?;
        }
        if let Some(status) = &self.status {
            object.serialize_field("status", status)?;
        }
        object.end()
    }
}

impl Resource for ReplicaSet {
    type DynamicType = ();
    type Scope = <AppsReplicaSet as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        AppsReplicaSet::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        AppsReplicaSet::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        AppsReplicaSet::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        AppsReplicaSet::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_the_apps_v1_resource_and_round_trips() {
        let object = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": { "name": "web-5d4", "annotations": { "rollout.argoproj.io/revision": "2" } },
            "spec": {
                "replicas": 0,
                "selector": { "matchLabels": { "app": "web" } },
                "template": { "metadata": { "creationTimestamp": null }, "spec": { "newer": [1.0, 1, {}] } },
            },
            "status": { "replicas": 0, "observedGeneration": 3 },
        });
        let set: ReplicaSet = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(serde_json::to_value(&set).unwrap(), object);
        assert_eq!(ReplicaSet::url_path(&(), Some("shop")), "/apis/apps/v1/namespaces/shop/replicasets");
        assert_eq!(set.replicas_or_default(), 0);
    }
}
