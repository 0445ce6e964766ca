//! `retry rollout`: an aborted release begins again at its first step.

use serde_json::json;

use crate::errors::Error;
use crate::session::Session;

/// Takes the abort back.
///
/// # Errors
/// The write failed.
pub async fn run(session: &Session, name: &str) -> Result<String, Error> {
    let patch = json!({ "status": { "abort": false } });
    session.merge_status(name, &patch, &patch).await?;
    Ok(format!("rollout '{name}' retried"))
}
