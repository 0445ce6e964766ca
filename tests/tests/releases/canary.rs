//! Canaries without traffic routing: the weights are numbers of pods.

use std::time::Duration;

use cluster_tests::crds::Rollout;
use cluster_tests::crds::k8s_openapi::api::core::v1::Pod;
use cluster_tests::crds::kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use cluster_tests::{eventually, holds};
use serde_json::json;

use crate::release;

const HALF: &str = "
  replicas: 4
  strategy: {canary: {steps: [{setWeight: 50}, {pause: {}}]}}";

#[test]
fn each_weight_is_a_number_of_pods() {
    let spec = "
  replicas: 5
  strategy: {canary: {steps: [{setWeight: 20}, {pause: {}}, {setWeight: 40}, {pause: {}}, {setWeight: 80}, {pause: {}}]}}";
    release("weights", spec, async |it| {
        it.set_image("v2").await;
        for (step, pods) in [(1, "v1=4 v2=1"), (3, "v1=3 v2=2"), (5, "v1=1 v2=4")] {
            it.paused_at(step).await;
            it.pods_are(pods).await;
            it.promote().await;
        }
        it.healthy().await;
        it.pods_are("v2=5").await;
    });
}

#[test]
fn a_first_version_skips_all_steps() {
    release("first", HALF, async |it| {
        let status = it.rollout().await.status.unwrap();
        assert_eq!((status.current_step_index, status.replicas), (Some(2), Some(4)));
        it.revisions_are("v1=1").await;
    });
}

#[test]
fn without_steps_the_pods_are_replaced() {
    release(
        "nosteps",
        "
  replicas: 3
  strategy: {canary: {}}",
        async |it| {
            it.set_image("v2").await;
            it.healthy().await;
            it.pods_are("v2=3").await;
        },
    );
}

#[test]
fn a_timed_pause_ends_by_itself() {
    release(
        "timed",
        "
  replicas: 2
  strategy: {canary: {steps: [{setWeight: 50}, {pause: {duration: 1s}}]}}",
        async |it| {
            it.set_image("v2").await;
            it.healthy().await;
            it.pods_are("v2=2").await;
        },
    );
}

#[test]
fn a_rollback_in_mid_release_uses_the_old_version_again() {
    release("rollback", HALF, async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        it.pods_are("v1=2 v2=2").await;
        it.set_image("v1").await;
        it.healthy().await;
        it.pods_are("v1=4").await;
        it.revisions_are("v1=3 v2=2").await;
    });
}

#[test]
fn a_newer_version_takes_the_place_of_one_in_mid_release() {
    release("superseded", HALF, async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        it.set_image("v3").await;
        it.until("paused again", |status| status.message.as_deref() == Some("CanaryPauseStep")).await;
        it.pods_are("v1=2 v3=2").await;
        it.promote().await;
        it.healthy().await;
        it.pods_are("v3=4").await;
        it.revisions_are("v1=1 v2=2 v3=3").await;
    });
}

#[test]
fn scaled_up_in_mid_release_the_shares_stay() {
    release("scale-up", HALF, async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        it.patch(json!({"spec": {"replicas": 8}})).await;
        it.pods_are("v1=4 v2=4").await;
        it.promote().await;
        it.healthy().await;
        it.pods_are("v2=8").await;
    });
}

#[test]
fn scaled_down_in_mid_release_the_shares_stay() {
    release("scale-down", HALF, async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        it.patch(json!({"spec": {"replicas": 2}})).await;
        it.pods_are("v1=1 v2=1").await;
        it.promote().await;
        it.healthy().await;
        it.pods_are("v2=2").await;
    });
}

#[test]
fn scaled_to_nothing_and_back() {
    release("nothing", HALF, async |it| {
        it.patch(json!({"spec": {"replicas": 0}})).await;
        it.pods_are("").await;
        it.set_image("v2").await;
        it.until("the new version is seen", |status| status.current_pod_hash != status.stable_rs).await;
        it.patch(json!({"spec": {"replicas": 4}})).await;
        it.paused_at(1).await;
        it.promote().await;
        it.healthy().await;
        it.pods_are("v2=4").await;
    });
}

#[test]
fn an_autoscaler_uses_the_scale_sub_resource() {
    release("autoscaled", HALF, async |it| {
        let rollouts = it.rollouts();
        let patch = Patch::Merge(json!({"spec": {"replicas": 6}}));
        rollouts.patch_scale(it.name(), &PatchParams::default(), &patch).await.unwrap();
        it.pods_are("v1=6").await;
        it.until("six pods are counted", |status| status.hpa_replicas == Some(6)).await;
        let scale = rollouts.get_scale(it.name()).await.unwrap();
        let seen = scale.status.unwrap();
        assert_eq!((seen.replicas, seen.selector.as_deref()), (6, Some("app=autoscaled")));
    });
}

#[test]
fn min_ready_seconds_are_waited_for() {
    release(
        "ready",
        "
  replicas: 1
  minReadySeconds: 3
  strategy: {canary: {steps: [{setWeight: 100}, {pause: {}}]}}",
        async |it| {
            it.set_image("v2").await;
            it.pods_are("v1=1 v2=1").await;
            holds("the old pod stays while the new one is only just ready", Duration::from_secs(1), async || {
                let pods = it.pods_by_tag().await;
                if pods == "v1=1 v2=1" { Ok(()) } else { Err(pods) }
            })
            .await;
            it.paused_at(1).await;
            it.pods_are("v2=1").await;
        },
    );
}

#[test]
fn no_more_pods_than_allowed_at_any_time() {
    release(
        "surge",
        "
  replicas: 4
  strategy: {canary: {maxSurge: 0, maxUnavailable: 1, steps: [{setWeight: 25}, {setWeight: 50}, {setWeight: 75}]}}",
        async |it| {
            it.set_image("v2").await;
            let pods = it.ns.api::<Pod>();
            let ours = ListParams::default().labels("app=surge");
            eventually("replaced one by one", Duration::from_mins(1), async || {
                let living = pods.list(&ours).await.unwrap();
                let living = living.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).count();
                assert!(living <= 4, "{living} pods");
                let pods = it.pods_by_tag().await;
                if pods == "v2=4" { Ok(()) } else { Err(pods) }
            })
            .await;
            it.healthy().await;
        },
    );
}

#[test]
fn aborted_and_tried_again() {
    release("aborted", HALF, async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        it.plugin_says(&["abort", it.name()], "aborted").await;
        it.until("aborted", |status| status.phase.as_deref() == Some("Degraded")).await;
        it.pods_are("v1=4").await;
        it.plugin_says(&["retry", "rollout", it.name()], "retried").await;
        it.paused_at(1).await;
        it.pods_are("v1=2 v2=2").await;
        it.promote().await;
        it.healthy().await;
    });
}

#[test]
fn an_aborted_release_is_left_by_a_newer_version() {
    release("abort-newer", HALF, async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        it.patch_status(json!({"abort": true})).await;
        it.pods_are("v1=4").await;
        it.set_image("v3").await;
        it.paused_at(1).await;
        let status = it.rollout().await.status.unwrap();
        assert!(!status.abort.unwrap_or(false));
        it.pods_are("v1=2 v3=2").await;
    });
}

#[test]
fn fully_promoted_it_skips_the_rest() {
    release(
        "full",
        "
  replicas: 4
  strategy: {canary: {steps: [{setWeight: 25}, {pause: {}}, {setWeight: 50}, {pause: {}}]}}",
        async |it| {
            it.set_image("v2").await;
            it.paused_at(1).await;
            it.plugin_says(&["promote", it.name(), "--full"], "fully promoted").await;
            it.healthy().await;
            it.pods_are("v2=4").await;
        },
    );
}

#[test]
fn steps_edited_in_mid_release_begin_again() {
    release("edited", HALF, async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        let steps = json!([{"setWeight": 25}, {"pause": {}}, {"setWeight": 75}, {"pause": {}}]);
        it.patch(json!({"spec": {"strategy": {"canary": {"steps": steps}}}})).await;
        it.pods_are("v1=3 v2=1").await;
        it.paused_at(1).await;
        it.promote().await;
        it.paused_at(3).await;
        it.pods_are("v1=1 v2=3").await;
    });
}

#[test]
fn a_person_pauses_before_the_release_and_lets_it_go() {
    release("held", HALF, async |it| {
        it.plugin_says(&["pause", it.name()], "paused").await;
        it.set_image("v2").await;
        it.until("held", |status| status.phase.as_deref() == Some("Paused")).await;
        holds("no pod is replaced", Duration::from_secs(1), async || {
            let pods = it.pods_by_tag().await;
            if pods == "v1=4" { Ok(()) } else { Err(pods) }
        })
        .await;
        it.plugin_says(&["resume", it.name()], "resumed").await;
        it.paused_at(1).await;
        it.pods_are("v1=2 v2=2").await;
    });
}

#[test]
fn only_as_many_old_versions_are_kept_as_asked_for() {
    release(
        "history",
        "
  replicas: 1
  revisionHistoryLimit: 1
  strategy: {canary: {}}",
        async |it| {
            for tag in ["v2", "v3", "v4"] {
                it.set_image(tag).await;
                it.healthy().await;
            }
            it.revisions_are("v3=3 v4=4").await;
        },
    );
}

#[test]
fn undone_to_a_revision() {
    release(
        "undone",
        "
  replicas: 1
  strategy: {canary: {}}",
        async |it| {
            for tag in ["v2", "v3"] {
                it.set_image(tag).await;
                it.healthy().await;
            }
            it.plugin_says(&["undo", it.name(), "--to-revision=1"], "undo").await;
            it.healthy().await;
            it.pods_are("v1=1").await;
            it.revisions_are("v1=4 v2=2 v3=3").await;
        },
    );
}

#[test]
fn a_version_that_does_not_start_is_reported_and_undone() {
    release(
        "stuck",
        "
  replicas: 4
  progressDeadlineSeconds: 2
  strategy: {canary: {steps: [{setWeight: 25}, {pause: {}}]}}",
        async |it| {
            it.set_image("bad").await;
            let stuck = it.until("given up", |status| status.phase.as_deref() == Some("Degraded")).await;
            let message = stuck.status.unwrap().message.unwrap();
            assert!(message.starts_with("ProgressDeadlineExceeded"), "{message}");
            it.set_image("v1").await;
            it.healthy().await;
            it.pods_are("v1=4").await;
        },
    );
}

#[test]
fn a_version_that_does_not_start_is_aborted_when_asked_for() {
    release(
        "stuck-abort",
        "
  replicas: 4
  progressDeadlineSeconds: 2
  progressDeadlineAbort: true
  strategy: {canary: {steps: [{setWeight: 25}, {pause: {}}]}}",
        async |it| {
            it.set_image("bad").await;
            it.until("aborted", |status| status.abort == Some(true) && status.phase.as_deref() == Some("Degraded"))
                .await;
            it.pods_are("v1=4").await;
        },
    );
}

#[test]
fn a_new_environment_variable_is_a_new_version_and_a_new_annotation_of_the_rollout_is_not() {
    release("what-counts", HALF, async |it| {
        it.patch(json!({"metadata": {"annotations": {"note": "changed"}}, "spec": {"revisionHistoryLimit": 3}})).await;
        it.healthy().await;
        it.revisions_are("v1=1").await;
        it.patch(json!({"spec": {"template": {"metadata": {"annotations": {"note": "changed"}}}}})).await;
        it.paused_at(1).await;
        assert_eq!(it.replica_sets().await.len(), 2);
    });
}

#[test]
fn a_pod_that_goes_is_replaced_in_mid_release() {
    release("pod-lost", HALF, async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        it.pods_are("v1=2 v2=2").await;
        let pods = it.ns.api::<Pod>();
        let all = pods.list(&ListParams::default().labels("app=pod-lost")).await.unwrap();
        let before = it.pods_by_version().await;
        // One that was on its way out already may be gone by now.
        for pod in all.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            pods.delete(&pod.metadata.name.unwrap(), &DeleteParams::default()).await.unwrap();
        }
        eventually("every pod is a new one", Duration::from_mins(1), async || {
            let now = it.pods_by_version().await;
            if now.len() == 4 && now.keys().all(|uid| !before.contains_key(uid)) {
                Ok(())
            } else {
                Err(format!("{now:?}"))
            }
        })
        .await;
        it.pods_are("v1=2 v2=2").await;
        it.promote().await;
        it.healthy().await;
    });
}

#[test]
fn a_deleted_rollout_takes_everything_along() {
    release("deleted", HALF, async |it| {
        it.set_image("v2").await;
        it.paused_at(1).await;
        it.ns.api::<Rollout>().delete(it.name(), &DeleteParams::default()).await.unwrap();
        it.pods_are("").await;
        eventually("no ReplicaSet is left", Duration::from_mins(1), async || {
            let left = it.replica_sets().await.len();
            if left == 0 { Ok(()) } else { Err(format!("{left}")) }
        })
        .await;
    });
}
