//! Phase and message: one word and one sentence for people, and for the tools that parse them (Argo CD's health checks).

use crds::{Rollout, RolloutStatus};

use crate::conditions;
use crate::words::condition;

/// Phase and message of a Rollout with this status; the first rule that fits wins.
pub fn phase(rollout: &Rollout, status: &RolloutStatus) -> (&'static str, String) {
    if let Some(invalid) = conditions::find(status, "InvalidSpec").filter(|found| found.status == "True") {
        return ("Degraded", format!("InvalidSpec: {}", invalid.message));
    }
    let bad = status
        .conditions
        .iter()
        .flatten()
        .find(|found| [condition::ABORTED, condition::DEADLINE].contains(&found.reason.as_str()));
    if let Some(bad) = bad {
        return ("Degraded", format!("{}: {}", bad.reason, bad.message));
    }
    if rollout.spec.paused == Some(true) {
        return ("Paused", "manually paused".to_owned());
    }
    if let Some(pause) = status.pause_conditions.iter().flatten().next() {
        return ("Paused", pause.reason.clone());
    }
    let progressing = |message: &str| ("Progressing", message.to_owned());
    if rollout.spec.restart_at.is_some() && rollout.spec.restart_at != status.restarted_at {
        return progressing("rollout is restarting");
    }
    let desired = rollout.spec.replicas.unwrap_or(1);
    let updated = status.updated_replicas.unwrap_or(0);
    if updated < desired {
        return progressing("more replicas need to be updated");
    }
    if status.available_replicas.unwrap_or(0) < updated {
        return progressing("updated replicas are still becoming available");
    }
    if rollout.blue_green().is_some() {
        let active = status.blue_green.as_ref().and_then(|status| status.active_selector.as_ref());
        if active.is_none() || active != status.current_pod_hash.as_ref() {
            return progressing("active service cutover pending");
        }
        if status.stable_rs.is_none() || status.stable_rs != status.current_pod_hash {
            return progressing("waiting for analysis to complete");
        }
        return ("Healthy", String::new());
    }
    let routed = rollout.canary().is_some_and(|canary| canary.traffic_routing.is_some());
    if !routed && status.replicas.unwrap_or(0) > updated {
        return progressing("old replicas are pending termination");
    }
    if status.stable_rs.is_none() || status.stable_rs != status.current_pod_hash {
        return progressing("waiting for all steps to complete");
    }
    ("Healthy", String::new())
}
