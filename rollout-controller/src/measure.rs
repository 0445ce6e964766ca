//! Measurements: made in a bounded pool, outside of the settle loop.
//!
//! Invariants
//! - One slow provider delays no decision and no other measurement; a result is handed in and wakes its run.
//! - A measurement is under way at most once ([`MeasureId`] follows from the status of the run).
//! - A result stays until the status that contains it is written; feeding one twice is harmless.
//! - Secrets are read when a measurement is made, and kept nowhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use analysis::provider::{Providers, SecretError, Secrets};
use analysis::run::{Finished, MeasureId, MeasureOutcome, MeasureRequest, RunInputs};
use async_trait::async_trait;
use crds::k8s_openapi::api::core::v1::Secret;
use crds::kube::api::Api;
use crds::kube::{Client, Error};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::AbortHandle;

use crate::clock::Clock;
use crate::metrics::{MeasurementLabels, Metrics};
use crate::telemetry::{self, Trace};
use crate::view::store::Name;

/// After this time a measurement gives its place in the pool to another.
const PLACE: Duration = Duration::from_secs(1);
/// No measurement takes longer, whatever its provider does.
const DEADLINE: Duration = Duration::from_mins(10);
/// The same for those that wait for something which takes its time.
const LONG_DEADLINE: Duration = Duration::from_hours(24 * 7);
/// Time to read a Secret.
const SECRET_TIMEOUT: Duration = Duration::from_secs(10);

/// A run, told apart from an earlier one of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunId {
    /// Its name.
    pub name: Name,
    /// Its uid.
    pub uid: String,
}

#[derive(Default)]
struct State {
    in_flight: HashMap<RunId, BTreeMap<MeasureId, AbortHandle>>,
    finished: HashMap<RunId, Vec<Finished>>,
}

/// The pool. Cheap to clone.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    providers: Providers,
    secrets: SecretReader,
    permits: Semaphore,
    state: Mutex<State>,
    metrics: Arc<Metrics>,
    clock: Clock,
    wake: Box<dyn Fn(&Name) + Send + Sync>,
}

impl Pool {
    /// A pool that makes `size` measurements at a time and calls `wake` when a run has a result.
    pub fn new(
        client: Client,
        providers: Providers,
        size: usize,
        metrics: Arc<Metrics>,
        clock: Clock,
        wake: impl Fn(&Name) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            providers,
            secrets: SecretReader(client),
            permits: Semaphore::new(size),
            state: Mutex::default(),
            metrics,
            clock,
            wake: Box::new(wake),
        }))
    }

    /// What a decision about the run needs to know.
    pub fn inputs(&self, run: &RunId) -> RunInputs {
        let state = self.0.lock();
        RunInputs {
            finished: state.finished.get(run).cloned().unwrap_or_default(),
            in_flight: state.in_flight.get(run).map(|map| map.keys().cloned().collect()).unwrap_or_default(),
        }
    }

    /// Starts a measurement, unless it is under way or over.
    pub fn start(&self, run: &RunId, request: MeasureRequest, trace: Option<Trace>) {
        let mut state = self.0.lock();
        let id = request.id.clone();
        let over = state.finished.get(run).is_some_and(|list| list.iter().any(|finished| finished.id == id));
        let flights = state.in_flight.entry(run.clone()).or_default();
        if over || flights.contains_key(&id) {
            return;
        }
        let task = tokio::spawn(self.clone().measure(run.clone(), request, trace));
        flights.insert(id, task.abort_handle());
    }

    /// Nobody waits for it any more.
    pub fn cancel(&self, run: &RunId, id: &MeasureId) {
        let mut state = self.0.lock();
        if let Some(handle) = state.in_flight.get_mut(run).and_then(|map| map.remove(id)) {
            handle.abort();
        }
    }

    /// The status that contains these results is written.
    pub fn settled(&self, run: &RunId, known: &[Finished]) {
        let mut state = self.0.lock();
        if let Some(list) = state.finished.get_mut(run) {
            list.retain(|finished| !known.iter().any(|known| known.id == finished.id));
            if list.is_empty() {
                state.finished.remove(run);
            }
        }
    }

    /// The run is gone or complete.
    pub fn forget(&self, name: &Name) {
        let mut state = self.0.lock();
        state.finished.retain(|run, _| run.name != *name);
        state.in_flight.retain(|run, flights| {
            let gone = run.name == *name;
            if gone {
                flights.values().for_each(AbortHandle::abort);
            }
            !gone
        });
    }

    async fn measure(self, run: RunId, request: MeasureRequest, trace: Option<Trace>) {
        let inner = &*self.0;
        let Ok(permit) = inner.permits.acquire().await else { return };
        let deadline = if inner.providers.waits(&request.metric) { LONG_DEADLINE } else { DEADLINE };
        let in_flight = Counted::new(inner.metrics.clone());
        let started_at = inner.clock.now();
        let begun = tokio::time::Instant::now();
        let asked = Box::pin(inner.providers.measure(&request, &inner.secrets, started_at));
        let outcome = in_place(permit, asked, deadline).await.unwrap_or_else(|| MeasureOutcome::NoAnswer {
            reason: format!("no answer within {} s", deadline.as_secs()),
        });
        drop(in_flight);
        let finished_at = inner.clock.now();
        let (word, problem) = match &outcome {
            MeasureOutcome::Measured { phase, message, .. } => (phase.to_string(), message.clone()),
            MeasureOutcome::Error { message, .. } => ("Error".to_owned(), message.clone()),
            MeasureOutcome::NoAnswer { reason } => ("NoAnswer".to_owned(), reason.clone()),
        };
        let provider =
            analysis::provider::names(&request.metric.provider).first().copied().unwrap_or("none").to_owned();
        tracing::debug!(run = %run.name, metric = %request.id.metric, outcome = %word, "measured");
        if let Some(trace) = trace {
            trace.span(
                "measurement",
                telemetry::Span {
                    start: started_at,
                    end: finished_at,
                    failed: (word != "Successful").then_some(problem),
                },
                &[
                    ("analysis.run", run.name.name.clone()),
                    ("analysis.metric", request.id.metric.clone()),
                    ("analysis.provider", provider.clone()),
                    ("analysis.outcome", word.clone()),
                ],
            );
        }
        let labels = MeasurementLabels { provider, outcome: word };
        inner.metrics.measurements.get_or_create(&labels).inc();
        inner.metrics.measurement_seconds.get_or_create(&labels).observe(begun.elapsed().as_secs_f64());
        {
            let mut state = inner.lock();
            let waited_for = state.in_flight.get_mut(&run).is_some_and(|map| map.remove(&request.id).is_some());
            if state.in_flight.get(&run).is_some_and(BTreeMap::is_empty) {
                state.in_flight.remove(&run);
            }
            if !waited_for {
                return;
            }
            let finished = Finished { id: request.id, started_at, finished_at, outcome };
            state.finished.entry(run.clone()).or_default().push(finished);
        }
        (inner.wake)(&run.name);
    }
}

/// Waits for the answer, at most until the deadline, and gives the place to others when it is slow: measurements that are begun at the
/// same time are bounded, those that wait for a provider which is stuck are in nobody's way.
async fn in_place<T>(
    permit: SemaphorePermit<'_>,
    mut asked: impl Future<Output = T> + Unpin,
    deadline: Duration,
) -> Option<T> {
    let quick = tokio::time::timeout(PLACE.min(deadline), &mut asked).await;
    drop(permit);
    match quick {
        Ok(outcome) => Some(outcome),
        Err(_) => tokio::time::timeout(deadline.saturating_sub(PLACE), asked).await.ok(),
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let in_flight: BTreeSet<String> = self.0.lock().in_flight.keys().map(|run| run.name.to_string()).collect();
        formatter.debug_struct("Pool").field("in_flight", &in_flight).finish_non_exhaustive()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the gauge right even when the measurement is cancelled.
struct Counted(Arc<Metrics>);

impl Counted {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.measurements_in_flight.inc();
        Self(metrics)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.measurements_in_flight.dec();
    }
}

/// Secrets by GET, when they are needed.
#[derive(Clone)]
struct SecretReader(Client);

impl SecretReader {
    async fn read(&self, namespace: &str, name: &str) -> Result<Secret, SecretError> {
        let api: Api<Secret> = Api::namespaced(self.0.clone(), namespace);
        match tokio::time::timeout(SECRET_TIMEOUT, api.get(name)).await {
            Ok(Ok(secret)) => Ok(secret),
            Ok(Err(Error::Api(status))) if status.code < 500 && status.code != 429 => {
                Err(SecretError::Missing(format!("failed to get secret \"{name}\": {}", status.message)))
            }
            Ok(Err(error)) => Err(SecretError::Unavailable(format!("failed to get secret \"{name}\": {error}"))),
            Err(_) => Err(SecretError::Unavailable(format!("failed to get secret \"{name}\": no answer"))),
        }
    }
}

fn text(name: &str, key: &str, bytes: Vec<u8>) -> Result<String, SecretError> {
    String::from_utf8(bytes)
        .map_err(|_| SecretError::Missing(format!("key \"{key}\" of secret \"{name}\" is not text")))
}

#[async_trait]
impl Secrets for SecretReader {
    async fn get(&self, namespace: &str, name: &str, key: &str) -> Result<String, SecretError> {
        let value = self.read(namespace, name).await?.data.and_then(|mut data| data.remove(key));
        let Some(value) = value else {
            return Err(SecretError::Missing(format!("key \"{key}\" does not exist in secret \"{name}\"")));
        };
        text(name, key, value.0)
    }

    async fn all(&self, namespace: &str, name: &str) -> Result<BTreeMap<String, String>, SecretError> {
        let data = self.read(namespace, name).await?.data.unwrap_or_default();
        data.into_iter().map(|(key, value)| Ok((key.clone(), text(name, &key, value.0)?))).collect()
    }
}
