//! What is written on ReplicaSets and on the Rollout so that revisions can be told apart.

use std::collections::BTreeMap;

use crds::k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use crds::kube::Resource;
use crds::words::{
    DESIRED_REPLICAS_ANNOTATION, POD_TEMPLATE_HASH_LABEL, REVISION_ANNOTATION, REVISION_HISTORY_ANNOTATION,
    SCALE_DOWN_DEADLINE_ANNOTATION, WORKLOAD_GENERATION_ANNOTATION,
};
use crds::{ObjectMeta, PodTemplate, ReplicaSet, ReplicaSetSpec, Rollout};
use serde_json::{Map, Value, json};

use super::{PodTemplateHash, Revision, Revisions, adoptable, controller, is, revision_number, revision_of};
use crate::{Action, Observation, Target};

/// `revisionHistoryLimit` when the user set none.
const DEFAULT_HISTORY_LIMIT: i32 = 10;
/// `spec.replicas` when the user set none.
const DEFAULT_REPLICAS: i32 = 1;
/// Annotations of the Rollout which say something about the Rollout only.
const NOT_COPIED: [&str; 5] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION_ANNOTATION,
    REVISION_HISTORY_ANNOTATION,
    DESIRED_REPLICAS_ANNOTATION,
    WORKLOAD_GENERATION_ANNOTATION,
];
/// Prefix of the annotations in which notifications remember what was sent.
const NOTIFIED_PREFIX: &str = "notified.notifications.argoproj.io";

/// The Rollout as controlling owner.
pub(crate) fn owner(rollout: &Rollout) -> OwnerReference {
    OwnerReference {
        api_version: Rollout::api_version(&()).into_owned(),
        kind: Rollout::kind(&()).into_owned(),
        name: rollout.metadata.name.clone().unwrap_or_default(),
        uid: rollout.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

fn copied_annotations(rollout: &Rollout) -> impl Iterator<Item = (&String, &String)> {
    rollout
        .metadata
        .annotations
        .iter()
        .flatten()
        .filter(|(key, _)| !NOT_COPIED.contains(&key.as_str()) && !key.starts_with(NOTIFIED_PREFIX))
}

fn desired_replicas(rollout: &Rollout) -> i32 {
    rollout.spec.replicas.unwrap_or(DEFAULT_REPLICAS)
}

/// The ReplicaSet of a version that has none yet, with this many pods.
pub fn new_replica_set(
    rollout: &Rollout,
    revisions: &Revisions<'_>,
    hash: &PodTemplateHash,
    replicas: i32,
) -> ReplicaSet {
    let mut template: PodTemplate = rollout.spec.template.clone().unwrap_or_default();
    template.set_label(POD_TEMPLATE_HASH_LABEL, &hash.0);
    let mut selector = rollout.spec.selector.clone().unwrap_or_default();
    selector.match_labels.get_or_insert_default().insert(POD_TEMPLATE_HASH_LABEL.to_owned(), hash.0.clone());
    let mut annotations: BTreeMap<String, String> =
        copied_annotations(rollout).map(|(key, value)| (key.clone(), value.clone())).collect();
    annotations.insert(REVISION_ANNOTATION.to_owned(), revision_number(revisions).to_string());
    annotations.insert(DESIRED_REPLICAS_ANNOTATION.to_owned(), desired_replicas(rollout).to_string());
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", rollout.metadata.name.as_deref().unwrap_or_default())),
            namespace: rollout.metadata.namespace.clone(),
            labels: Some(template.labels()),
            annotations: Some(annotations),
            owner_references: Some(vec![owner(rollout)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(replicas),
            min_ready_seconds: rollout.spec.min_ready_seconds.filter(|seconds| *seconds > 0),
            selector,
            template: Some(template),
        }),
        status: None,
    }
}

/// Adoption of ReplicaSets nobody controls, release of those no longer selected, and the annotations which number the
/// versions. Empty when all is right.
pub fn annotation_patches(seen: &Observation, revisions: &Revisions<'_>) -> Vec<Action> {
    let rollout = &seen.rollout;
    let mut actions: Vec<Action> = seen.replica_sets.iter().filter_map(|set| release(rollout, set)).collect();
    actions.extend(revisions.all.iter().filter_map(|set| patch_set(rollout, revisions, set)));
    if revisions.new.is_some() {
        let number = revision_number(revisions).to_string();
        let stored = rollout.metadata.annotations.as_ref().and_then(|annotations| annotations.get(REVISION_ANNOTATION));
        if stored != Some(&number) {
            actions.push(Action::PatchRollout {
                patch: json!({ "metadata": { "annotations": { REVISION_ANNOTATION: number } } }),
            });
        }
    }
    actions
}

fn patch_set(rollout: &Rollout, revisions: &Revisions<'_>, set: &ReplicaSet) -> Option<Action> {
    let has_role = is(revisions.new, set) || is(revisions.stable, set);
    if !has_role && controller(set).is_some() {
        return None;
    }
    let stored = set.metadata.annotations.as_ref();
    let mut annotations: BTreeMap<&str, String> = BTreeMap::new();
    if is(revisions.new, set) {
        let number = revision_number(revisions);
        let own = revision_of(set);
        if own != Some(number) {
            annotations.insert(REVISION_ANNOTATION, number.to_string());
            if let Some(Revision(earlier)) = own {
                let history =
                    stored.and_then(|stored| stored.get(REVISION_HISTORY_ANNOTATION)).filter(|text| !text.is_empty());
                let history = history.map_or_else(|| earlier.to_string(), |history| format!("{history},{earlier}"));
                annotations.insert(REVISION_HISTORY_ANNOTATION, history);
            }
        }
        annotations.extend(copied_annotations(rollout).map(|(key, value)| (key.as_str(), value.clone())));
    }
    if has_role {
        annotations.insert(DESIRED_REPLICAS_ANNOTATION, desired_replicas(rollout).to_string());
    }
    annotations.retain(|key, value| stored.and_then(|stored| stored.get(*key)) != Some(value));
    let mut metadata = Map::new();
    let mut whole = false;
    if !annotations.is_empty() {
        // What is appended to the history depends on what is there.
        whole = annotations.contains_key(REVISION_HISTORY_ANNOTATION);
        metadata.insert("annotations".to_owned(), json!(annotations));
    }
    if controller(set).is_none() && adoptable(rollout, set) {
        let mut owners = set.metadata.owner_references.clone().unwrap_or_default();
        owners.push(owner(rollout));
        metadata.insert("ownerReferences".to_owned(), json!(owners));
        whole = true;
    }
    let mut patch = Map::new();
    if !metadata.is_empty() {
        patch.insert("metadata".to_owned(), Value::Object(metadata));
    }
    let ready = rollout.spec.min_ready_seconds.unwrap_or(0);
    let known = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
    if is(revisions.new, set) && ready != known {
        patch.insert("spec".to_owned(), json!({ "minReadySeconds": ready }));
    }
    (!patch.is_empty()).then(|| Action::PatchReplicaSet { target: target(set, whole), patch: Value::Object(patch) })
}

/// A ReplicaSet whose labels were changed so that the Rollout no longer selects it is let go.
fn release(rollout: &Rollout, set: &ReplicaSet) -> Option<Action> {
    let uid = rollout.metadata.uid.as_deref()?;
    let selector = rollout.spec.selector.as_ref()?;
    if controller(set) != Some(uid) || super::selects(selector, set) || !adoptable(rollout, set) {
        return None;
    }
    let owners: Vec<_> = set.metadata.owner_references.iter().flatten().filter(|owner| owner.uid != uid).collect();
    Some(Action::PatchReplicaSet {
        target: target(set, true),
        patch: json!({ "metadata": { "ownerReferences": owners } }),
    })
}

fn target(set: &ReplicaSet, whole: bool) -> Target {
    Target {
        name: set.metadata.name.clone().unwrap_or_default(),
        uid: set.metadata.uid.clone().unwrap_or_default(),
        resource_version: set.metadata.resource_version.clone().filter(|_| whole),
    }
}

/// The versions without pods which are too old to be kept, oldest first.
pub fn history_beyond_limit<'a>(rollout: &Rollout, revisions: &Revisions<'a>) -> Vec<&'a ReplicaSet> {
    let limit = rollout.spec.revision_history_limit.unwrap_or(DEFAULT_HISTORY_LIMIT);
    let kept = usize::try_from(limit).unwrap_or(0);
    let old: Vec<_> =
        revisions.others.iter().copied().filter(|set| set.metadata.deletion_timestamp.is_none()).collect();
    let beyond = old.len().saturating_sub(kept);
    old.into_iter().take(beyond).filter(|set| is_empty(set)).collect()
}

/// No pods, none wanted, and none that wait for a scale-down.
fn is_empty(set: &ReplicaSet) -> bool {
    let status = set.status.as_ref();
    let observed = status.and_then(|status| status.observed_generation).unwrap_or_default();
    let deadline =
        set.metadata.annotations.as_ref().and_then(|annotations| annotations.get(SCALE_DOWN_DEADLINE_ANNOTATION));
    set.replicas_or_default() == 0
        && status.is_none_or(|status| status.replicas == 0)
        && observed >= set.metadata.generation.unwrap_or_default()
        && deadline.is_none_or(String::is_empty)
}
