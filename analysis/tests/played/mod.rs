//! Releases that happened in the past: a Prometheus whose storage is filled by the test, and the run's machine in virtual time.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use analysis::provider::{ProviderConfig, Providers};
use analysis::run::{Finished, RunInputs, RunPolicy, decide};
use crds::AnalysisRun;
use crds::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::loopback::OneSecret;

/// Seconds between two samples.
pub const SCRAPE: i64 = 5;
/// The release begins after so many seconds of history.
pub const RELEASE: i64 = 7_500;
pub const END: i64 = RELEASE + 1_500;

/// A day ago, at a whole hour.
pub fn first() -> i64 {
    (Timestamp::now().as_second() - 86_400) / 3_600 * 3_600
}

/// The next number of a generator that is the same each time, from 0 to 1.
pub fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    f64::from(u32::try_from(*state >> 32).unwrap()) / f64::from(u32::MAX)
}

pub fn labels_of(version: &str, pod: usize) -> String {
    format!("rollouts_pod_template_hash=\"{version}\",pod=\"{version}-{pod}\",instance=\"{pod}\"")
}

pub struct Prometheus {
    process: Child,
    pub address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    /// With its storage in the folder's `data`.
    pub async fn start(folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        // Installs the cryptography that a client needs.
        let _ = Providers::new(ProviderConfig::default());
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, "global: {}\n").unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is installed");
        let server = Self { process, address: format!("http://127.0.0.1:{port}"), _folder: folder };
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        let ready = format!("{}/-/ready", server.address);
        while !reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(tokio::time::Instant::now() < deadline, "Prometheus does not get ready");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        server
    }
}

pub fn run_of(server: &Prometheus, canary: &str, extra: Value) -> AnalysisRun {
    let mut comparison = json!({
        "address": server.address,
        "ratio": {"failed": "http_requests_total{code=~\"5..\"}", "total": "http_requests_total"},
        "canary": {"rollouts_pod_template_hash": canary},
        "stable": {"rollouts_pod_template_hash": "stable"},
    });
    comparison.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let metric = json!({"name": "errors", "interval": "20s", "count": 60, "provider": {"comparison": comparison}});
    let mut run = AnalysisRun::new("web-1", serde_json::from_value(json!({"metrics": [metric]})).unwrap());
    run.metadata.namespace = Some("shop".to_owned());
    run.metadata.uid = Some("7b9c".to_owned());
    run
}

/// Plays the run to its end; every step goes through JSON and new providers, as after a restart of the controller. The seconds it took.
pub async fn play(mut run: AnalysisRun) -> (AnalysisRun, i64) {
    let begin = Timestamp::from_second(first() + RELEASE).unwrap();
    let mut now = begin;
    let mut inputs = RunInputs::default();
    for _ in 0..1_000 {
        let decision = decide(&run, &inputs, now, &RunPolicy::default());
        run.status = Some(decision.status.clone());
        run = serde_json::from_value(serde_json::to_value(&run).unwrap()).unwrap();
        inputs = RunInputs::default();
        if run.status.as_ref().unwrap().completed_at.is_some() {
            return (run, now.duration_since(begin).as_secs());
        }
        let providers = Providers::new(ProviderConfig::default());
        for request in &decision.measure {
            let outcome = providers.measure(request, &OneSecret, now).await;
            inputs.finished.push(Finished { id: request.id.clone(), started_at: now, finished_at: now, outcome });
        }
        if inputs.finished.is_empty() {
            now = now.checked_add(SignedDuration::try_from(decision.requeue_after.unwrap()).unwrap()).unwrap();
        }
    }
    panic!("the run does not end: {:?}", run.status);
}

pub fn metric(run: &AnalysisRun) -> &crds::MetricResult {
    &run.status.as_ref().unwrap().metric_results.as_ref().unwrap()[0]
}

pub fn note(run: &AnalysisRun, name: &str) -> String {
    let last = metric(run).measurements.as_ref().unwrap().last().unwrap();
    last.metadata.as_ref().unwrap().get(name).cloned().unwrap_or_default()
}
