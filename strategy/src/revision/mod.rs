//! Revisions: which ReplicaSet is the wanted version, which one is stable, and what they are called and numbered.
//!
//! Invariants
//! - A ReplicaSet is recognised by its hash label or, when another controller made it, by comparing templates; so an
//!   adopted Rollout gets no new revision.
//! - The writes made here depend only on what was seen; made again they are empty.

mod compare;
mod defaults;
mod hash;
mod quantity;
mod steps;
mod writes;

use std::fmt;

use crds::words::{POD_TEMPLATE_HASH_LABEL, REVISION_ANNOTATION};
use crds::{LabelSelector, ReplicaSet, Rollout};

use crate::Observation;
use compare::Comparable;

pub use compare::template_for_undo;
pub use hash::hash;
pub use steps::{step_hash, steps_changed};
pub(crate) use writes::owner;
pub use writes::{annotation_patches, history_beyond_limit, new_replica_set};

/// Name of a version: the hash of its pod template, as in the label `rollouts-pod-template-hash`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodTemplateHash(pub String);

impl fmt::Display for PodTemplateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Number of a version, counted from 1; going back to a version gives it a new number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The ReplicaSets of a Rollout by role.
#[derive(Clone, Debug, Default)]
pub struct Revisions<'a> {
    /// The one of the wanted template; also `stable` when nothing is being released.
    pub new: Option<&'a ReplicaSet>,
    /// The one last promoted.
    pub stable: Option<&'a ReplicaSet>,
    /// Neither of the two, oldest first.
    pub others: Vec<&'a ReplicaSet>,
    /// All, oldest first.
    pub all: Vec<&'a ReplicaSet>,
}

/// The hash label of a ReplicaSet.
pub fn hash_of(set: &ReplicaSet) -> Option<&str> {
    set.metadata.labels.as_ref()?.get(POD_TEMPLATE_HASH_LABEL).map(String::as_str).filter(|hash| !hash.is_empty())
}

/// The revision annotation of a ReplicaSet.
pub fn revision_of(set: &ReplicaSet) -> Option<Revision> {
    set.metadata.annotations.as_ref()?.get(REVISION_ANNOTATION)?.parse().ok().map(Revision)
}

/// The ReplicaSets by role.
pub fn sort(seen: &Observation) -> Revisions<'_> {
    let rollout = &seen.rollout;
    let mut all: Vec<&ReplicaSet> = seen.replica_sets.iter().filter(|set| belongs(rollout, set)).collect();
    // Times have whole seconds: the number tells which of two in the same second is older.
    all.sort_by_cached_key(|set| {
        let made = set.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (made, revision_of(set), set.metadata.name.as_deref())
    });
    let stored = rollout.status.as_ref();
    let new = find_new(rollout, &all);
    let stable = stored
        .and_then(|status| status.stable_rs.as_deref())
        .filter(|hash| !hash.is_empty())
        .and_then(|hash| all.iter().copied().find(|set| hash_of(set) == Some(hash)));
    let others = all.iter().copied().filter(|set| !is(new, set) && !is(stable, set)).collect();
    Revisions { new, stable, others, all }
}

/// Whether both are the same object.
fn is(one: Option<&ReplicaSet>, other: &ReplicaSet) -> bool {
    one.is_some_and(|one| std::ptr::eq(one, other))
}

fn find_new<'a>(rollout: &Rollout, all: &[&'a ReplicaSet]) -> Option<&'a ReplicaSet> {
    let template = rollout.spec.template.as_ref()?;
    let status = rollout.status.as_ref();
    let PodTemplateHash(ours) = hash(template, status.and_then(|status| status.collision_count));
    if let Some(found) = all.iter().copied().find(|set| hash_of(set) == Some(&ours)) {
        return Some(found);
    }
    let wanted = Comparable::wanted(template);
    let labelled = || all.iter().copied().filter(|set| hash_of(set).is_some());
    let current = status.and_then(|status| status.current_pod_hash.as_deref());
    labelled()
        .find(|set| hash_of(set) == current && wanted.is_that_of(set))
        .or_else(|| labelled().find(|set| wanted.is_that_of(set)))
}

/// Whether a ReplicaSet is the Rollout's: controlled by it and selected, or selected and controlled by nobody.
fn belongs(rollout: &Rollout, set: &ReplicaSet) -> bool {
    let selected = rollout.spec.selector.as_ref().map(|selector| selects(selector, set));
    match controller(set) {
        Some(uid) => Some(uid) == rollout.metadata.uid.as_deref() && selected != Some(false),
        None => selected == Some(true) && adoptable(rollout, set),
    }
}

/// Nothing that is being deleted adopts or is adopted.
fn adoptable(rollout: &Rollout, set: &ReplicaSet) -> bool {
    rollout.metadata.deletion_timestamp.is_none() && set.metadata.deletion_timestamp.is_none()
}

/// The uid of the controlling owner.
fn controller(set: &ReplicaSet) -> Option<&str> {
    let owners = set.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str())
}

/// Whether the labels of a ReplicaSet fit a selector. An empty selector selects nothing here: it would take everything.
fn selects(selector: &LabelSelector, set: &ReplicaSet) -> bool {
    let empty = std::collections::BTreeMap::new();
    let labels = set.metadata.labels.as_ref().unwrap_or(&empty);
    crds::selector_is_set(selector) && crds::selector_matches(selector, labels)
}

/// The number of the wanted version: one more than every other version has, or its own when that is higher still.
pub fn revision_number(revisions: &Revisions<'_>) -> Revision {
    let highest_other = revisions
        .all
        .iter()
        .copied()
        .filter(|set| !is(revisions.new, set))
        .filter_map(revision_of)
        .max()
        .map_or(0, |Revision(number)| number);
    let next = Revision(highest_other.saturating_add(1));
    revisions.new.and_then(revision_of).map_or(next, |own| own.max(next))
}

/// Whether the wanted version was made before the stable one.
pub fn is_rollback(revisions: &Revisions<'_>) -> bool {
    let made = |set: &ReplicaSet| set.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let (new, stable) = (revisions.new.and_then(made), revisions.stable.and_then(made));
    new.zip(stable).is_some_and(|(new, stable)| new < stable)
}

/// Whether the wanted version is one of the last `rollbackWindow.revisions` before the stable one, by the times at which they were made
/// (not by their numbers, which change when one goes back).
pub fn within_rollback_window(rollout: &Rollout, revisions: &Revisions<'_>) -> bool {
    let window = rollout.spec.rollback_window.as_ref().and_then(|window| window.revisions).unwrap_or(0);
    let made = |set: &ReplicaSet| set.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let (Some(new), Some(stable)) = (revisions.new.and_then(made), revisions.stable.and_then(made)) else {
        return false;
    };
    let between = revisions.all.iter().filter_map(|set| made(set)).filter(|time| new < *time && *time < stable).count();
    new < stable && i32::try_from(between).is_ok_and(|between| between < window)
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "JSON literals read best without borrows")]
mod tests;
