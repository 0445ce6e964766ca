//! `abort`: the release goes back to the stable version.

use serde_json::json;

use crate::errors::Error;
use crate::session::Session;

/// Asks the controller to abort.
///
/// # Errors
/// The write failed.
pub async fn run(session: &Session, name: &str) -> Result<String, Error> {
    let patch = json!({ "status": { "abort": true } });
    session.merge_status(name, &patch, &patch).await?;
    Ok(format!("rollout '{name}' aborted"))
}
