//! A provider that is stuck does not delay the analyses that ask another.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use analysis::condition::Value as Measured;
use analysis::provider::{Context, Outcome, Provider, ProviderConfig, Providers, ResolvedRequest};
use async_trait::async_trait;
use rollout_controller::config::Config;
use rollout_controller::run::Controller;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{self, Running};

const RUNS: usize = 200;
const STUCK: usize = 20;
const INTERVAL: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_millis(200);

/// When each query was asked. Those of `stuck` are answered by nobody, after 30 s.
#[derive(Clone, Default)]
struct Clocked(Arc<Mutex<HashMap<String, Vec<Instant>>>>);

#[async_trait]
impl Provider for Clocked {
    async fn measure(&self, request: &ResolvedRequest, _: &Context) -> Outcome {
        let query = request.metric.provider.prometheus.as_ref().and_then(|metric| metric.query.clone()).unwrap();
        self.0.lock().unwrap().entry(query.clone()).or_default().push(Instant::now());
        if query.starts_with("stuck") {
            tokio::time::sleep(Duration::from_secs(30)).await;
            return Outcome::NoAnswer { reason: "timed out after 30s".to_owned() };
        }
        tokio::time::sleep(ANSWER).await;
        Outcome::Measured { value: Measured::Float(0.0), stored: "0".to_owned(), metadata: BTreeMap::new() }
    }
}

fn run(name: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun", "metadata": { "namespace": "default", "name": name },
        "spec": { "metrics": [{ "name": "m", "interval": "10s", "successCondition": "result < 1",
            "provider": { "prometheus": { "query": name } } }] },
    })
}

#[tokio::test(start_paused = true)]
async fn twenty_stuck_runs_leave_a_hundred_and_eighty_their_interval() {
    let cluster = harness::cluster();
    for number in 0..RUNS {
        let kind = if number < STUCK { "stuck" } else { "good" };
        cluster.store().seed(run(&format!("{kind}-{number}"))).unwrap();
    }
    let asked = Clocked::default();
    let mut providers = Providers::new(ProviderConfig::default());
    providers.register("prometheus", Arc::new(asked.clone()));
    let controller = Controller { providers: Some(providers), ..Controller::default() };
    // As many places as by default on the command line, and one more stuck run than would be left without them.
    let running = Running::start_as(controller, &cluster, Config { measurements: 20, ..Config::default() });
    running.ready().await;
    tokio::time::sleep(Duration::from_mins(3)).await;
    let asked = asked.0.lock().unwrap().clone();
    let good: Vec<_> = asked.iter().filter(|(query, _)| query.starts_with("good")).collect();
    assert_eq!(good.len(), RUNS - STUCK);
    for (query, times) in good {
        let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.len() >= 15, "{query}: {gaps:?}");
        // Times in a status are whole seconds, so that a measurement may come up to one second early.
        let late = gaps.iter().find(|gap| **gap > (INTERVAL + ANSWER).mul_f64(1.1));
        assert!(late.is_none(), "{query}: {gaps:?}");
    }
    running.stop().await;
}
