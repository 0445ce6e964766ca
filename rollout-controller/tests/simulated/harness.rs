//! A controller on a simulated cluster.

use std::time::Duration;

use rollout_controller::clock::Clock;
use rollout_controller::config::Config;
use rollout_controller::run::{Controller, RunError};
use serde_json::Value;
use simulator::Cluster;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A cluster whose clock starts at a fixed time.
pub fn cluster() -> Cluster {
    cluster_with(simulator::own_definitions())
}

/// A cluster with these definitions only.
pub fn cluster_with(definitions: Vec<Value>) -> Cluster {
    let clock = simulator::Clock::starting_at("2026-01-05T08:00:00Z".parse().unwrap());
    Cluster::new(simulator::Config { clock, definitions, ..simulator::Config::default() })
}

/// The cluster's clock, for the controller.
pub fn clock(cluster: &Cluster) -> Clock {
    let clock = cluster.clock();
    Clock::new(move || clock.now())
}

/// A running controller.
pub struct Running {
    pub controller: Controller,
    pub stop: CancellationToken,
    pub ended: JoinHandle<Result<(), RunError>>,
}

impl Running {
    pub fn start(cluster: &Cluster, config: Config) -> Self {
        Self::start_as(Controller::default(), cluster, config)
    }

    pub fn start_as(controller: Controller, cluster: &Cluster, config: Config) -> Self {
        let stop = CancellationToken::new();
        let ended = tokio::spawn(controller.clone().run(config, cluster.client(), clock(cluster), stop.clone()));
        Self { controller, stop, ended }
    }

    pub async fn ready(&self) {
        let readiness = self.controller.readiness.clone();
        until("ready", || readiness.missing().is_empty()).await;
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.ended.await.unwrap().unwrap();
    }
}

/// Waits, in virtual time, until the condition holds; at most ten minutes.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..12_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

/// The events of a namespace, as (reason, message, count).
pub fn events(cluster: &Cluster, namespace: &str) -> Vec<(String, String, i64)> {
    let events = cluster.store().list("v1", "Event", Some(namespace));
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    events
        .iter()
        .map(json)
        .map(|event| (text(&event, "reason"), text(&event, "message"), event["count"].as_i64().unwrap_or(0)))
        .collect()
}

/// An object as JSON.
pub fn json(object: &simulator::Object) -> Value {
    (**object).clone()
}
