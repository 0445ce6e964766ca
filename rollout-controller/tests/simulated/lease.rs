//! Leader election: never two leaders, and no leader that does not know that it was deposed.

use std::time::Duration;

use rollout_controller::lease::{Elector, Leadership, LeaseConfig};
use simulator::{Cluster, Fault};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::harness;

struct Contender {
    leadership: Leadership,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn contender(cluster: &Cluster, identity: &str) -> Contender {
    let config = LeaseConfig {
        namespace: "default".to_owned(),
        name: "argo-rollouts-controller-lock".to_owned(),
        identity: identity.to_owned(),
        duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    };
    let (elector, leadership) = Elector::new(cluster.client(), config, harness::clock(cluster));
    let stop = CancellationToken::new();
    let task = tokio::spawn(elector.run(stop.clone()));
    Contender { leadership, stop, task }
}

/// Lets virtual time pass and looks every 100 ms that at most one leads; returns when the first time `until` held.
async fn watch(contenders: &[&Contender], time: Duration, until: impl Fn() -> bool) -> Option<Duration> {
    let start = Instant::now();
    while start.elapsed() < time {
        let leaders = contenders.iter().filter(|contender| contender.leadership.holds()).count();
        assert!(leaders <= 1, "{leaders} leaders at once");
        if until() {
            return Some(start.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    None
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_a_released_lease_is_taken_soon() {
    let cluster = harness::cluster();
    let first = contender(&cluster, "first");
    watch(&[&first], Duration::from_secs(5), || first.leadership.holds()).await.unwrap();
    let second = contender(&cluster, "second");
    assert_eq!(watch(&[&first, &second], Duration::from_mins(2), || !first.leadership.holds()).await, None);
    assert!(!second.leadership.holds());
    first.stop.cancel();
    first.task.await.unwrap();
    assert!(!first.leadership.holds());
    let took = watch(&[&second], Duration::from_secs(30), || second.leadership.holds()).await.unwrap();
    assert!(took < Duration::from_secs(5), "a released lease needs no waiting: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_is_replaced_after_the_lease_and_not_before() {
    let cluster = harness::cluster();
    let first = contender(&cluster, "first");
    watch(&[&first], Duration::from_secs(5), || first.leadership.holds()).await.unwrap();
    let second = contender(&cluster, "second");
    watch(&[&first, &second], Duration::from_secs(20), || false).await;
    first.task.abort();
    let took = watch(&[&second], Duration::from_mins(1), || second.leadership.holds()).await.unwrap();
    assert!(took > Duration::from_secs(12) && took < Duration::from_secs(20), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn without_answers_the_leader_steps_down_before_anybody_could_take_over() {
    for fault in [Fault::Refuse, Fault::Error(503), Fault::Latency(Duration::from_hours(1)), Fault::LoseAnswer] {
        let cluster = harness::cluster();
        let only = contender(&cluster, "only");
        watch(&[&only], Duration::from_secs(5), || only.leadership.holds()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(30)).await;
        cluster.faults().always("*", "leases", fault.clone());
        let lost = watch(&[&only], Duration::from_mins(1), || !only.leadership.holds()).await;
        let lost = lost.unwrap_or_else(|| panic!("still leads under {fault:?}"));
        assert!(lost <= Duration::from_millis(10_100), "{fault:?}: stepped down after {lost:?}");
        cluster.faults().clear();
        watch(&[&only], Duration::from_secs(30), || only.leadership.holds()).await.expect("leads again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_does_not_cost_the_lease() {
    let cluster = harness::cluster();
    let only = contender(&cluster, "only");
    watch(&[&only], Duration::from_secs(5), || only.leadership.holds()).await.unwrap();
    cluster.faults().next("patch", "leases", Fault::LoseAnswer, 1);
    assert_eq!(watch(&[&only], Duration::from_mins(1), || !only.leadership.holds()).await, None);
}
