//! The API server's audit log: every request of the users `controller` and `kubectl`, with neither bodies nor answers.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;

/// One request as the API server wrote it down.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Unique; a watch is written down twice (begun, ended) under one id.
    #[serde(rename = "auditID")]
    pub audit_id: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The whole path and query.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// Who asked.
    pub user: Person,
    /// What was meant; absent for paths that are not resources.
    #[serde(default)]
    pub object_ref: ObjectRef,
    /// How it was answered; absent while a watch runs.
    #[serde(default)]
    pub response_status: ResponseStatus,
    /// RFC 3339, microseconds.
    pub request_received_timestamp: String,
    /// When it was answered (of a running watch: when it began to be); RFC 3339, microseconds.
    pub stage_timestamp: String,
}

/// The user of a request.
#[derive(Clone, Debug, Deserialize)]
pub struct Person {
    /// `controller`, `kubectl`, …
    pub username: String,
}

/// The object of a request; empty where the API server left it out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    /// Plural, lowercase.
    pub resource: String,
    /// `status`, `scale`, or empty.
    pub subresource: String,
    /// Namespace.
    pub namespace: String,
    /// Name; may be empty for a create.
    pub name: String,
}

/// The answer's status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResponseStatus {
    /// HTTP code.
    pub code: u16,
}

/// All requests of `user` for which `wanted` holds, each once, in the order of the log.
///
/// ```no_run
/// # fn example() -> anyhow::Result<()> {
/// let writes = cluster_tests::audit::requests("controller", |r| r.object_ref.namespace == "canary-1a2b" && r.verb != "watch")?;
/// println!("{} requests", writes.len());
/// # Ok(()) }
/// ```
pub fn requests(user: &str, wanted: impl Fn(&Request) -> bool) -> Result<Vec<Request>> {
    let path = crate::run_dir().join("audit.log");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    // The last line may be half written.
    for request in text.lines().filter_map(|line| serde_json::from_str::<Request>(line).ok()) {
        if request.user.username == user && wanted(&request) && seen.insert(request.audit_id.clone()) {
            found.push(request);
        }
    }
    Ok(found)
}
