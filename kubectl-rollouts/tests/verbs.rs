//! What each verb writes, and that it writes nothing else.

// Lints for outside data do not apply to the objects a test makes.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use simulator::Fault;
use support::{Desk, captured};

const PAUSED: &str = "canary-nginx-background-analysis";
const ABORTED: &str = "canary-nginx-aborted";

/// The Rollout without what every write changes.
fn essence(mut rollout: Value) -> Value {
    let metadata = rollout["metadata"].as_object_mut().unwrap();
    metadata.remove("resourceVersion");
    metadata.remove("generation");
    rollout
}

/// Runs a command; what it says, and what it changed in the Rollout as a merge patch.
async fn effect(desk: &mut Desk, line: &str) -> (String, Value) {
    let before = essence(desk.rollout());
    let told = desk.run(line).await.unwrap();
    (told, difference(&before, &essence(desk.rollout())))
}

fn difference(before: &Value, after: &Value) -> Value {
    match (before.as_object(), after.as_object()) {
        (Some(old), Some(new)) => {
            let mut fields = serde_json::Map::new();
            for key in old.keys().chain(new.keys()) {
                let (old, new) = (old.get(key).unwrap_or(&Value::Null), new.get(key).unwrap_or(&Value::Null));
                if old != new {
                    fields.insert(key.clone(), difference(old, new));
                }
            }
            Value::Object(fields)
        }
        _ => after.clone(),
    }
}

#[tokio::test]
async fn abort_and_retry_write_one_field_of_the_status() {
    let mut desk = Desk::of(PAUSED);
    let (told, changed) = effect(&mut desk, "abort web").await;
    assert_eq!((told.as_str(), changed), ("rollout 'web' aborted\n", json!({ "status": { "abort": true } })));

    let mut desk = Desk::of(ABORTED);
    let (told, changed) = effect(&mut desk, "retry rollout web").await;
    assert_eq!((told.as_str(), changed), ("rollout 'web' retried\n", json!({ "status": { "abort": false } })));
}

#[tokio::test]
async fn pause_and_resume_hold_and_let_go() {
    let mut desk = Desk::of(PAUSED);
    desk.change(&json!({ "status": { "pauseConditions": null, "controllerPause": null } }));
    let (told, changed) = effect(&mut desk, "pause web").await;
    assert_eq!((told.as_str(), changed), ("rollout 'web' paused\n", json!({ "spec": { "paused": true } })));
    let (told, changed) = effect(&mut desk, "resume web").await;
    assert_eq!((told.as_str(), changed), ("rollout 'web' resumed\n", json!({ "spec": { "paused": false } })));
    let (told, changed) = effect(&mut desk, "resume web").await;
    assert_eq!((told.as_str(), changed), ("rollout 'web' is not paused\n", json!({})));
}

#[tokio::test]
async fn promote_clears_the_pause_and_never_skips_a_step_as_well() {
    let mut desk = Desk::of(PAUSED);
    let (told, changed) = effect(&mut desk, "promote web").await;
    assert_eq!(told, "rollout 'web' promoted\n");
    assert_eq!(changed, json!({ "status": { "pauseConditions": null } }));
    let status = &desk.rollout()["status"];
    assert_eq!(status["controllerPause"], true, "by this the controller knows that a person resumed");
}

#[tokio::test]
async fn promote_lets_go_what_a_person_holds() {
    let mut desk = Desk::of(PAUSED);
    desk.change(&json!({ "spec": { "paused": true } }));
    let (_, changed) = effect(&mut desk, "promote web").await;
    assert_eq!(changed, json!({ "spec": { "paused": false }, "status": { "pauseConditions": null } }));

    desk.change(&json!({ "spec": { "paused": true } }));
    let (_, changed) = effect(&mut desk, "promote web").await;
    assert_eq!(changed, json!({ "spec": { "paused": false } }));
}

#[tokio::test]
async fn promote_without_a_pause_leaves_the_current_step_behind() {
    let mut desk = Desk::of(PAUSED);
    desk.change(&json!({ "status": { "pauseConditions": null, "controllerPause": null } }));
    let (_, changed) = effect(&mut desk, "promote web").await;
    assert_eq!(changed, json!({ "status": { "currentStepIndex": 2 } }));
    for expected in [3, 4] {
        assert_eq!(effect(&mut desk, "promote web").await.1, json!({ "status": { "currentStepIndex": expected } }));
    }
    assert_eq!(effect(&mut desk, "promote web").await.1, json!({}), "there is no step after the last");
}

#[tokio::test]
async fn promote_leaves_an_inconclusive_analysis_behind() {
    let mut desk = Desk::of(PAUSED);
    desk.change(&json!({ "status": {
        "pauseConditions": [{ "reason": "InconclusiveAnalysisRun", "startTime": "2026-11-24T13:19:55Z" }],
        "canary": { "currentStepAnalysisRunStatus": { "name": "web-1", "status": "Inconclusive" } },
    } }));
    let (_, changed) = effect(&mut desk, "promote web").await;
    let expected = json!({ "pauseConditions": null, "controllerPause": false, "currentStepIndex": 2 });
    assert_eq!(changed, json!({ "status": expected }));
}

#[tokio::test]
async fn promote_can_skip_one_step_all_steps_or_everything() {
    let mut desk = Desk::of(PAUSED);
    assert_eq!(effect(&mut desk, "promote web -c").await.1, json!({ "status": { "currentStepIndex": 2 } }));
    assert_eq!(
        effect(&mut desk, "promote web --skip-all-steps").await.1,
        json!({ "status": { "currentStepIndex": 4 } })
    );
    let (told, changed) = effect(&mut desk, "promote web --full").await;
    assert_eq!(
        (told.as_str(), changed),
        ("rollout 'web' fully promoted\n", json!({ "status": { "promoteFull": true } }))
    );

    let mut healthy = Desk::of("canary-healthy-with-history");
    assert_eq!(effect(&mut healthy, "promote web --full").await.1, json!({}), "nothing is left to promote");

    let mut blue_green = Desk::of("bluegreen-preview-paused");
    let error = blue_green.run("promote web -c").await.unwrap_err();
    assert_eq!(error.to_string(), "steps can be skipped only in a canary strategy with steps");
    assert_eq!(effect(&mut blue_green, "promote web").await.1, json!({ "status": { "pauseConditions": null } }));
}

#[tokio::test]
async fn restart_names_the_moment() {
    let mut desk = Desk::of(PAUSED);
    let (told, changed) = effect(&mut desk, "restart web").await;
    assert_eq!(told, "rollout 'web' restarts in 0s\n");
    assert_eq!(changed, json!({ "spec": { "restartAt": "2026-11-24T13:25:00Z" } }));
    let (told, changed) = effect(&mut desk, "restart web --in 10m").await;
    assert_eq!(told, "rollout 'web' restarts in 10m\n");
    assert_eq!(changed, json!({ "spec": { "restartAt": "2026-11-24T13:35:00Z" } }));
}

#[tokio::test]
async fn set_image_changes_the_image_and_nothing_else() {
    let mut desk = Desk::of(PAUSED);
    desk.change(&json!({ "spec": { "template": { "spec": {
        "initContainers": [{ "name": "migrate", "image": "web:2", "newerField": { "kept": [1, 2] } }],
        "containers": [{ "name": "sidecar", "image": "proxy:1" }, { "name": "web", "image": "web:2" }],
    } } } }));
    let images = |desk: &Desk| {
        let spec = desk.rollout()["spec"]["template"]["spec"].clone();
        ["/initContainers/0", "/containers/0", "/containers/1"]
            .map(|at| spec.pointer(at).unwrap()["image"].as_str().unwrap().to_owned())
    };
    assert_eq!(desk.run("set image web web=web:3").await.unwrap(), "rollout \"web\" image updated\n");
    assert_eq!(images(&desk), ["web:2", "proxy:1", "web:3"]);
    desk.run("set image web migrate=migrate:1 sidecar=proxy:2").await.unwrap();
    assert_eq!(images(&desk), ["migrate:1", "proxy:2", "web:3"]);
    desk.run("set image web *=all:1").await.unwrap();
    assert_eq!(images(&desk), ["all:1"; 3]);
    let template = &desk.rollout()["spec"]["template"]["spec"];
    assert_eq!(template["initContainers"][0]["newerField"], json!({ "kept": [1, 2] }));

    let before = desk.rollout();
    let error = desk.run("set image web web=web:4 nothere=x:1").await.unwrap_err();
    assert_eq!(error.to_string(), "unable to find container named \"nothere\"");
    assert_eq!(desk.rollout(), before, "all or nothing");
    desk.run("set image web web=all:1").await.unwrap();
    assert_eq!(desk.rollout(), before, "an image that is set already is not written");
}

#[tokio::test]
async fn set_image_looks_again_when_someone_was_quicker() {
    let mut desk = Desk::of(PAUSED);
    desk.cluster.faults().next("patch", "rollouts", Fault::Error(409), 4);
    desk.run("set image web web=web:3").await.unwrap();
    assert_eq!(desk.rollout()["spec"]["template"]["spec"]["containers"][0]["image"], "web:3");
    assert_eq!(desk.cluster.requests().count("patch", "rollouts"), 5);

    desk.cluster.faults().next("patch", "rollouts", Fault::Error(409), 5);
    let error = desk.run("set image web web=web:4").await.unwrap_err();
    assert_eq!(error.to_string(), "rollouts.argoproj.io \"web\" keeps being changed by someone else: try again");
}

#[tokio::test]
async fn set_image_reaches_the_referenced_workload() {
    let mut desk = Desk::of("canary-workloadref");
    let rollout = desk.rollout();
    let deployment = rollout["spec"]["workloadRef"]["name"].as_str().unwrap().to_owned();
    assert_eq!(desk.run("set image web *=web:9").await.unwrap(), "rollout \"web\" image updated\n");
    let deployment = desk.object("apps/v1", "Deployment", &deployment);
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "web:9");
    assert_eq!(desk.rollout(), rollout);
}

#[tokio::test]
async fn undo_brings_back_an_earlier_template() {
    let mut desk = Desk::of(PAUSED);
    assert_eq!(desk.run("undo web").await.unwrap(), "rollout 'web' undo\n");
    let template = desk.rollout()["spec"]["template"].clone();
    assert_eq!(template["spec"]["containers"][0]["image"], "web:1");
    assert_eq!(template["metadata"]["labels"], json!({ "app": "web" }), "without the hash");

    let mut desk = Desk::of(PAUSED);
    let before = desk.rollout();
    assert_eq!(
        desk.run("undo web --to-revision 2").await.unwrap(),
        "rollout 'web' not changed: its pod template is already that of revision 2\n"
    );
    let error = desk.run("undo web --to-revision=7").await.unwrap_err();
    assert_eq!(error.to_string(), "unable to find revision 7 of rollout 'web' (known revisions: 2, 1)");
    assert_eq!(desk.rollout(), before);

    let only_rollout = captured(PAUSED).into_iter().filter(|object| object["kind"] == "Rollout").collect();
    let error = Desk::with(only_rollout).run("undo web").await.unwrap_err();
    assert_eq!(error.to_string(), "rollout 'web' has no earlier revision to go back to (known revisions: none)");
}

#[tokio::test]
async fn undo_takes_out_what_the_controller_put_into_the_template() {
    let mut objects = captured(PAUSED);
    for object in &mut objects {
        if object["kind"] == "ReplicaSet" {
            let injected = json!({ "labels": { "role": "stable" }, "annotations": { "role": "stable" } }).to_string();
            object["metadata"]["annotations"]["rollout.argoproj.io/ephemeral-metadata"] = json!(injected);
            object["spec"]["template"]["metadata"]["labels"]["role"] = json!("stable");
            object["spec"]["template"]["metadata"]["annotations"]["role"] = json!("stable");
        }
    }
    let mut desk = Desk::with(objects);
    desk.run("undo web --to-revision 1").await.unwrap();
    let metadata = desk.rollout()["spec"]["template"]["metadata"].clone();
    assert_eq!(metadata["labels"], json!({ "app": "web" }));
    assert!(metadata["annotations"].get("role").is_none());
}

#[tokio::test]
async fn undo_does_not_undo_what_someone_else_does_meanwhile() {
    let mut desk = Desk::of(PAUSED);
    let (cluster, namespace) = (desk.cluster.clone(), desk.session.namespace.clone());
    let undo = desk.run("undo web");
    // The template changes after it was looked at: between the list of ReplicaSets and the write.
    let meddle = async {
        loop {
            if cluster.requests().count("list", "replicasets") > 0 {
                let images = json!([{ "name": "web", "image": "web:hotfix" }]);
                support::change(
                    &cluster,
                    &namespace,
                    &json!({ "spec": { "template": { "spec": { "containers": images } } } }),
                );
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    let (result, ()) = tokio::join!(biased(undo), meddle);
    let image = desk.rollout()["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    match result {
        Ok(_) => panic!("the write must not have gone through: {image}"),
        Err(error) => {
            assert_eq!(
                error.to_string(),
                "rollouts.argoproj.io \"web\" keeps being changed by someone else: try again"
            );
        }
    }
    assert_eq!(image, "web:hotfix");
}

/// Gives others a turn whenever this could go on at once.
async fn biased<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        let step = std::future::poll_fn(|context| match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        });
        if let Some(value) = step.await {
            return value;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn several_names_each_have_their_turn() {
    let mut objects = captured(PAUSED);
    let mut second = objects.iter().find(|object| object["kind"] == "Rollout").unwrap().clone();
    second["metadata"]["name"] = json!("api");
    second["metadata"].as_object_mut().unwrap().remove("uid");
    objects.push(second);
    let mut desk = Desk::with(objects);
    let error = desk.run("abort api missing web").await.unwrap_err();
    assert_eq!(error.to_string(), "1 of 3 failed");
    assert_eq!(desk.out.text(), "rollout 'api' aborted\nrollout 'web' aborted\n");
    let namespace = &desk.session.namespace;
    assert_eq!(
        desk.err.text(),
        format!("Error: rollouts.argoproj.io \"missing\" not found in namespace \"{namespace}\"\n")
    );
    assert_eq!(desk.rollout()["status"]["abort"], true);
}

#[tokio::test]
async fn a_definition_without_a_status_sub_resource_is_written_as_a_whole() {
    let mut definitions = simulator::own_definitions();
    for definition in &mut definitions {
        for version in definition["spec"]["versions"].as_array_mut().unwrap() {
            version["subresources"].as_object_mut().map(|sub| sub.remove("status"));
        }
    }
    let mut desk = Desk::of(PAUSED);
    let config = simulator::Config { definitions, ..simulator::Config::default() };
    desk.cluster = simulator::Cluster::new(config);
    desk.session.client = desk.cluster.client();
    for object in captured(PAUSED) {
        desk.cluster.store().seed(object).unwrap();
    }
    desk.change(&json!({ "spec": { "paused": true } }));
    let (_, changed) = effect(&mut desk, "promote web").await;
    assert_eq!(changed, json!({ "spec": { "paused": false }, "status": { "pauseConditions": null } }));
    assert_eq!(effect(&mut desk, "abort web").await.1, json!({ "status": { "abort": true } }));
}

#[tokio::test]
async fn experiments_and_runs_are_ended_and_repeated() {
    let (exp, experiment) = ("web-7556ffd685-2-1", "Experiment");
    let mut desk = Desk::of("canary-experiment-running");
    let told = desk.run(&format!("terminate experiment {exp}")).await.unwrap();
    assert_eq!(told, format!("experiment '{exp}' terminated\n"));
    assert_eq!(desk.object("argoproj.io/v1alpha1", experiment, exp)["spec"]["terminate"], json!(true));

    let told = desk.run(&format!("retry experiment {exp}")).await.unwrap();
    assert_eq!(told, format!("experiment '{exp}' retried\n"));
    assert_eq!(desk.object("argoproj.io/v1alpha1", experiment, exp).get("status"), None);

    let mut desk = Desk::of(PAUSED);
    let run = captured(PAUSED).into_iter().find(|object| object["kind"] == "AnalysisRun").unwrap();
    let run = run["metadata"]["name"].as_str().unwrap().to_owned();
    let told = desk.run(&format!("terminate ar {run}")).await.unwrap();
    assert_eq!(told, format!("analysisRun '{run}' terminated\n"));
    assert_eq!(desk.object("argoproj.io/v1alpha1", "AnalysisRun", &run)["spec"]["terminate"], json!(true));

    let error = desk.run("terminate experiment nothing").await.unwrap_err().to_string();
    assert!(error.contains("nothing"), "{error}");
}

#[tokio::test]
async fn experiments_are_shown_and_listed() {
    let mut desk = Desk::of("canary-experiment-running");
    insta::assert_snapshot!(desk.run("list experiments").await.unwrap());
    insta::assert_snapshot!(desk.run("get experiment web-7556ffd685-2-1").await.unwrap());
    let mut desk = Desk::of(PAUSED);
    assert_eq!(desk.run("list experiments -A").await.unwrap(), "");
    assert_eq!(desk.err.text(), "No resources found.\n");
}
