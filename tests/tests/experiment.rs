//! Experiments on a real API server: by themselves, as a step of a canary, and in a person's hands.

use std::time::Duration;

use cluster_tests::crds::k8s_openapi::api::core::v1::Service;
use cluster_tests::crds::kube::api::ListParams;
use cluster_tests::crds::{AnalysisRun, Experiment, ExperimentStatus, ReplicaSet};
use cluster_tests::{Cluster, Namespace, Release, eventually, wait_for};

const MINUTE: Duration = Duration::from_mins(1);

/// A template `judge` whose metric has this value at every measurement and must stay under a half.
fn judge(prometheus: &str, value: &str) -> String {
    format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {{name: judge}}
spec:
  args: [{{name: hash, value: none}}]
  metrics:
  - name: errors
    interval: 1s
    count: 3
    successCondition: result[0] < 0.5
    provider: {{prometheus: {{address: {prometheus}, query: vector({value})}}}}
"
    )
}

/// An Experiment `try` with the versions `baseline` and `candidate`.
fn experiment(rest: &str) -> String {
    let template = |name: &str, tag: &str, service: &str| {
        format!(
            "
  - name: {name}
    service: {{{service}}}
    selector: {{matchLabels: {{app: web}}}}
    template:
      metadata: {{labels: {{app: web}}}}
      spec:
        containers:
        - {{name: web, image: 'registry.example/web:{tag}', ports: [{{name: http, containerPort: 8080}}]}}"
        )
    };
    format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: Experiment
metadata: {{name: try}}
spec:
  templates:{}{}
{rest}
",
        template("baseline", "good", ""),
        template("candidate", "v2", "name: candidate-web")
    )
}

async fn until(ns: &Namespace, what: &str, condition: impl Fn(&ExperimentStatus) -> bool) -> Experiment {
    wait_for(&ns.api::<Experiment>(), "try", what, MINUTE, |experiment: &Experiment| {
        experiment.status.as_ref().is_some_and(&condition)
    })
    .await
}

fn phase(phase: &str) -> impl Fn(&ExperimentStatus) -> bool {
    move |status| status.phase.as_deref() == Some(phase)
}

/// Waits until no ReplicaSet of an Experiment has pods and none of its Services is left.
async fn nothing_left(ns: &Namespace) {
    eventually("the experiment's pods and services are gone", MINUTE, async || {
        let sets = ns.api::<ReplicaSet>().list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let of_experiment =
            |set: &&ReplicaSet| set.metadata.owner_references.iter().flatten().any(|owner| owner.kind == "Experiment");
        let pods: i32 = sets.items.iter().filter(of_experiment).map(ReplicaSet::replicas_or_default).sum();
        let services = ns.api::<Service>().list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let left: Vec<_> = services
            .items
            .iter()
            .filter(|service| {
                service.metadata.owner_references.iter().flatten().any(|owner| owner.kind == "Experiment")
            })
            .filter_map(|service| service.metadata.name.clone())
            .collect();
        if pods == 0 && left.is_empty() { Ok(()) } else { Err(format!("{pods} pods wanted, services {left:?}")) }
    })
    .await;
}

#[tokio::test]
async fn two_versions_are_compared_and_leave_nothing_behind() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("two_versions_are_compared_and_leave_nothing_behind") {
        return;
    }
    let ns = cluster.fast_namespace("exp").await;
    ns.apply(&judge(&cluster.prometheus_url(), "0")).await;
    let analyses = "
  scaleDownDelaySeconds: 1
  analyses:
  - name: judge
    templateName: judge
    requiredForCompletion: true
    args: [{name: hash, value: '{{templates.candidate.podTemplateHash}}'}]
";
    ns.apply(&experiment(analyses)).await;
    let mut release = Release::without_controller(cluster, ns);
    release.start_controller();
    let ns = &release.ns;
    let running = until(ns, "its services are there", |status| {
        status.template_statuses.iter().flatten().filter(|one| one.service_name.is_some()).count() == 2
    })
    .await;
    let statuses = running.status.unwrap_or_default().template_statuses.unwrap_or_default();
    let names: Vec<_> = statuses.iter().filter_map(|one| one.service_name.as_deref()).collect();
    assert_eq!(names, ["try-baseline", "candidate-web"]);

    let done = until(ns, "Successful", phase("Successful")).await;
    assert_eq!(done.status.and_then(|status| status.message).as_deref(), Some("Required AnalysisRuns completed"));
    let run = ns.api::<AnalysisRun>().get("try-judge").await.unwrap();
    let given = run.spec.args.unwrap_or_default().into_iter().find_map(|arg| arg.value);
    assert_eq!(given, statuses.into_iter().find(|one| one.name == "candidate").and_then(|one| one.pod_template_hash));
    nothing_left(ns).await;
}

#[tokio::test]
async fn a_canary_goes_on_after_its_experiment() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("a_canary_goes_on_after_its_experiment") {
        return;
    }
    let ns = cluster.fast_namespace("expgood").await;
    ns.apply(&judge(&cluster.prometheus_url(), "0")).await;
    let release = Release::start(cluster, ns, 2, "good", &steps("duration: 3s")).await;
    release.set_image("v2").await;
    release
        .until("its experiment is made", |status| {
            status.canary.as_ref().is_some_and(|canary| canary.current_experiment.is_some())
        })
        .await;
    release.healthy().await;
    let experiments = release.ns.api::<Experiment>().list(&ListParams::default()).await.unwrap();
    let phases: Vec<_> = experiments.items.iter().map(|one| one.status.clone().unwrap_or_default().phase).collect();
    assert_eq!(phases, [Some("Successful".to_owned())]);
    nothing_left(&release.ns).await;
    assert_eq!(release.pods().await.len(), 2 + 2, "the new version, and the old one until its delay is over");
}

#[tokio::test]
async fn a_failed_experiment_takes_the_canary_back() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("a_failed_experiment_takes_the_canary_back") {
        return;
    }
    let ns = cluster.fast_namespace("expbad").await;
    ns.apply(&judge(&cluster.prometheus_url(), "1")).await;
    let release = Release::start(cluster, ns, 2, "good", &steps("duration: 5m")).await;
    release.set_image("v2").await;
    let aborted = release
        .until("taken back", |status| {
            status.message.as_deref().is_some_and(|message| message.starts_with("RolloutAborted"))
        })
        .await;
    let message = aborted.status.and_then(|status| status.message).unwrap_or_default();
    assert!(message.contains("Experiment") && message.contains("errors"), "{message}");
    assert_eq!(release.weight().await, Some(0));
    nothing_left(&release.ns).await;
}

/// A share, then an experiment of both versions which `judge` watches.
fn steps(duration: &str) -> String {
    format!(
        "
      steps:
      - setWeight: 50
      - experiment:
          {duration}
          scaleDownDelaySeconds: 0
          templates:
          - {{name: baseline, specRef: stable}}
          - {{name: candidate, specRef: canary, service: {{}}}}
          analyses:
          - name: judge
            templateName: judge
            requiredForCompletion: true
            args: [{{name: hash, valueFrom: {{podTemplateHashValue: Latest}}}}]
"
    )
}

#[tokio::test]
async fn a_person_sees_ends_and_repeats_an_experiment() {
    let cluster = Cluster::shared().await;
    let ns = cluster.fast_namespace("exphand").await;
    ns.apply(&experiment("  scaleDownDelaySeconds: 0")).await;
    let mut release = Release::without_controller(cluster, ns);
    release.start_controller();
    until(&release.ns, "Running", phase("Running")).await;

    let (code, shown, error) = release.plugin(&["get", "experiment", "try"]).await;
    assert_eq!(code, 0, "{error}");
    for part in ["Status:          ◌ Running", "Σ:baseline", "├──⧉ try-baseline", "└──⧉ try-candidate"]
    {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
    let (code, listed, error) = release.plugin(&["list", "experiments"]).await;
    assert_eq!(code, 0, "{error}");
    assert!(listed.lines().nth(1).is_some_and(|line| line.starts_with("try   Running")), "{listed}");

    let told = release.plugin(&["terminate", "experiment", "try"]).await.1;
    assert_eq!(told, "experiment 'try' terminated\n");
    until(&release.ns, "Successful", phase("Successful")).await;
    nothing_left(&release.ns).await;

    release
        .ns
        .api::<Experiment>()
        .patch(
            "try",
            &cluster_tests::crds::kube::api::PatchParams::default(),
            &cluster_tests::crds::kube::api::Patch::Merge(serde_json::json!({ "spec": { "terminate": null } })),
        )
        .await
        .unwrap();
    let told = release.plugin(&["retry", "experiment", "try"]).await.1;
    assert_eq!(told, "experiment 'try' retried\n");
    until(&release.ns, "Running again", phase("Running")).await;
}
