//! What can go wrong, in words a person at a terminal can act on.
//!
//! Invariant: every message names the object or the server it is about; none shows a library's internals.

use std::error::Error as StdError;
use std::io;

use crds::kube;
use crds::kube::config::KubeconfigError;

/// Why a command ended without doing what was asked. Each message reads well after "Error: ".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server answered, and said no. The message is the server's, which names verb, object and reason.
    #[error("{0}")]
    Refused(String),
    /// The object does not exist.
    #[error("{resource} \"{name}\" not found in namespace \"{namespace}\"")]
    NotFound {
        /// Plural resource with its group, such as `rollouts.argoproj.io`.
        resource: String,
        /// Object name.
        name: String,
        /// Where it was looked for.
        namespace: String,
    },
    /// The cluster does not serve this kind of object.
    #[error("the cluster does not know {resource}: install its CustomResourceDefinition first")]
    NotServed {
        /// Plural resource with its group.
        resource: String,
    },
    /// No answer came from the API server.
    #[error("could not reach the API server at {server}: {cause}")]
    Unreachable {
        /// Its address.
        server: String,
        /// The innermost cause.
        cause: String,
    },
    /// The answer did not come in time.
    #[error("the API server at {server} did not answer within {seconds} seconds (--request-timeout)")]
    TimedOut {
        /// Its address.
        server: String,
        /// The limit.
        seconds: u64,
    },
    /// The user's credentials could not be had.
    #[error("could not log in to {server}: {cause}")]
    Login {
        /// Its address.
        server: String,
        /// The innermost cause.
        cause: String,
    },
    /// The connection settings do not fit together.
    #[error("{0}")]
    Connection(String),
    /// An object holds something this program cannot read.
    #[error("{resource} \"{name}\" cannot be read: {cause}")]
    Unreadable {
        /// Plural resource with its group.
        resource: String,
        /// Object name.
        name: String,
        /// Field and reason.
        cause: String,
    },
    /// The object changed each time between look and write.
    #[error("{resource} \"{name}\" keeps being changed by someone else: try again")]
    Conflict {
        /// Plural resource with its group.
        resource: String,
        /// Object name.
        name: String,
    },
    /// What was asked cannot be done, and why.
    #[error("{0}")]
    Request(String),
    /// A condition that was tried gave no success.
    #[error("the condition is not met: {0}")]
    Verdict(analysis::Phase),
    /// The rollout ended badly.
    #[error("the rollout is in a degraded state with message: {0}")]
    Degraded(String),
    /// The rollout did not end in time.
    #[error("rollout status watch exceeded timeout")]
    WatchTimeout,
    /// Several objects failed; their messages were shown already.
    #[error("{failed} of {all} failed")]
    Several {
        /// How many failed.
        failed: usize,
        /// How many there were.
        all: usize,
    },
    /// The terminal or pipe is gone.
    #[error("could not write the output: {0}")]
    Output(#[from] io::Error),
}

/// The object a request was about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Plural resource with its group.
    pub resource: &'a str,
    /// Object name; empty for a list.
    pub name: &'a str,
    /// Namespace; empty for all.
    pub namespace: &'a str,
    /// Address of the server.
    pub server: &'a str,
}

impl Error {
    /// The exit code of the program.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Verdict(analysis::Phase::Failed) => 2,
            Self::Verdict(analysis::Phase::Inconclusive) => 3,
            _ => 1,
        }
    }

    /// What this failure of a request means.
    pub fn of_request(error: &kube::Error, about: About<'_>) -> Self {
        let server = about.server.to_owned();
        match error {
            kube::Error::Api(status) if is_unserved(status, about.name) => {
                Self::NotServed { resource: about.resource.to_owned() }
            }
            kube::Error::Api(status) if status.code == 404 => Self::NotFound {
                resource: about.resource.to_owned(),
                name: about.name.to_owned(),
                namespace: about.namespace.to_owned(),
            },
            kube::Error::Api(status) if status.code == 401 => {
                Self::Login { server, cause: "the server does not accept the credentials (Unauthorized)".to_owned() }
            }
            kube::Error::Api(status) => Self::Refused(message_of(status)),
            kube::Error::Auth(_) => Self::Login { server, cause: innermost(error) },
            kube::Error::SerdeError(cause) => Self::Unreadable {
                resource: about.resource.to_owned(),
                name: about.name.to_owned(),
                cause: cause.to_string(),
            },
            _ => Self::Unreachable { server, cause: innermost(error) },
        }
    }
}

impl From<KubeconfigError> for Error {
    fn from(error: KubeconfigError) -> Self {
        Self::Connection(format!("could not use the kubeconfig: {}", chain(&error)))
    }
}

/// A server without the CRD answers 404 without naming the object.
fn is_unserved(status: &kube::core::Status, name: &str) -> bool {
    let named = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
    status.code == 404 && !(named || (!name.is_empty() && status.message.contains(name)))
}

fn message_of(status: &kube::core::Status) -> String {
    if status.message.is_empty() {
        format!("the server answered {} {}", status.code, status.reason).trim_end().to_owned()
    } else {
        status.message.clone()
    }
}

/// The cause at the bottom, which is the one a person can do something about.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The causes from the outside in, without repetition.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut error = error;
    while let Some(source) = error.source() {
        let cause = source.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        error = source;
    }
    text
}
