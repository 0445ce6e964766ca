//! How a pod stands, in the words of `kubectl get pods`.

use crds::k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};

use super::{State, Tone};

/// State, ready containers, all containers and restarts of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodInfo {
    /// How it stands.
    pub state: State,
    /// Containers which are ready.
    pub ready: usize,
    /// All containers.
    pub containers: usize,
    /// Restarts of all containers.
    pub restarts: i32,
}

impl PodInfo {
    /// What the pod says of itself.
    pub fn of(pod: &Pod) -> Self {
        let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
        let word = word(pod, statuses);
        Self {
            ready: statuses.iter().filter(|status| status.ready).count(),
            containers: pod.spec.as_ref().map_or(statuses.len(), |spec| spec.containers.len()),
            restarts: statuses.iter().map(|status| status.restart_count).sum(),
            state: State::new(tone(&word), word),
        }
    }
}

fn word(pod: &Pod, statuses: &[ContainerStatus]) -> String {
    let Some(status) = &pod.status else { return "Pending".to_owned() };
    let phase = status.phase.clone().unwrap_or_else(|| "Pending".to_owned());
    let mut word = status.reason.clone().unwrap_or(phase);
    if let Some(stuck) = beginning(pod) {
        word = stuck;
    } else {
        let mut running = false;
        for status in statuses.iter().rev() {
            match reason(status.state.as_ref()) {
                Some(reason) => word = reason,
                None => running |= status.ready,
            }
        }
        // A pod whose first container has ended while another still serves is running.
        if word == "Completed" && running {
            "Running".clone_into(&mut word);
        }
    }
    if pod.metadata.deletion_timestamp.is_some() {
        let lost = status.reason.as_deref() == Some("NodeLost");
        if lost { "Unknown" } else { "Terminating" }.clone_into(&mut word);
    }
    word
}

/// The init container that holds the pod up, if any: its reason, or how many are done.
fn beginning(pod: &Pod) -> Option<String> {
    let all = pod.spec.as_ref()?.init_containers.as_deref().unwrap_or_default();
    let statuses = pod.status.as_ref()?.init_container_statuses.as_deref().unwrap_or_default();
    for (index, status) in statuses.iter().enumerate() {
        let sidecar = all
            .iter()
            .any(|container| container.name == status.name && container.restart_policy.as_deref() == Some("Always"));
        if sidecar && status.started == Some(true) {
            continue;
        }
        let terminated = status.state.as_ref().and_then(|state| state.terminated.as_ref());
        if terminated.is_some_and(|terminated| terminated.exit_code == 0) {
            continue;
        }
        return Some(match reason(status.state.as_ref()).filter(|reason| reason != "PodInitializing") {
            Some(reason) => format!("Init:{reason}"),
            None => format!("Init:{index}/{}", all.len()),
        });
    }
    None
}

fn reason(state: Option<&ContainerState>) -> Option<String> {
    let state = state?;
    if let Some(waiting) = &state.waiting {
        return waiting.reason.clone().filter(|reason| !reason.is_empty());
    }
    let terminated = state.terminated.as_ref()?;
    Some(match (terminated.reason.as_deref(), terminated.signal) {
        (Some(reason), _) if !reason.is_empty() => reason.to_owned(),
        (_, Some(signal)) if signal != 0 => format!("Signal:{signal}"),
        _ => format!("ExitCode:{}", terminated.exit_code),
    })
}

fn tone(word: &str) -> Tone {
    match word.strip_prefix("Init:").unwrap_or(word) {
        "Running" | "Completed" | "Succeeded" => Tone::Good,
        "Pending" | "ContainerCreating" | "PodInitializing" | "Terminating" => Tone::Busy,
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" => Tone::Warning,
        "Unknown" => Tone::Unknown,
        rest if rest != word && rest.contains('/') => Tone::Busy,
        _ => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn info(status: &Value, deleted: bool) -> (&'static str, String) {
        let mut pod = json!({
            "metadata": { "name": "p" },
            "spec": { "initContainers": [{ "name": "i" }, { "name": "j" }], "containers": [{ "name": "a" }, { "name": "b" }] },
            "status": status,
        });
        if deleted {
            pod["metadata"]["deletionTimestamp"] = json!("2026-11-24T13:19:38Z");
        }
        let info = PodInfo::of(&serde_json::from_value(pod).unwrap());
        (info.state.tone.icon(), info.state.word)
    }

    fn container(ready: bool, state: &Value) -> Value {
        json!({ "name": "a", "image": "", "imageID": "", "ready": ready, "restartCount": 0, "state": state })
    }

    #[test]
    fn words_and_icons_are_those_a_person_knows_from_kubectl() {
        let waiting = |reason: &str| json!({ "waiting": { "reason": reason } });
        let running = json!({ "running": {} });
        let ended = |code: i32| json!({ "terminated": { "exitCode": code } });
        let pod = |phase: &str, containers: Vec<Value>| json!({ "phase": phase, "containerStatuses": containers });
        let init = |states: Vec<Value>| json!({ "phase": "Pending", "initContainerStatuses": states });
        let table = [
            (pod("Running", vec![container(true, &running)]), false, "✔", "Running"),
            (pod("Pending", vec![]), false, "◌", "Pending"),
            (pod("Pending", vec![container(false, &waiting("ContainerCreating"))]), false, "◌", "ContainerCreating"),
            (pod("Pending", vec![container(false, &waiting("ImagePullBackOff"))]), false, "⚠", "ImagePullBackOff"),
            (pod("Running", vec![container(false, &waiting("CrashLoopBackOff"))]), false, "✖", "CrashLoopBackOff"),
            (pod("Running", vec![container(false, &ended(3))]), false, "✖", "ExitCode:3"),
            (pod("Running", vec![container(true, &running)]), true, "◌", "Terminating"),
            (json!({ "phase": "Failed", "reason": "Evicted" }), false, "✖", "Evicted"),
            (init(vec![container(false, &running)]), false, "◌", "Init:0/2"),
            (init(vec![container(false, &ended(0)), container(false, &running)]), false, "◌", "Init:1/2"),
            (init(vec![container(false, &waiting("CrashLoopBackOff"))]), false, "✖", "Init:CrashLoopBackOff"),
            (json!({}), false, "◌", "Pending"),
        ];
        for (status, deleted, icon, word) in table {
            assert_eq!(info(&status, deleted), (icon, word.to_owned()), "{status}");
        }
    }
}
