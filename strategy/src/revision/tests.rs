use std::collections::BTreeMap;

use crds::k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};

use super::*;
use crate::{Action, Observation};

fn rollout(template: Value, status: Value) -> Rollout {
    serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": { "name": "web", "namespace": "shop", "uid": "u", "annotations": {
            "team": "a", "kubectl.kubernetes.io/last-applied-configuration": "{}",
        } },
        "spec": { "replicas": 3, "revisionHistoryLimit": 1, "selector": { "matchLabels": { "app": "web" } }, "template": template,
                  "strategy": { "canary": {} } },
        "status": status,
    }))
    .unwrap()
}

fn template(image: &str) -> Value {
    json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "web", "image": image }] } })
}

/// As Argo would have left it: named by a hash that is not ours, completed by the API server.
fn foreign(hash: &str, image: &str, revision: u64, created: &str) -> ReplicaSet {
    let mut template = template(image);
    template["metadata"]["labels"][POD_TEMPLATE_HASH_LABEL] = json!(hash);
    template["spec"]["restartPolicy"] = json!("Always");
    serde_json::from_value(json!({
        "metadata": {
            "name": format!("web-{hash}"), "uid": format!("uid-{hash}"), "resourceVersion": "7", "creationTimestamp": created,
            "labels": { "app": "web", POD_TEMPLATE_HASH_LABEL: hash },
            "annotations": { REVISION_ANNOTATION: revision.to_string(), "rollout.argoproj.io/desired-replicas": "3", "team": "a" },
            "ownerReferences": [{ "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": "u", "controller": true }],
        },
        "spec": { "replicas": 0, "selector": {}, "template": template },
        "status": { "replicas": 0 },
    }))
    .unwrap()
}

fn seen(rollout: Rollout, replica_sets: Vec<ReplicaSet>) -> Observation {
    Observation {
        workload: None,
        pods: None,
        rollout,
        replica_sets,
        taken: std::collections::BTreeSet::new(),
        unserved: std::collections::BTreeSet::new(),
        services: BTreeMap::new(),
        routes: BTreeMap::new(),
        analysis_runs: Vec::new(),
        experiments: Vec::new(),
        analysis_templates: BTreeMap::new(),
        cluster_analysis_templates: BTreeMap::new(),
    }
}

fn name(set: Option<&ReplicaSet>) -> Option<&str> {
    set.and_then(|set| set.metadata.name.as_deref())
}

fn patches(actions: &[Action]) -> Vec<(&str, &Value)> {
    actions
        .iter()
        .map(|action| match action {
            Action::PatchRollout { patch } => ("rollout", patch),
            Action::PatchReplicaSet { target, patch } => (target.name.as_str(), patch),
            other => panic!("unexpected {other:?}"),
        })
        .collect()
}

#[test]
fn a_version_of_another_controller_is_found_by_its_template() {
    let sets = vec![
        foreign("zzz", "web:2", 2, "2026-01-02T00:00:00Z"),
        foreign("aaa", "web:1", 1, "2026-01-01T00:00:00Z"),
        foreign("yyy", "web:2", 3, "2026-01-03T00:00:00Z"),
    ];
    let by_status =
        seen(rollout(template("web:2"), json!({ "currentPodHash": "yyy", "stableRS": "aaa" })), sets.clone());
    let revisions = sort(&by_status);
    assert_eq!(name(revisions.new), Some("web-yyy"), "the one of the status comes first");
    assert_eq!(name(revisions.stable), Some("web-aaa"));
    assert_eq!(revisions.others.iter().map(|set| name(Some(set))).collect::<Vec<_>>(), [Some("web-zzz")]);
    assert_eq!(revisions.all.len(), 3);

    let stale = seen(rollout(template("web:2"), json!({ "currentPodHash": "aaa", "stableRS": "aaa" })), sets.clone());
    assert_eq!(name(sort(&stale).new), Some("web-zzz"), "then the oldest with an equal template");

    let unknown = seen(rollout(template("web:9"), json!({ "currentPodHash": "aaa" })), sets);
    assert_eq!(name(sort(&unknown).new), None, "and a template nobody has is a new version");
}

#[test]
fn our_own_label_is_enough() {
    let rollout = rollout(template("web:1"), json!({}));
    let ours = hash(rollout.spec.template.as_ref().unwrap(), None);
    // As if an admission webhook had changed the template of the ReplicaSet.
    let seen = seen(rollout, vec![foreign(&ours.0, "mirror/web:1", 1, "2026-01-01T00:00:00Z")]);
    assert_eq!(name(sort(&seen).new), Some(format!("web-{ours}").as_str()));
}

#[test]
fn a_new_version_is_complete_and_right_when_seen_again() {
    let rollout = rollout(template("web:2"), json!({ "stableRS": "aaa" }));
    let mut seen = seen(rollout, vec![foreign("aaa", "web:1", 4, "2026-01-01T00:00:00Z")]);
    let hash = hash(seen.rollout.spec.template.as_ref().unwrap(), None);
    let made = new_replica_set(&seen.rollout, &sort(&seen), &hash, 0);
    insta::assert_yaml_snapshot!(serde_json::to_value(&made).unwrap());
    seen.replica_sets.push(made);
    let revisions = sort(&seen);
    assert_eq!(name(revisions.new), Some(format!("web-{hash}").as_str()));
    let actions = annotation_patches(&seen, &revisions);
    assert_eq!(
        patches(&actions),
        [("rollout", &json!({ "metadata": { "annotations": { REVISION_ANNOTATION: "5" } } }))]
    );
}

#[test]
fn going_back_gives_a_new_number_and_remembers_the_old_one() {
    let sets =
        vec![foreign("aaa", "web:1", 1, "2026-01-01T00:00:00Z"), foreign("bbb", "web:2", 2, "2026-01-02T00:00:00Z")];
    let mut seen = seen(rollout(template("web:1"), json!({ "currentPodHash": "bbb", "stableRS": "bbb" })), sets);
    let actions = annotation_patches(&seen, &sort(&seen));
    assert_eq!(
        patches(&actions),
        [
            (
                "web-aaa",
                &json!({ "metadata": { "annotations": {
                REVISION_ANNOTATION: "3", "rollout.argoproj.io/revision-history": "1",
            } } })
            ),
            ("rollout", &json!({ "metadata": { "annotations": { REVISION_ANNOTATION: "3" } } })),
        ]
    );
    seen.rollout.metadata.annotations.get_or_insert_default().insert(REVISION_ANNOTATION.into(), "3".into());
    let annotations = seen.replica_sets[0].metadata.annotations.get_or_insert_default();
    annotations.insert(REVISION_ANNOTATION.into(), "3".into());
    annotations.insert("rollout.argoproj.io/revision-history".into(), "1".into());
    assert_eq!(annotation_patches(&seen, &sort(&seen)), []);
}

#[test]
fn orphans_are_adopted_strangers_are_not_and_the_unselected_are_released() {
    let mut orphan = foreign("aaa", "web:1", 1, "2026-01-01T00:00:00Z");
    orphan.metadata.owner_references = None;
    let mut stranger = foreign("bbb", "web:1", 7, "2026-01-01T00:00:00Z");
    stranger.metadata.owner_references =
        Some(vec![OwnerReference { uid: "other".into(), controller: Some(true), ..OwnerReference::default() }]);
    let mut unselected = foreign("ccc", "web:1", 9, "2026-01-01T00:00:00Z");
    unselected.metadata.labels.get_or_insert_default().insert("app".into(), "quarantine".into());
    let seen = seen(rollout(template("web:1"), json!({})), vec![orphan, stranger, unselected]);
    let revisions = sort(&seen);
    assert_eq!(revisions.all.len(), 1);
    let actions = annotation_patches(&seen, &revisions);
    let patches = patches(&actions);
    assert_eq!(patches[0], ("web-ccc", &json!({ "metadata": { "ownerReferences": [] } })));
    assert_eq!(patches[1].0, "web-aaa");
    assert_eq!(patches[1].1["metadata"]["ownerReferences"][0]["uid"], "u");
    assert_eq!(patches[2].0, "rollout");
    assert!(
        matches!(&actions[1], Action::PatchReplicaSet { target, .. } if target.resource_version.as_deref() == Some("7"))
    );
}

#[test]
fn history_keeps_the_newest_and_whatever_has_pods() {
    let mut running = foreign("aaa", "web:1", 1, "2026-01-01T00:00:00Z");
    running.spec.get_or_insert_default().replicas = Some(1);
    let sets = vec![
        running,
        foreign("bbb", "web:2", 2, "2026-01-02T00:00:00Z"),
        foreign("ccc", "web:3", 3, "2026-01-03T00:00:00Z"),
        foreign("ddd", "web:4", 4, "2026-01-04T00:00:00Z"),
    ];
    let seen = seen(rollout(template("web:4"), json!({ "currentPodHash": "ddd", "stableRS": "ddd" })), sets);
    let beyond = history_beyond_limit(&seen.rollout, &sort(&seen));
    assert_eq!(beyond.iter().map(|set| name(Some(set))).collect::<Vec<_>>(), [Some("web-bbb")]);
}
