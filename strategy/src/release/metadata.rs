//! Labels and annotations that pods carry while their version has a role: `canaryMetadata` and `previewMetadata` while it is released,
//! `stableMetadata` and `activeMetadata` once it is the stable one.
//!
//! Invariants: what was injected is written on the ReplicaSet beside its template, so it never makes another version; live pods come first
//! and the ReplicaSet last, so that a crash in between is seen and made good.

use std::collections::BTreeMap;

use crds::words::EPHEMERAL_METADATA_ANNOTATION;
use crds::{PodTemplateMetadata, ReplicaSet, StrategyKind};
use serde_json::{Map, Value, json};

use super::capacity::target;
use super::{Draft, Facts};
use crate::Action;

/// What the wanted version carries while it is released, and what the stable one carries.
fn asked<'a>(facts: &Facts<'a>) -> (Option<&'a PodTemplateMetadata>, Option<&'a PodTemplateMetadata>) {
    match facts.rollout.strategy_kind() {
        StrategyKind::Canary(canary) => (canary.canary_metadata.as_ref(), canary.stable_metadata.as_ref()),
        StrategyKind::BlueGreen(green) => (green.preview_metadata.as_ref(), green.active_metadata.as_ref()),
        StrategyKind::Both | StrategyKind::Neither => (None, None),
    }
}

fn of_new<'a>(facts: &Facts<'a>) -> Option<&'a PodTemplateMetadata> {
    let stored = facts.rollout.status.as_ref();
    let (released, stable) = asked(facts);
    if stored.is_none_or(|stored| Facts::initial(stored) || facts.promoted(stored)) { stable } else { released }
}

/// A ReplicaSet that is about to be made carries what its role asks for from the start.
pub(crate) fn inject(facts: &Facts<'_>, set: &mut ReplicaSet) {
    let Some(wanted) = of_new(facts).filter(|wanted| !is_empty(wanted)) else { return };
    if let Some(template) = set.spec.as_mut().and_then(|spec| spec.template.as_mut()) {
        for (key, value) in wanted.labels.iter().flatten() {
            template.set_label(key, value);
        }
        for (key, value) in wanted.annotations.iter().flatten() {
            template.set_annotation(key, value);
        }
    }
    let text = serde_json::to_string(wanted).unwrap_or_default();
    set.metadata.annotations.get_or_insert_default().insert(EPHEMERAL_METADATA_ANNOTATION.to_owned(), text);
}

/// Brings pods and ReplicaSets to what their roles ask for. It comes when everything else is done: nothing waits for it.
pub(crate) fn sync(facts: &Facts<'_>, draft: &mut Draft) {
    if !draft.actions.is_empty() {
        return;
    }
    let (_, stable) = asked(facts);
    for set in facts.revisions.all.iter().copied() {
        let is = |other: Option<&ReplicaSet>| other.is_some_and(|other| std::ptr::eq(other, set));
        let wanted = if is(facts.revisions.new) {
            of_new(facts)
        } else if is(facts.revisions.stable) {
            stable
        } else {
            None
        };
        change(draft, set, wanted.filter(|wanted| !is_empty(wanted)));
    }
}

fn change(draft: &mut Draft, set: &ReplicaSet, wanted: Option<&PodTemplateMetadata>) {
    let injected = injected(set);
    if injected.as_ref() == wanted || set.metadata.deletion_timestamp.is_some() {
        return;
    }
    let nothing = PodTemplateMetadata::default();
    let (before, after) = (injected.as_ref().unwrap_or(&nothing), wanted.unwrap_or(&nothing));
    let metadata = json!({
        "labels": difference(before.labels.as_ref(), after.labels.as_ref()),
        "annotations": difference(before.annotations.as_ref(), after.annotations.as_ref()),
    });
    let (wants, has) = (set.replicas_or_default(), set.status.as_ref().map_or(0, |status| status.replicas));
    let pods = Action::PatchPods {
        replica_set: target(set),
        selector: set.spec.as_ref().map(|spec| spec.selector.clone()).unwrap_or_default(),
        patch: json!({ "metadata": metadata.clone() }),
    };
    if wants > 0 || has > 0 {
        draft.actions.push(pods.clone());
    }
    let text = wanted.map(|wanted| serde_json::to_string(wanted).unwrap_or_default());
    draft.actions.push(Action::PatchReplicaSet {
        target: target(set),
        patch: json!({
            "metadata": { "annotations": { EPHEMERAL_METADATA_ANNOTATION: text } },
            "spec": { "template": { "metadata": metadata } },
        }),
    });
    if wants > has {
        // One may have been made in between.
        draft.actions.push(pods);
    }
}

/// What the template carries for its role, as it was written down.
fn injected(set: &ReplicaSet) -> Option<PodTemplateMetadata> {
    let text = set.metadata.annotations.as_ref()?.get(EPHEMERAL_METADATA_ANNOTATION)?;
    serde_json::from_str(text).ok().filter(|metadata| !is_empty(metadata))
}

fn is_empty(metadata: &PodTemplateMetadata) -> bool {
    let none = |entries: &Option<BTreeMap<String, String>>| entries.as_ref().is_none_or(BTreeMap::is_empty);
    none(&metadata.labels) && none(&metadata.annotations)
}

/// A merge patch: what is new or other, and a null for what goes.
fn difference(before: Option<&BTreeMap<String, String>>, after: Option<&BTreeMap<String, String>>) -> Value {
    let mut patch: Map<String, Value> =
        before.into_iter().flatten().map(|(key, _)| (key.clone(), Value::Null)).collect();
    patch.extend(after.into_iter().flatten().map(|(key, value)| (key.clone(), json!(value))));
    Value::Object(patch)
}
