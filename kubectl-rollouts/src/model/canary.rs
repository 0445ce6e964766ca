//! Steps and weights of a canary release, for the header and the list.

use crds::Rollout;

/// Where a canary release stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Steps done, and how many there are; `None` without steps.
    pub step: Option<(i32, usize)>,
    /// The weight which the steps ask for now.
    pub set_weight: i32,
    /// The share which the new version really has.
    pub actual_weight: i32,
}

impl Progress {
    /// Progress of a Rollout with the canary strategy.
    pub fn of(rollout: &Rollout) -> Option<Self> {
        let canary = rollout.spec.strategy.as_ref()?.canary.as_ref()?;
        let status = rollout.status.clone().unwrap_or_default();
        let routing = canary.traffic_routing.as_ref();
        let max = routing.and_then(|routing| routing.max_traffic_weight).unwrap_or(100);
        let steps = canary.steps.as_deref().unwrap_or_default();
        let index = usize::try_from(status.current_step_index.unwrap_or(0)).unwrap_or(0);

        let promoted = status.stable_rs.is_some() && status.stable_rs == status.current_pod_hash;
        let aborted = status.abort == Some(true);
        let set_weight = if aborted && !promoted {
            0
        } else if index >= steps.len() {
            max
        } else {
            // The current step's weight counts as set: it is what the release is on the way to.
            steps.iter().take(index + 1).rev().find_map(|step| step.set_weight).unwrap_or(0)
        };
        let updated = status.updated_replicas.unwrap_or(0);
        let available = status.available_replicas.unwrap_or(0);
        let actual_weight = if promoted {
            if available > 0 { set_weight } else { 0 }
        } else if let Some(weights) = status.canary.as_ref().and_then(|canary| canary.weights.as_ref()) {
            weights.canary.weight
        } else if routing.is_some() {
            if available > 0 { set_weight } else { 0 }
        } else if available > 0 {
            (i64::from(updated.min(available)) * 100 / i64::from(available)).try_into().unwrap_or(0)
        } else {
            0
        };
        let step = (!steps.is_empty()).then(|| (status.current_step_index.unwrap_or(0), steps.len()));
        Some(Self { step, set_weight, actual_weight })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn progress(routing: bool, status: &Value) -> Progress {
        let mut canary = json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setWeight": 60 }] });
        if routing {
            canary["trafficRouting"] = json!({ "nginx": { "stableIngress": "web" } });
        }
        let rollout = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "name": "web" },
            "spec": { "replicas": 5, "strategy": { "canary": canary } }, "status": status,
        });
        Progress::of(&serde_json::from_value(rollout).unwrap()).unwrap()
    }

    #[test]
    fn weights_follow_steps_pods_and_routes() {
        let mid = |routing, extra: Value| {
            let mut status = json!({
                "currentStepIndex": 1, "currentPodHash": "b", "stableRS": "a", "availableReplicas": 6, "updatedReplicas": 2,
            });
            crds::json_patch::merge(&mut status, &extra);
            let progress = progress(routing, &status);
            (progress.step, progress.set_weight, progress.actual_weight)
        };
        assert_eq!(mid(false, json!({})), (Some((1, 3)), 20, 33));
        assert_eq!(mid(true, json!({})), (Some((1, 3)), 20, 20));
        let weights = json!({ "canary": { "weights": { "canary": { "weight": 15 }, "stable": { "weight": 85 } } } });
        assert_eq!(mid(true, weights), (Some((1, 3)), 20, 15));
        assert_eq!(
            mid(false, json!({ "abort": true, "currentStepIndex": 0, "updatedReplicas": 0 })),
            (Some((0, 3)), 0, 0)
        );
        assert_eq!(mid(true, json!({ "currentStepIndex": 3 })), (Some((3, 3)), 100, 100));
        assert_eq!(mid(true, json!({ "currentStepIndex": 3, "stableRS": "b" })), (Some((3, 3)), 100, 100));
        assert_eq!(mid(false, json!({ "availableReplicas": 0 })), (Some((1, 3)), 20, 0));
    }
}
