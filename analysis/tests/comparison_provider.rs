//! `comparison` against a real Prometheus, over releases that happened in the past: series are written into its storage, and the run's machine
//! plays the release in virtual time.
//!
//! Needs `prometheus` and `promtool` (Debian's package has both).

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

use std::fmt::Write as _;
use std::process::Command;

use analysis::provider::{ProviderConfig, Providers};
use analysis::run::{RunInputs, RunPolicy, decide};
use crds::AnalysisRun;
use crds::jiff::Timestamp;
use serde_json::{Value, json};

use loopback::OneSecret;
use played::{END, Prometheus, RELEASE, SCRAPE, first, labels_of, metric, note, play, run_of, uniform};

/// Ten requests a second for each pod; one in `every` fails, by a generator that is the same each time.
fn samples(text: &mut String, version: &str, pod: usize, since: i64, every: u64, rate: u64) {
    let mut state = 0x9e37_79b9_u64 ^ (pod as u64 * 7_919);
    let (mut failed, mut total) = (0_u64, 0_u64);
    let mut at = since;
    while at < END {
        for _ in 0..rate * SCRAPE.unsigned_abs() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            total += 1;
            failed += u64::from((state >> 33).is_multiple_of(every));
        }
        let moment = first() + at;
        for (code, count) in [("500", failed), ("200", total - failed)] {
            let labels = format!(
                "rollouts_pod_template_hash=\"{version}\",pod=\"{version}-{pod}\",instance=\"{pod}\",code=\"{code}\""
            );
            writeln!(text, "http_requests_total{{{labels}}} {count} {moment}").unwrap();
        }
        at += SCRAPE;
    }
}

/// Bounds of the histogram; shares of requests that are slower are of a healthy version, and of one that takes half as long again.
const BOUNDS: [(&str, f64, f64); 4] =
    [("0.1", 0.5, 0.75), ("0.25", 0.06, 0.196), ("0.5", 0.004, 0.023), ("1.0", 0.0001, 0.0008)];

/// Ten requests a second, if any.
fn latencies(text: &mut String, version: &str, pod: usize, since: i64, slow: bool, rate: u64) {
    let mut state = 0x51_7cc1_u64 ^ (pod as u64 * 104_729);
    let (mut below, mut all) = ([0_u64; 4], 0_u64);
    for at in (since..END).step_by(5) {
        for _ in 0..rate * SCRAPE.unsigned_abs() {
            let place = uniform(&mut state);
            all += 1;
            for (below, (_, healthy, slower)) in below.iter_mut().zip(BOUNDS) {
                *below += u64::from(place >= if slow { slower } else { healthy });
            }
        }
        let (moment, labels) = (first() + at, labels_of(version, pod));
        for (below, (bound, ..)) in below.iter().zip(BOUNDS) {
            writeln!(text, "http_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {below} {moment}").unwrap();
        }
        writeln!(text, "http_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} {all} {moment}").unwrap();
    }
}

/// A version whose histogram has other bounds.
fn rebucketed(text: &mut String, version: &str, pod: usize, since: i64) {
    for at in (since..END).step_by(5) {
        let (moment, labels, all) = (first() + at, labels_of(version, pod), 10 * (at - since));
        for bound in ["0.2", "+Inf"] {
            writeln!(text, "http_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {all} {moment}").unwrap();
        }
    }
}

/// The memory of a pod: around `mean`, in two parts.
fn memory(text: &mut String, version: &str, pod: usize, since: i64, mean: f64) {
    let mut state = 0x27_d4eb_u64 ^ (pod as u64 * 15_485_863);
    for at in (since..END).step_by(5) {
        let (moment, labels) = (first() + at, labels_of(version, pod));
        for part in ["heap", "stack"] {
            let value = mean / 2.0 * (0.9 + 0.2 * uniform(&mut state));
            writeln!(text, "memory_bytes{{{labels},part=\"{part}\"}} {value:.1} {moment}").unwrap();
        }
    }
}

/// Four stable pods with 0.5 % of failures; one canary of each kind.
async fn prometheus() -> Prometheus {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for pod in 0..4 {
        samples(&mut text, "stable", pod, 0, 200, 10);
    }
    samples(&mut text, "healthy", 4, RELEASE - 60, 200, 10);
    samples(&mut text, "threefold", 5, RELEASE - 60, 67, 10);
    samples(&mut text, "idle", 6, RELEASE - 60, 200, 0);
    for pod in 0..4 {
        latencies(&mut text, "stable", pod, 0, false, 10);
        // Born with the release: there is no history.
        latencies(&mut text, "young", 10 + pod, RELEASE - 30, false, 10);
        memory(&mut text, "stable", pod, RELEASE - 600, 1e6);
    }
    latencies(&mut text, "healthy", 4, RELEASE - 60, false, 10);
    latencies(&mut text, "slow", 5, RELEASE - 60, true, 10);
    latencies(&mut text, "idle", 6, RELEASE - 60, false, 0);
    rebucketed(&mut text, "rebucketed", 7, RELEASE - 60);
    memory(&mut text, "healthy", 4, RELEASE - 60, 1e6);
    memory(&mut text, "heavy", 5, RELEASE - 60, 1.5e6);
    memory(&mut text, "heavy", 6, RELEASE - 60, 1.6e6);
    let file = folder.path().join("series.txt");
    std::fs::write(&file, format!("# TYPE http_requests_total counter\n{text}# EOF\n")).unwrap();
    let data = folder.path().join("data");
    let made =
        Command::new("promtool").args(["tsdb", "create-blocks-from", "openmetrics"]).arg(&file).arg(&data).output();
    let made = made.expect("promtool is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Prometheus::start(folder, &[]).await
}

#[tokio::test]
async fn a_real_prometheus_tells_a_bad_canary_from_a_good_one() {
    let server = prometheus().await;

    let (bad, seconds) = play(run_of(&server, "threefold", json!({}))).await;
    let message = metric(&bad).message.clone().unwrap_or_default();
    assert_eq!(bad.status.as_ref().unwrap().phase, "Failed", "{bad:#?}");
    assert!(seconds <= 900, "{seconds} s: {message}");
    assert!(message.starts_with("canary fails 1.") && message.contains("stable 0.5 % of"), "{message}");
    assert!(message.contains("times as many (false alarm 1 %)"), "{message}");
    let needed: f64 = note(&bad, "logEvidenceNeeded").parse().unwrap();
    assert!(note(&bad, "logEvidenceOfHarm").parse::<f64>().unwrap() >= needed);
    assert!(
        note(&bad, "dispersion").ends_with("between the stable pods before the release"),
        "{}",
        note(&bad, "dispersion")
    );
    assert_eq!(note(&bad, "blockSeconds"), "20");

    let (good, _) = play(run_of(&server, "healthy", json!({}))).await;
    assert_eq!(good.status.as_ref().unwrap().phase, "Successful", "{good:#?}");

    let (open, _) = play(run_of(&server, "healthy", json!({"minimumSamples": 100_000}))).await;
    assert_eq!(open.status.as_ref().unwrap().phase, "Inconclusive", "{open:#?}");
    assert!(metric(&open).message.as_ref().unwrap().contains(" of 100,000 requests so far"), "{open:#?}");

    let (idle, seconds) = play(run_of(&server, "idle", json!({"maximumDuration": "5m"}))).await;
    assert_eq!(idle.status.as_ref().unwrap().phase, "Inconclusive", "{idle:#?}");
    assert!(metric(&idle).message.as_ref().unwrap().starts_with("no traffic: "), "{idle:#?}");
    assert!((300..400).contains(&seconds), "{seconds}");

    let (absent, _) = play(run_of(&server, "misspelt", json!({}))).await;
    assert_eq!(absent.status.as_ref().unwrap().phase, "Error", "{absent:#?}");
    let message = metric(&absent).message.clone().unwrap();
    assert!(message.starts_with("no data of the canary: nothing in Prometheus matches sum(increase("), "{message}");

    let (kayenta, _) = play(run_of(&server, "threefold", json!({"judge": "kayenta"}))).await;
    assert_eq!(kayenta.status.as_ref().unwrap().phase, "Failed", "{kayenta:#?}");
}

#[tokio::test]
async fn latency_is_compared_by_the_buckets_of_a_histogram() {
    let server = prometheus().await;
    let query = json!({"query": "http_request_duration_seconds_bucket"});
    let of = |canary: &str, mut extra: Value| {
        extra["ratio"] = Value::Null;
        extra["histogram"] = query.clone();
        run_of(&server, canary, extra)
    };

    let (bad, seconds) = play(of("slow", json!({}))).await;
    let message = metric(&bad).message.clone().unwrap_or_default();
    assert_eq!(bad.status.as_ref().unwrap().phase, "Failed", "{bad:#?}");
    assert!(seconds <= 300, "{seconds} s: {message}");
    assert!(message.starts_with("canary has ") && message.contains(" requests over 250 ms, stable "), "{message}");
    assert!(message.contains(" times as many") && message.ends_with("(false alarm 1 %)"), "{message}");
    assert!(note(&bad, "logEvidenceOfHarm").parse::<f64>().unwrap() >= 100_f64.ln());
    // A bound is told by its share: 0.1, 0.25 and 0.5, and not the one that nobody reaches.
    let told: Vec<bool> = BOUNDS
        .iter()
        .map(|(bound, ..)| !note(&bad, &format!("over {}", bound.trim_end_matches(".0"))).is_empty())
        .collect();
    assert_eq!(told, [true, true, true, false], "{bad:#?}");
    let bound = note(&bad, "over 0.25");
    assert!(bound.ends_with("between the stable pods before the release"), "{bound}");

    let (good, _) = play(of("healthy", json!({}))).await;
    assert_eq!(good.status.as_ref().unwrap().phase, "Successful", "{good:#?}");
    // What is noted stays small however long the run is: it is written with each measurement.
    let noted = metric(&good).metadata.as_ref().unwrap()["comparisonEvidence"].len();
    assert!(noted < 10_000, "{noted} bytes");
    let (proven, _) = play(of("healthy", json!({"promoteOn": "evidenceOfNoHarm", "tolerate": {"ratio": 3}}))).await;
    assert_eq!(proven.status.as_ref().unwrap().phase, "Successful", "{proven:#?}");
    assert!(metric(&proven).message.as_ref().unwrap().starts_with("evidence of no harm: canary has "), "{proven:#?}");

    let (idle, _) = play(of("idle", json!({"maximumDuration": "5m"}))).await;
    assert_eq!(idle.status.as_ref().unwrap().phase, "Inconclusive", "{idle:#?}");
    assert!(metric(&idle).message.as_ref().unwrap().starts_with("no traffic: "), "{idle:#?}");

    let (absent, _) = play(of("misspelt", json!({}))).await;
    assert_eq!(absent.status.as_ref().unwrap().phase, "Error", "{absent:#?}");
    let message = metric(&absent).message.clone().unwrap();
    assert!(message.starts_with("no data of the canary: nothing in Prometheus matches sum by (le) ("), "{message}");

    let (other, _) = play(of("rebucketed", json!({}))).await;
    assert_eq!(other.status.as_ref().unwrap().phase, "Error", "{other:#?}");
    let message = metric(&other).message.clone().unwrap();
    let expected = "no data of the canary: its histogram has none of the stable version's bounds (0.1, 0.25, 0.5)";
    assert_eq!(message, expected);

    // Without history the bounds are told by the first blocks, and the spread on the way.
    let (young, _) = play(of("slow", json!({"stable": {"rollouts_pod_template_hash": "young"}}))).await;
    assert_eq!(young.status.as_ref().unwrap().phase, "Failed", "{young:#?}");
    assert!(note(&young, "over 0.25").contains("learnt during the release"), "{young:#?}");
    let (none, _) = play(of("slow", json!({"stable": {"rollouts_pod_template_hash": "misspelt"}}))).await;
    assert_eq!(none.status.as_ref().unwrap().phase, "Error", "{none:#?}");
}

#[tokio::test]
async fn gauges_are_compared_by_rank_among_pods() {
    let server = prometheus().await;
    let of = |canary: &str, query: &str, mut extra: Value| {
        extra["ratio"] = Value::Null;
        extra["gauge"] = json!({"query": query});
        run_of(&server, canary, extra)
    };
    let windowed = "max by (pod) (sum by (pod, part) (avg_over_time(memory_bytes[$block])))";
    for query in ["memory_bytes", windowed] {
        let (bad, seconds) = play(of("heavy", query, json!({}))).await;
        let message = metric(&bad).message.clone().unwrap_or_default();
        assert_eq!(bad.status.as_ref().unwrap().phase, "Failed", "{bad:#?}");
        assert!(seconds <= 600, "{seconds} s: {message}");
        assert!(message.ends_with(" pods: more than 1.1 times as much (false alarm 1 %)"), "{message}");
        assert!(message.starts_with("canary has ") && message.contains("in the mean of 4 pods"), "{message}");
    }
    let (summed, _) = play(of("heavy", "memory_bytes", json!({}))).await;
    let mean: f64 = note(&summed, "canary").split(' ').next().unwrap().parse().unwrap();
    assert!((1.5e6..1.6e6).contains(&mean), "both parts of a pod are added, and both pods averaged: {mean}");
    assert_eq!(note(&summed, "blockSeconds"), "60");

    let (good, _) = play(of("healthy", "memory_bytes", json!({}))).await;
    assert_eq!(good.status.as_ref().unwrap().phase, "Successful", "{good:#?}");
    let (proven, seconds) =
        play(of("healthy", "memory_bytes", json!({"promoteOn": "evidenceOfNoHarm", "tolerate": {"ratio": 1.3}}))).await;
    assert_eq!(proven.status.as_ref().unwrap().phase, "Successful", "{proven:#?}");
    assert!(seconds < 900, "it ends as soon as it is known: {seconds}");
    let (open, _) = play(of("healthy", "memory_bytes", json!({"minimumSamples": 1_000}))).await;
    assert_eq!(open.status.as_ref().unwrap().phase, "Inconclusive", "{open:#?}");
    assert!(metric(&open).message.as_ref().unwrap().contains(" of 1,000 blocks so far"), "{open:#?}");
    let (absent, _) = play(of("misspelt", "memory_bytes", json!({}))).await;
    assert_eq!(absent.status.as_ref().unwrap().phase, "Error", "{absent:#?}");
    let message = metric(&absent).message.clone().unwrap();
    assert!(
        message.starts_with("no data of the canary: nothing in Prometheus matches sum by (pod, instance) ("),
        "{message}"
    );
}

#[tokio::test]
async fn nobody_answers() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let begin = Timestamp::from_second(first() + RELEASE).unwrap();
    let providers = Providers::new(ProviderConfig::default());
    for what in [
        json!({"ratio": {"failed": "bad", "total": "all"}}),
        json!({"histogram": {"query": "a_bucket"}}),
        json!({"gauge": {"query": "a"}}),
    ] {
        let run = run_of_address(&address, what);
        let decision = decide(&run, &RunInputs::default(), begin, &RunPolicy::default());
        let outcome = providers.measure(&decision.measure[0], &OneSecret, begin).await;
        assert!(matches!(outcome, analysis::run::MeasureOutcome::NoAnswer { .. }), "{outcome:?}");
    }
}

fn run_of_address(address: &str, what: Value) -> AnalysisRun {
    let mut comparison = json!({"address": address, "canary": {"version": "new"}, "stable": {"version": "old"}});
    comparison.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
    let metric = json!({"name": "errors", "interval": "20s", "provider": {"comparison": comparison}});
    AnalysisRun::new("web-1", serde_json::from_value(json!({"metrics": [metric]})).unwrap())
}
