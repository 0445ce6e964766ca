//! ReplicaSets: as many pods as wanted, and a status that counts them.

use std::cmp::Reverse;
use std::time::Duration;

use crds::jiff::Timestamp;
use serde_json::{Value, json};

use super::{PODS, SETS, Timer, Work};
use crate::api::delete::{self, Options};
use crate::api::scale::ready;
use crate::api::storage::{Key, Object, State, key};
use crate::api::write;
use crate::{clock, json};

/// The pods a set controls and that still count.
fn pods_of(state: &State, set: &Value) -> Vec<Object> {
    let owned = state.owned_by(json::uid(set)).into_iter();
    owned
        .filter(|(table, _)| table == PODS)
        .map(|(_, pod)| pod)
        .filter(|pod| {
            json::controller_of(pod).is_some_and(|owner| json::text(owner, &["uid"]) == Some(json::uid(set)))
                && json::at(pod, &["metadata", "deletionTimestamp"]).is_none()
                && !matches!(json::text(pod, &["status", "phase"]), Some("Failed" | "Succeeded"))
        })
        .collect()
}

fn ready_since(pod: &Value) -> Option<Timestamp> {
    json::list(pod, &["status", "conditions"])
        .iter()
        .find(|found| json::text(found, &["type"]) == Some("Ready") && json::text(found, &["status"]) == Some("True"))
        .and_then(|found| json::text(found, &["lastTransitionTime"]))
        .and_then(clock::parse)
}

/// Brings one set to its wanted size and counts.
pub(super) fn reconcile(state: &mut State, work: &mut Work, target: &Key) {
    let Some(set) = state.get(SETS, target) else { return };
    let mut pods = pods_of(state, &set);
    let wanted = json::int(&set, &["spec", "replicas"]).and_then(|found| usize::try_from(found).ok()).unwrap_or(1);
    if json::at(&set, &["metadata", "deletionTimestamp"]).is_none() {
        if pods.len() > wanted {
            pods.sort_by_key(|pod| rank(pod));
            for pod in pods.iter().take(pods.len() - wanted) {
                if let Some(resource) = state.resource("", "v1", "pods") {
                    // A pod that is already gone is what was wanted.
                    let _ = delete::delete(state, &resource, &key(pod), &Options::default());
                }
            }
        }
        for _ in pods.len()..wanted {
            make_pod(state, &set);
        }
        pods = pods_of(state, &set);
    }
    write_status(state, work, &set, &pods);
}

/// Place, health, cost, age.
type Rank = (bool, bool, bool, i64, Reverse<(Option<Timestamp>, String, String)>);

/// Who goes first when a set shrinks: without node, not running, not ready, cheap, young.
fn rank(pod: &Value) -> Rank {
    let cost = json::text(pod, &["metadata", "annotations", "controller.kubernetes.io/pod-deletion-cost"]);
    (
        json::text(pod, &["spec", "nodeName"]).is_some(),
        json::text(pod, &["status", "phase"]) == Some("Running"),
        ready(pod),
        cost.and_then(|cost| cost.parse().ok()).unwrap_or_default(),
        Reverse((
            ready_since(pod),
            json::text(pod, &["metadata", "creationTimestamp"]).unwrap_or_default().to_owned(),
            json::name(pod).to_owned(),
        )),
    )
}

fn make_pod(state: &mut State, set: &Value) {
    let Some(resource) = state.resource("", "v1", "pods") else { return };
    let template = json::at(set, &["spec", "template"]).cloned().unwrap_or_default();
    let mut pod = json!({"spec": template.get("spec")});
    for part in ["labels", "annotations", "finalizers"] {
        json::carry(&template, &mut pod, &["metadata", part]);
    }
    json::set(&mut pod, &["metadata", "generateName"], format!("{}-", json::name(set)));
    json::set(
        &mut pod,
        &["metadata", "ownerReferences"],
        json!([{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": json::name(set), "uid": json::uid(set),
            "controller": true, "blockOwnerDeletion": true,
        }]),
    );
    if let Err(failure) = write::store_new(state, &resource, Some(json::namespace(set)), pod, false) {
        tracing::warn!(%failure, set = json::name(set), "failed to create pod");
    }
}

fn write_status(state: &mut State, work: &mut Work, set: &Object, pods: &[Object]) {
    let least = json::int(set, &["spec", "minReadySeconds"]).unwrap_or_default();
    let now = state.clock.now();
    let (mut ready_count, mut available, mut next) = (0_u64, 0_u64, None::<Duration>);
    for pod in pods.iter().filter(|pod| ready(pod)) {
        ready_count += 1;
        let until =
            ready_since(pod).and_then(|since| since.checked_add(crds::jiff::SignedDuration::from_secs(least)).ok());
        match until {
            Some(until) if until > now => {
                let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
                next = Some(next.map_or(left, |next| next.min(left)));
            }
            _ => available += 1,
        }
    }
    if let Some(wait) = next {
        work.after(wait, Timer::Set(key(set)));
    }
    let mut status = json!({"replicas": pods.len()});
    let generation = json::int(set, &["metadata", "generation"]).unwrap_or_default();
    for (name, count) in
        [("fullyLabeledReplicas", pods.len() as u64), ("readyReplicas", ready_count), ("availableReplicas", available)]
    {
        if count > 0 {
            json::set(&mut status, &[name], count);
        }
    }
    json::set(&mut status, &["observedGeneration"], generation);
    if let Some(conditions) = json::at(set, &["status", "conditions"]) {
        json::set(&mut status, &["conditions"], conditions.clone());
    }
    if set.get("status") != Some(&status) {
        let mut new = (**set).clone();
        json::set(&mut new, &["status"], status);
        state.write(SETS, new);
    }
}
