//! Numbers of pods as plans for each version, and how they are written.

use std::time::Duration;

use crds::ReplicaSet;
use crds::jiff::{Timestamp, Unit};
use crds::words::{DESIRED_REPLICAS_ANNOTATION, SCALE_DOWN_DEADLINE_ANNOTATION};
use serde_json::{Value, json};

use super::{Draft, Facts, affinity, metadata};
use crate::{Action, Target, revision};

/// What should become of one ReplicaSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// This many pods, and no scale-down waits.
    Replicas(i32),
    /// This many pods; a scale-down that waits goes on waiting.
    Grow(i32),
    /// The pods it has, until this time.
    Until(Timestamp),
    /// Nothing is changed.
    Keep,
}

/// A version and what should become of it.
pub(crate) type Plans<'a> = Vec<(&'a ReplicaSet, Plan)>;

/// Creates the wanted version with this many pods when there is none, and writes what the plans change.
pub(crate) fn carry_out(facts: &Facts<'_>, draft: &mut Draft, new: i32, plans: Plans<'_>) {
    if facts.revisions.new.is_none() {
        let count = if facts.rollout.spec.paused == Some(true) { 0 } else { new };
        let mut set = revision::new_replica_set(facts.rollout, &facts.revisions, &facts.hash, count);
        metadata::inject(facts, &mut set);
        affinity::inject(facts, &mut set);
        draft.actions.push(Action::CreateReplicaSet { replica_set: Box::new(set) });
    }
    for (set, plan) in plans {
        if let Some((target, patch)) = patch(set, plan) {
            merge(&mut draft.actions, target, &patch);
        }
    }
}

/// An aborted version keeps its pods for a while, counted from the time at which the stable version is whole.
pub(crate) fn abandoned(
    facts: &Facts<'_>,
    draft: &mut Draft,
    new: &ReplicaSet,
    serves: bool,
    stable_is_whole: bool,
) -> Plan {
    if new.replicas_or_default() == 0 {
        return Plan::Replicas(0);
    }
    if serves {
        return Plan::Keep;
    }
    match deadline(new) {
        Some(until) if until > facts.now => {
            draft.wake_at(until);
            Plan::Until(until)
        }
        Some(_) => Plan::Replicas(0),
        None if !stable_is_whole => Plan::Keep,
        None => match facts.rollout.spec.abort_scale_down_delay() {
            Some(delay) => delayed(facts, draft, delay),
            None => Plan::Keep,
        },
    }
}

pub(crate) fn delayed(facts: &Facts<'_>, draft: &mut Draft, delay: Duration) -> Plan {
    // Rounded up: the annotation has whole seconds, and an early end would cut the delay short.
    let end = facts.now.checked_add(delay + Duration::from_millis(999)).ok();
    let Some(end) = end.and_then(|end| end.round(Unit::Second).ok()) else { return Plan::Keep };
    draft.wake_at(end);
    Plan::Until(end)
}

/// At most this many old versions wait; the newest do.
pub(crate) fn limit(limit: Option<i32>, old: &mut [(&ReplicaSet, Plan)]) {
    let Some(limit) = limit else { return };
    let mut left = usize::try_from(limit).unwrap_or(0);
    for (_, plan) in old.iter_mut().rev() {
        if matches!(plan, Plan::Until(_)) {
            if left == 0 {
                *plan = Plan::Replicas(0);
            } else {
                left -= 1;
            }
        }
    }
}

/// A person has paused the Rollout: the new version gets no more pods, except by scaling.
pub(crate) fn paused_by_hand(facts: &Facts<'_>, new: &ReplicaSet) -> bool {
    let known = new.metadata.annotations.as_ref().and_then(|all| all.get(DESIRED_REPLICAS_ANNOTATION));
    let scaled = known.and_then(|text| text.parse::<i32>().ok()).is_some_and(|known| known != facts.desired);
    facts.rollout.spec.paused == Some(true) && !scaled
}

pub(crate) fn deadline(set: &ReplicaSet) -> Option<Timestamp> {
    annotation(set).and_then(|text| text.parse().ok())
}

fn annotation(set: &ReplicaSet) -> Option<&str> {
    let found = set.metadata.annotations.as_ref()?.get(SCALE_DOWN_DEADLINE_ANNOTATION)?;
    Some(found.as_str()).filter(|text| !text.is_empty())
}

fn patch(set: &ReplicaSet, plan: Plan) -> Option<(Target, Value)> {
    let (count, until) = match plan {
        Plan::Keep => return None,
        Plan::Replicas(count) => (Some(count), None),
        Plan::Grow(count) => (Some(count), annotation(set).map(str::to_owned)),
        Plan::Until(until) => (None, Some(until.to_string())),
    };
    let marked = annotation(set) != until.as_deref();
    let scaled = count.is_some_and(|count| count != set.replicas_or_default());
    if !marked && !scaled {
        return None;
    }
    let mut patch = json!({});
    if marked {
        patch = json!({ "metadata": { "annotations": { SCALE_DOWN_DEADLINE_ANNOTATION: until } } });
    }
    if scaled {
        crds::json_patch::merge(&mut patch, &json!({ "spec": { "replicas": count } }));
    }
    Some((target(set), patch))
}

pub(crate) fn target(set: &ReplicaSet) -> Target {
    Target {
        name: set.metadata.name.clone().unwrap_or_default(),
        uid: set.metadata.uid.clone().unwrap_or_default(),
        resource_version: None,
    }
}

/// One write for each ReplicaSet: an annotation patch that stands earlier joins this one.
pub(crate) fn merge(actions: &mut Vec<Action>, target: Target, patch: &Value) {
    let mut whole = json!({});
    let mut version = None;
    actions.retain(|action| match action {
        Action::PatchReplicaSet { target: earlier, patch } if earlier.name == target.name => {
            join(&mut whole, patch);
            version.clone_from(&earlier.resource_version);
            false
        }
        _ => true,
    });
    join(&mut whole, patch);
    actions.push(Action::PatchReplicaSet { target: Target { resource_version: version, ..target }, patch: whole });
}

/// Two patches as one. Not a merge: the nulls, which remove fields, have to stay.
pub(crate) fn join(whole: &mut Value, patch: &Value) {
    match (whole, patch) {
        (Value::Object(whole), Value::Object(patch)) => {
            for (field, value) in patch {
                join(whole.entry(field).or_insert_with(|| json!({})), value);
            }
        }
        (whole, patch) => *whole = patch.clone(),
    }
}
