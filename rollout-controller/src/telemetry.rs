//! Logs and traces.
//!
//! One trace per revision of a Rollout: its id follows from the uid of the Rollout and the revision, so that spans from
//! before and after a restart, from steps, measurements and writes, find together. Without an OTLP endpoint spans cost
//! nothing and go nowhere.
//!
//! Invariant: a collector that does not answer delays nothing; spans that do not fit the queue are dropped.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use crds::jiff::Timestamp;
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, SdkTracerProvider, SpanData, SpanExporter as _, SpanProcessor,
};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Spans that may wait to be sent.
const QUEUE: usize = 2048;
/// Spans per request.
const BATCH: usize = 256;
/// For how long spans are collected.
const INTERVAL: Duration = Duration::from_secs(2);
/// Time for one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Name of the tracer and of the service.
const SERVICE: &str = "rollout-controller";

/// Starts the log. May be called once per process.
///
/// # Errors
/// The filter cannot be read, or there is a log already.
pub fn start_log(level: &str, format: LogFormat) -> anyhow::Result<()> {
    // The client logs each failed try as an error; we log what matters of it ourselves.
    let filter = EnvFilter::try_new(format!("{level},kube_client=off,tower=warn,hyper=warn,h2=warn"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("failed to start the log: {error}"))
}

/// The trace of one revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    trace_id: TraceId,
    root: SpanId,
}

/// When something happened, and what went wrong.
#[derive(Clone, Debug)]
pub struct Span {
    /// Begin.
    pub start: Timestamp,
    /// End.
    pub end: Timestamp,
    /// What went wrong, if anything.
    pub failed: Option<String>,
}

impl Trace {
    /// The trace of this revision of the Rollout with this uid.
    pub fn of(uid: &str, revision: &str) -> Self {
        let hash = Sha256::digest(format!("{uid}/{revision}"));
        let mut trace_id = [0_u8; 16];
        let mut root = [0_u8; 8];
        let (head, tail) = hash.split_at(16);
        trace_id.copy_from_slice(head);
        for (to, from) in root.iter_mut().zip(tail) {
            *to = *from;
        }
        Self { trace_id: TraceId::from_bytes(trace_id), root: SpanId::from_bytes(root) }
    }

    /// Id of the trace, as collectors show it.
    pub fn id(&self) -> String {
        self.trace_id.to_string()
    }

    /// Records something that belongs to the revision.
    pub fn span(&self, name: &'static str, span: Span, attributes: &[(&'static str, String)]) {
        let context = SpanContext::new(self.trace_id, self.root, TraceFlags::SAMPLED, true, TraceState::default());
        record(name, span, attributes, &Context::new().with_remote_span_context(context));
    }

    /// Records the whole revision: the parent of all its spans.
    pub fn whole(&self, name: &'static str, span: Span, attributes: &[(&'static str, String)]) {
        FIXED.set(Some((self.trace_id, self.root)));
        record(name, span, attributes, &Context::new());
        FIXED.set(None);
    }
}

fn record(name: &'static str, span: Span, attributes: &[(&'static str, String)], parent: &Context) {
    let tracer = opentelemetry::global::tracer(SERVICE);
    let attributes = attributes.iter().map(|(key, value)| KeyValue::new(*key, value.clone()));
    let mut recorded = tracer
        .span_builder(name)
        .with_start_time(SystemTime::from(span.start))
        .with_attributes(attributes)
        .start_with_context(&tracer, parent);
    if let Some(problem) = span.failed {
        recorded.set_status(Status::error(problem));
    }
    recorded.end_with_timestamp(SystemTime::from(span.end));
}

thread_local! {
    static FIXED: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Random ids, except for the span of a whole revision.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        FIXED.get().map_or_else(|| self.0.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        FIXED.get().map_or_else(|| self.0.new_span_id(), |(_, span)| span)
    }
}

/// Hands finished spans to the task that sends them.
#[derive(Debug)]
struct Forward(mpsc::Sender<SpanData>);

impl SpanProcessor for Forward {
    fn on_start(&self, _span: &mut opentelemetry_sdk::trace::Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        // Full means that the collector is slower than we are: drop.
        let _ = self.0.try_send(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends traces to `endpoint` (the base address of an OTLP/HTTP receiver) until `stop`, then what is left. The returned
/// handle ends when all is sent.
///
/// # Errors
/// The endpoint is not an address.
pub fn start_traces(endpoint: &str, stop: CancellationToken) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let endpoint = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let mut exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).with_timeout(TIMEOUT).build()?;
    let resource = Resource::builder().with_service_name(SERVICE).build();
    exporter.set_resource(&resource);
    let (sender, mut spans) = mpsc::channel(QUEUE);
    let provider = SdkTracerProvider::builder()
        .with_id_generator(Ids::default())
        .with_resource(resource)
        .with_span_processor(Forward(sender))
        .build();
    let _ = provider.tracer(SERVICE);
    opentelemetry::global::set_tracer_provider(provider);
    Ok(tokio::spawn(async move {
        let mut batch = Vec::new();
        while !stop.is_cancelled() {
            tokio::select! {
                received = spans.recv_many(&mut batch, BATCH) => if received == 0 { break },
                () = stop.cancelled() => {}
            }
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = stop.cancelled() => {}
            }
            while batch.len() < BATCH
                && let Ok(span) = spans.try_recv()
            {
                batch.push(span);
            }
            send(&exporter, &mut batch).await;
        }
        while let Ok(span) = spans.try_recv() {
            batch.push(span);
        }
        send(&exporter, &mut batch).await;
    }))
}

async fn send(exporter: &SpanExporter, batch: &mut Vec<SpanData>) {
    if batch.is_empty() {
        return;
    }
    if let Err(error) = exporter.export(std::mem::take(batch)).await {
        tracing::debug!(%error, "failed to send traces");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_follows_from_uid_and_revision() {
        assert_eq!(Trace::of("u", "1"), Trace::of("u", "1"));
        assert_ne!(Trace::of("u", "1").id(), Trace::of("u", "2").id());
        assert_ne!(Trace::of("u", "1").id(), Trace::of("v", "1").id());
    }
}
