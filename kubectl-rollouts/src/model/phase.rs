//! Phase and message of a Rollout: the controller's word, unless the controller has not yet seen what a person did.

use crds::{Rollout, RolloutPhase};

/// Phase and message. What the controller has not seen yet comes first: its phase would speak of the time before.
pub fn phase_of(rollout: &Rollout) -> (String, String) {
    let progressing = |message: &str| (RolloutPhase::Progressing.to_string(), message.to_owned());
    let status = rollout.status.clone().unwrap_or_default();
    let observed = status.observed_generation.as_deref().unwrap_or_default();
    // Old controllers wrote a hash here; it cannot be compared with a generation.
    let behind = match (observed.parse::<i64>(), rollout.metadata.generation) {
        (Ok(observed), Some(generation)) => observed < generation,
        (Err(_), _) => observed.is_empty(),
        (Ok(_), None) => false,
    };
    if behind {
        return progressing("waiting for rollout spec update to be observed");
    }
    let annotations = rollout.metadata.annotations.as_ref();
    let workload = annotations.and_then(|map| map.get(crds::words::WORKLOAD_GENERATION_ANNOTATION));
    let references_workload = rollout.spec.workload_ref.is_some();
    if references_workload && workload.is_some() && workload != status.workload_observed_generation.as_ref() {
        return progressing("waiting for rollout spec update to be observed for the reference workload");
    }
    let pauses = status.pause_conditions.as_ref().is_some_and(|conditions| !conditions.is_empty());
    if status.controller_pause == Some(true) && !pauses {
        return progressing("waiting for rollout to unpause");
    }
    match status.phase.filter(|phase| !phase.is_empty()) {
        Some(phase) => (phase, status.message.unwrap_or_default()),
        None => progressing("waiting for the controller to report a phase"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn phase(metadata: &Value, spec: &Value, status: &Value) -> (String, String) {
        let mut metadata = metadata.clone();
        metadata["name"] = json!("web");
        let object = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": metadata, "spec": spec, "status": status,
        });
        phase_of(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn what_the_controller_has_not_seen_comes_first() {
        let healthy = json!({ "observedGeneration": "2", "phase": "Healthy" });
        let table = [
            (json!({ "generation": 2 }), json!({}), healthy.clone(), "Healthy", ""),
            (
                json!({ "generation": 3 }),
                json!({}),
                healthy.clone(),
                "Progressing",
                "waiting for rollout spec update to be observed",
            ),
            (
                json!({ "generation": 1 }),
                json!({}),
                json!({}),
                "Progressing",
                "waiting for rollout spec update to be observed",
            ),
            (
                json!({ "generation": 2, "annotations": { "rollout.argoproj.io/workload-generation": "5" } }),
                json!({ "workloadRef": { "kind": "Deployment", "name": "web" } }),
                json!({ "observedGeneration": "2", "phase": "Healthy", "workloadObservedGeneration": "4" }),
                "Progressing",
                "waiting for rollout spec update to be observed for the reference workload",
            ),
            (
                json!({ "generation": 2 }),
                json!({}),
                json!({ "observedGeneration": "2", "phase": "Paused", "message": "CanaryPauseStep", "controllerPause": true }),
                "Progressing",
                "waiting for rollout to unpause",
            ),
            (
                json!({ "generation": 2 }),
                json!({}),
                json!({
                    "observedGeneration": "2", "phase": "Paused", "message": "CanaryPauseStep", "controllerPause": true,
                    "pauseConditions": [{ "reason": "CanaryPauseStep", "startTime": "2026-11-24T13:19:38Z" }],
                }),
                "Paused",
                "CanaryPauseStep",
            ),
        ];
        for (metadata, spec, status, phase_word, message) in table {
            let seen = phase(&metadata, &spec, &status);
            assert_eq!(seen, (phase_word.to_owned(), message.to_owned()), "{metadata} {status}");
        }
    }
}
