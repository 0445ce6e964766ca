//! A small server on loopback that answers, or does not, and remembers what it was asked.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use analysis::Phase;
use analysis::provider::{ProviderConfig, Providers, SecretError, Secrets};
use analysis::run::MeasureOutcome;
use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use crds::jiff::Timestamp;
use tokio::net::TcpListener;

pub fn now() -> Timestamp {
    "2024-03-15T12:00:00Z".parse().unwrap()
}

/// The one secret that exists has the value `s3cret`.
pub struct OneSecret;

#[async_trait]
impl Secrets for OneSecret {
    async fn get(&self, namespace: &str, name: &str, key: &str) -> Result<String, SecretError> {
        match (namespace, name, key) {
            ("shop", "prom", "token") => Ok("s3cret".to_owned()),
            ("shop", "away", _) => Err(SecretError::Unavailable("the API server does not answer".to_owned())),
            _ => Err(SecretError::Missing(format!("secret {namespace}/{name} has no key {key}"))),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    /// What stands behind `?`.
    pub query: String,
    /// The body, or without one the query.
    pub text: String,
    pub headers: HeaderMap,
}

#[derive(Clone)]
pub struct Server {
    answer: Arc<dyn Fn() -> Response + Send + Sync>,
    delay: Option<Duration>,
    pub asked: Arc<Mutex<Vec<Asked>>>,
}

async fn handle(State(server): State<Server>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let text = if matches!(method, Method::POST | Method::PUT) {
        String::from_utf8_lossy(&body).into_owned()
    } else {
        uri.query().unwrap_or_default().to_owned()
    };
    let query = uri.query().unwrap_or_default().to_owned();
    server.asked.lock().unwrap().push(Asked { method, path: uri.path().to_owned(), query, text, headers });
    match server.delay {
        Some(_) => std::future::pending().await,
        None => (server.answer)(),
    }
}

pub async fn serve(answer: impl Fn() -> Response + Send + Sync + 'static, delay: Option<Duration>) -> (String, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = Server { answer: Arc::new(answer), delay, asked: Arc::default() };
    let router = Router::new().fallback(handle).with_state(server.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, server)
}

pub fn providers() -> Providers {
    Providers::new(ProviderConfig { response_limit: 64 * 1024, ..ProviderConfig::default() })
}

pub fn measured(outcome: MeasureOutcome) -> (Phase, String) {
    match outcome {
        MeasureOutcome::Measured { phase, value, .. } => (phase, value),
        other => panic!("not measured: {other:?}"),
    }
}

pub fn error(outcome: MeasureOutcome) -> String {
    match outcome {
        MeasureOutcome::Error { message, .. } => message,
        other => panic!("not an error: {other:?}"),
    }
}

pub fn no_answer(outcome: MeasureOutcome) -> String {
    match outcome {
        MeasureOutcome::NoAnswer { reason } => reason,
        other => panic!("there is an answer: {other:?}"),
    }
}
