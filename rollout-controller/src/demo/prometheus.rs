//! Two ways to ask for the demo's numbers: in process, and over HTTP as one asks Prometheus.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use analysis::condition::Value as Measured;
use analysis::provider::{Context, Outcome, Provider, ResolvedRequest};
use anyhow::Context as _;
use async_trait::async_trait;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::load::{Load, Sample};

/// Answers without a network, which virtual time needs.
pub struct InProcess(pub Load);

#[async_trait]
impl Provider for InProcess {
    async fn measure(&self, request: &ResolvedRequest, _context: &Context) -> Outcome {
        let query = request.metric.provider.prometheus.as_ref().and_then(|metric| metric.query.as_deref());
        match self.0.query(query.unwrap_or_default()) {
            Ok(samples) => {
                let value = Measured::vector(samples);
                Outcome::Measured { stored: value.stored(), value, metadata: BTreeMap::new() }
            }
            Err(message) => Outcome::error(message),
        }
    }
}

/// Serves `/api/v1/query` on loopback; returns the address to give as `provider.prometheus.address`.
///
/// # Errors
/// There is no free port.
pub async fn serve(load: Load) -> anyhow::Result<String> {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = tokio::net::TcpListener::bind(loopback).await.context("listen for queries")?;
    let address = listener.local_addr().context("listen for queries")?;
    let router = Router::new().route("/api/v1/query", get(query)).with_state(load);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the query endpoint ended");
        }
    });
    Ok(format!("http://{address}"))
}

async fn query(State(load): State<Load>, Query(fields): Query<BTreeMap<String, String>>) -> (StatusCode, Json<Value>) {
    let time = fields.get("time").and_then(|time| time.parse::<crds::jiff::Timestamp>().ok());
    let at = time.unwrap_or_else(crds::jiff::Timestamp::now).as_second();
    match load.query(fields.get("query").map(String::as_str).unwrap_or_default()) {
        Ok(samples) => {
            let result: Vec<Value> = samples.into_iter().map(|sample| series(at, sample)).collect();
            (StatusCode::OK, Json(json!({ "status": "success", "data": { "resultType": "vector", "result": result } })))
        }
        Err(message) => {
            (StatusCode::BAD_REQUEST, Json(json!({ "status": "error", "errorType": "bad_data", "error": message })))
        }
    }
}

fn series(at: i64, (labels, value): Sample) -> Value {
    json!({ "metric": labels, "value": [at, value.to_string()] })
}
