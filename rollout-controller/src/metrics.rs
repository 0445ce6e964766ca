//! What the controller tells Prometheus about itself.
//!
//! Invariants: no histogram carries the name of an object, so the number of series does not grow with the cluster; series
//! about one object (see [`crate::view::gauges`]) are made at scrape time and end with the object.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crds::kube::Client;
use crds::kube::client::Body;
use http::Request;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

/// Labels of one request to the API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// get, list, watch, create, patch, delete, with the sub-resource: patch_status.
    pub verb: String,
    /// Plural resource name.
    pub kind: String,
    /// HTTP status, or `error` when there was no answer.
    pub status_code: String,
}

/// Labels of one write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WriteLabels {
    /// create, patch, patch_status, delete.
    pub verb: &'static str,
    /// Kind of the object.
    pub kind: String,
    /// applied, look_again, refused or unavailable.
    pub outcome: &'static str,
}

/// Labels of an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EventLabels {
    /// Namespace of the object.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Normal or Warning.
    pub r#type: &'static str,
    /// Reason.
    pub reason: String,
}

/// One label that names a kind of thing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// Which kind.
    pub kind: String,
}

/// One label that names the type of a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepLabel {
    /// The field of the step, such as setWeight.
    pub step: String,
}

/// Labels of a measurement.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MeasurementLabels {
    /// Provider.
    pub provider: String,
    /// Phase of the measurement, or `NoAnswer`.
    pub outcome: String,
}

/// All metrics. Shared behind an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Requests to the API server.
    pub requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RequestLabels, Histogram, fn() -> Histogram>,
    /// Writes by outcome.
    pub writes: Family<WriteLabels, Counter>,
    /// One pass over a Rollout.
    pub rollout_reconcile: Histogram,
    /// Passes over a Rollout which failed.
    pub rollout_reconcile_error: Counter,
    /// One pass over an AnalysisRun.
    pub analysis_run_reconcile: Histogram,
    /// Passes over an AnalysisRun which failed.
    pub analysis_run_reconcile_error: Counter,
    /// One pass over an Experiment.
    pub experiment_reconcile: Histogram,
    /// Passes over an Experiment which failed.
    pub experiment_reconcile_error: Counter,
    /// Settle loops that found no rest.
    pub unsettled: Counter,
    /// Steps which were begun.
    pub steps: Family<StepLabel, Counter>,
    /// Steps which were completed.
    pub step_successes: Family<StepLabel, Counter>,
    /// Steps at which a release was aborted.
    pub step_errors: Family<StepLabel, Counter>,
    /// Measurements by provider and outcome.
    pub measurements: Family<MeasurementLabels, Counter>,
    /// Seconds of measurements.
    pub measurement_seconds: Family<MeasurementLabels, Histogram, fn() -> Histogram>,
    /// Measurements which are being made.
    pub measurements_in_flight: Gauge,
    /// AnalysisRuns which wait for a provider that does not answer.
    pub analysis_holds: Gauge,
    events: Family<EventLabels, Counter>,
    event_labels: Mutex<HashMap<(String, String), HashSet<EventLabels>>>,
    /// Events that were thrown away because the queue was full or the API server refused them.
    pub events_dropped: Counter,
    /// Objects that do not fit our types, by kind.
    pub malformed: Family<KindLabel, Gauge>,
    /// Errors of watches, by kind.
    pub watch_errors: Family<KindLabel, Counter>,
    /// Objects that are ready to be looked at.
    pub queue_ready: Gauge,
    /// Objects that wait for a time.
    pub queue_waiting: Gauge,
    /// 1 while this process holds the lease.
    pub leader: Gauge,
}

fn seconds() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.05, 0.15, 0.25, 0.5, 1.0, 5.0, 30.0])
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::default()),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds as fn() -> Histogram),
            writes: Family::default(),
            rollout_reconcile: seconds(),
            rollout_reconcile_error: Counter::default(),
            analysis_run_reconcile: seconds(),
            analysis_run_reconcile_error: Counter::default(),
            experiment_reconcile: seconds(),
            experiment_reconcile_error: Counter::default(),
            unsettled: Counter::default(),
            steps: Family::default(),
            step_successes: Family::default(),
            step_errors: Family::default(),
            measurements: Family::default(),
            measurement_seconds: Family::new_with_constructor(seconds as fn() -> Histogram),
            measurements_in_flight: Gauge::default(),
            analysis_holds: Gauge::default(),
            events: Family::default(),
            event_labels: Mutex::default(),
            events_dropped: Counter::default(),
            malformed: Family::default(),
            watch_errors: Family::default(),
            queue_ready: Gauge::default(),
            queue_waiting: Gauge::default(),
            leader: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let r = &mut *registry;
        r.register("controller_clientset_k8s_request", "Requests to the API server", self.requests.clone());
        r.register(
            "controller_api_request_seconds",
            "Time until the API server answered",
            self.request_seconds.clone(),
        );
        r.register("controller_writes", "Writes by outcome", self.writes.clone());
        r.register("rollout_reconcile", "Seconds of one pass over a Rollout", self.rollout_reconcile.clone());
        r.register("rollout_reconcile_error", "Failed passes over a Rollout", self.rollout_reconcile_error.clone());
        r.register(
            "analysis_run_reconcile",
            "Seconds of one pass over an AnalysisRun",
            self.analysis_run_reconcile.clone(),
        );
        r.register(
            "analysis_run_reconcile_error",
            "Failed passes over an AnalysisRun",
            self.analysis_run_reconcile_error.clone(),
        );
        r.register("experiment_reconcile", "Seconds of one pass over an Experiment", self.experiment_reconcile.clone());
        r.register(
            "experiment_reconcile_error",
            "Failed passes over an Experiment",
            self.experiment_reconcile_error.clone(),
        );
        r.register("rollout_unsettled", "Passes that found no rest within their bound", self.unsettled.clone());
        r.register("rollouts_step", "Steps which were begun", self.steps.clone());
        r.register("rollouts_step_success", "Steps which were completed", self.step_successes.clone());
        r.register("rollouts_step_error", "Steps at which a release was aborted", self.step_errors.clone());
        r.register("analysis_measurements", "Measurements by provider and outcome", self.measurements.clone());
        r.register(
            "analysis_measurement_seconds",
            "Seconds of one measurement by provider and outcome",
            self.measurement_seconds.clone(),
        );
        r.register(
            "analysis_measurements_in_flight",
            "Measurements which are being made",
            self.measurements_in_flight.clone(),
        );
        r.register(
            "analysis_holds",
            "AnalysisRuns which wait for a provider that does not answer",
            self.analysis_holds.clone(),
        );
        r.register("rollout_events", "Events, written or held back", self.events.clone());
        r.register("controller_events_dropped", "Events thrown away", self.events_dropped.clone());
        r.register(
            "controller_malformed_objects",
            "Objects that do not fit the types of the API",
            self.malformed.clone(),
        );
        r.register("controller_watch_errors", "Errors of watches", self.watch_errors.clone());
        r.register("controller_queue_ready", "Objects that are ready to be looked at", self.queue_ready.clone());
        r.register("controller_queue_waiting", "Objects that wait for a time", self.queue_waiting.clone());
        r.register("controller_leader", "1 while this process holds the lease", self.leader.clone());
    }

    /// Adds a source of series that are made at scrape time.
    pub fn collect_from(&self, collector: Box<dyn prometheus_client::collector::Collector>) {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register_collector(collector);
    }

    /// The OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &registry) {
            let _ = write!(text, "# failed to encode: {error}");
        }
        text
    }

    /// Counts an event of an object.
    pub fn event(&self, labels: EventLabels) {
        self.events.get_or_create(&labels).inc();
        let mut known = self.event_labels.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry((labels.namespace.clone(), labels.name.clone())).or_default().insert(labels);
    }

    /// Ends the series about an object that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        let mut known = self.event_labels.lock().unwrap_or_else(PoisonError::into_inner);
        for labels in known.remove(&(namespace.to_owned(), name.to_owned())).into_iter().flatten() {
            self.events.remove(&labels);
        }
    }

    fn request(&self, verb: String, kind: String, status_code: String, took: Duration) {
        let labels = RequestLabels { verb, kind, status_code };
        self.requests.get_or_create(&labels).inc();
        self.request_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

/// A client whose every request is counted and timed.
pub fn instrument(client: Client, metrics: std::sync::Arc<Metrics>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, metrics) = (client.clone(), metrics.clone());
        async move {
            let (verb, kind) = verb_and_kind(request.method(), request.uri());
            let start = Instant::now();
            let answer = client.send(request).await;
            let code =
                answer.as_ref().map_or_else(|_| "error".to_owned(), |response| response.status().as_str().to_owned());
            metrics.request(verb, kind, code, start.elapsed());
            answer
        }
    });
    Client::new(service, namespace)
}

/// The Kubernetes verb and the plural resource name of a request.
fn verb_and_kind(method: &http::Method, uri: &http::Uri) -> (String, String) {
    let mut parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    // /api/v1/… or /apis/<group>/<version>/…
    let prefix = if parts.first() == Some(&"api") { 2 } else { 3 };
    parts.drain(..prefix.min(parts.len()));
    if parts.first() == Some(&"namespaces") && parts.len() > 2 {
        parts.drain(..2);
    }
    let kind = parts.first().copied().unwrap_or("none").to_owned();
    let named = parts.len() > 1;
    let watch = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1"));
    let verb = match method.as_str() {
        "GET" if watch => "watch",
        "GET" if named => "get",
        "GET" => "list",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "other",
    };
    let verb = parts.get(2).map_or_else(|| verb.to_owned(), |sub| format!("{verb}_{sub}"));
    (verb, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_named_by_verb_and_kind() {
        let table = [
            ("GET", "/api/v1/services?limit=500", "list", "services"),
            ("GET", "/api/v1/services?watch=true&resourceVersion=1", "watch", "services"),
            ("GET", "/api/v1/namespaces/a/secrets/s", "get", "secrets"),
            ("PATCH", "/apis/argoproj.io/v1alpha1/namespaces/a/rollouts/r/status", "patch_status", "rollouts"),
            ("POST", "/apis/apps/v1/namespaces/a/replicasets", "create", "replicasets"),
            ("DELETE", "/apis/argoproj.io/v1alpha1/namespaces/a/analysisruns/r", "delete", "analysisruns"),
        ];
        for (method, path, verb, kind) in table {
            let method = http::Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(verb_and_kind(&method, &path.parse().unwrap()), (verb.to_owned(), kind.to_owned()), "{path}");
        }
    }

    #[test]
    fn series_of_a_deleted_object_end() {
        let metrics = Metrics::new();
        let labels = EventLabels { namespace: "shop".into(), name: "web".into(), r#type: "Normal", reason: "X".into() };
        metrics.event(labels);
        assert!(
            metrics
                .text()
                .contains("rollout_events_total{namespace=\"shop\",name=\"web\",type=\"Normal\",reason=\"X\"} 1")
        );
        metrics.forget("shop", "web");
        assert!(!metrics.text().contains("name=\"web\""));
    }
}
