//! Events: what is told, when, and in how many requests.

use std::sync::Arc;
use std::time::Duration;

use crds::k8s_openapi::api::core::v1::ObjectReference;
use rollout_controller::events::{self, Note, Recorder};
use rollout_controller::metrics::Metrics;
use simulator::{Cluster, Fault};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness;

struct Telling {
    cluster: Cluster,
    recorder: Recorder,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    sink: JoinHandle<()>,
}

fn start() -> Telling {
    let cluster = harness::cluster();
    let metrics = Arc::new(Metrics::new());
    let (recorder, sink) = events::recorder(cluster.client(), metrics.clone(), harness::clock(&cluster));
    let stop = CancellationToken::new();
    let sink = tokio::spawn(sink.run(stop.clone()));
    Telling { cluster, recorder, metrics, stop, sink }
}

fn note(warning: bool, reason: &str, message: &str) -> Note {
    let about = ObjectReference {
        api_version: Some("argoproj.io/v1alpha1".to_owned()),
        kind: Some("Rollout".to_owned()),
        namespace: Some("default".to_owned()),
        name: Some("web".to_owned()),
        uid: Some("uid-1".to_owned()),
        ..ObjectReference::default()
    };
    Note { about, warning, reason: reason.to_owned(), message: message.to_owned() }
}

fn written(telling: &Telling) -> Vec<(String, String, i64)> {
    harness::events(&telling.cluster, "default")
}

#[tokio::test(start_paused = true)]
async fn routine_events_are_held_and_merged_by_topic() {
    let telling = start();
    for step in 1..=4 {
        telling.recorder.tell(note(false, "TrafficWeightUpdated", &format!("Traffic weight updated to {step}0")));
        telling.recorder.tell(note(false, "RolloutStepCompleted", &format!("Rollout step {step}/4 completed")));
        telling.recorder.tell(note(false, "ScalingReplicaSet", "Scaled up ReplicaSet web-1"));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(written(&telling), [], "all within the hold");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut events = written(&telling);
    events.sort();
    let told = |step| format!("Traffic weight updated to {step}0; Rollout step {step}/4 completed");
    let steps = (1..=4).map(told).collect::<Vec<_>>().join("; ");
    assert_eq!(
        events,
        [
            ("RolloutStepCompleted".to_owned(), steps, 8),
            ("ScalingReplicaSet".to_owned(), "Scaled up ReplicaSet web-1".to_owned(), 4)
        ]
    );
    assert_eq!(telling.cluster.requests().count("*", "events"), 2);
}

#[tokio::test(start_paused = true)]
async fn warnings_and_ends_are_told_at_once_and_repeats_are_counted() {
    let telling = start();
    telling.recorder.tell(note(false, "RolloutUpdated", "Rollout updated to revision 2"));
    telling.recorder.tell(note(true, "AnalysisRunFailed", "bad"));
    telling.recorder.tell(note(false, "RolloutCompleted", "good"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let reasons: Vec<String> = written(&telling).into_iter().map(|(reason, ..)| reason).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    telling.recorder.tell(note(true, "AnalysisRunFailed", "bad"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let bad: Vec<_> = written(&telling).into_iter().filter(|(reason, ..)| reason == "AnalysisRunFailed").collect();
    assert_eq!(bad, [("AnalysisRunFailed".to_owned(), "bad".to_owned(), 2)]);
}

#[tokio::test(start_paused = true)]
async fn stopping_writes_what_is_held() {
    let telling = start();
    telling.recorder.tell(note(false, "RolloutUpdated", "Rollout updated to revision 2"));
    telling.stop.cancel();
    telling.sink.await.unwrap();
    assert_eq!(harness::events(&telling.cluster, "default").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_costs_events_and_nothing_else() {
    let telling = start();
    telling.cluster.faults().always("create", "events", Fault::Error(503));
    for number in 0..3000 {
        telling.recorder.tell(note(true, "AnalysisRunFailed", &format!("bad {number}")));
    }
    assert!(telling.metrics.events_dropped.get() > 1000, "the queue is bounded");
    let before = telling.metrics.events_dropped.get();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(telling.metrics.events_dropped.get() > before, "each event is given up after some tries");
}
