//! One pod's counters, in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;

const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Default)]
struct Counts {
    total: u64,
    /// By method and status code.
    requests: BTreeMap<(String, u16), u64>,
    /// Not cumulative; the last is everything slower.
    buckets: [u64; BUCKETS.len() + 1],
    seconds: f64,
}

/// `http_requests_total{method,code}` and `http_request_duration_seconds`.
#[derive(Default)]
pub(super) struct Metrics(Mutex<Counts>);

impl Metrics {
    /// Counts one request; `status` is told which it is, from 1.
    pub(super) fn count(&self, took: Duration, method: &str, status: impl FnOnce(u64) -> StatusCode) -> StatusCode {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total += 1;
        let status = status(counts.total);
        *counts.requests.entry((method.to_owned(), status.as_u16())).or_default() += 1;
        let seconds = took.as_secs_f64();
        counts.seconds += seconds;
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        if let Some(count) = counts.buckets.get_mut(bucket) {
            *count += 1;
        }
        status
    }

    /// The page that Prometheus scrapes. Both codes of GET are there from the start, so that a rate exists before the first failure.
    pub(super) fn text(&self) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut requests = counts.requests.clone();
        for code in [200, 500] {
            requests.entry(("GET".into(), code)).or_default();
        }
        let mut text = String::from("# TYPE http_requests_total counter\n");
        for ((method, code), count) in &requests {
            let _ = writeln!(text, "http_requests_total{{method=\"{method}\",code=\"{code}\"}} {count}");
        }
        text.push_str("# TYPE http_request_duration_seconds histogram\n");
        let mut so_far = 0;
        for (bound, count) in BUCKETS.iter().zip(counts.buckets) {
            so_far += count;
            let _ = writeln!(text, "http_request_duration_seconds_bucket{{le=\"{bound}\"}} {so_far}");
        }
        let _ = writeln!(text, "http_request_duration_seconds_bucket{{le=\"+Inf\"}} {}", counts.total);
        let _ = writeln!(text, "http_request_duration_seconds_sum {}", counts.seconds);
        let _ = writeln!(text, "http_request_duration_seconds_count {}", counts.total);
        text
    }
}
