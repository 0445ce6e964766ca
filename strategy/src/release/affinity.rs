//! `antiAffinity`: pods of the version that is released keep off the nodes of the stable one.
//!
//! Invariants: the term names the stable version's hash and is never part of what makes a version; the user's own terms stay as they are.

use crds::{AntiAffinity, ReplicaSet, StrategyKind};
use serde_json::{Map, Value, json};

use super::{Draft, Facts, HASH};
use crate::{Action, Target};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// The term to inject: in which list, and how strong.
#[derive(Clone, Debug, PartialEq)]
struct Term {
    hash: String,
    /// Weight of a preference; `None` for a requirement.
    weight: Option<i64>,
}

impl Term {
    fn list(&self) -> &'static str {
        if self.weight.is_some() { PREFERRED } else { REQUIRED }
    }

    fn written(&self, namespace: Option<&str>) -> Value {
        let mut term = json!({
            "labelSelector": { "matchExpressions": [{ "key": HASH, "operator": "In", "values": [self.hash] }] },
            "topologyKey": "kubernetes.io/hostname",
        });
        if let (Some(namespace), Some(fields)) = (namespace, term.as_object_mut()) {
            fields.insert("namespaces".to_owned(), json!([namespace]));
        }
        match self.weight {
            Some(weight) => json!({ "weight": weight, "podAffinityTerm": term }),
            None => term,
        }
    }
}

fn asked<'a>(facts: &Facts<'a>) -> Option<&'a AntiAffinity> {
    match facts.rollout.strategy_kind() {
        StrategyKind::Canary(canary) => canary.anti_affinity.as_ref(),
        StrategyKind::BlueGreen(blue_green) => blue_green.anti_affinity.as_ref(),
        StrategyKind::Both | StrategyKind::Neither => None,
    }
}

/// What the wanted version's template should have now: nothing without another stable version.
fn wanted(facts: &Facts<'_>) -> Option<Term> {
    let asked = asked(facts)?;
    let stable = facts.rollout.status.as_ref()?.stable_rs.clone();
    let hash = stable.filter(|hash| !hash.is_empty() && *hash != facts.hash.0)?;
    let preferred = asked.preferred_during_scheduling_ignored_during_execution.as_ref();
    Some(Term { hash, weight: preferred.map(|preferred| i64::from(preferred.weight)) })
}

/// A ReplicaSet that is about to be made has the term from the start.
pub(crate) fn inject(facts: &Facts<'_>, set: &mut ReplicaSet) {
    let Some(term) = wanted(facts) else { return };
    if let Some(template) = set.spec.as_mut().and_then(|spec| spec.template.as_mut()) {
        let affinity = with(&template.0, Some(&term), facts.rollout.metadata.namespace.as_deref());
        crds::json_patch::merge(&mut template.0, &json!({ "spec": { "affinity": affinity } }));
    }
}

/// Corrects the term of the version that is released when the stable version or the spec is another one by now. A template is left alone
/// once its version is the stable one: the version it kept off is on its way out.
pub(crate) fn sync(facts: &Facts<'_>, draft: &mut Draft) {
    let released = facts.rollout.status.as_ref().is_some_and(|stored| !facts.promoted(stored));
    let Some(set) = facts.revisions.new.filter(|_| draft.actions.is_empty() && released) else { return };
    let (Some(template), wanted) = (set.template(), wanted(facts)) else { return };
    let found = present(&template.0);
    if found.as_slice() == wanted.as_slice() {
        return;
    }
    let affinity = with(&template.0, wanted.as_ref(), facts.rollout.metadata.namespace.as_deref());
    draft.actions.push(Action::PatchReplicaSet {
        // Lists are written whole.
        target: Target {
            name: set.metadata.name.clone().unwrap_or_default(),
            uid: set.metadata.uid.clone().unwrap_or_default(),
            resource_version: set.metadata.resource_version.clone(),
        },
        patch: json!({ "spec": { "template": { "spec": { "affinity": affinity } } } }),
    });
}

fn terms<'a>(template: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    let path = ["spec", "affinity", "podAntiAffinity", list];
    let found = path.iter().try_fold(template, |value, name| value.get(name));
    found.and_then(Value::as_array).into_iter().flatten()
}

/// The version a term keeps off, when it is one of ours.
fn names(term: &Value) -> Option<&str> {
    let pod = term.get("podAffinityTerm").unwrap_or(term);
    let expressions = pod.pointer("/labelSelector/matchExpressions")?.as_array()?;
    let ours = expressions.iter().find(|one| one.get("key").and_then(Value::as_str) == Some(HASH))?;
    ours.get("values")?.as_array()?.first()?.as_str()
}

/// The injected terms of a template.
fn present(template: &Value) -> Vec<Term> {
    let required = terms(template, REQUIRED).filter_map(names).map(|hash| Term { hash: hash.to_owned(), weight: None });
    let preferred = terms(template, PREFERRED).filter_map(|term| {
        let weight = term.get("weight").and_then(Value::as_i64)?;
        Some(Term { hash: names(term)?.to_owned(), weight: Some(weight) })
    });
    required.chain(preferred).collect()
}

/// Merge patch of a template's affinity which leaves the user's terms and this one of ours; `null` when nothing is left.
fn with(template: &Value, term: Option<&Term>, namespace: Option<&str>) -> Value {
    let mut anti = Map::new();
    let mut left = false;
    for list in [REQUIRED, PREFERRED] {
        let own = terms(template, list).filter(|found| names(found).is_none()).cloned();
        let ours = term.filter(|term| term.list() == list).map(|term| term.written(namespace));
        let all: Vec<Value> = own.chain(ours).collect();
        left |= !all.is_empty();
        anti.insert(list.to_owned(), if all.is_empty() { Value::Null } else { Value::Array(all) });
    }
    let affinity = template.pointer("/spec/affinity").and_then(Value::as_object);
    let others = affinity.is_some_and(|affinity| affinity.keys().any(|key| key != "podAntiAffinity"));
    match (left, others) {
        (true, _) => json!({ "podAntiAffinity": anti }),
        (false, true) => json!({ "podAntiAffinity": null }),
        (false, false) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(hash: &str, weight: Option<i64>) -> Term {
        Term { hash: hash.to_owned(), weight }
    }

    #[test]
    fn the_users_terms_stay_and_ours_comes_changes_and_goes() {
        let own = json!({ "labelSelector": { "matchLabels": { "app": "db" } }, "topologyKey": "zone" });
        let mut template = json!({ "spec": { "affinity": {
            "nodeAffinity": { "x": 1 }, "podAntiAffinity": { REQUIRED: [own] },
        } } });
        let before = template.clone();
        for wanted in [term("old", None), term("old", Some(7)), term("older", Some(100))] {
            let affinity = with(&template, Some(&wanted), Some("shop"));
            crds::json_patch::merge(&mut template, &json!({ "spec": { "affinity": affinity } }));
            assert_eq!(present(&template), [wanted]);
            assert!(terms(&template, REQUIRED).any(|found| *found == own), "{template}");
        }
        let affinity = with(&template, None, Some("shop"));
        crds::json_patch::merge(&mut template, &json!({ "spec": { "affinity": affinity } }));
        assert_eq!(template, before);
    }

    #[test]
    fn nothing_of_ours_is_left_behind() {
        let mut template = json!({ "spec": { "containers": [] } });
        let before = template.clone();
        for wanted in [Some(term("old", None)), None] {
            let affinity = with(&template, wanted.as_ref(), None);
            crds::json_patch::merge(&mut template, &json!({ "spec": { "affinity": affinity } }));
        }
        assert_eq!(template, before);
    }
}
