//! AnalysisRuns: measured, judged, held and deleted, with a scripted provider.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use analysis::condition::Value as Measured;
use analysis::provider::{Context, Outcome, Provider, ProviderConfig, Providers, ResolvedRequest};
use async_trait::async_trait;
use rollout_controller::config::Config;
use rollout_controller::run::Controller;
use serde_json::{Value, json};
use simulator::Cluster;

use crate::harness::{self, Running, until};

/// Answers what the script says, then always its last line; each answer takes a second.
#[derive(Clone, Default)]
struct Script {
    lines: Arc<Mutex<VecDeque<Option<f64>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn of(lines: &[Option<f64>]) -> Self {
        Self { lines: Arc::new(Mutex::new(lines.iter().copied().collect())), asked: Arc::default() }
    }

    fn set(&self, lines: &[Option<f64>]) {
        *self.lines.lock().unwrap() = lines.iter().copied().collect();
    }
}

#[async_trait]
impl Provider for Script {
    async fn measure(&self, request: &ResolvedRequest, _context: &Context) -> Outcome {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let query = request.metric.provider.prometheus.as_ref().and_then(|prometheus| prometheus.query.clone());
        self.asked.lock().unwrap().push(query.unwrap_or_default());
        let mut lines = self.lines.lock().unwrap();
        let line = if lines.len() > 1 { lines.pop_front() } else { lines.front().copied() };
        match line.flatten() {
            Some(value) => Outcome::Measured {
                value: Measured::Float(value),
                stored: value.to_string(),
                metadata: BTreeMap::new(),
            },
            None => Outcome::NoAnswer { reason: "connection refused".to_owned() },
        }
    }
}

fn start(cluster: &Cluster, script: &Script) -> Running {
    let mut providers = Providers::new(ProviderConfig::default());
    providers.register("prometheus", Arc::new(script.clone()));
    let controller = Controller { providers: Some(providers), ..Controller::default() };
    Running::start_as(controller, cluster, Config::default())
}

fn run(spec: Value) -> Value {
    json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun", "metadata": { "namespace": "default", "name": "run" }, "spec": spec })
}

fn metric() -> Value {
    json!({ "name": "errors", "interval": "10s", "count": 3, "successCondition": "result < 0.01", "failureLimit": 0,
        "provider": { "prometheus": { "query": "errors{token=\"{{args.token}}\"}" } } })
}

fn get(cluster: &Cluster) -> Option<Value> {
    cluster.store().get("argoproj.io/v1alpha1", "AnalysisRun", "default", "run").map(|object| harness::json(&object))
}

fn phase(cluster: &Cluster) -> String {
    get(cluster).and_then(|run| run["status"]["phase"].as_str().map(str::to_owned)).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_run_is_measured_with_its_secrets_succeeds_and_is_deleted_when_its_time_is_over() {
    let cluster = harness::cluster();
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "namespace": "default", "name": "s" }, "data": { "token": "c2VzYW1l" } });
    cluster.store().seed(secret).unwrap();
    let args = json!([{ "name": "token", "valueFrom": { "secretKeyRef": { "name": "s", "key": "token" } } }]);
    cluster
        .store()
        .seed(run(json!({ "metrics": [metric()], "args": args, "ttlStrategy": { "secondsAfterCompletion": 60 } })))
        .unwrap();
    let script = Script::of(&[Some(0.0)]);
    let running = start(&cluster, &script);
    until("it succeeds", || phase(&cluster) == "Successful").await;
    let done = get(&cluster).unwrap();
    assert_eq!(done["status"]["metricResults"][0]["measurements"].as_array().unwrap().len(), 3);
    assert_eq!(script.asked.lock().unwrap()[0], "errors{token=\"sesame\"}");
    assert!(!done.to_string().contains("sesame"), "a secret is in the object: {done}");
    let writes = cluster.requests().count("patch", "analysisruns");
    assert!(writes <= 5, "{writes} writes for three measurements");
    until("it is deleted", || get(&cluster).is_none()).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_measurement_fails_the_run() {
    let cluster = harness::cluster();
    cluster.store().seed(run(json!({ "metrics": [metric()], "args": [{ "name": "token", "value": "x" }] }))).unwrap();
    let running = start(&cluster, &Script::of(&[Some(0.0), Some(0.5)]));
    until("it fails", || phase(&cluster) == "Failed").await;
    until("it is told", || {
        harness::events(&cluster, "default").iter().any(|(reason, ..)| reason == "AnalysisRunFailed")
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_answers_the_run_holds_says_so_and_goes_on() {
    let cluster = harness::cluster();
    cluster.store().seed(run(json!({ "metrics": [metric()], "args": [{ "name": "token", "value": "x" }] }))).unwrap();
    let script = Script::of(&[Some(0.0), None]);
    let running = start(&cluster, &script);
    let held = || running.controller.metrics.analysis_holds.get();
    until("it holds", || held() == 1).await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(phase(&cluster), "Running");
    let warned = |text: &str| harness::events(&cluster, "default").iter().any(|(_, message, _)| message.contains(text));
    until("it is told", || warned("connection refused")).await;
    script.set(&[Some(0.0)]);
    until("it succeeds", || phase(&cluster) == "Successful").await;
    assert_eq!(held(), 0);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_conflict_and_a_restart_count_nothing_twice() {
    let cluster = harness::cluster();
    cluster.store().seed(run(json!({ "metrics": [metric()], "args": [{ "name": "token", "value": "x" }] }))).unwrap();
    cluster.faults().next("patch", "analysisruns", simulator::Fault::Error(409), 2);
    cluster.faults().next("patch", "analysisruns", simulator::Fault::LoseAnswer, 1);
    let script = Script::of(&[Some(0.0)]);
    let running = start(&cluster, &script);
    let counted = || get(&cluster).and_then(|run| run["status"]["metricResults"][0]["count"].as_i64()).unwrap_or(0);
    until("one is counted", || counted() == 1).await;
    running.ended.abort();
    let running = start(&cluster, &script);
    until("it succeeds", || phase(&cluster) == "Successful").await;
    assert_eq!(counted(), 3);
    running.stop().await;
}
