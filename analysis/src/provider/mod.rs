//! Those who are asked for measurements, behind one trait; the only part of this crate that does I/O.
//!
//! Invariants: [`Providers::measure`] always comes back with an outcome and never with a secret in it; what says nothing
//! about the release (nobody answered) is told apart from what is wrong with the query.
//!
//! To add a provider: a file beside this one, and a line in [`Providers::new`].

mod aws;
mod cloud_watch;
mod comparison;
mod datadog;
mod flux;
mod graphite;
mod graphql;
mod guard;
mod http;
mod influxdb;
mod job;
mod kayenta;
mod new_relic;
mod oauth2;
mod prometheus;
mod skywalking;
mod wavefront;
mod web;
mod web_path;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use crds::jiff::{SignedDuration, Timestamp};
use crds::{Argument, Metric, MetricProvider};

use crate::Phase;
use crate::condition::{Value, evaluate_result};
use crate::run::metric::duration;
use crate::run::{MeasureId, MeasureOutcome, MeasureRequest, Standing};
use crate::template::args::{self, Redactor};

pub use guard::{Guard, Refused};
use http::Http;
pub use job::{GRACE, Job, Jobs, JobsError, Stuck};
use prometheus::Prometheus;
use web::Web;

/// The window of time of a metric that does not say.
const DEFAULT_WINDOW: Duration = Duration::from_mins(5);

/// A measurement with all arguments filled in.
#[derive(Debug, Clone)]
pub struct ResolvedRequest {
    /// Namespace of the run.
    pub namespace: String,
    /// Name of the run.
    pub run: String,
    /// Uid of the run.
    pub uid: String,
    /// When the run began.
    pub started_at: Timestamp,
    /// Which measurement of which metric it is.
    pub id: MeasureId,
    /// What the run knows beside the metric.
    pub standing: Standing,
    /// The metric; secrets stand in it as they are.
    pub metric: Metric,
    /// The Secret that [`Provider::account`] names, by key; empty if there is none.
    pub account: BTreeMap<String, String>,
}

/// The Secret in which a provider finds address and keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Whether it is in the namespace of the run, and not in that of the controller.
    pub of_run: bool,
    /// Keys whose values are no secrets, and stay in texts.
    pub public: &'static [&'static str],
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
    /// A verdict of the provider's own; there are no conditions.
    Judged {
        /// Successful, Failed or Inconclusive.
        phase: Phase,
        /// What there is to say; often empty.
        message: String,
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

    /// The Secret that is read for the metric before it is measured.
    fn account(&self, _: &Metric) -> Option<Account> {
        None
    }

    /// Whether a measurement spends minutes waiting, so that it must take nobody's place.
    fn waits(&self) -> bool {
        false
    }
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

    /// All of a secret, by key.
    async fn all(&self, _: &str, name: &str) -> Result<BTreeMap<String, String>, SecretError> {
        Err(SecretError::Missing(format!("failed to get secret \"{name}\"")))
    }
}

/// Variables of the controller's environment that providers look at. Their values are never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// These variables, as far as a provider looks at them.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let known = |name: &str| name.starts_with("DD_") || name.starts_with("AWS_") || name == "HOME";
        Self(variables.into_iter().filter(|(name, text)| known(name) && !text.is_empty()).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Settings of all providers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    /// Address of Prometheus for metrics that name none.
    pub prometheus_address: Option<String>,
    /// Namespace of the controller, where the Secrets of accounts are.
    pub namespace: String,
    /// Variables of the controller's environment.
    pub environment: Environment,
    /// Which addresses may be asked.
    pub guard: Guard,
    /// Largest answer that is read, in bytes.
    pub response_limit: usize,
    /// How often something that takes its time, a Job or an execution of Kayenta, is looked at.
    pub poll: Duration,
    /// Time within which an answer must come, when the metric does not say.
    pub default_timeout: Duration,
}

impl Default for ProviderConfig {
    fn default() -> Self {
        Self {
            prometheus_address: None,
            namespace: "argo-rollouts".to_owned(),
            environment: Environment::default(),
            guard: Guard::default(),
            response_limit: 8 << 20,
            poll: Duration::from_secs(15),
            default_timeout: Duration::from_secs(30),
        }
    }
}

/// The kinds of providers that are set in a metric.
pub fn names(provider: &MetricProvider) -> Vec<&'static str> {
    [
        ("prometheus", provider.prometheus.is_some()),
        ("comparison", provider.comparison.is_some()),
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
    namespace: String,
}

impl Providers {
    /// The providers of the product.
    pub fn new(config: ProviderConfig) -> Self {
        // Fails only when a provider of cryptography is installed already, which is just as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut providers = Self { known: BTreeMap::new(), namespace: config.namespace.clone() };
        // One set of connections for all.
        let http = Arc::new(Http::new(config));
        providers.register("prometheus", Arc::new(Prometheus(http.clone())));
        providers.register("web", Arc::new(Web(http.clone())));
        providers.register("comparison", Arc::new(comparison::Comparison(Prometheus(http.clone()))));
        providers.register("kayenta", Arc::new(kayenta::Kayenta(http.clone())));
        providers.register("datadog", Arc::new(datadog::Datadog(http.clone())));
        providers.register("wavefront", Arc::new(wavefront::Wavefront(http.clone())));
        providers.register("newRelic", Arc::new(new_relic::NewRelic(http.clone())));
        providers.register("cloudWatch", Arc::new(cloud_watch::CloudWatch(http.clone())));
        providers.register("graphite", Arc::new(graphite::Graphite(http.clone())));
        providers.register("influxdb", Arc::new(influxdb::Influxdb(http.clone())));
        providers.register("skywalking", Arc::new(skywalking::SkyWalking(http)));
        providers
    }

    /// Adds or replaces a provider; `kind` is the name of its field in a metric.
    pub fn register(&mut self, kind: &'static str, provider: Arc<dyn Provider>) {
        self.known.insert(kind, provider);
    }

    /// Whether there is a provider of this kind.
    pub fn knows(&self, kind: &str) -> bool {
        self.known.contains_key(kind)
    }

    /// Whether measurements of the metric spend minutes waiting.
    pub fn waits(&self, metric: &Metric) -> bool {
        match names(&metric.provider).as_slice() {
            [kind] => self.known.get(kind).is_some_and(|provider| provider.waits()),
            _ => false,
        }
    }

    /// Makes a measurement: fills in arguments and secrets, asks, judges, takes the secrets out again.
    pub async fn measure(&self, request: &MeasureRequest, secrets: &dyn Secrets, now: Timestamp) -> MeasureOutcome {
        let values = match secret_values(request, secrets).await {
            Ok(values) => values,
            Err(problem) => return no_secret(problem),
        };
        let mut hidden: Vec<String> = values.values().cloned().collect();
        let outcome = match args::all(&request.metric, &request.args, &values) {
            Ok(metric) => self.ask(request, metric, secrets, now, &mut hidden).await,
            Err(problem) => error(problem.to_string()),
        };
        clean(outcome, &Redactor::new(hidden))
    }

    async fn ask(
        &self,
        request: &MeasureRequest,
        metric: Metric,
        secrets: &dyn Secrets,
        now: Timestamp,
        hidden: &mut Vec<String>,
    ) -> MeasureOutcome {
        let kinds = names(&metric.provider);
        let kind = match kinds.as_slice() {
            [kind] => *kind,
            [] => return error("no provider specified".to_owned()),
            many => return error(format!("multiple providers specified: {}", many.join(", "))),
        };
        let Some(provider) = self.known.get(kind) else {
            return error(format!("provider {kind} is not supported yet"));
        };
        let mut account = BTreeMap::new();
        if let Some(wanted) = provider.account(&metric) {
            let namespace = if wanted.of_run { &request.namespace } else { &self.namespace };
            account = match secrets.all(namespace, &wanted.name).await {
                Ok(account) => account,
                Err(problem) => return no_secret(problem),
            };
            let secret = account.iter().filter(|(key, _)| !wanted.public.contains(&key.as_str()));
            hidden.extend(secret.map(|(_, value)| value.clone()));
        }
        let resolved = ResolvedRequest {
            namespace: request.namespace.clone(),
            run: request.run.clone(),
            uid: request.uid.clone(),
            started_at: request.started_at,
            id: request.id.clone(),
            standing: request.standing.clone(),
            metric,
            account,
        };
        match provider.measure(&resolved, &Context { now }).await {
            Outcome::NoAnswer { reason } => MeasureOutcome::NoAnswer { reason },
            Outcome::Error { message, metadata } => MeasureOutcome::Error { value: String::new(), message, metadata },
            Outcome::Measured { value, stored, metadata } => judge(&resolved.metric, &value, stored, metadata, now),
            Outcome::Judged { phase, message, stored, metadata } => {
                MeasureOutcome::Measured { phase, value: stored, message, metadata }
            }
        }
    }
}

/// The window of time that ends now and is as long as the metric says; five minutes when it does not.
fn window(length: Option<&str>, now: Timestamp) -> Result<(Timestamp, Timestamp), String> {
    let length = duration("interval", length)?.unwrap_or(DEFAULT_WINDOW);
    let length = SignedDuration::try_from(length).map_err(|error| error.to_string())?;
    let from = now.checked_sub(length).map_err(|_| "interval is longer than time goes back".to_owned())?;
    Ok((from, now))
}

/// A value of JSON, and its text.
fn json_value(json: &serde_json::Value) -> Result<(Value, String), Outcome> {
    let value = Value::from_json(json).map_err(|error| Outcome::error(error.to_string()))?;
    let stored = value.json_text().map_err(|error| Outcome::error(error.to_string()))?;
    Ok((value, stored))
}

fn no_secret(problem: SecretError) -> MeasureOutcome {
    match problem {
        SecretError::Missing(message) => error(message),
        SecretError::Unavailable(reason) => MeasureOutcome::NoAnswer { reason },
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
