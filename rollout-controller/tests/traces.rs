//! Traces arrive at an OTLP receiver, under the id that follows from the revision.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use crds::jiff::Timestamp;
use rollout_controller::telemetry::{self, Span, Trace};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn spans_of_a_revision_share_its_trace_and_reach_the_collector() {
    let (sender, mut received) = mpsc::unbounded_channel::<Bytes>();
    let collect = post(move |body: Bytes| async move {
        let _ = sender.send(body);
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", collect)).await });
    let _ = rustls::crypto::ring::default_provider().install_default();

    let stop = CancellationToken::new();
    let sending = telemetry::start_traces(&endpoint, stop.clone()).unwrap();
    let trace = Trace::of("uid-1", "7");
    let (start, end) = (Timestamp::from_second(1_700_000_000).unwrap(), Timestamp::from_second(1_700_000_060).unwrap());
    trace.span("step", Span { start, end, failed: None }, &[("step.type", "setWeight".to_owned())]);
    trace.span("measurement", Span { start, end, failed: Some("too many errors".to_owned()) }, &[]);
    trace.whole("rollout", Span { start, end, failed: None }, &[]);
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), sending).await.expect("stops soon").unwrap();

    let mut all = Vec::new();
    while let Ok(body) = received.try_recv() {
        all.extend_from_slice(&body);
    }
    let id: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&trace.id()[at * 2..at * 2 + 2], 16).unwrap()).collect();
    let contains = |wanted: &[u8]| all.windows(wanted.len()).filter(|window| *window == wanted).count();
    assert_eq!(contains(&id), 3, "each span carries the id of the trace");
    for text in ["step", "setWeight", "measurement", "too many errors", "rollout-controller"] {
        assert!(contains(text.as_bytes()) > 0, "{text} is missing");
    }
}
