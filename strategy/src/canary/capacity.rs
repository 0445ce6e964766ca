//! Capacity: how many pods each version has. Comes after traffic: what still gets requests keeps its pods.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::ReplicaSet;
use crds::jiff::{Timestamp, Unit};
use crds::words::{DESIRED_REPLICAS_ANNOTATION, SCALE_DOWN_DEADLINE_ANNOTATION};
use serde_json::{Value, json};

use super::position::Wanted;
use super::{Draft, Release, pods, routing};
use crate::{Action, Target, replicas, revision};

/// What should become of one ReplicaSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// This many pods, and no scale-down waits.
    Replicas(i32),
    /// The pods it has, until this time.
    Until(Timestamp),
    /// Nothing is changed.
    Keep,
}

pub(super) fn scale(release: &Release<'_>, draft: &mut Draft, wanted: Wanted, promoting: bool) {
    let plans =
        if release.routed() { routed(release, draft, wanted, promoting) } else { by_numbers(release, draft, wanted) };
    let (new, sets) = plans;
    if release.revisions.new.is_none() {
        let count = if release.rollout.spec.paused == Some(true) { 0 } else { new };
        let set = revision::new_replica_set(release.rollout, &release.revisions, &release.hash, count);
        draft.actions.push(Action::CreateReplicaSet { replica_set: Box::new(set) });
    }
    for (set, plan) in sets {
        if let Some((target, patch)) = patch(set, plan) {
            merge(&mut draft.actions, target, &patch);
        }
    }
}

type Plans<'a> = (i32, Vec<(&'a ReplicaSet, Plan)>);

/// With traffic routing: pods by share, old versions after a delay.
fn routed<'a>(release: &Release<'a>, draft: &mut Draft, wanted: Wanted, promoting: bool) -> Plans<'a> {
    let mut plans = Vec::new();
    let in_force = release.in_force.map_or(0, |weight| i32::try_from(weight.0).unwrap_or(0));
    let initial = Release::initial(&draft.status);
    let promoted = release.promoted(&draft.status);
    let stable_is_whole = pods(release.revisions.stable).available >= release.desired;
    let least = release.canary.min_pods_per_replica_set.unwrap_or(0).min(release.desired);
    let share = |weight| match replicas::share(release.desired, weight, release.max) {
        0 => 0,
        count => count.max(least),
    };
    let count = if initial || promoted { release.desired } else { share(wanted.capacity.max(in_force)) };
    if let Some(new) = release.revisions.new {
        let plan = if draft.aborted() && !promoted {
            abandoned(release, draft, new, stable_is_whole)
        } else if paused_by_hand(release, new) && !promoted {
            Plan::Keep
        } else {
            Plan::Replicas(count)
        };
        plans.push((new, plan));
    }
    let was_stable = release.rollout.status.as_ref().and_then(|status| status.stable_rs.as_deref());
    if let Some(stable) = release.revisions.stable.filter(|_| !promoted) {
        plans.push((stable, Plan::Replicas(release.desired)));
    }
    let delay = release.rollout.spec.scale_down_delay();
    let mut old: Vec<(&ReplicaSet, Plan)> = Vec::new();
    let before = release.revisions.stable.filter(|_| promoting);
    for set in release.revisions.others.iter().copied().chain(before) {
        if set.replicas_or_default() == 0 {
            old.push((set, Plan::Replicas(0)));
            continue;
        }
        // What was just promoted is looked at before its traffic has moved; without a delay it goes with the next look.
        if (delay.is_zero() || !promoting) && routing::serves(release, set) {
            old.push((set, Plan::Keep));
            continue;
        }
        let plan = match deadline(set) {
            Some(until) if until > release.now => {
                draft.wake_at(until);
                Plan::Until(until)
            }
            None if promoting && revision::hash_of(set) == was_stable && !delay.is_zero() => {
                delayed(release, draft, delay)
            }
            Some(_) | None => Plan::Replicas(0),
        };
        old.push((set, plan));
    }
    limit(release, &mut old);
    plans.extend(old);
    (count, plans)
}

/// An aborted canary keeps its pods for a while, counted from the time at which the stable version is whole.
fn abandoned(release: &Release<'_>, draft: &mut Draft, new: &ReplicaSet, stable_is_whole: bool) -> Plan {
    if new.replicas_or_default() == 0 {
        return Plan::Replicas(0);
    }
    if routing::serves(release, new) {
        return Plan::Keep;
    }
    match deadline(new) {
        Some(until) if until > release.now => {
            draft.wake_at(until);
            Plan::Until(until)
        }
        Some(_) => Plan::Replicas(0),
        None if !stable_is_whole => Plan::Keep,
        None => match release.rollout.spec.abort_scale_down_delay() {
            Some(delay) => delayed(release, draft, delay),
            None => Plan::Keep,
        },
    }
}

fn delayed(release: &Release<'_>, draft: &mut Draft, delay: Duration) -> Plan {
    // Rounded up: the annotation has whole seconds, and an early end would cut the delay short.
    let end = release.now.checked_add(delay + Duration::from_millis(999)).ok();
    let Some(end) = end.and_then(|end| end.round(Unit::Second).ok()) else { return Plan::Keep };
    draft.wake_at(end);
    Plan::Until(end)
}

/// At most `scaleDownDelayRevisionLimit` old versions wait; the newest do.
fn limit(release: &Release<'_>, old: &mut [(&ReplicaSet, Plan)]) {
    let Some(limit) = release.canary.scale_down_delay_revision_limit else { return };
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
fn paused_by_hand(release: &Release<'_>, new: &ReplicaSet) -> bool {
    let known = new.metadata.annotations.as_ref().and_then(|all| all.get(DESIRED_REPLICAS_ANNOTATION));
    let scaled = known.and_then(|text| text.parse::<i32>().ok()).is_some_and(|known| known != release.desired);
    release.rollout.spec.paused == Some(true) && !scaled
}

/// Without traffic routing: the numbers of pods are the traffic.
fn by_numbers<'a>(release: &Release<'a>, draft: &mut Draft, wanted: Wanted) -> Plans<'a> {
    let mut plans = Vec::new();
    let whole = Release::initial(&draft.status) || release.promoted(&draft.status);
    let weight = if draft.aborted() { 0 } else { wanted.capacity };
    let goal = if whole { (release.desired, 0) } else { replicas::split(release.desired, weight, release.bounds) };
    let stable =
        release.revisions.stable.filter(|set| release.revisions.new.is_none_or(|new| !std::ptr::eq(new, *set)));
    let (goal, old) = (goal, &release.revisions.others);
    let others: i32 = old.iter().map(|set| set.replicas_or_default()).sum();
    let (canary, rest) =
        replicas::step(release.desired, release.bounds, goal, pods(release.revisions.new), pods(stable), others);
    // The first version ever has nothing to be careful about.
    let canary = if Release::initial(&draft.status) { release.desired } else { canary };
    // A pause by hand holds the release, not the way back.
    let freely = whole || draft.aborted();
    if let Some(new) = release.revisions.new {
        let plan = if paused_by_hand(release, new) && !freely { Plan::Keep } else { Plan::Replicas(canary) };
        plans.push((new, plan));
    }
    if let Some(stable) = stable {
        let by_hand = |new| paused_by_hand(release, new);
        let held = release.revisions.new.map_or(release.rollout.spec.is_paused(), by_hand) && !freely;
        plans.push((stable, if held { Plan::Keep } else { Plan::Replicas(rest) }));
    }
    let available: i32 = release.revisions.all.iter().map(|set| pods(Some(set)).available).sum();
    let counted: Vec<_> = old.iter().map(|set| pods(Some(set))).collect();
    let next = replicas::others(release.desired, release.bounds, available, &counted);
    plans.extend(old.iter().copied().zip(next.into_iter().map(Plan::Replicas)));
    (canary, plans)
}

fn deadline(set: &ReplicaSet) -> Option<Timestamp> {
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
        Plan::Until(until) => (None, Some(until.to_string())),
    };
    let mut patch = json!({});
    if annotation(set) != until.as_deref() {
        patch = json!({ "metadata": { "annotations": { SCALE_DOWN_DEADLINE_ANNOTATION: until } } });
    }
    if count.is_some_and(|count| count != set.replicas_or_default()) {
        crds::json_patch::merge(&mut patch, &json!({ "spec": { "replicas": count } }));
    }
    (patch != json!({})).then(|| (target(set), patch))
}

fn target(set: &ReplicaSet) -> Target {
    Target {
        name: set.metadata.name.clone().unwrap_or_default(),
        uid: set.metadata.uid.clone().unwrap_or_default(),
        resource_version: None,
    }
}

/// One write for each ReplicaSet: an annotation patch that stands earlier joins this one.
fn merge(actions: &mut Vec<Action>, target: Target, patch: &Value) {
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
fn join(whole: &mut Value, patch: &Value) {
    match (whole, patch) {
        (Value::Object(whole), Value::Object(patch)) => {
            for (field, value) in patch {
                join(whole.entry(field).or_insert_with(|| json!({})), value);
            }
        }
        (whole, patch) => *whole = patch.clone(),
    }
}

/// ReplicaSets and AnalysisRuns beyond the limits.
pub(super) fn history(release: &Release<'_>, draft: &mut Draft) {
    for set in revision::history_beyond_limit(release.rollout, &release.revisions) {
        draft.actions.push(Action::DeleteReplicaSet { target: target(set) });
    }
    let mut kept: BTreeMap<bool, i32> = BTreeMap::new();
    let mut runs: Vec<_> = release.seen.analysis_runs.iter().collect();
    runs.sort_by(|a, b| b.metadata.creation_timestamp.cmp(&a.metadata.creation_timestamp));
    for run in runs {
        let phase = analysis::Phase::of_status(run.status.as_ref().map(|status| status.phase.as_str()));
        if !phase.is_completed() || run.metadata.deletion_timestamp.is_some() || super::analysis::is_current(draft, run)
        {
            continue;
        }
        let good = phase == analysis::Phase::Successful;
        let labels = run.metadata.labels.as_ref();
        let version = labels.and_then(|all| all.get(super::HASH)).map(String::as_str);
        // Without its version a run tells nothing.
        let orphaned = version.is_some()
            && version != Some(release.hash.0.as_str())
            && release.revisions.all.iter().all(|set| revision::hash_of(set) != version);
        let limit = if good {
            release.rollout.spec.successful_run_history_limit_or_default()
        } else {
            release.rollout.spec.unsuccessful_run_history_limit_or_default()
        };
        let count = kept.entry(good).or_default();
        *count += i32::from(!orphaned);
        if *count > limit || orphaned {
            let target = Target {
                name: run.metadata.name.clone().unwrap_or_default(),
                uid: run.metadata.uid.clone().unwrap_or_default(),
                resource_version: None,
            };
            draft.actions.push(Action::DeleteAnalysisRun { target });
        }
    }
}
