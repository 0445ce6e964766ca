//! Services: which version one selects, and moving it.
//!
//! Invariant: a Service moves to a version only when that has pods, except where somebody is taken off a version at once.

use crds::words::MANAGED_BY_ANNOTATION;
use serde_json::json;

use super::{Draft, Facts, HASH, pods};
pub(crate) use crate::services::selected;
use crate::services::{let_go, managed_by, named};
use crate::words::reason;
use crate::{Action, Target};

/// Points a Service at a version, once that has pods.
pub(crate) fn point(facts: &Facts<'_>, draft: &mut Draft, name: &str, hash: &str, at_once: bool) {
    let Some(service) = facts.seen.services.get(name) else { return };
    let selected = selected(service);
    if selected == Some(hash) && managed_by(service).is_some() {
        return;
    }
    if !at_once && selected != Some(hash) && !has_pods(facts, hash, selected) {
        return;
    }
    let own = facts.rollout.metadata.name.clone().unwrap_or_default();
    let target =
        Target { name: name.to_owned(), uid: service.metadata.uid.clone().unwrap_or_default(), resource_version: None };
    let mut patch = json!({});
    if managed_by(service) != Some(own.as_str()) {
        patch = json!({ "metadata": { "annotations": { MANAGED_BY_ANNOTATION: own } } });
    }
    if selected != Some(hash) {
        crds::json_patch::merge(&mut patch, &json!({ "spec": { "selector": { HASH: hash } } }));
        let before = selected.unwrap_or_default();
        draft.normal(
            reason::SWITCH_SERVICE,
            format!("Switched selector for service '{name}' from '{before}' to '{hash}'"),
        );
    }
    draft.actions.push(Action::PatchService { target, patch });
}

/// Services that the Rollout once moved and names no more, as after another strategy: each selects what its user wrote again. This comes
/// when everything else is done, and while nothing is released: whoever still comes that way would get the new version.
pub(crate) fn let_go_unnamed(facts: &Facts<'_>, draft: &mut Draft) {
    if !draft.actions.is_empty() || !facts.promoted(&draft.status) {
        return;
    }
    let own = facts.rollout.metadata.name.as_deref();
    let left =
        facts.seen.services.iter().filter(|(_, service)| managed_by(service).is_some_and(|name| Some(name) == own));
    for (name, service) in left {
        if named(facts.rollout).any(|named| named == name) {
            continue;
        }
        let before = selected(service).unwrap_or_default();
        draft.normal(
            reason::SWITCH_SERVICE,
            format!(
                "Switched selector for service '{name}' from '{before}' to '': the Rollout does not name it any more"
            ),
        );
        draft.actions.push(let_go(service));
    }
}

/// Whether a version has the pods for which a pointer may move to it from the version it has now.
pub(crate) fn has_pods(facts: &Facts<'_>, hash: &str, now: Option<&str>) -> bool {
    let set = facts.revisions.all.iter().find(|set| crate::revision::hash_of(set) == Some(hash)).copied();
    let found = pods(set);
    // What nobody managed yet still selects every pod: it moves only to a version that can carry everything it was asked for.
    found.available > 0 && (now.is_some() || found.available >= found.wanted)
}
