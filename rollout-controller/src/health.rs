//! `/healthz`, `/readyz` and `/metrics`.
//!
//! Invariant: `/readyz` names everything it waits for, one line each; a controller that is not the leader is ready too,
//! because it can take over at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// What the controller waits for, by subject. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, String>>>);

impl Readiness {
    /// Not ready as long as `subject` is not [`Self::done`]; `reason` says what is the matter.
    pub fn waits_for(&self, subject: &str, reason: &str) {
        self.lock().insert(subject.to_owned(), reason.to_owned());
    }

    /// A better reason, if the subject is still waited for.
    pub fn note(&self, subject: &str, reason: &str) {
        if let Some(known) = self.lock().get_mut(subject) {
            reason.clone_into(known);
        }
    }

    /// The subject is there.
    pub fn done(&self, subject: &str) {
        self.lock().remove(subject);
    }

    /// What is waited for, as `subject: reason`; empty when ready.
    pub fn missing(&self) -> Vec<String> {
        self.lock().iter().map(|(subject, reason)| format!("{subject}: {reason}")).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves `/healthz` and `/readyz` until `stop`.
pub async fn serve_health(address: SocketAddr, readiness: Readiness, stop: CancellationToken) -> std::io::Result<()> {
    let app =
        Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(ready)).with_state(readiness);
    serve(address, app, stop).await
}

/// Serves `/metrics` until `stop`.
pub async fn serve_metrics(address: SocketAddr, metrics: Arc<Metrics>, stop: CancellationToken) -> std::io::Result<()> {
    let app = Router::new().route("/metrics", get(metrics_text)).with_state(metrics);
    serve(address, app, stop).await
}

async fn serve(address: SocketAddr, app: Router, stop: CancellationToken) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn ready(State(readiness): State<Readiness>) -> impl IntoResponse {
    let missing = readiness.missing();
    if missing.is_empty() {
        (StatusCode::OK, "ok".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for:\n{}\n", missing.join("\n")))
    }
}

async fn metrics_text(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics.text())
}
