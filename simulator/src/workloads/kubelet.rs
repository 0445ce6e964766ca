//! The life of a pod: node, containers, ready, gone.
//!
//! An image with the word `bad`, `error` or `nonexistent` cannot be pulled; one with the word `unready` runs but never
//! becomes ready. Words are what stands between `/`, `:`, `-`, `.` and `_`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{NODE, PODS, Timer, Work, set_condition};
use crate::api::delete;
use crate::api::storage::{Key, State};
use crate::json;

/// The next thing that happens to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Schedule,
    Start,
    FailPull,
    Ready,
    Stop,
}

fn words(pod: &Value) -> impl Iterator<Item = &str> {
    json::list(pod, &["spec", "containers"])
        .iter()
        .filter_map(|container| json::text(container, &["image"]))
        .flat_map(|image| image.split(['/', ':', '-', '.', '_', '@']))
}

fn next_stage(pod: &Value) -> Option<Stage> {
    let phase = json::text(pod, &["status", "phase"]).unwrap_or("Pending");
    let condition = |kind: &str| {
        json::list(pod, &["status", "conditions"])
            .iter()
            .any(|found| json::text(found, &["type"]) == Some(kind) && json::text(found, &["status"]) == Some("True"))
    };
    if json::at(pod, &["metadata", "deletionTimestamp"]).is_some() {
        return Some(Stage::Stop);
    }
    if json::text(pod, &["spec", "nodeName"]).is_none() {
        return Some(Stage::Schedule);
    }
    match phase {
        "Pending" if words(pod).any(|word| matches!(word, "bad" | "error" | "nonexistent")) => {
            json::list(pod, &["status", "containerStatuses"]).is_empty().then_some(Stage::FailPull)
        }
        "Pending" => Some(Stage::Start),
        "Running" if !condition("Ready") && !words(pod).any(|word| word == "unready") => Some(Stage::Ready),
        _ => None,
    }
}

/// Arms the timer for the pod's next stage.
pub(super) fn look(seen: &State, work: &mut Work, target: &Key) {
    let Some(pod) = seen.get(PODS, target) else { return };
    let uid = json::uid(&pod).to_owned();
    let Some(stage) = next_stage(&pod) else {
        work.armed.remove(&uid);
        return;
    };
    if work.armed.insert(uid.clone(), stage) == Some(stage) {
        return;
    }
    let wait = match stage {
        Stage::Schedule => work.delays.schedule,
        Stage::Start | Stage::FailPull => work.delays.start,
        Stage::Ready => {
            let probe = json::list(&pod, &["spec", "containers"])
                .iter()
                .filter_map(|container| json::int(container, &["readinessProbe", "initialDelaySeconds"]))
                .max()
                .and_then(|seconds| u64::try_from(seconds).ok());
            work.delays.ready.max(Duration::from_secs(probe.unwrap_or_default()))
        }
        Stage::Stop => {
            let grace = json::int(&pod, &["metadata", "deletionGracePeriodSeconds"])
                .and_then(|found| u64::try_from(found).ok());
            work.delays.stop.min(Duration::from_secs(grace.unwrap_or(30)))
        }
    };
    work.after(wait, Timer::Pod { key: target.clone(), uid, stage });
}

/// Carries a stage out, if it is still the pod's next.
pub(super) fn advance(state: &mut State, work: &mut Work, target: &Key, uid: &str, due: Stage) {
    let Some(pod) = state.get(PODS, target).filter(|pod| json::uid(pod) == uid) else {
        work.armed.remove(uid);
        return;
    };
    if next_stage(&pod) != Some(due) {
        return;
    }
    work.armed.remove(uid);
    if due == Stage::Stop {
        if json::list(&pod, &["metadata", "finalizers"]).is_empty() {
            delete::erase(state, PODS, target);
        } else {
            let mut new = (*pod).clone();
            json::set(&mut new, &["metadata", "deletionGracePeriodSeconds"], 0);
            if new != *pod {
                state.write(PODS, new);
            }
            work.armed.insert(uid.to_owned(), Stage::Stop);
        }
        return;
    }
    let stamp = state.clock.stamp();
    let mut new = (*pod).clone();
    let statuses = |ready: bool, life: &Value| -> Vec<Value> {
        json::list(&pod, &["spec", "containers"])
            .iter()
            .map(|container| {
                json!({
                    "name": container.get("name"), "image": container.get("image"), "imageID": "", "ready": ready,
                    "started": ready, "restartCount": 0, "state": life, "lastState": {},
                })
            })
            .collect()
    };
    let running = json!({"running": {"startedAt": stamp}});
    match due {
        Stage::Schedule => {
            json::set(&mut new, &["spec", "nodeName"], NODE);
            set_condition(&mut new, &stamp, "PodScheduled", "True", "");
        }
        Stage::FailPull => {
            let image = words(&pod).collect::<Vec<_>>().join(" ");
            let waiting = json!({"waiting": {
                "reason": "ErrImagePull", "message": format!("failed to pull image: not found: {image}"),
            }});
            json::set(&mut new, &["status", "startTime"], stamp.clone());
            json::set(&mut new, &["status", "containerStatuses"], statuses(false, &waiting));
            set_condition(&mut new, &stamp, "Initialized", "True", "");
            for kind in ["Ready", "ContainersReady"] {
                set_condition(&mut new, &stamp, kind, "False", "ContainersNotReady");
            }
        }
        Stage::Start => {
            let [_, _, high, low] = work.next_address.to_be_bytes();
            work.next_address += 1;
            let address = format!("10.244.{high}.{low}");
            json::set(&mut new, &["status", "phase"], "Running");
            json::set(&mut new, &["status", "startTime"], stamp.clone());
            json::set(&mut new, &["status", "hostIP"], "127.0.0.1");
            json::set(&mut new, &["status", "podIP"], address.clone());
            json::set(&mut new, &["status", "podIPs"], json!([{"ip": address}]));
            json::set(&mut new, &["status", "containerStatuses"], statuses(false, &running));
            set_condition(&mut new, &stamp, "Initialized", "True", "");
            for kind in ["Ready", "ContainersReady"] {
                set_condition(&mut new, &stamp, kind, "False", "ContainersNotReady");
            }
        }
        Stage::Ready => {
            json::set(&mut new, &["status", "containerStatuses"], statuses(true, &running));
            for kind in ["Ready", "ContainersReady"] {
                set_condition(&mut new, &stamp, kind, "True", "");
            }
        }
        Stage::Stop => {}
    }
    state.write(PODS, new);
}
