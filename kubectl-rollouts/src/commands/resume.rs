//! `resume`: the release goes on after a pause. Unlike `promote` it never skips a step.

use crds::Rollout;
use serde_json::json;

use super::promote::{Writes, carry_out};
use crate::errors::Error;
use crate::session::Session;

/// Takes away what holds the release.
///
/// # Errors
/// A write failed.
pub async fn run(session: &Session, name: &str) -> Result<String, Error> {
    let rollout = session.rollout(name).await?;
    let writes = writes(&rollout);
    if writes == Writes::default() {
        return Ok(format!("rollout '{name}' is not paused"));
    }
    carry_out(session, name, &writes).await?;
    Ok(format!("rollout '{name}' resumed"))
}

/// What to write so that the release is not paused: neither by a person nor by the controller.
pub fn writes(rollout: &Rollout) -> Writes {
    let paused = rollout.spec.paused == Some(true);
    let conditions = rollout.status.as_ref().and_then(|status| status.pause_conditions.as_ref());
    let waiting = conditions.is_some_and(|conditions| !conditions.is_empty());
    Writes {
        spec: paused.then(|| json!({ "spec": { "paused": false } })),
        status: waiting.then(|| json!({ "status": { "pauseConditions": null } })),
    }
}
