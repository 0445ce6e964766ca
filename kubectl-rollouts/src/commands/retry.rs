//! `retry`: an aborted release begins again at its first step, an Experiment that is over begins anew.

use serde_json::json;

use crate::errors::Error;
use crate::names;
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

/// Takes away all that was found.
///
/// # Errors
/// The write failed.
pub async fn experiment(session: &Session, name: &str) -> Result<String, Error> {
    session.merge(&names::experiments(), name, &json!({ "status": null })).await?;
    Ok(format!("experiment '{name}' retried"))
}
