//! `terminate`: an Experiment or an AnalysisRun ends before its time.

use crds::kube::core::ApiResource;
use serde_json::json;

use crate::errors::Error;
use crate::names;
use crate::session::Session;

/// Ends an AnalysisRun.
///
/// # Errors
/// The write failed.
pub async fn analysis_run(session: &Session, name: &str) -> Result<String, Error> {
    run(session, &names::analysis_runs(), name).await?;
    Ok(format!("analysisRun '{name}' terminated"))
}

/// Ends an Experiment.
///
/// # Errors
/// The write failed.
pub async fn experiment(session: &Session, name: &str) -> Result<String, Error> {
    run(session, &names::experiments(), name).await?;
    Ok(format!("experiment '{name}' terminated"))
}

async fn run(session: &Session, resource: &ApiResource, name: &str) -> Result<(), Error> {
    session.merge(resource, name, &json!({ "spec": { "terminate": true } })).await?;
    Ok(())
}
