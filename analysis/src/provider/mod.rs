//! Those who are asked for measurements, behind one trait; the only part of this crate that does I/O.
//!
//! Invariants: [`Providers::measure`] always comes back with an outcome and never with a secret in it; what says nothing
//! about the release (nobody answered) is told apart from what is wrong with the query.
//!
//! To add a provider: a file beside this one, and a line in [`Providers::new`].

mod http;
mod oauth2;
mod prometheus;
mod web;
mod web_path;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use crds::jiff::Timestamp;
use crds::{Argument, Metric, MetricProvider};

use crate::Phase;
use crate::condition::{Value, evaluate_result};
use crate::run::{MeasureOutcome, MeasureRequest};
use crate::template::args::{self, Redactor};

pub use prometheus::Prometheus;
pub use web::Web;

/// A measurement with all arguments filled in.
#[derive(Debug, Clone)]
pub struct ResolvedRequest {
    /// Namespace of the run.
    pub namespace: String,
    /// Name of the run.
    pub run: String,
    /// The metric; secrets stand in it as they are.
    pub metric: Metric,
}

/// What is true while a measurement is made.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The time that `now()` gives, and for which is asked.
    pub now: Timestamp,
}

/// What a provider answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A value, which the conditions judge.
    Measured {
        /// The value.
        value: Value,
        /// The value as the measurement shows it.
        stored: String,
        /// Notes.
        metadata: BTreeMap<String, String>,
    },
    /// The question is wrong.
    Error {
        /// What is wrong.
        message: String,
        /// Notes.
        metadata: BTreeMap<String, String>,
    },
    /// Nobody answered.
    NoAnswer {
        /// Why not.
        reason: String,
    },
}

impl Outcome {
    /// An error without notes.
    pub fn error(message: impl Into<String>) -> Self {
        Self::Error { message: message.into(), metadata: BTreeMap::new() }
    }
}

/// Someone who can be asked.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Asks. Must come back within the timeout of the metric.
    async fn measure(&self, request: &ResolvedRequest, context: &Context) -> Outcome;
}

/// Why a secret has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is no such secret or key.
    #[error("{0}")]
    Missing(String),
    /// It could not be looked up now.
    #[error("{0}")]
    Unavailable(String),
}

/// Where secrets are looked up.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The value of a key of a secret.
    async fn get(&self, namespace: &str, name: &str, key: &str) -> Result<String, SecretError>;
}

/// Settings of all providers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    /// Address of Prometheus for metrics that name none.
    pub prometheus_address: Option<String>,
    /// Largest answer that is read, in bytes.
    pub response_limit: usize,
    /// Time within which an answer must come, when the metric does not say.
    pub default_timeout: Duration,
}

impl Default for ProviderConfig {
    fn default() -> Self {
        Self { prometheus_address: None, response_limit: 8 << 20, default_timeout: Duration::from_secs(30) }
    }
}

/// The kinds of providers that are set in a metric.
pub fn names(provider: &MetricProvider) -> Vec<&'static str> {
    [
        ("prometheus", provider.prometheus.is_some()),
        ("kayenta", provider.kayenta.is_some()),
        ("web", provider.web.is_some()),
        ("datadog", provider.datadog.is_some()),
        ("wavefront", provider.wavefront.is_some()),
        ("newRelic", provider.new_relic.is_some()),
        ("job", provider.job.is_some()),
        ("cloudWatch", provider.cloud_watch.is_some()),
        ("graphite", provider.graphite.is_some()),
        ("influxdb", provider.influxdb.is_some()),
        ("skywalking", provider.skywalking.is_some()),
        ("plugin", provider.plugin.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, set)| set.then_some(name))
    .collect()
}

/// All providers by kind.
#[derive(Clone)]
pub struct Providers {
    known: BTreeMap<&'static str, Arc<dyn Provider>>,
}

impl Providers {
    /// The providers of the product.
    pub fn new(config: ProviderConfig) -> Self {
        // Fails only when a provider of cryptography is installed already, which is just as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut providers = Self { known: BTreeMap::new() };
        providers.register("prometheus", Arc::new(Prometheus::new(config.clone())));
        providers.register("web", Arc::new(Web::new(config)));
        providers
    }

    /// Adds or replaces a provider; `kind` is the name of its field in a metric.
    pub fn register(&mut self, kind: &'static str, provider: Arc<dyn Provider>) {
        self.known.insert(kind, provider);
    }

    /// Makes a measurement: fills in arguments and secrets, asks, judges, takes the secrets out again.
    pub async fn measure(&self, request: &MeasureRequest, secrets: &dyn Secrets, now: Timestamp) -> MeasureOutcome {
        let values = match secret_values(request, secrets).await {
            Ok(values) => values,
            Err(SecretError::Missing(message)) => return error(message),
            Err(SecretError::Unavailable(reason)) => return MeasureOutcome::NoAnswer { reason },
        };
        let redactor = Redactor::new(values.values().cloned());
        let outcome = match args::all(&request.metric, &request.args, &values) {
            Ok(metric) => {
                let resolved =
                    ResolvedRequest { namespace: request.namespace.clone(), run: request.run.clone(), metric };
                self.ask(&resolved, now).await
            }
            Err(problem) => error(problem.to_string()),
        };
        clean(outcome, &redactor)
    }

    async fn ask(&self, request: &ResolvedRequest, now: Timestamp) -> MeasureOutcome {
        let kinds = names(&request.metric.provider);
        let kind = match kinds.as_slice() {
            [kind] => *kind,
            [] => return error("no provider specified".to_owned()),
            many => return error(format!("multiple providers specified: {}", many.join(", "))),
        };
        let Some(provider) = self.known.get(kind) else {
            return error(format!("provider {kind} is not supported yet"));
        };
        match provider.measure(request, &Context { now }).await {
            Outcome::NoAnswer { reason } => MeasureOutcome::NoAnswer { reason },
            Outcome::Error { message, metadata } => MeasureOutcome::Error { value: String::new(), message, metadata },
            Outcome::Measured { value, stored, metadata } => judge(&request.metric, &value, stored, metadata, now),
        }
    }
}

fn error(message: String) -> MeasureOutcome {
    MeasureOutcome::Error { value: String::new(), message, metadata: BTreeMap::new() }
}

fn judge(
    metric: &Metric,
    value: &Value,
    text: String,
    metadata: BTreeMap<String, String>,
    now: Timestamp,
) -> MeasureOutcome {
    let success = metric.success_condition.as_deref().unwrap_or_default();
    let failure = metric.failure_condition.as_deref().unwrap_or_default();
    match evaluate_result(value, success, failure, now) {
        Ok(phase) => {
            let message = if phase != Phase::Successful && has_nan(value) {
                "the value is NaN: the query divides by zero, there was no traffic to judge".to_owned()
            } else {
                String::new()
            };
            MeasureOutcome::Measured { phase, value: text, message, metadata }
        }
        Err(problem) => MeasureOutcome::Error { value: text, message: problem.to_string(), metadata },
    }
}

fn has_nan(value: &Value) -> bool {
    match value {
        Value::Float(number) => number.is_nan(),
        Value::Array(array) => array.items().iter().any(has_nan),
        Value::Nil
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Str(_)
        | Value::Map(_)
        | Value::Time(_)
        | Value::Duration(_) => false,
    }
}

async fn secret_values(
    request: &MeasureRequest,
    secrets: &dyn Secrets,
) -> Result<BTreeMap<String, String>, SecretError> {
    let mut values = BTreeMap::new();
    for Argument { name, value, value_from } in &request.args {
        let reference = value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref());
        if let (None, Some(reference)) = (value, reference) {
            let secret = secrets.get(&request.namespace, &reference.name, &reference.key).await?;
            values.insert(name.clone(), secret);
        }
    }
    Ok(values)
}

fn clean(outcome: MeasureOutcome, redactor: &Redactor) -> MeasureOutcome {
    let notes = |metadata: BTreeMap<String, String>| -> BTreeMap<String, String> {
        metadata.into_iter().map(|(key, text)| (key, redactor.clean(&text))).collect()
    };
    match outcome {
        MeasureOutcome::Measured { phase, value, message, metadata } => MeasureOutcome::Measured {
            phase,
            value: redactor.clean(&value),
            message: redactor.clean(&message),
            metadata: notes(metadata),
        },
        MeasureOutcome::Error { value, message, metadata } => MeasureOutcome::Error {
            value: redactor.clean(&value),
            message: redactor.clean(&message),
            metadata: notes(metadata),
        },
        MeasureOutcome::NoAnswer { reason } => MeasureOutcome::NoAnswer { reason: redactor.clean(&reason) },
    }
}
