//! Services: which version one selects, and moving it.
//!
//! Invariant: a Service moves to a version only when that has pods, except where somebody is taken off a version at once.

use crds::k8s_openapi::api::core::v1::Service;
use crds::words::MANAGED_BY_ANNOTATION;
use serde_json::json;

use super::{Draft, Facts, HASH, pods};
use crate::words::reason;
use crate::{Action, Target};

/// Points a Service at a version, once that has pods.
pub(crate) fn point(facts: &Facts<'_>, draft: &mut Draft, name: &str, hash: &str, at_once: bool) {
    let Some(service) = facts.seen.services.get(name) else { return };
    let selected = selected(service);
    if selected == Some(hash) && managed_by(service).is_some() {
        return;
    }
    let set = facts.revisions.all.iter().find(|set| crate::revision::hash_of(set) == Some(hash)).copied();
    let found = pods(set);
    // A Service that nobody managed yet still selects every pod: it moves only to a version that can carry everything it was asked for.
    let ready =
        if selected.is_some() { found.available > 0 } else { found.available > 0 && found.available >= found.wanted };
    if !ready && !at_once && selected != Some(hash) {
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

/// The version a Service selects.
pub(crate) fn selected(service: &Service) -> Option<&str> {
    service.spec.as_ref()?.selector.as_ref()?.get(HASH).map(String::as_str)
}

fn managed_by(service: &Service) -> Option<&str> {
    service.metadata.annotations.as_ref()?.get(MANAGED_BY_ANNOTATION).map(String::as_str)
}
