//! Releases that Argo Rollouts left in the middle of a release are taken over by our controller on a real API server: at first nothing moves
//! (no ReplicaSet, no pod, no weight, no selector, no run, nothing of the status), and then the release ends as it would have.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_tests::crds::k8s_openapi::api::core::v1::Service;
use cluster_tests::crds::kube::api::{ListParams, Patch, PatchParams};
use cluster_tests::crds::{AnalysisRun, AnalysisTemplate, RolloutStatus};
use cluster_tests::{Captured, Cluster, Picture, Release, Running, eventually, holds, wait_for};
use serde_json::json;

/// How long everything must stay as it was.
const UNTOUCHED: Duration = Duration::from_secs(6);
const MINUTE: Duration = Duration::from_mins(1);
/// Where the captured web metrics ask: the API server of the cluster that they were captured from.
const CAPTURED_API_PORT: u16 = 16443;

macro_rules! captured {
    ($name:literal) => {
        Captured::parse(include_str!(concat!("../../strategy/tests/adoption/", $name, ".yaml")))
    };
}

/// A captured release with our controller at work on it.
struct Adopted {
    release: Release,
    /// Pods by uid, with the hash of their version, as they were.
    pods: BTreeMap<String, String>,
    /// Hashes of the ReplicaSets, as they were.
    versions: BTreeSet<String>,
    relay: Option<Running>,
}

impl Adopted {
    /// Makes the moment, starts the controller and sees that it moves nothing.
    async fn new(cluster: &'static Cluster, name: &str, moment: Captured) -> Self {
        // Built before the moment is made: its times go on meanwhile.
        for program in ["rollout-controller", "kubectl-rollouts"] {
            cluster_tests::binary(program, program).unwrap();
        }
        let ns = cluster.fast_namespace(&format!("adopt-{name}")).await;
        let relay = cluster.pods_answer(name).then(|| cluster.relay_api(CAPTURED_API_PORT).unwrap());
        moment.restore(&ns).await;
        let mut release = Release::without_controller(cluster, ns);
        let pods = release.pods_by_version().await;
        let versions = release.replica_sets().await.into_keys().collect();
        let before = Picture::of(&release.ns).await;
        release.start_controller();
        let log = async || {
            let log = release.log();
            if log.contains("leading") { Ok(()) } else { Err(log) }
        };
        eventually("the controller works", MINUTE, log).await;
        holds("nothing moves", UNTOUCHED, async || {
            let moved = before.moved(&Picture::of(&release.ns).await);
            if moved.is_empty() { Ok(()) } else { Err(format!("{moved:#?}\n{}", release.log())) }
        })
        .await;
        Self { release, pods, versions, relay }
    }

    async fn plugin(&self, arguments: &[&str]) {
        let (code, out, err) = self.release.plugin(arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    }

    /// Waits for the end: `hash` is stable and healthy, with its own pods from before and without a new ReplicaSet.
    async fn ends_with(&self, hash: &str) {
        let ended = self.release.healthy().await;
        assert_eq!(ended.status.unwrap().stable_rs.as_deref(), Some(hash));
        assert_eq!(self.release.replica_sets().await.into_keys().collect::<BTreeSet<_>>(), self.versions);
        let now = self.release.pods_by_version().await;
        for (uid, version) in self.pods.iter().filter(|(_, version)| *version == hash) {
            assert!(now.contains_key(uid), "a pod of {version} was replaced: {:?} → {now:?}", self.pods);
        }
        if let Some(weight) = self.release.weight().await {
            assert_eq!(weight, 0);
        }
    }

    async fn selects(&self, service: &str, hash: &str) {
        let service = self.release.ns.api::<Service>().get(service).await.unwrap();
        let selector = service.spec.unwrap().selector.unwrap_or_default();
        assert_eq!(selector.get("rollouts-pod-template-hash").map(String::as_str), Some(hash));
    }

    async fn runs(&self) -> BTreeMap<String, AnalysisRun> {
        let runs = self.release.ns.api::<AnalysisRun>().list(&ListParams::default()).await.unwrap();
        runs.into_iter().map(|run| (run.metadata.name.clone().unwrap(), run)).collect()
    }
}

#[tokio::test]
async fn a_canary_without_routing_paused_at_40_percent_is_promoted() {
    let cluster = Cluster::shared().await;
    let it = Adopted::new(cluster, "basic", captured!("canary_basic_paused_at_40")).await;
    it.plugin(&["promote", "web"]).await;
    it.ends_with("7556ffd685").await;
}

#[tokio::test]
async fn a_canary_paused_at_20_percent_is_promoted() {
    let cluster = Cluster::shared().await;
    let it = Adopted::new(cluster, "paused", captured!("canary_nginx_paused_at_20")).await;
    it.plugin(&["promote", "web"]).await;
    it.release.paused_at(3).await;
    assert_eq!(it.release.weight().await, Some(60));
    it.ends_with("7556ffd685").await;
}

#[tokio::test]
async fn a_canary_paused_at_20_percent_is_aborted_and_tried_again() {
    let cluster = Cluster::shared().await;
    let it = Adopted::new(cluster, "abort", captured!("canary_nginx_paused_at_20")).await;
    it.plugin(&["abort", "web"]).await;
    it.release.until("aborted", |status| status.phase.as_deref() == Some("Degraded")).await;
    assert_eq!(it.release.weight().await, Some(0));
    it.plugin(&["retry", "rollout", "web"]).await;
    it.release.paused_at(1).await;
    assert_eq!(it.release.weight().await, Some(20));
    it.plugin(&["promote", "web", "--full"]).await;
    it.ends_with("7556ffd685").await;
}

#[tokio::test]
async fn a_canary_paused_at_20_percent_is_undone() {
    let cluster = Cluster::shared().await;
    let it = Adopted::new(cluster, "undo", captured!("canary_nginx_paused_at_20")).await;
    it.plugin(&["undo", "web"]).await;
    it.ends_with("799d97d74d").await;
}

#[tokio::test]
async fn a_canary_through_istio_with_a_header_route_is_promoted() {
    let cluster = Cluster::shared().await;
    let it = Adopted::new(cluster, "istio-host", captured!("canary_istio_host_paused_at_25")).await;
    it.plugin(&["promote", "web"]).await;
    it.ends_with("7556ffd685").await;
    assert_eq!(it.release.routes("web").await, "primary: web=100 web-canary=0");
    it.selects("web", "7556ffd685").await;
}

#[tokio::test]
async fn a_canary_through_istio_with_a_header_route_is_aborted() {
    let cluster = Cluster::shared().await;
    let it = Adopted::new(cluster, "istio-abort", captured!("canary_istio_host_paused_at_25")).await;
    it.plugin(&["abort", "web"]).await;
    it.release.until("aborted", |status| status.phase.as_deref() == Some("Degraded")).await;
    eventually("all requests go to the stable version", MINUTE, async || {
        let routes = it.release.routes("web").await;
        if routes == "primary: web=100 web-canary=0" { Ok(()) } else { Err(routes) }
    })
    .await;
}

#[tokio::test]
async fn a_canary_through_the_subsets_of_istio_is_promoted() {
    let cluster = Cluster::shared().await;
    let it = Adopted::new(cluster, "istio-subset", captured!("canary_istio_subset_paused_at_10")).await;
    it.plugin(&["promote", "web"]).await;
    it.ends_with("7556ffd685").await;
    assert_eq!(it.release.routes("web").await, "primary: stable=100 canary=0");
    let rule = it.release.object("DestinationRule", "web").await;
    for subset in rule.pointer("/spec/subsets").and_then(|all| all.as_array()).unwrap() {
        let labels = json!({ "app": "web", "rollouts-pod-template-hash": "7556ffd685" });
        assert_eq!(subset.get("labels"), Some(&labels), "{subset}");
    }
}

#[tokio::test]
async fn an_analysis_that_runs_goes_on_and_is_not_run_twice() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("an_analysis_that_runs_goes_on_and_is_not_run_twice") {
        return;
    }
    let it = Adopted::new(cluster, "analysis", captured!("canary_nginx_background_analysis")).await;
    let measured = |run: &AnalysisRun| {
        let results = run.status.as_ref().and_then(|status| status.metric_results.clone()).unwrap_or_default();
        results.first().and_then(|result| result.successful).unwrap_or(0)
    };
    let runs = it.release.ns.api::<AnalysisRun>();
    wait_for(&runs, "web-7556ffd685-2", "measured on", MINUTE, |run| measured(run) >= 4).await;
    it.plugin(&["promote", "web"]).await;
    it.ends_with("7556ffd685").await;
    let over = |run: &AnalysisRun| run.status.as_ref().is_some_and(|status| status.phase == "Successful");
    wait_for(&runs, "web-7556ffd685-2", "ended with the release", MINUTE, over).await;
    assert_eq!(it.runs().await.into_keys().collect::<Vec<_>>(), ["web-7556ffd685-2"]);
    drop(it.relay);
}

#[tokio::test]
async fn an_aborted_canary_stays_aborted_until_it_is_tried_again() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("an_aborted_canary_stays_aborted_until_it_is_tried_again") {
        return;
    }
    let it = Adopted::new(cluster, "aborted", captured!("canary_nginx_aborted")).await;
    // The captured pods wait for a time that Argo has set; then they go, and it stays aborted.
    let gone = it.release.until("the canary is scaled down", |status| status.updated_replicas.unwrap_or(0) == 0).await;
    let status = gone.status.unwrap();
    assert_eq!((status.phase.as_deref(), status.abort), (Some("Degraded"), Some(true)));
    assert_eq!(it.release.weight().await.unwrap_or(0), 0);
    assert_eq!(it.runs().await.len(), 1, "nothing was measured again");

    let mended = json!({"spec": {"metrics": [{
        "name": "version", "count": 1, "successCondition": "result == '1'",
        "provider": {"web": {"insecure": true, "jsonPath": "{$.major}", "url": "{{args.host}}/version"}},
    }]}});
    let templates = it.release.ns.api::<AnalysisTemplate>();
    templates.patch("version", &PatchParams::default(), &Patch::Merge(&mended)).await.unwrap();
    it.plugin(&["retry", "rollout", "web"]).await;
    it.release.paused_at(2).await;
    assert_eq!(it.release.weight().await, Some(50));
    it.plugin(&["promote", "web"]).await;
    let ended = it.release.healthy().await;
    assert_eq!(ended.status.unwrap().stable_rs.as_deref(), Some("7556ffd685"));
    assert_eq!(it.release.replica_sets().await.len(), 2);
    let phases: Vec<String> = it.runs().await.into_values().map(|run| run.status.unwrap().phase).collect();
    assert_eq!(phases, ["Failed", "Successful"]);
}

#[tokio::test]
async fn a_version_that_does_not_start_is_undone() {
    let cluster = Cluster::shared().await;
    let it = Adopted::new(cluster, "stuck", captured!("canary_progress_deadline_exceeded")).await;
    it.plugin(&["undo", "web"]).await;
    it.ends_with("799d97d74d").await;
}

#[tokio::test]
async fn a_pause_by_a_person_holds_until_it_is_resumed() {
    let cluster = Cluster::shared().await;
    let it = Adopted::new(cluster, "held", captured!("canary_spec_paused")).await;
    it.release.patch(json!({"spec": {"paused": null}})).await;
    // The pause of an hour that had begun before is waited for still.
    let waits = |status: &RolloutStatus| status.message.as_deref() == Some("CanaryPauseStep");
    it.release.until("waiting for the end of the hour", waits).await;
    it.plugin(&["promote", "web"]).await;
    it.ends_with("7556ffd685").await;
}

#[tokio::test]
async fn a_healthy_rollout_goes_back_to_a_version_from_its_history() {
    let cluster = Cluster::shared().await;
    let it = Adopted::new(cluster, "healthy", captured!("canary_healthy_with_history")).await;
    it.plugin(&["undo", "web", "--to-revision=3"]).await;
    it.ends_with("68b7f778c8").await;
    let revision =
        it.release.rollout().await.metadata.annotations.unwrap_or_default().remove("rollout.argoproj.io/revision");
    assert_eq!(revision.as_deref(), Some("6"));
}

#[tokio::test]
async fn a_canary_of_a_deployment_is_promoted() {
    let cluster = Cluster::shared().await;
    let it = Adopted::new(cluster, "reference", captured!("canary_workload_ref")).await;
    it.plugin(&["promote", "web"]).await;
    it.ends_with("578f7594bd").await;
}

#[tokio::test]
async fn a_preview_is_promoted() {
    let cluster = Cluster::shared().await;
    let it = Adopted::new(cluster, "preview", captured!("bluegreen_preview_paused")).await;
    it.plugin(&["promote", "web"]).await;
    it.ends_with("7556ffd685").await;
    it.selects("active", "7556ffd685").await;
}

#[tokio::test]
async fn an_aborted_preview_stays_aborted_until_it_is_tried_again() {
    let cluster = Cluster::shared().await;
    let it = Adopted::new(cluster, "preview-aborted", captured!("bluegreen_aborted")).await;
    it.plugin(&["retry", "rollout", "web"]).await;
    it.release.until("waiting for a person", |status| status.message.as_deref() == Some("BlueGreenPause")).await;
    it.selects("active", "799d97d74d").await;
    it.plugin(&["promote", "web"]).await;
    it.ends_with("7556ffd685").await;
    it.selects("active", "7556ffd685").await;
}

#[tokio::test]
async fn an_old_version_that_still_runs_is_gone_back_to() {
    let cluster = Cluster::shared().await;
    let it = Adopted::new(cluster, "old", captured!("bluegreen_old_waiting_scaledown")).await;
    it.plugin(&["undo", "web"]).await;
    it.ends_with("799d97d74d").await;
    it.selects("active", "799d97d74d").await;
}
