//! `pause`: a person holds the release.

use serde_json::json;

use crate::errors::Error;
use crate::names;
use crate::session::Session;

/// Sets `spec.paused`.
///
/// # Errors
/// The write failed.
pub async fn run(session: &Session, name: &str) -> Result<String, Error> {
    session.merge(&names::rollouts(), name, &json!({ "spec": { "paused": true } })).await?;
    Ok(format!("rollout '{name}' paused"))
}
