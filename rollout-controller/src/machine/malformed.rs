//! Objects that do not fit the types of the API: said on the object itself, and then left alone.

use crds::kube::Resource;
use crds::{Malformed, Rollout};
use serde_json::{Value, json};

use super::{Machines, REFUSED_RETRY, about};
use crate::apply::Outcome;
use crate::events::Note;
use crate::queue::Next;
use crate::view::Key;
use crate::view::store::Name;
use crate::words;

impl Machines {
    /// Event and `InvalidSpec` condition on a Rollout that cannot be read.
    pub(super) async fn malformed_rollout(&self, key: &Key, name: &Name, malformed: &Malformed) -> Next {
        let message = format!("The Rollout \"{}\" is invalid: {}", name.name, malformed.error);
        self.tell_malformed::<Rollout>(key, malformed, &message);
        let status = malformed.raw.get("status").cloned().unwrap_or_default();
        let Some(patch) = self.invalid_spec(&status, malformed, &message) else { return Next::Rest };
        // What is sent back is just as malformed, so it is read as plain JSON.
        let api: crds::kube::Api<crds::Guarded<Rollout>> = self.writer.api(&name.namespace);
        match self.writer.patch_status(&api, "Rollout", &name.name, &patch).await {
            Outcome::Applied(rollout) => {
                self.view.take_rollout(rollout, Some(key));
                Next::Rest
            }
            Outcome::LookAgain(_) | Outcome::Unavailable(_) => Next::BackOff,
            // The status may be what is malformed: then the event has to do.
            Outcome::Refused(problem) => {
                tracing::debug!(rollout = %name, problem, "cannot say on the object that it is malformed");
                Next::After(REFUSED_RETRY)
            }
        }
    }

    /// Event on an object of another kind that cannot be read.
    pub(super) fn tell_malformed<K: Resource<DynamicType = ()>>(
        &self,
        key: &Key,
        malformed: &Malformed,
        message: &str,
    ) {
        let about = about::<K>(&malformed.metadata);
        self.tell_once(
            key,
            Note { about, warning: true, reason: words::MALFORMED.to_owned(), message: message.to_owned() },
        );
    }

    /// The patch that says it, or `None` when it is said already.
    fn invalid_spec(&self, status: &Value, malformed: &Malformed, message: &str) -> Option<Value> {
        let now = crds::Time(self.clock.now());
        let conditions = status.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_ours = |condition: &Value| condition.get("type").and_then(Value::as_str) == Some(words::INVALID_SPEC);
        let said = conditions.iter().any(|c| is_ours(c) && c.get("message").and_then(Value::as_str) == Some(message));
        if said {
            return None;
        }
        let mut conditions: Vec<Value> = conditions.into_iter().filter(|condition| !is_ours(condition)).collect();
        conditions.push(json!({
            "type": words::INVALID_SPEC, "status": "True", "reason": words::INVALID_SPEC, "message": message,
            "lastUpdateTime": now, "lastTransitionTime": now,
        }));
        Some(json!({
            "metadata": { "uid": malformed.metadata.uid, "resourceVersion": malformed.metadata.resource_version },
            "status": {
                "conditions": conditions,
                "phase": "Degraded",
                "message": format!("{}: {message}", words::INVALID_SPEC),
                "observedGeneration": malformed.metadata.generation.unwrap_or(0).to_string(),
            }
        }))
    }
}
