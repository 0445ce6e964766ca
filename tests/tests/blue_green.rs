//! Blue-green on a real API server, under constant requests: the switch loses none, and a bad version gets none or gives them back.
#![allow(clippy::panic)]

use std::time::{Duration, Instant};

use cluster_tests::crds::ReplicaSet;
use cluster_tests::crds::k8s_openapi::api::core::v1::Service;
use cluster_tests::crds::words::POD_TEMPLATE_HASH_LABEL;
use cluster_tests::{Cluster, Load, Namespace, Release, audit, eventually};

const MINUTE: Duration = Duration::from_mins(1);

/// The Rollout; `strategy` is the YAML below `strategy.blueGreen`, indented by six.
fn manifest(replicas: u32, strategy: &str) -> String {
    format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {{name: web}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
      - {{name: web, image: 'registry.example/web:good', ports: [{{name: http, containerPort: 8080}}]}}
  strategy:
    blueGreen:
      activeService: web-active
      previewService: web-preview
{strategy}
"
    )
}

/// Both Services, and an Ingress for each: `NAMESPACE.example` and `preview.NAMESPACE.example`.
fn surroundings(ns: &Namespace) -> String {
    let both = [("active", ns.name().to_owned()), ("preview", format!("preview.{}", ns.name()))].map(|(role, host)| {
        format!(
            "
---
apiVersion: v1
kind: Service
metadata: {{name: web-{role}}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: web-{role}}}
spec:
  ingressClassName: nginx
  rules:
  - host: {host}.example
    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: web-{role}, port: {{number: 80}}}}}}}}]}}
"
        )
    });
    both.concat()
}

async fn start(cluster: &'static Cluster, ns: Namespace, replicas: u32, strategy: &str) -> Release {
    ns.apply(&surroundings(&ns)).await;
    ns.apply(&manifest(replicas, strategy)).await;
    let mut release = Release::without_controller(cluster, ns);
    release.start_controller();
    release.healthy().await;
    release
}

/// The version that a Service selects.
async fn selected(release: &Release, service: &str) -> Option<String> {
    let service = release.ns.api::<Service>().get(service).await.ok()?;
    service.spec?.selector?.get(POD_TEMPLATE_HASH_LABEL).cloned()
}

async fn paused(release: &Release) {
    release
        .until("paused before the switch", |status| {
            status.pause_conditions.iter().flatten().any(|pause| pause.reason == "BlueGreenPause")
        })
        .await;
}

async fn reached(load: &Load, tag: &str) {
    eventually(&format!("all requests reach {tag}"), MINUTE, async || {
        let tally = load.measure(200, MINUTE).await;
        if tally.by_version.get(tag).copied() == Some(tally.total) { Ok(()) } else { Err(format!("{tally:?}")) }
    })
    .await;
}

/// An AnalysisTemplate `verdict` whose only measurement says what `says` says.
fn verdict(prometheus: &str, says: u8) -> String {
    format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {{name: verdict}}
spec:
  metrics:
  - name: verdict
    successCondition: result[0] == 1
    provider: {{prometheus: {{address: {prometheus}, query: 'vector({says})'}}}}
"
    )
}

#[tokio::test]
async fn a_person_promotes_goes_back_and_no_request_is_lost() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("a_person_promotes_goes_back_and_no_request_is_lost") {
        return;
    }
    let ns = cluster.fast_namespace("bg-switch").await;
    let strategy = "      autoPromotionEnabled: false\n      previewReplicaCount: 1\n      scaleDownDelaySeconds: 600";
    let release = start(cluster, ns, 3, strategy).await;
    let first = selected(&release, "web-active").await;
    let load = Load::start(cluster, &release.host(), 150);
    let preview = Load::start(cluster, &format!("preview.{}", release.host()), 20);
    reached(&load, "good").await;
    let lost_before = load.so_far().lost_count;

    // The preview has one pod and only its own requests.
    release.set_image("v2").await;
    paused(&release).await;
    reached(&preview, "v2").await;
    reached(&load, "good").await;
    assert_eq!(selected(&release, "web-active").await, first);
    drop(preview);

    let (code, out, err) = release.plugin(&["promote", "web"]).await;
    assert_eq!(code, 0, "{out}{err}");
    release.healthy().await;
    reached(&load, "v2").await;
    let second = selected(&release, "web-active").await;
    assert_ne!(first, second);
    let (_, tree, _) = release.plugin(&["get", "rollout", "web", "--no-color"]).await;
    assert!(tree.contains("stable,active") && tree.contains("delay:"), "{tree}");

    // The old version still waits: going back asks nobody and is there at once.
    release.set_image("good").await;
    release.healthy().await;
    assert_eq!(selected(&release, "web-active").await, first);
    reached(&load, "good").await;
    let tally = load.stop().await;
    assert_eq!(tally.lost_count, lost_before, "{:?}", tally.lost);
    assert_eq!(release.replica_sets().await.len(), 2);
}

#[tokio::test]
async fn a_version_that_fails_its_analysis_before_the_switch_gets_no_request() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("a_version_that_fails_its_analysis_before_the_switch_gets_no_request") {
        return;
    }
    let ns = cluster.fast_namespace("bg-pre").await;
    ns.apply(&verdict(&cluster.prometheus_url(), 0)).await;
    let strategy =
        "      abortScaleDownDelaySeconds: 1\n      prePromotionAnalysis: {templates: [{templateName: verdict}]}";
    let release = start(cluster, ns, 3, strategy).await;
    let load = Load::start(cluster, &release.host(), 100);
    reached(&load, "good").await;
    let lost_before = load.so_far().lost_count;

    release.set_image("errors-5pct").await;
    let aborted = release.until("aborted", |status| status.phase.as_deref() == Some("Degraded")).await;
    let message = aborted.status.and_then(|status| status.message).unwrap_or_default();
    assert!(message.contains("pre-promotion analysis") && message.contains("verdict"), "{message}");
    eventually("the preview is gone", MINUTE, async || {
        let stable = selected(&release, "web-active").await.unwrap_or_default();
        let sets = release.replica_sets().await;
        let left: i32 =
            sets.iter().filter(|(hash, _)| **hash != stable).map(|(_, set)| set.replicas_or_default()).sum();
        if left == 0 { Ok(()) } else { Err(format!("{left} pods are left")) }
    })
    .await;

    // Tried again, it is analysed again; this time it is found to be good.
    release.ns.apply(&verdict(&cluster.prometheus_url(), 1)).await;
    release.set_image("v2").await;
    release.healthy().await;
    reached(&load, "v2").await;
    let tally = load.stop().await;
    assert_eq!(tally.by_version.get("errors-5pct"), None, "{tally:?}");
    assert_eq!(tally.lost_count, lost_before, "{:?}", tally.lost);
}

#[tokio::test]
async fn a_version_that_fails_its_analysis_after_the_switch_gives_the_requests_back() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("a_version_that_fails_its_analysis_after_the_switch_gives_the_requests_back") {
        return;
    }
    let ns = cluster.fast_namespace("bg-post").await;
    ns.apply(
        &verdict(&cluster.prometheus_url(), 0)
            .replace("  - name: verdict\n", "  - name: verdict\n    initialDelay: 3s\n"),
    )
    .await;
    let strategy = "      postPromotionAnalysis: {templates: [{templateName: verdict}]}";
    let release = start(cluster, ns, 3, strategy).await;
    let first = selected(&release, "web-active").await;
    let load = Load::start(cluster, &release.host(), 100);
    reached(&load, "good").await;
    let lost_before = load.so_far().lost_count;

    release.set_image("errors-5pct").await;
    release
        .until("switched", |status| {
            status.blue_green.as_ref().is_some_and(|green| green.active_selector == status.current_pod_hash)
        })
        .await;
    release.until("aborted", |status| status.phase.as_deref() == Some("Degraded")).await;
    assert_eq!(selected(&release, "web-active").await, first);
    reached(&load, "good").await;
    let tally = load.stop().await;
    assert!(tally.by_version.contains_key("errors-5pct"), "it had the requests: {tally:?}");
    assert_eq!(tally.lost_count, lost_before, "{:?}", tally.lost);
}

#[tokio::test]
async fn killed_around_the_switch_it_ends_the_same() {
    let cluster = Cluster::shared().await;
    let ns = cluster.fast_namespace("bg-crash").await;
    let mut release = start(cluster, ns, 3, "      autoPromotionSeconds: 2\n      scaleDownDelaySeconds: 2").await;
    let first = selected(&release, "web-active").await;
    release.set_image("v2").await;
    for _ in 0..4 {
        let before = release.rollout().await.metadata.resource_version;
        eventually("the release went on", MINUTE, async || {
            let rollout = release.rollout().await;
            let over = rollout.status.is_some_and(|status| status.current_pod_hash == status.stable_rs);
            if over || rollout.metadata.resource_version != before { Ok(()) } else { Err("as before".to_owned()) }
        })
        .await;
        release.kill_and_restart_controller().await.expect("the controller is killed");
    }
    release.healthy().await;
    assert_ne!(selected(&release, "web-active").await, first);
    assert_eq!(release.replica_sets().await.len(), 2, "one ReplicaSet for each version");
    eventually("the old version is gone", MINUTE, async || {
        let left: i32 = release.replica_sets().await.values().map(ReplicaSet::replicas_or_default).sum();
        if left == 3 { Ok(()) } else { Err(format!("{left} pods are wanted")) }
    })
    .await;
}

#[tokio::test]
async fn one_update_costs_at_most_sixteen_requests() {
    let cluster = Cluster::shared().await;
    let ns = cluster.fast_namespace("bg-cost").await;
    let release = start(cluster, ns, 2, "      scaleDownDelaySeconds: 1").await;
    let before = requests_at_rest(release.ns.name()).await.len();
    release.set_image("v2").await;
    release.healthy().await;
    eventually("the old version is gone", MINUTE, async || {
        let left: i32 = release.replica_sets().await.values().map(ReplicaSet::replicas_or_default).sum();
        if left == 2 { Ok(()) } else { Err(format!("{left} pods are wanted")) }
    })
    .await;
    let requests = requests_at_rest(release.ns.name()).await.split_off(before);
    assert!(requests.len() <= 16, "{}: {requests:#?}", requests.len());
}

/// What the controller asked the API server for in this namespace, once it asks for nothing more.
async fn requests_at_rest(namespace: &str) -> Vec<String> {
    let all = || {
        let ours = |request: &audit::Request| {
            request.object_ref.namespace == namespace && !["watch", "list"].contains(&request.verb.as_str())
        };
        let found = audit::requests("controller", ours).unwrap_or_else(|error| panic!("the audit log: {error:#}"));
        let told = |request: &audit::Request| {
            let object = &request.object_ref;
            format!("{} {}/{} {}", request.verb, object.resource, object.subresource, object.name)
        };
        found.iter().map(told).collect::<Vec<_>>()
    };
    let (mut last, mut since) = (all(), Instant::now());
    eventually("it asks for nothing more", MINUTE, async || {
        let now = all();
        if now.len() != last.len() {
            (last, since) = (now, Instant::now());
        }
        if since.elapsed() > Duration::from_secs(5) { Ok(()) } else { Err(format!("{} requests", last.len())) }
    })
    .await;
    last
}
