//! Jobs as measurements: made, waited for across a restart, judged, and deleted when nobody wants them any more.

use std::time::Duration;

use rollout_controller::config::Config;
use serde_json::{Value, json};
use simulator::Cluster;

use crate::harness::{self, Running, until};

const NAME: &str = "0c1d-run.smoke-test.1";

fn seed(cluster: &Cluster) {
    let run = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": { "namespace": "default", "name": "run", "uid": "0c1d-run" },
        "spec": { "metrics": [{
            "name": "Smoke test", "consecutiveErrorLimit": 0,
            "provider": { "job": {
                "metadata": { "labels": { "team": "shop" }, "annotations": { "note": "x" } },
                "spec": { "backoffLimit": 0, "template": { "spec": {
                    "restartPolicy": "Never", "containers": [{ "name": "c", "image": "smoke:1" }],
                } } },
            } },
        }] },
    });
    cluster.store().seed(run).unwrap();
}

fn get(cluster: &Cluster, api: &str, kind: &str, name: &str) -> Option<Value> {
    cluster.store().get(api, kind, "default", name).map(|object| harness::json(&object))
}

fn job(cluster: &Cluster) -> Option<Value> {
    get(cluster, "batch/v1", "Job", NAME)
}

fn status(cluster: &Cluster) -> Value {
    get(cluster, "argoproj.io/v1alpha1", "AnalysisRun", "run").map(|run| run["status"].clone()).unwrap_or_default()
}

async fn made(cluster: &Cluster) -> Value {
    until("the Job is made", || job(cluster).is_some()).await;
    job(cluster).unwrap()
}

fn end(cluster: &Cluster, kind: &str, message: &str) {
    let condition = json!({ "type": kind, "status": "True", "reason": "x", "message": message });
    cluster
        .store()
        .modify(("batch/v1", "Job"), ("default", NAME), |job| job["status"] = json!({ "conditions": [condition] }))
        .unwrap();
}

fn pod(cluster: &Cluster, waiting: Value) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": "default", "name": "smoke-x", "labels": { "job-name": NAME } },
        "spec": { "containers": [{ "name": "c", "image": "smoke:1" }] },
        "status": { "phase": "Pending", "containerStatuses": [{ "name": "c", "image": "smoke:1", "imageID": "", "ready": false, "restartCount": 0, "state": { "waiting": waiting } }] },
    });
    cluster.store().seed(pod).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_job_that_completes_is_a_good_measurement() {
    let cluster = harness::cluster();
    seed(&cluster);
    let running = Running::start(&cluster, Config::default());
    let job = made(&cluster).await;
    let meta = &job["metadata"];
    assert_eq!(meta["labels"], json!({ "team": "shop", "analysisrun.argoproj.io/uid": "0c1d-run" }));
    assert_eq!(meta["annotations"]["analysisrun.argoproj.io/name"], "run");
    assert_eq!(meta["annotations"]["analysisrun.argoproj.io/metric-name"], "Smoke test");
    assert_eq!(meta["ownerReferences"][0]["uid"], "0c1d-run");
    pod(&cluster, json!({ "reason": "ContainerCreating" }));
    tokio::time::sleep(Duration::from_mins(30)).await;
    assert_eq!(status(&cluster)["phase"], "Running");
    end(&cluster, "Complete", "");
    until("it succeeds", || status(&cluster)["phase"] == "Successful").await;
    assert_eq!(status(&cluster)["metricResults"][0]["measurements"][0]["metadata"]["job-name"], NAME);
    assert!(self::job(&cluster).is_some(), "its log can be read until the run goes");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_fails_the_run_with_its_reason() {
    let cluster = harness::cluster();
    seed(&cluster);
    let running = Running::start(&cluster, Config::default());
    made(&cluster).await;
    end(&cluster, "Failed", "Job has reached the specified backoff limit");
    until("it fails", || status(&cluster)["phase"] == "Failed").await;
    let message = status(&cluster)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("Job has reached the specified backoff limit"), "{message}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_pod_cannot_start_is_an_error_with_the_reason() {
    let cluster = harness::cluster();
    seed(&cluster);
    let running = Running::start(&cluster, Config::default());
    made(&cluster).await;
    pod(&cluster, json!({ "reason": "ImagePullBackOff", "message": "Back-off pulling image \"smoke:1\"" }));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(status(&cluster)["phase"], "Running", "a registry may be slow");
    until("it is an error", || status(&cluster)["phase"] == "Error").await;
    let message = status(&cluster)["message"].as_str().unwrap().to_owned();
    let why = format!("the Job {NAME} cannot start: pod smoke-x: ImagePullBackOff: Back-off pulling image \"smoke:1\"");
    assert!(message.contains(&why), "{message}");
    until("it does not start later", || job(&cluster).is_none()).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_name_of_an_image_that_can_never_be_is_an_error_at_once() {
    let cluster = harness::cluster();
    seed(&cluster);
    pod(&cluster, json!({ "reason": "InvalidImageName" }));
    let running = Running::start(&cluster, Config::default());
    let begun = tokio::time::Instant::now();
    until("it is an error", || status(&cluster)["phase"] == "Error").await;
    assert!(begun.elapsed() < Duration::from_secs(30));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_without_pods_is_an_error() {
    let cluster = harness::cluster();
    seed(&cluster);
    let running = Running::start(&cluster, Config::default());
    until("it is an error", || status(&cluster)["phase"] == "Error").await;
    let message = status(&cluster)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("it has made no pod: see its events"), "{message}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_job_of_a_terminated_run_is_deleted() {
    let cluster = harness::cluster();
    seed(&cluster);
    pod(&cluster, json!({ "reason": "ContainerCreating" }));
    let running = Running::start(&cluster, Config::default());
    made(&cluster).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    cluster
        .store()
        .modify(("argoproj.io/v1alpha1", "AnalysisRun"), ("default", "run"), |run| {
            run["spec"]["terminate"] = json!(true);
        })
        .unwrap();
    until("the Job is deleted", || job(&cluster).is_none()).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_same_job_is_waited_for() {
    let cluster = harness::cluster();
    seed(&cluster);
    pod(&cluster, json!({ "reason": "ContainerCreating" }));
    let running = Running::start(&cluster, Config::default());
    let uid = made(&cluster).await["metadata"]["uid"].clone();
    running.ended.abort();
    let running = Running::start(&cluster, Config::default());
    running.ready().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(made(&cluster).await["metadata"]["uid"], uid);
    end(&cluster, "Complete", "");
    until("it succeeds", || status(&cluster)["phase"] == "Successful").await;
    assert_eq!(cluster.requests().count("create", "jobs"), 1);
    running.stop().await;
}
