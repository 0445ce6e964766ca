//! An in-memory Kubernetes cluster: the API server, simulated workloads, a virtual clock, and faults on demand.
//!
//! [`Cluster::client`] gives a `kube::Client` that talks to it without a network; [`Cluster::serve_http`] opens it to
//! `kubectl`. Under tokio's paused clock everything is deterministic: identifiers come from [`Config::seed`], times from
//! [`Clock`], and every delay is a tokio timer.

#![forbid(unsafe_code)]

mod api;
mod clock;
mod faults;
mod http;
mod json;
mod requests;
mod service;
mod store;
mod workloads;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crds::kube;
use serde_json::Value;

pub use api::failure::Failure;
pub use api::storage::Object;
pub use clock::Clock;
pub use faults::{Fault, Faults, Rule};
pub use http::Serving;
pub use requests::{Request, Requests};
pub use service::{ApiService, ReplyBody};
pub use store::Store;
pub use workloads::{Delays, Workloads};

use api::storage::State;

/// A poisoned lock still guards a whole state: every write to it is one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a cluster begins.
#[derive(Debug, Clone)]
pub struct Config {
    /// The clock; it may be shared with other clusters.
    pub clock: Clock,
    /// Everything random (uids, generated names, addresses) follows from it.
    pub seed: u64,
    /// How many changes of each kind can be watched from the past.
    pub history: usize,
    /// How often watches that want bookmarks get one.
    pub bookmark_every: Duration,
    /// CustomResourceDefinitions served from the start, as objects.
    pub definitions: Vec<Value>,
    /// How fast simulated pods live.
    pub delays: Delays,
}

impl Default for Config {
    /// The product's own definitions, the machine's time, a minute between bookmarks.
    fn default() -> Self {
        Self {
            clock: Clock::real(),
            seed: 1,
            history: 20_000,
            bookmark_every: Duration::from_mins(1),
            definitions: own_definitions(),
            delays: Delays::default(),
        }
    }
}

/// The product's CustomResourceDefinitions as objects.
pub fn own_definitions() -> Vec<Value> {
    crds::definitions()
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) requests: Requests,
    pub(crate) bookmark_every: Duration,
    pub(crate) delays: Delays,
}

/// A cluster. Cheap to clone; clones are the same cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

impl Cluster {
    /// A cluster with the namespaces every cluster has, and the configured definitions. A definition that cannot be
    /// stored is left out and logged.
    pub fn new(config: Config) -> Self {
        let state = State::new(config.clock, config.seed, config.history);
        let inner = Inner {
            state: Arc::new(Mutex::new(state)),
            clock: config.clock,
            faults: Faults::default(),
            requests: Requests::default(),
            bookmark_every: config.bookmark_every,
            delays: config.delays,
        };
        let cluster = Self { inner: Arc::new(inner) };
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            if let Err(failure) = store::namespace(&mut lock(&cluster.inner.state), name) {
                tracing::warn!(%failure, name, "failed to make namespace");
            }
        }
        for definition in config.definitions {
            if let Err(failure) = cluster.store().seed(definition) {
                tracing::warn!(%failure, "failed to serve definition");
            }
        }
        cluster
    }

    /// The server as a service; answers without a network.
    pub fn service(&self) -> ApiService {
        ApiService { inner: Arc::clone(&self.inner) }
    }

    /// A client of this cluster in namespace `default`. Must be called within a tokio runtime.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.service(), "default")
    }

    /// Serves over HTTP; port 0 picks a free one. Keep the handle: dropping it ends the server.
    pub async fn serve_http(&self, address: SocketAddr) -> io::Result<(SocketAddr, Serving)> {
        http::serve(self.service(), address).await
    }

    /// A kubeconfig for the server at `address`.
    pub fn kubeconfig(&self, address: SocketAddr) -> String {
        http::kubeconfig(address)
    }

    /// Direct access to the objects.
    pub fn store(&self) -> Store {
        Store { state: Arc::clone(&self.inner.state) }
    }

    /// Starts what makes pods of ReplicaSets, runs them, and writes EndpointSlices. Must be called within a tokio
    /// runtime.
    pub fn start_workloads(&self) -> Workloads {
        workloads::start(&self.inner, self.inner.delays.clone())
    }

    /// The cluster's clock.
    pub fn clock(&self) -> Clock {
        self.inner.clock
    }

    /// The faults in force.
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// The requests so far.
    pub fn requests(&self) -> &Requests {
        &self.inner.requests
    }
}
