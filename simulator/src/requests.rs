//! The log of requests, for tests that count them.

use std::sync::Mutex;

use crds::jiff::Timestamp;

use crate::lock;

/// One request as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// When it came, by the cluster's clock.
    pub at: Timestamp,
    /// Kubernetes' verb: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Plural name with sub-resource (`rollouts/status`); empty for discovery.
    pub resource: String,
    /// Namespace, empty for cluster-scoped and all-namespace requests.
    pub namespace: String,
    /// Object name, if any.
    pub name: String,
    /// The client's user agent.
    pub user_agent: String,
    /// HTTP status answered; 0 when the connection was broken by a fault.
    pub code: u16,
}

/// All requests so far.
#[derive(Debug, Default)]
pub struct Requests(Mutex<Vec<Request>>);

impl Requests {
    pub(crate) fn note(&self, request: Request) {
        lock(&self.0).push(request);
    }

    /// A copy of the log, in order of answers.
    pub fn all(&self) -> Vec<Request> {
        lock(&self.0).clone()
    }

    /// How many requests had this verb and resource; `*` matches any.
    pub fn count(&self, verb: &str, resource: &str) -> usize {
        let matches = |pattern: &str, found: &str| pattern == "*" || pattern == found;
        lock(&self.0)
            .iter()
            .filter(|request| matches(verb, &request.verb) && matches(resource, &request.resource))
            .count()
    }

    /// Forgets the log.
    pub fn clear(&self) {
        lock(&self.0).clear();
    }
}
