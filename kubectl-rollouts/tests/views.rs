//! `get`, `list` and `status` against a cluster, once and while it changes; and what is said when it cannot be reached.

// Lints for outside data do not apply to the objects a test makes.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use kubectl_rollouts::cli::Cli;
use kubectl_rollouts::{Error, commands, names};
use serde_json::json;
use simulator::Fault;
use support::{Desk, captured, change};

const PAUSED: &str = "canary-nginx-background-analysis";

/// Begins a command that goes on by itself.
fn start(desk: &mut Desk, line: &str) -> tokio::task::JoinHandle<Result<(), Error>> {
    let arguments: Vec<std::ffi::OsString> = std::iter::once("x").chain(line.split(' ')).map(Into::into).collect();
    let command = Cli::read(names::OWN, arguments).unwrap().command;
    let (session, mut terminal) = (desk.session.clone(), desk.terminal());
    tokio::spawn(async move { commands::with_session(&session, command, &mut terminal).await })
}

#[tokio::test]
async fn get_shows_what_the_objects_say() {
    let mut desk = Desk::of(PAUSED);
    let text = desk.run("get ro web --no-color").await.unwrap();
    for expected in [
        "Status:          ॥ Paused\n",
        "Message:         CanaryPauseStep\n",
        "  Step:          1/4\n",
        "  SetWeight:     30\n",
        "  ActualWeight:  30\n",
        "├──# revision:2\n",
        "α web-7556ffd685-2",
        "✔ 3",
        "ready:1/1",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
    assert_eq!(desk.err.text(), "");
}

#[tokio::test]
async fn get_shows_the_rest_when_one_kind_may_not_be_listed() {
    let mut desk = Desk::of(PAUSED);
    desk.cluster.faults().next("list", "pods", Fault::Error(403), 1);
    let text = desk.run("get rollout web").await.unwrap();
    assert!(text.contains("ReplicaSet") && !text.contains("Pod"), "{text}");
    assert!(desk.err.text().starts_with("Warning: "), "{}", desk.err.text());
}

#[tokio::test]
async fn get_follows_changes_until_the_rollout_is_gone() {
    let mut desk = Desk::of(PAUSED);
    let (cluster, namespace) = (desk.cluster.clone(), desk.session.namespace.clone());
    let watching = start(&mut desk, "get rollout web -w");
    desk.out.until("॥ Paused").await;
    change(&cluster, &namespace, &json!({ "status": { "phase": "Degraded", "message": "RolloutAborted: because" } }));
    desk.out.until("✖ Degraded").await;
    let run = ("argoproj.io/v1alpha1", "AnalysisRun");
    cluster
        .store()
        .modify(run, (&namespace, "web-7556ffd685-2"), |run| run["status"]["phase"] = json!("Failed"))
        .unwrap();
    desk.out.until("✖ Failed").await;
    cluster.store().remove("argoproj.io/v1alpha1", "Rollout", &namespace, "web");
    let error = watching.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn get_stops_watching_after_its_time() {
    let mut desk = Desk::of(PAUSED);
    let watching = start(&mut desk, "get rollout web -w --timeout-seconds 1");
    assert!(watching.await.unwrap().is_ok());
    assert_eq!(desk.out.text().matches("Name:").count(), 1, "a frame that says nothing new is not shown");
}

#[tokio::test]
async fn status_waits_for_the_end_and_tells_each_phase_once() {
    let mut desk = Desk::of(PAUSED);
    let (cluster, namespace) = (desk.cluster.clone(), desk.session.namespace.clone());
    let waiting = start(&mut desk, "status web");
    desk.out.until("Paused - CanaryPauseStep\n").await;
    let progressing = json!({ "phase": "Progressing", "message": "more replicas need to be updated",
        "pauseConditions": null, "controllerPause": null });
    change(&cluster, &namespace, &json!({ "status": progressing }));
    desk.out.until("Progressing - more replicas need to be updated\n").await;
    change(&cluster, &namespace, &json!({ "status": { "readyReplicas": 5 } }));
    change(&cluster, &namespace, &json!({ "status": { "phase": "Healthy", "message": null } }));
    assert!(waiting.await.unwrap().is_ok());
    assert_eq!(desk.out.text(), "Paused - CanaryPauseStep\nProgressing - more replicas need to be updated\nHealthy\n");
}

#[tokio::test]
async fn status_fails_when_the_release_ends_badly_or_late() {
    let mut desk = Desk::of("canary-nginx-aborted");
    let error = desk.run("status web").await.unwrap_err();
    assert!(
        error.to_string().starts_with("the rollout is in a degraded state with message: RolloutAborted: "),
        "{error}"
    );

    let mut desk = Desk::of(PAUSED);
    let error = desk.run("status web --timeout 50ms").await.unwrap_err();
    assert_eq!(error.to_string(), "rollout status watch exceeded timeout");
    assert_eq!(desk.run("status web -w=false").await.unwrap(), "Paused - CanaryPauseStep\n");
}

#[tokio::test]
async fn status_survives_a_lost_watch() {
    let mut desk = Desk::of(PAUSED);
    let (cluster, namespace) = (desk.cluster.clone(), desk.session.namespace.clone());
    let waiting = start(&mut desk, "status web");
    desk.out.until("Paused").await;
    while cluster.requests().count("watch", "rollouts") == 0 {
        tokio::task::yield_now().await;
    }
    cluster.faults().drop_watches("rollouts");
    cluster.store().compact();
    let healthy = json!({ "phase": "Healthy", "message": null, "pauseConditions": null, "controllerPause": null });
    change(&cluster, &namespace, &json!({ "status": healthy }));
    assert!(waiting.await.unwrap().is_ok());
    assert!(desk.out.text().ends_with("Healthy\n"));
}

#[tokio::test]
async fn list_shows_one_line_each() {
    let mut objects = captured(PAUSED);
    objects.extend(captured("bluegreen-preview-paused"));
    objects.extend(captured("canary-healthy-with-history"));
    let mut desk = Desk::with(objects);
    insta::assert_snapshot!(desk.run("list rollouts -A").await.unwrap());
    insta::assert_snapshot!(desk.run("list ro --timestamps").await.unwrap());
    assert_eq!(desk.run("list rollouts --name other").await.unwrap(), "");
    assert_eq!(desk.err.text(), "No resources found.\n");
}

#[tokio::test]
async fn list_shows_an_object_it_cannot_read_and_all_others() {
    let mut objects = captured(PAUSED);
    objects.push(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": { "name": "broken", "namespace": PAUSED }, "spec": { "replicas": "many" },
    }));
    let mut desk = Desk::with(objects);
    let text = desk.run("list rollouts").await.unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["broken", "unknown", "Unreadable"]);
    assert_eq!(lines[2][..3], ["web", "Canary", "Paused"]);
    let error = desk.run("get rollout broken").await.unwrap_err();
    assert!(error.to_string().starts_with("rollouts.argoproj.io \"broken\" cannot be read: "), "{error}");
}

#[tokio::test]
async fn list_follows_changes() {
    let mut desk = Desk::of(PAUSED);
    let (cluster, namespace) = (desk.cluster.clone(), desk.session.namespace.clone());
    let watching = start(&mut desk, "list rollouts -w");
    desk.out.until("Paused").await;
    change(&cluster, &namespace, &json!({ "status": { "phase": "Degraded" } }));
    desk.out.until("Degraded").await;
    assert_eq!(desk.out.text().lines().count(), 3);
    watching.abort();
}

#[tokio::test]
async fn failures_are_told_in_words_a_person_can_act_on() {
    let mut desk = Desk::of(PAUSED);
    let namespace = desk.session.namespace.clone();
    for line in ["get rollout no", "status no", "abort no", "pause no", "promote no", "undo no", "set image no a=b:1"] {
        let error = desk.run(line).await.unwrap_err();
        let expected = format!("rollouts.argoproj.io \"no\" not found in namespace \"{namespace}\"");
        assert_eq!(error.to_string(), expected, "{line}");
    }

    desk.cluster.faults().next("get", "rollouts", Fault::Error(403), 1);
    let forbidden = desk.run("get rollout web").await.unwrap_err();
    assert!(matches!(forbidden, Error::Refused(_)), "{forbidden}");
    assert!(forbidden.to_string().contains("forbidden"), "{forbidden}");

    desk.cluster.faults().next("get", "rollouts", Fault::Refuse, 1);
    let unreachable = desk.run("get rollout web").await.unwrap_err();
    assert_eq!(unreachable.to_string(), "could not reach the API server at http://simulated: connection refused");

    desk.session.request_timeout = Some(Duration::from_secs(1));
    desk.cluster.faults().next("get", "rollouts", Fault::Latency(Duration::from_hours(1)), 1);
    let late = desk.run("get rollout web").await.unwrap_err();
    assert_eq!(
        late.to_string(),
        "the API server at http://simulated did not answer within 1 seconds (--request-timeout)"
    );

    let bare = simulator::Config { definitions: Vec::new(), ..simulator::Config::default() };
    desk.session.client = simulator::Cluster::new(bare).client();
    let error = desk.run("list rollouts").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the cluster does not know rollouts.argoproj.io: install its CustomResourceDefinition first"
    );
    let error = desk.run("get rollout web").await.unwrap_err();
    assert!(matches!(error, Error::NotServed { .. }), "{error}");
}
