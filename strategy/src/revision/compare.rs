//! Whether two pod templates make the same pods.
//!
//! Invariant: what the controller itself puts into a ReplicaSet's template (the hash label, ephemeral metadata, the
//! anti-affinity to the other version) never makes a difference.

use crds::words::{EPHEMERAL_METADATA_ANNOTATION, POD_TEMPLATE_HASH_LABEL};
use crds::{PodTemplate, ReplicaSet};
use serde_json::{Map, Value};

use super::defaults::completed;

/// A template in comparable form; completing one is the costly part, so it is done once for each side.
#[derive(PartialEq)]
pub struct Comparable(Value);

impl Comparable {
    /// The template which the Rollout wants.
    pub fn wanted(template: &PodTemplate) -> Self {
        Self::of(template.clone())
    }

    fn of(mut template: PodTemplate) -> Self {
        remove_text(&mut template.0, "labels", POD_TEMPLATE_HASH_LABEL);
        remove_injected_anti_affinity(&mut template.0);
        Self(completed(&template.0))
    }

    /// Whether the ReplicaSet has this template.
    pub fn is_that_of(&self, set: &ReplicaSet) -> bool {
        let Some(template) = set.template() else { return false };
        match Ephemeral::of(set) {
            None => *self == Self::of(template.clone()),
            Some(ephemeral) => {
                let (mut wanted, mut present) = (self.0.clone(), template.0.clone());
                ephemeral.remove_from(&mut present);
                // A key which both have may hold the injected value in one of them.
                ephemeral.remove_from(&mut wanted);
                Self::of(PodTemplate(wanted)) == Self::of(PodTemplate(present))
            }
        }
    }
}

/// The template to go back to: that of the ReplicaSet without what the controller put into it.
pub fn template_for_undo(set: &ReplicaSet) -> PodTemplate {
    let mut template = set.template().cloned().unwrap_or_default();
    if let Some(ephemeral) = Ephemeral::of(set) {
        ephemeral.remove_from(&mut template.0);
    }
    remove_text(&mut template.0, "labels", POD_TEMPLATE_HASH_LABEL);
    remove_injected_anti_affinity(&mut template.0);
    template
}

/// Labels and annotations which pods carry only while they have a role.
struct Ephemeral {
    labels: Vec<String>,
    annotations: Vec<String>,
}

impl Ephemeral {
    fn of(set: &ReplicaSet) -> Option<Self> {
        let text = set.metadata.annotations.as_ref()?.get(EPHEMERAL_METADATA_ANNOTATION)?;
        let injected: Value = serde_json::from_str(text).ok()?;
        let keys = |field: &str| {
            injected.get(field).and_then(Value::as_object).into_iter().flat_map(Map::keys).cloned().collect()
        };
        Some(Self { labels: keys("labels"), annotations: keys("annotations") })
    }

    fn remove_from(&self, template: &mut Value) {
        for key in &self.labels {
            remove_text(template, "labels", key);
        }
        for key in &self.annotations {
            remove_text(template, "annotations", key);
        }
    }
}

fn remove_text(template: &mut Value, field: &str, key: &str) {
    if let Some(Value::Object(map)) = template.get_mut("metadata").and_then(|metadata| metadata.get_mut(field)) {
        map.shift_remove(key);
    }
}

/// Takes out the terms which keep pods off the nodes of the other version, and what is empty without them.
fn remove_injected_anti_affinity(template: &mut Value) {
    let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let Some(affinity) = spec.get_mut("affinity").and_then(Value::as_object_mut) else { return };
    let Some(anti) = affinity.get_mut("podAntiAffinity").and_then(Value::as_object_mut) else { return };
    let mut removed = false;
    for (field, path) in [
        ("requiredDuringSchedulingIgnoredDuringExecution", "/labelSelector/matchExpressions"),
        ("preferredDuringSchedulingIgnoredDuringExecution", "/podAffinityTerm/labelSelector/matchExpressions"),
    ] {
        if let Some(terms) = anti.get_mut(field).and_then(Value::as_array_mut) {
            let before = terms.len();
            terms.retain(|term| !names_a_version(term.pointer(path)));
            removed |= terms.len() < before;
            if terms.is_empty() {
                anti.shift_remove(field);
            }
        }
    }
    if removed && anti.is_empty() {
        affinity.shift_remove("podAntiAffinity");
        if affinity.is_empty() {
            spec.shift_remove("affinity");
        }
    }
}

fn names_a_version(expressions: Option<&Value>) -> bool {
    expressions
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|expression| expression.get("key").and_then(Value::as_str) == Some(POD_TEMPLATE_HASH_LABEL))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crds::{ObjectMeta, ReplicaSetSpec};
    use serde_json::json;

    use super::*;

    fn wanted() -> PodTemplate {
        PodTemplate(json!({
            "metadata": { "labels": { "app": "web" } },
            "spec": { "containers": [{ "name": "web", "image": "web:1" }] },
        }))
    }

    fn stored() -> Value {
        json!({
            "metadata": { "creationTimestamp": null, "labels": { "app": "web", POD_TEMPLATE_HASH_LABEL: "abc" } },
            "spec": {
                "containers": [{
                    "name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent", "resources": {},
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                }],
                "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30,
                "schedulerName": "default-scheduler", "securityContext": {},
            },
        })
    }

    fn set(template: Value, ephemeral: Option<Value>) -> ReplicaSet {
        ReplicaSet {
            metadata: ObjectMeta {
                annotations: ephemeral
                    .map(|value| BTreeMap::from([(EPHEMERAL_METADATA_ANNOTATION.to_owned(), value.to_string())])),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec { template: Some(PodTemplate(template)), ..ReplicaSetSpec::default() }),
            status: None,
        }
    }

    #[test]
    fn what_the_api_server_completed_is_the_same() {
        assert!(Comparable::wanted(&wanted()).is_that_of(&set(stored(), None)));
        let mut other = stored();
        other["spec"]["containers"][0]["image"] = json!("web:2");
        assert!(!Comparable::wanted(&wanted()).is_that_of(&set(other, None)));
    }

    #[test]
    fn ephemeral_metadata_is_not_compared_and_not_kept_by_undo() {
        let mut template = stored();
        template["metadata"]["labels"]["role"] = json!("canary");
        assert!(!Comparable::wanted(&wanted()).is_that_of(&set(template.clone(), None)));
        let with = set(template, Some(json!({ "labels": { "role": "canary" } })));
        assert!(Comparable::wanted(&wanted()).is_that_of(&with));
        assert_eq!(template_for_undo(&with).0["metadata"]["labels"], json!({ "app": "web" }));
    }

    #[test]
    fn the_injected_anti_affinity_is_not_compared_and_the_users_is() {
        let term = |key: &str| json!({ "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchExpressions": [{ "key": key, "operator": "In", "values": ["x"] }] } });
        let mut injected = stored();
        injected["spec"]["affinity"] = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term(POD_TEMPLATE_HASH_LABEL)] } });
        assert!(Comparable::wanted(&wanted()).is_that_of(&set(injected.clone(), None)));
        assert_eq!(template_for_undo(&set(injected, None)).0["spec"].get("affinity"), None);
        let mut own = stored();
        own["spec"]["affinity"] =
            json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term("app")] } });
        assert!(!Comparable::wanted(&wanted()).is_that_of(&set(own, None)));
    }
}
