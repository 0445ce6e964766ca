//! Start and end of a controller.

use std::time::Duration;

use rollout_controller::config::{Config, LeaderElection};
use simulator::Fault;

use crate::harness::{self, Running, until};

fn with_election(identity: &str) -> Config {
    let leader_election = Some(LeaderElection {
        namespace: "default".to_owned(),
        identity: identity.to_owned(),
        duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    });
    Config { leader_election, ..Config::default() }
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_missing_crds_names_them_and_goes_on_when_they_are_there() {
    let cluster = harness::cluster_with(Vec::new());
    let running = Running::start(&cluster, Config::default());
    let readiness = running.controller.readiness.clone();
    until("the reason is named", || readiness.missing().iter().any(|line| line.contains("is the CRD installed?")))
        .await;
    until("only the CRDs are waited for", || readiness.missing().len() == 5).await;
    let missing = readiness.missing();
    for plural in ["analysisruns", "analysistemplates", "clusteranalysistemplates", "experiments", "rollouts"] {
        assert!(missing.iter().any(|line| line.starts_with(&format!("{plural}: "))), "{missing:?}");
    }
    for definition in simulator::own_definitions() {
        cluster.store().seed(definition).unwrap();
    }
    running.ready().await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_failing_watch_does_not_stop_the_others() {
    let cluster = harness::cluster();
    cluster.faults().always("list", "services", Fault::Error(500));
    let running = Running::start(&cluster, Config::default());
    let readiness = running.controller.readiness.clone();
    until("all others are there", || readiness.missing().len() == 1).await;
    assert!(readiness.missing().iter().all(|line| line.starts_with("services: ")));
    cluster.faults().clear();
    running.ready().await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_leader_hands_over_within_seconds() {
    let cluster = harness::cluster();
    let first = Running::start(&cluster, with_election("first"));
    until("the first leads", || first.controller.metrics.leader.get() == 1).await;
    let second = Running::start(&cluster, with_election("second"));
    second.ready().await;
    assert_eq!(second.controller.metrics.leader.get(), 0, "ready, but not leading");
    let start = tokio::time::Instant::now();
    first.stop().await;
    until("the second leads", || second.controller.metrics.leader.get() == 1).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_controller_asks_for_nothing() {
    let cluster = harness::cluster();
    let running = Running::start(&cluster, Config::default());
    running.ready().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    cluster.requests().clear();
    tokio::time::sleep(Duration::from_mins(4)).await;
    let asked: Vec<_> = cluster.requests().all().into_iter().filter(|request| request.verb != "watch").collect();
    assert!(asked.is_empty(), "{asked:?}");
    running.stop().await;
}
