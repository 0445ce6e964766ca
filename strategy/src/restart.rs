//! Restarts: pods that are older than `spec.restartAt` are evicted, a few at a time, and their ReplicaSets make new ones.
//!
//! Invariants
//! - Pods go through the eviction API only, so that disruption budgets are obeyed; what a budget refuses is tried again later.
//! - As many pods stay available as an update would leave, but one may always go. Who is not available anyway costs nothing.
//! - A new template makes new pods by itself: with it the restart is over.

use crds::Rollout;
use crds::jiff::{SignedDuration, Timestamp};

use crate::release::{Draft, Facts, pods};
use crate::words::reason;
use crate::{Action, Target, replicas};

/// When it is tried again, if nothing changes before.
const TRY_AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// A pod, as far as a restart looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Name, in the Rollout's namespace.
    pub name: String,
    /// Identity.
    pub uid: String,
    /// Uid of the ReplicaSet that controls it.
    pub set: String,
    /// When it was made.
    pub created: Timestamp,
    /// It is ready, for as long as `minReadySeconds` asks.
    pub available: bool,
    /// It is on its way out.
    pub terminating: bool,
    /// In this pass a disruption budget did not let it go.
    pub refused: bool,
}

/// Whether a restart is to be made now: then, and only then, a decision has to see the pods.
pub fn is_due(rollout: &Rollout, now: Timestamp) -> bool {
    let restarted = rollout.status.as_ref().and_then(|status| status.restarted_at.as_ref());
    rollout.spec.restart_at.as_ref().is_some_and(|time| time.0 <= now && Some(time) != restarted)
}

/// Says that the restart is over, or which pods may go now: if the decision does nothing else, for both would take from the same
/// available pods.
pub(crate) fn step(facts: &Facts<'_>, draft: &mut Draft) -> Vec<Action> {
    let mut evictions = Vec::new();
    let Some(time) = facts.rollout.spec.restart_at.as_ref() else { return evictions };
    if draft.status.restarted_at.as_ref() == Some(time) {
        return evictions;
    }
    if time.0 > facts.now {
        draft.wake_at(time.0);
        return evictions;
    }
    if draft.status.current_pod_hash.as_deref() != Some(facts.hash.0.as_str()) {
        draft.status.restarted_at = Some(time.clone());
        return evictions;
    }
    let again = facts.now.checked_add(TRY_AGAIN).unwrap_or(facts.now);
    let Some(all) = &facts.seen.pods else {
        draft.wake_at(again);
        return evictions;
    };
    let stable_and_new = facts.revisions.stable.into_iter().chain(facts.revisions.new);
    let mut sets: Vec<&str> = Vec::new();
    for set in stable_and_new.chain(facts.revisions.others.iter().copied()) {
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        if !sets.contains(&uid) {
            sets.push(uid);
        }
    }
    let present = |pod: &&Pod| !pod.terminating && sets.contains(&pod.set.as_str());
    let mut left = all.iter().filter(present).filter(|pod| pod.created < time.0).peekable();
    if left.peek().is_none() {
        draft.status.restarted_at = Some(time.clone());
        draft.normal(reason::RESTARTED, format!("All pods are newer than {}", time.0));
        return evictions;
    }
    draft.wake_at(again);
    let mut left: Vec<&Pod> = left.collect();
    left.sort_by_key(|pod| (sets.iter().position(|set| *set == pod.set), pod.created, pod.name.clone()));
    let mut spare = spare(facts, all.iter().filter(present).filter(|pod| pod.available).count());
    for pod in left.iter().copied() {
        // One refusal stands for all pods of a version: they have the same labels, so the same budget.
        if left.iter().any(|other| other.refused && other.set == pod.set) {
            continue;
        }
        if pod.available {
            if spare <= 0 {
                continue;
            }
            spare -= 1;
        }
        let target = Target { name: pod.name.clone(), uid: pod.uid.clone(), resource_version: None };
        evictions.push(Action::EvictPod { target });
    }
    evictions
}

/// How many available pods may go now. The pods and the ReplicaSets are seen at different times: the smaller number counts.
fn spare(facts: &Facts<'_>, available_pods: usize) -> i32 {
    let sets = || facts.revisions.all.iter().map(|set| pods(Some(set)));
    let wanted: i32 = sets().map(|pods| pods.wanted).sum();
    let available: i32 = sets().map(|pods| pods.available).sum();
    let available = available.min(i32::try_from(available_pods).unwrap_or(i32::MAX));
    let unavailable = replicas::unavailable(facts.rollout, facts.desired).max(1);
    available - (facts.desired.max(wanted) - unavailable)
}
