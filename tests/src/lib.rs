//! The real cluster for tests, and what a test does with it.
//!
//! ```no_run
//! # async fn example() {
//! use cluster_tests::{Cluster, Load, User};
//! let cluster = Cluster::shared().await;              // started once, kept for the next run
//! if !cluster.pods_answer("my test") { return }       // a cluster of the user's own: says why and skips
//! let ns = cluster.namespace("canary").await;          // unique, deleted at the end of the test
//! ns.apply("apiVersion: v1\nkind: Service\n…").await;
//! let controller = cluster.spawn_controller(&["--namespace", ns.name()]);
//! let load = Load::start(cluster, "demo.example", 100);
//! # }
//! ```
//!
//! - [`up`]: etcd, API server, controller manager, scheduler, kwok, pods that answer, Prometheus and Traefik, all in one private
//!   network namespace; three ports of it are forwarded so that `kubectl` and tests outside reach them at the same address.
//! - [`Cluster`]: that cluster, or the user's own when `KUBECONFIG` is set.
//! - [`wait_for`], [`eventually`]: waiting for a condition with a deadline; there is no other sleeping in tests.
//! - [`Load`]: a constant rate of requests through Traefik, counted by code, version and pod.
//! - [`audit`]: which API requests a user made.
//!
//! Invariants: only processes that this crate started are ever ended (by recorded pid and start time, or by being in our network
//! namespace); everything written lies under `target/cluster`.

// A test fails by panicking, and so does what it is made of.
#![allow(clippy::panic)]

pub mod audit;
mod binary;
mod captured;
mod cluster;
mod config;
mod forward;
mod load;
mod netns;
mod paths;
mod pods;
mod process;
mod release;
mod seed;
mod seen;
mod start;
mod state;
mod wait;

pub use binary::binary;
pub use captured::{Captured, Picture};
pub use cluster::{Cluster, Namespace, User};
pub use crds;
pub use forward::{forward, relay};
pub use load::{Load, Tally};
pub use paths::{repository, run_dir};
pub use pods::serve as serve_pods;
pub use process::Running;
pub use release::{Release, four_weights, manifest, service, surroundings};
pub use start::{down, enter, status, up};
pub use state::{Ports, State};
pub use wait::{eventually, holds, wait_for, wait_gone};

/// Makes ring the process's TLS provider; harmless when done already.
pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
