//! Faults a test puts between client and server.
//!
//! Invariant: a fault acts before the request is executed, so a failed request changed nothing, except
//! [`Fault::LoseAnswer`], which acts after it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;

use crate::api::failure::Failure;
use crate::lock;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The answer comes this much later.
    Latency(Duration),
    /// The server answers with this error: 409, 429, 500 and 503 carry the real server's texts.
    Error(u16),
    /// The request is executed, but the connection breaks before the answer.
    LoseAnswer,
    /// The connection breaks before the request is executed.
    Refuse,
}

/// Which requests a fault meets, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or `*`.
    pub verb: String,
    /// Plural name, with sub-resource if any (`rollouts/status`), or `*`.
    pub resource: String,
    /// What goes wrong.
    pub fault: Fault,
    /// How many requests it meets; absent means all until cleared.
    pub times: Option<u32>,
    /// How many matching requests pass before the first it meets.
    pub after: u32,
}

/// The faults in force.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<Vec<Rule>>,
    drops: Mutex<HashMap<String, watch::Sender<u64>>>,
}

impl Faults {
    /// Adds a fault for every matching request from now on.
    pub fn always(&self, verb: &str, resource: &str, fault: Fault) {
        self.add(Rule { verb: verb.to_owned(), resource: resource.to_owned(), fault, times: None, after: 0 });
    }

    /// Adds a fault for the next `times` matching requests.
    pub fn next(&self, verb: &str, resource: &str, fault: Fault, times: u32) {
        self.add(Rule { verb: verb.to_owned(), resource: resource.to_owned(), fault, times: Some(times), after: 0 });
    }

    /// Adds a rule.
    pub fn add(&self, rule: Rule) {
        lock(&self.rules).push(rule);
    }

    /// Removes all faults.
    pub fn clear(&self) {
        lock(&self.rules).clear();
    }

    /// Ends every open watch on this plural name, as a closing connection does.
    pub fn drop_watches(&self, resource: &str) {
        lock(&self.drops).entry(resource.to_owned()).or_default().send_modify(|count| *count += 1);
    }

    pub(crate) fn drops_of(&self, resource: &str) -> watch::Receiver<u64> {
        lock(&self.drops).entry(resource.to_owned()).or_default().subscribe()
    }

    /// The faults this request meets, counted as met.
    pub(crate) fn meet(&self, verb: &str, resource: &str) -> Vec<Fault> {
        let mut rules = lock(&self.rules);
        let mut met = Vec::new();
        for rule in rules.iter_mut() {
            let matches = |pattern: &str, found: &str| pattern == "*" || pattern == found;
            if !matches(&rule.verb, verb) || !matches(&rule.resource, resource) || rule.times == Some(0) {
                continue;
            }
            if rule.after > 0 {
                rule.after -= 1;
                continue;
            }
            rule.times = rule.times.map(|times| times.saturating_sub(1));
            met.push(rule.fault.clone());
        }
        rules.retain(|rule| rule.times != Some(0));
        met
    }
}

/// The refusal for an injected status code.
pub(crate) fn failure(code: u16, name: &str) -> Failure {
    match code {
        409 => Failure::new(
            409,
            "Conflict",
            format!(
                "Operation cannot be fulfilled on {name}: the object has been modified; please apply your changes to the latest version and try again"
            ),
        ),
        429 => Failure::too_many_requests(
            "The server has received too many requests and has asked us to try again later",
            1,
        ),
        503 => Failure::new(503, "ServiceUnavailable", "the server is currently unable to handle the request"),
        504 => Failure::new(504, "Timeout", "request did not complete within the allotted timeout"),
        403 => Failure::new(403, "Forbidden", format!("{name} is forbidden: not allowed by the test")),
        code => Failure::new(code, "InternalError", "Internal error occurred: injected by the test"),
    }
}
