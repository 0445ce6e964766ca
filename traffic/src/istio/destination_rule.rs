//! The subsets of a DestinationRule: which version each leads to, by the pod-template hash among its labels.
//!
//! Invariants: of a subset only that label is written; a DestinationRule that another Rollout manages is not touched.

use crds::IstioDestinationRule;
use crds::words::{MANAGED_BY_ANNOTATION, POD_TEMPLATE_HASH_LABEL};
use serde_json::{Value, json};

use crate::object::{found, patch, unsuitable};
use crate::words::reason;
use crate::{Objects, Reference, RouterError, Versions, Write};

/// The reference of a DestinationRule.
pub(super) fn reference(name: &str) -> Reference {
    Reference {
        api_version: "networking.istio.io/v1",
        kind: "DestinationRule",
        plural: "destinationrules",
        namespace: None,
        name: name.to_owned(),
    }
}

fn subsets(object: &Value) -> &[Value] {
    object.pointer("/spec/subsets").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_named(subset: &Value, name: &str) -> bool {
    subset.get("name").and_then(Value::as_str) == Some(name)
}

fn hash_of(subset: &Value) -> Option<&str> {
    subset.get("labels")?.get(POD_TEMPLATE_HASH_LABEL)?.as_str()
}

fn manager(object: &Value) -> Option<&str> {
    object.pointer("/metadata/annotations")?.get(MANAGED_BY_ANNOTATION)?.as_str()
}

/// The versions behind the two subsets.
pub(super) fn versions(rule: &IstioDestinationRule, objects: &Objects) -> Versions {
    let object = objects.get(&reference(&rule.name));
    let behind = |name: &str| {
        let subset = object.and_then(|object| subsets(object).iter().find(|subset| is_named(subset, name)))?;
        hash_of(subset).map(str::to_owned)
    };
    Versions { canary: behind(&rule.canary_subset_name), stable: behind(&rule.stable_subset_name) }
}

/// What is wrong with the DestinationRule.
pub(super) fn check(rule: &IstioDestinationRule, rollout: &str, objects: &Objects) -> Result<(), RouterError> {
    let reference = reference(&rule.name);
    let object = found(&reference, objects)?;
    if let Some(other) = manager(object).filter(|other| *other != rollout) {
        return Err(unsuitable(&reference, format!("is managed by another Rollout: \"{other}\"")));
    }
    for name in [&rule.canary_subset_name, &rule.stable_subset_name] {
        if !subsets(object).iter().any(|subset| is_named(subset, name)) {
            return Err(unsuitable(&reference, format!("has no subset \"{name}\"")));
        }
    }
    Ok(())
}

/// Leads the subsets to these versions.
pub(super) fn point(
    rule: &IstioDestinationRule,
    rollout: &str,
    to: &Versions,
    objects: &Objects,
) -> Result<Option<Write>, RouterError> {
    check(rule, rollout, objects)?;
    let reference = reference(&rule.name);
    let object = found(&reference, objects)?;
    let mut next = subsets(object).to_vec();
    let mut told = Vec::new();
    for (name, hash) in [(&rule.stable_subset_name, &to.stable), (&rule.canary_subset_name, &to.canary)] {
        let Some(hash) = hash else { continue };
        for subset in next.iter_mut().filter(|subset| is_named(subset, name) && hash_of(subset) != Some(hash)) {
            let labels = subset.as_object_mut().map(|subset| subset.entry("labels").or_insert_with(|| json!({})));
            if let Some(labels) = labels.and_then(Value::as_object_mut) {
                labels.insert(POD_TEMPLATE_HASH_LABEL.to_owned(), json!(hash));
                told.push(format!("{name} to '{hash}'"));
            }
        }
    }
    let mut change = json!({});
    // It is taken over with the first version it leads to.
    let leads = versions(rule, objects);
    if manager(object).is_none() && (!told.is_empty() || leads.canary.is_some() || leads.stable.is_some()) {
        change = json!({ "metadata": { "annotations": { MANAGED_BY_ANNOTATION: rollout } } });
    }
    if !told.is_empty() {
        crds::json_patch::merge(&mut change, &json!({ "spec": { "subsets": next } }));
    }
    if change == json!({}) {
        return Ok(None);
    }
    let what = if told.is_empty() { "taken over".to_owned() } else { format!("subset {}", told.join(", ")) };
    let event = (reason::UPDATED_DESTINATION_RULE, format!("DestinationRule `{}`: {what}", rule.name));
    Ok(Some(patch(&reference, object, change, event)))
}
