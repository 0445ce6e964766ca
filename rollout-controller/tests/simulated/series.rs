//! What `/metrics` says of releases: steps counted as they happen, series of objects that end with them.

use std::sync::Arc;

use analysis::condition::Value as Measured;
use analysis::provider::{Context, Outcome, Provider, ProviderConfig, Providers, ResolvedRequest};
use async_trait::async_trait;
use rollout_controller::config::Config;
use rollout_controller::run::Controller;
use serde_json::{Value, json};
use simulator::Cluster;

use crate::harness::{self, Running, until};

/// Measures what the query says.
struct Echo;

#[async_trait]
impl Provider for Echo {
    async fn measure(&self, request: &ResolvedRequest, _context: &Context) -> Outcome {
        let query = request.metric.provider.prometheus.as_ref().and_then(|prometheus| prometheus.query.clone());
        let value = query.and_then(|query| query.parse().ok()).unwrap();
        Outcome::Measured {
            value: Measured::Float(value),
            stored: value.to_string(),
            metadata: std::collections::BTreeMap::new(),
        }
    }
}

fn start(cluster: &Cluster) -> Running {
    let mut providers = Providers::new(ProviderConfig::default());
    providers.register("prometheus", Arc::new(Echo));
    Running::start_as(Controller { providers: Some(providers), ..Controller::default() }, cluster, Config::default())
}

fn seed(cluster: &Cluster) {
    let template = json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate",
        "metadata": { "namespace": "default", "name": "errors" },
        "spec": { "args": [{ "name": "errors" }], "metrics": [{ "name": "ratio", "successCondition": "result < 0.1",
            "provider": { "prometheus": { "query": "{{args.errors}}" } } }] } });
    cluster.store().seed(template).unwrap();
    let rollout = json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": { "namespace": "default", "name": "web" },
        "spec": { "replicas": 2, "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" }, "annotations": { "errors": "0.0" } },
                "spec": { "containers": [{ "name": "c", "image": "i:1" }] } },
            "strategy": { "canary": { "steps": [
                { "setWeight": 50 },
                { "pause": { "duration": "1m" } },
                { "analysis": { "templates": [{ "templateName": "errors" }], "args": [{ "name": "errors",
                    "valueFrom": { "fieldRef": { "fieldPath": "spec.template.metadata.annotations['errors']" } } }] } },
            ] } } } });
    cluster.store().seed(rollout).unwrap();
}

fn get(cluster: &Cluster) -> Value {
    let found = cluster.store().get("argoproj.io/v1alpha1", "Rollout", "default", "web");
    found.map(|object| harness::json(&object)).unwrap_or_default()
}

async fn release(cluster: &Cluster, image: &str, errors: &str, phase: &str) {
    use crds::kube::api::{Api, Patch, PatchParams};
    let rollouts: Api<crds::Rollout> = Api::namespaced(cluster.client(), "default");
    let patch = json!({ "spec": { "template": { "metadata": { "annotations": { "errors": errors } },
        "spec": { "containers": [{ "name": "c", "image": image }] } } } });
    rollouts.patch("web", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    until(&format!("{image} is {phase}"), || {
        let rollout = get(cluster);
        let observed = rollout["metadata"]["generation"].to_string().replace('"', "");
        rollout["status"]["observedGeneration"].as_str() == Some(&observed) && rollout["status"]["phase"] == phase
    })
    .await;
}

/// The lines of a metric without their help.
fn lines(running: &Running, start: &str) -> Vec<String> {
    let text = running.controller.metrics.text();
    let mut lines: Vec<String> = text.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test(start_paused = true)]
async fn steps_are_counted_as_they_happen() {
    let cluster = harness::cluster();
    let _workloads = cluster.start_workloads();
    seed(&cluster);
    let running = start(&cluster);
    until("the first version is Healthy", || get(&cluster)["status"]["phase"] == "Healthy").await;
    assert_eq!(lines(&running, "rollouts_step"), Vec::<String>::new(), "a first deployment has no steps");

    release(&cluster, "i:2", "0.0", "Healthy").await;
    assert_eq!(
        lines(&running, "rollouts_step"),
        [
            "rollouts_step_success_total{step=\"analysis\"} 1",
            "rollouts_step_success_total{step=\"pause\"} 1",
            "rollouts_step_success_total{step=\"setWeight\"} 1",
            "rollouts_step_total{step=\"analysis\"} 1",
            "rollouts_step_total{step=\"pause\"} 1",
            "rollouts_step_total{step=\"setWeight\"} 1",
        ]
    );

    release(&cluster, "i:3", "0.5", "Degraded").await;
    assert_eq!(
        lines(&running, "rollouts_step"),
        [
            "rollouts_step_error_total{step=\"analysis\"} 1",
            "rollouts_step_success_total{step=\"analysis\"} 1",
            "rollouts_step_success_total{step=\"pause\"} 2",
            "rollouts_step_success_total{step=\"setWeight\"} 2",
            "rollouts_step_total{step=\"analysis\"} 2",
            "rollouts_step_total{step=\"pause\"} 2",
            "rollouts_step_total{step=\"setWeight\"} 2",
        ]
    );

    release(&cluster, "i:2", "0.0", "Healthy").await;
    assert_eq!(lines(&running, "rollouts_step_total").iter().filter(|line| line.ends_with(" 2")).count(), 3);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn series_of_objects_are_those_of_argo_and_end_with_the_object() {
    let cluster = harness::cluster();
    let _workloads = cluster.start_workloads();
    seed(&cluster);
    let running = start(&cluster);
    until("the first version is Healthy", || get(&cluster)["status"]["phase"] == "Healthy").await;
    release(&cluster, "i:2", "0.5", "Degraded").await;
    let text = running.controller.metrics.text();
    let run = lines(&running, "analysis_run_info");
    let run =
        run.first().and_then(|line| line.split("name=\"").nth(1)).and_then(|rest| rest.split('"').next()).unwrap();
    let object = "namespace=\"default\",name=\"web\"";
    for line in [
        format!("rollout_info{{{object},strategy=\"canary\",traffic_router=\"\",phase=\"Abort\"}} 1"),
        format!("rollout_phase{{{object},strategy=\"canary\",traffic_router=\"\",phase=\"Abort\"}} 1"),
        format!("rollout_phase{{{object},strategy=\"canary\",traffic_router=\"\",phase=\"Completed\"}} 0"),
        format!("rollout_info_replicas_desired{{{object}}} 2"),
        format!("rollout_info_replicas_available{{{object}}} 2"),
        format!("rollout_events_total{{{object},type=\"Warning\",reason=\"RolloutAborted\"}} 1"),
        format!("analysis_run_info{{namespace=\"default\",name=\"{run}\",phase=\"Failed\"}} 1"),
        format!("analysis_run_phase{{namespace=\"default\",name=\"{run}\",phase=\"Failed\"}} 1"),
        format!("analysis_run_phase{{namespace=\"default\",name=\"{run}\",phase=\"Running\"}} 0"),
        format!(
            "analysis_run_metric_type{{namespace=\"default\",name=\"{run}\",metric=\"ratio\",type=\"Prometheus\"}} 1"
        ),
        format!(
            "analysis_run_metric_phase{{namespace=\"default\",name=\"{run}\",metric=\"ratio\",type=\"Prometheus\",dry_run=\"false\",phase=\"Failed\"}} 1"
        ),
        "analysis_template_info{namespace=\"default\",name=\"errors\"} 1".to_owned(),
        "analysis_template_metric_info{namespace=\"default\",name=\"errors\",metric=\"ratio\",type=\"Prometheus\"} 1"
            .to_owned(),
        "argo_rollouts_controller_info{version=\"0.1.0\"} 1".to_owned(),
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
    for start in [
        "build_info{version=\"0.1.0\"",
        "rollout_reconcile_bucket{le=",
        "rollout_reconcile_count ",
        "analysis_run_reconcile_count ",
        "analysis_run_reconcile_error_total ",
        "controller_clientset_k8s_request_total{verb=\"patch_status\",kind=\"rollouts\",status_code=\"200\"}",
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
        "process_open_fds ",
    ] {
        assert!(text.lines().any(|known| known.starts_with(start)), "{start} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));

    let rollouts: crds::kube::Api<crds::Rollout> = crds::kube::Api::namespaced(cluster.client(), "default");
    rollouts.delete("web", &crds::kube::api::DeleteParams::default()).await.unwrap();
    until("its end is told", || {
        harness::events(&cluster, "default")
            .iter()
            .any(|(reason, message, _)| reason == "RolloutDeleted" && message == "Rollout default/web is deleted")
    })
    .await;
    until("the run is gone", || lines(&running, "analysis_run_info").is_empty()).await;
    let text = running.controller.metrics.text();
    assert!(!text.contains("name=\"web\"") && !text.contains(run), "{text}");
    running.stop().await;
}
