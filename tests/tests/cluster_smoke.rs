//! The test cluster itself: what every other cluster test takes for granted.

use std::time::Duration;

use cluster_tests::crds::k8s_openapi::api::apps::v1::Deployment;
use cluster_tests::crds::k8s_openapi::api::batch::v1::Job;
use cluster_tests::crds::k8s_openapi::api::core::v1::Pod;
use cluster_tests::crds::k8s_openapi::api::networking::v1::Ingress;
use cluster_tests::crds::kube::Api;
use cluster_tests::crds::kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use cluster_tests::{Cluster, Load, Namespace, User, audit, eventually, wait_for, wait_gone};
use serde_json::json;

const SECONDS_30: Duration = Duration::from_secs(30);

/// A Deployment `name` of `image`, a Service on port 80 of the same name.
async fn application(ns: &Namespace, name: &str, image: &str) {
    ns.apply(&format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}, rollouts-pod-template-hash: hash-of-{name}}}}}
    spec:
      containers:
      - {{name: app, image: '{image}'}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports:
  - {{name: http, port: 80, targetPort: 8080}}
"
    ))
    .await;
    available(ns, name).await;
}

async fn available(ns: &Namespace, name: &str) {
    wait_for(&ns.api::<Deployment>(), name, "two replicas available", SECONDS_30, |deployment| {
        deployment.status.as_ref().and_then(|status| status.available_replicas) == Some(2)
    })
    .await;
}

fn ingress(ns: &Namespace, name: &str, service: &str, annotations: &str) -> String {
    format!(
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}, annotations: {{{annotations}}}}}
spec:
  ingressClassName: nginx
  rules:
  - host: {}.example
    http:
      paths:
      - {{path: /, pathType: Prefix, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}
",
        ns.name()
    )
}

/// Waits until each of the last answers came from a pod.
async fn all_answered(load: &Load) {
    eventually("Traefik routes to the pods", SECONDS_30, async || {
        let tally = load.measure(20, SECONDS_30).await;
        if tally.lost_count == 0 { Ok(()) } else { Err(format!("{tally:?}")) }
    })
    .await;
}

#[tokio::test]
async fn pods_behave_as_their_images_say() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("pods_behave_as_their_images_say") {
        return;
    }
    let ns = cluster.fast_namespace("smoke").await;
    application(&ns, "good", "registry.example/app:good").await;

    ns.apply(
        "
apiVersion: v1
kind: Pod
metadata: {name: broken}
spec: {containers: [{name: app, image: 'registry.example/app:nonexistent'}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: fails}
spec:
  backoffLimit: 0
  template: {spec: {restartPolicy: Never, containers: [{name: app, image: x, command: [sh, -c, 'sleep 1; exit 3']}]}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: succeeds}
spec:
  template: {spec: {restartPolicy: Never, containers: [{name: app, image: x, command: [sh, -c, 'sleep 1; exit 0']}]}}
",
    )
    .await;
    wait_for(&ns.api::<Pod>(), "broken", "its image cannot be pulled", SECONDS_30, |pod| {
        let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        let waiting = statuses
            .and_then(|all| all.first())
            .and_then(|one| one.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
        waiting == Some("ErrImagePull")
    })
    .await;
    for (job, succeeded, failed) in [("fails", None, Some(1)), ("succeeds", Some(1), None)] {
        wait_for(&ns.api::<Job>(), job, "it ends as its command says", SECONDS_30, |job| {
            let status = job.status.as_ref();
            status.is_some_and(|status| (status.succeeded, status.failed) == (succeeded, failed))
        })
        .await;
    }
    let pods = ns.api::<Pod>().list(&ListParams::default().labels("job-name=fails")).await.unwrap();
    let exit = pods.items.first().and_then(|pod| {
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        Some(statuses.first()?.state.as_ref()?.terminated.as_ref()?.exit_code)
    });
    assert_eq!(exit, Some(3));
}

#[tokio::test]
async fn traefik_splits_by_the_canary_weight_and_loses_nothing() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("traefik_splits_by_the_canary_weight_and_loses_nothing") {
        return;
    }
    let ns = cluster.namespace("split").await;
    application(&ns, "stable", "registry.example/app:good").await;
    application(&ns, "canary", "registry.example/app:v2").await;
    ns.apply(&ingress(&ns, "stable", "stable", "")).await;
    let load = Load::start(cluster, &format!("{}.example", ns.name()), 200);
    all_answered(&load).await;
    assert!((load.measure(50, SECONDS_30).await.share("good") - 1.0).abs() < f64::EPSILON);

    let mut lost = load.so_far().lost_count;
    let annotations = "nginx.ingress.kubernetes.io/canary: 'true', nginx.ingress.kubernetes.io/canary-weight: '20'";
    ns.apply(&ingress(&ns, "canary", "canary", annotations)).await;
    for weight in [20.0, 80.0] {
        let patch =
            json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/canary-weight": weight.to_string()}}});
        ns.api::<Ingress>().patch("canary", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        eventually(&format!("{weight} % of the requests reach the canary"), SECONDS_30, async || {
            let tally = load.measure(200, SECONDS_30).await;
            let share = tally.share("v2") * 100.0;
            if (share - weight).abs() <= 3.0 { Ok(()) } else { Err(format!("{share} %: {tally:?}")) }
        })
        .await;
    }
    // Pods coming and going under load: the answers of the pods at hand are all that clients see.
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"changed": "once"}}}}});
    ns.api::<Deployment>().patch("canary", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    wait_for(&ns.api::<Deployment>(), "canary", "replaced", SECONDS_30, |deployment| {
        let status = deployment.status.clone().unwrap_or_default();
        status.observed_generation == deployment.metadata.generation
            && (status.updated_replicas, status.replicas, status.available_replicas) == (Some(2), Some(2), Some(2))
    })
    .await;
    let tally = load.stop().await;
    lost = tally.lost_count - lost;
    assert_eq!(lost, 0, "{tally:#?}");
}

#[tokio::test]
async fn prometheus_sees_what_the_data_plane_saw() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("prometheus_sees_what_the_data_plane_saw") {
        return;
    }
    let ns = cluster.fast_namespace("metrics").await;
    application(&ns, "faulty", "registry.example/app:errors-5pct").await;
    ns.apply(&ingress(&ns, "faulty", "faulty", "")).await;
    let load = Load::start(cluster, &format!("{}.example", ns.name()), 200);
    eventually("400 requests are answered by pods", SECONDS_30, async || {
        let tally = load.so_far();
        if tally.by_version.values().sum::<u64>() >= 400 { Ok(()) } else { Err(format!("{tally:?}")) }
    })
    .await;
    let tally = load.stop().await;

    // Each pod fails exactly every twentieth of its own requests.
    let failed: u64 = tally.by_pod.values().map(|requests| requests / 20).sum();
    assert_eq!(tally.by_code.get(&500), Some(&failed), "{tally:#?}");

    let answered: u64 = tally.by_pod.values().sum();
    let counter = format!(
        "sum(http_requests_total{{namespace=\"{}\",rollouts_pod_template_hash=\"hash-of-faulty\"}})",
        ns.name()
    );
    eventually("Prometheus has every request", SECONDS_30, async || {
        let series = cluster.query(&counter).await.map_err(|error| format!("{error:#}"))?;
        match series.first() {
            #[allow(clippy::cast_precision_loss)]
            Some((_, value)) if (value - answered as f64).abs() < 0.5 => Ok(()),
            other => Err(format!("{other:?}, expected {answered}")),
        }
    })
    .await;
    let errors = format!("http_requests_total{{namespace=\"{}\",code=\"500\"}}", ns.name());
    assert_eq!(cluster.query(&errors).await.unwrap().len(), 2, "one series for each pod");
}

#[tokio::test]
async fn requests_of_the_controller_are_counted() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("requests_of_the_controller_are_counted") {
        return;
    }
    let ns = cluster.fast_namespace("audit").await;
    // A kind that the rights of the controller cover.
    let as_controller: Api<Ingress> = Api::namespaced(cluster.client(User::Controller).await, ns.name());
    for turn in ["one", "two", "three"] {
        let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "counted"},
            "spec": {"defaultBackend": {"service": {"name": turn, "port": {"number": 80}}}}});
        as_controller.patch("counted", &PatchParams::apply("smoke"), &Patch::Apply(&object)).await.unwrap();
    }
    ns.api::<Ingress>().get("counted").await.unwrap();
    let written = audit::requests("controller", |request| {
        request.object_ref.namespace == ns.name() && request.object_ref.name == "counted" && request.verb == "patch"
    });
    assert_eq!(written.unwrap().len(), 3);
}

#[tokio::test]
async fn a_deleted_pod_goes_and_a_program_runs_where_pods_are_reachable() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("a_deleted_pod_goes_and_a_program_runs_where_pods_are_reachable") {
        return;
    }
    let ns = cluster.fast_namespace("inside").await;
    ns.apply("{apiVersion: v1, kind: Pod, metadata: {name: one}, spec: {containers: [{name: app, image: 'x:good'}]}}")
        .await;
    let pods = ns.api::<Pod>();
    let pod = wait_for(&pods, "one", "it has an IP", SECONDS_30, |pod| {
        pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some())
    })
    .await;
    let ip = pod.status.and_then(|status| status.pod_ip).unwrap();
    // bash's /dev/tcp: no other program is needed.
    let script = format!("exec 3<>/dev/tcp/{ip}/8080 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3");
    let run = || cluster.spawn("bash".as_ref(), &["-c", &script], User::Kubectl, "inside").unwrap();
    let mut inside = run();
    eventually("the pod answers", SECONDS_30, async || {
        if inside.log().contains("x-pod: one") {
            return Ok(());
        }
        // The pod server may have learned of the pod after the test did.
        if inside.ended().map_err(|error| error.to_string())?.is_some() {
            inside = run();
        }
        Err(inside.log())
    })
    .await;
    pods.delete("one", &DeleteParams::default()).await.unwrap();
    wait_gone(&pods, "one", SECONDS_30).await;
}
