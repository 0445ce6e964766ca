//! `comparison` by native histograms of a real Prometheus, which are written to it as another Prometheus would.
//!
//! Needs `prometheus` from 2.40 on (Debian's is).

// Helpers of tests fail by panicking, too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value
)]

mod loopback;
mod played;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use played::{END, Prometheus, RELEASE, SCRAPE, first, metric, note, play, run_of, uniform};

/// Eight buckets double the bound.
const SCHEMA: i64 = 3;
/// Seconds of samples in one message; a server takes samples of an hour in any order of series.
const BATCH: i64 = 600;

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap());
}

fn signed(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn double(out: &mut Vec<u8>, field: u64, value: f64) {
    varint(out, field << 3 | 1);
    out.extend(value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

/// The form of snappy that compresses nothing.
fn snappy(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, plain.len() as u64);
    for part in plain.chunks(1 << 16) {
        out.push(61 << 2);
        out.extend(u16::try_from(part.len() - 1).unwrap().to_le_bytes());
        out.extend(part);
    }
    out
}

/// A pod and what it has counted; its latencies are log-normal around 100 ms.
struct Pod {
    version: &'static str,
    name: usize,
    since: i64,
    slower: f64,
    rate: i64,
    state: u64,
    buckets: BTreeMap<i64, u64>,
    sum: f64,
}

impl Pod {
    fn new(version: &'static str, name: usize, since: i64, slower: f64, rate: i64) -> Self {
        let state = 0x9e37_79b9 ^ (name as u64 * 7_919);
        Self { version, name, since, slower, rate, state, buckets: BTreeMap::new(), sum: 0.0 }
    }

    fn goes_on(&mut self) {
        for _ in 0..self.rate * SCRAPE {
            let normal: f64 = (0..12).map(|_| uniform(&mut self.state)).sum::<f64>() - 6.0;
            let latency = 0.1 * self.slower * (0.6 * normal).exp();
            self.sum += latency;
            #[allow(clippy::cast_possible_truncation)]
            let bucket = (latency.log2() * 8.0).ceil() as i64;
            *self.buckets.entry(bucket).or_default() += 1;
        }
    }

    /// `prometheus.Histogram` of remote write.
    fn histogram(&self, at: i64) -> Vec<u8> {
        let mut out = Vec::new();
        number(&mut out, 1, self.buckets.values().sum());
        double(&mut out, 3, self.sum);
        number(&mut out, 4, signed(SCHEMA));
        double(&mut out, 5, 1e-128);
        number(&mut out, 6, 0);
        if let (Some((lowest, _)), Some((highest, _))) = (self.buckets.first_key_value(), self.buckets.last_key_value())
        {
            let mut span = Vec::new();
            // The bucket 1 is the first above the bound 1.
            number(&mut span, 1, signed(*lowest));
            number(&mut span, 2, (highest - lowest + 1).cast_unsigned());
            bytes(&mut out, 11, &span);
            let (mut deltas, mut before) = (Vec::new(), 0);
            for bucket in *lowest..=*highest {
                let count = i64::try_from(self.buckets.get(&bucket).copied().unwrap_or(0)).unwrap();
                varint(&mut deltas, signed(count - before));
                before = count;
            }
            bytes(&mut out, 12, &deltas);
        }
        number(&mut out, 15, (at * 1_000).cast_unsigned());
        out
    }

    fn labels(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let pod = format!("{}-{}", self.version, self.name);
        for (name, value) in [
            ("__name__", "http_request_duration_seconds"),
            ("instance", &self.name.to_string()),
            ("pod", &pod),
            ("rollouts_pod_template_hash", self.version),
        ] {
            let mut label = Vec::new();
            bytes(&mut label, 1, name.as_bytes());
            bytes(&mut label, 2, value.as_bytes());
            bytes(&mut out, 1, &label);
        }
        out
    }
}

async fn prometheus() -> Prometheus {
    let arguments = ["--enable-feature=native-histograms", "--web.enable-remote-write-receiver"];
    let server = Prometheus::start(tempfile::tempdir().unwrap(), &arguments).await;
    let mut pods: Vec<Pod> = (0..4).map(|name| Pod::new("stable", name, 0, 1.0, 10)).collect();
    pods.push(Pod::new("healthy", 4, RELEASE - 60, 1.0, 10));
    pods.push(Pod::new("slow", 5, RELEASE - 60, 1.5, 10));
    pods.push(Pod::new("idle", 6, RELEASE - 60, 1.0, 0));
    for from in (0..END).step_by(600) {
        let mut message = Vec::new();
        for pod in &mut pods {
            let mut series = pod.labels();
            for at in (from..END.min(from + BATCH)).step_by(5).filter(|at| *at >= pod.since).collect::<Vec<_>>() {
                pod.goes_on();
                bytes(&mut series, 4, &pod.histogram(first() + at));
            }
            bytes(&mut message, 1, &series);
        }
        let answer = reqwest::Client::new()
            .post(format!("{}/api/v1/write", server.address))
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .body(snappy(&message))
            .send()
            .await
            .unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap());
    }
    server
}

#[tokio::test]
async fn native_histograms_are_compared_at_four_bounds() {
    let server = prometheus().await;
    for query in ["http_request_duration_seconds", "sum(increase(http_request_duration_seconds[$block]))"] {
        let of = |canary: &str, mut extra: Value| {
            extra["ratio"] = Value::Null;
            extra["histogram"] = json!({"query": query});
            run_of(&server, canary, extra)
        };
        let (bad, seconds) = play(of("slow", json!({}))).await;
        let message = metric(&bad).message.clone().unwrap_or_default();
        assert_eq!(bad.status.as_ref().unwrap().phase, "Failed", "{bad:#?}");
        assert!(seconds <= 400, "{seconds} s: {message}");
        assert!(message.starts_with("canary has ") && message.contains(" ms, stable "), "{message}");
        assert!(message.ends_with("(false alarm 1 %)"), "{message}");
        let last = metric(&bad).measurements.as_ref().unwrap().last().unwrap().metadata.clone().unwrap();
        let bounds: Vec<&String> = last.keys().filter(|key| key.starts_with("over ")).collect();
        assert_eq!(bounds.len(), 4, "{last:#?}");

        let (good, _) = play(of("healthy", json!({}))).await;
        assert_eq!(good.status.as_ref().unwrap().phase, "Successful", "{good:#?}");
        let (idle, _) = play(of("idle", json!({"maximumDuration": "5m"}))).await;
        assert_eq!(idle.status.as_ref().unwrap().phase, "Inconclusive", "{idle:#?}");
        assert!(metric(&idle).message.as_ref().unwrap().starts_with("no traffic: "), "{idle:#?}");
        let (absent, _) = play(of("misspelt", json!({}))).await;
        assert_eq!(absent.status.as_ref().unwrap().phase, "Error", "{absent:#?}");
    }
    let (bad, _) = play({
        let mut extra = json!({"histogram": {"query": "http_request_duration_seconds"}});
        extra["ratio"] = Value::Null;
        run_of(&server, "slow", extra)
    })
    .await;
    assert_eq!(note(&bad, "blockSeconds"), "20", "four scrape intervals");
    let last = metric(&bad).measurements.as_ref().unwrap().last().unwrap().metadata.clone().unwrap();
    assert!(
        last.iter()
            .filter(|(key, _)| key.starts_with("over "))
            .all(|(_, text)| text.contains("between the stable pods")),
        "{last:#?}"
    );
}
