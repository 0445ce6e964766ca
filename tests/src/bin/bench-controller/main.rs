//! What the controller costs and how fast it reacts, measured on the real test cluster: run by `cargo xtask bench controller`.
//!
//! | number | how it is measured |
//! |---|---|
//! | `binary_mb` | size of the program file as it was built (stripped when it is the release build) |
//! | `idle_rss_mb` | resident memory three seconds after it was ready, in a namespace without objects; greatest of the starts |
//! | `start_ms` | from starting the process until `/readyz` answers 200, leader election on; median of five |
//! | `api_requests_per_canary` | requests in the audit log from the new image until the old ReplicaSet is scaled down |
//! | `abort_reaction_p50_ms` | from the API server receiving the failed measurement until it has answered the Ingress' weight 0 |
//!
//! Invariants: a megabyte is 10⁶ bytes; nothing is counted for the controller that is not in the audit log; the only requests left out
//! are leases, and lists and watches (they belong to the start).

// A benchmark ends by panicking when what it measures does not happen, as a test does.
#![allow(clippy::panic)]

mod abort;
mod canary;
mod footprint;

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use cluster_tests::Cluster;
use serde_json::json;

use canary::Requests;

/// Everything measured.
struct Report {
    binary_mb: f64,
    idle_rss_mb: f64,
    start_ms: f64,
    requests: Requests,
    abort_ms: Vec<f64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [] => measure().await.map(|report| print!("{}", table(&report))),
        ["--json"] => measure().await.map(|report| println!("{}", object(&report))),
        [footprint::PROBE, port] => footprint::probe(port).await,
        _ => Err(anyhow::anyhow!("usage: cargo xtask bench controller [--json]")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Result<Report> {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("the benchmark") {
        bail!("only the test cluster has the audit log that this counts in");
    }
    let program = cluster_tests::binary("rollout-controller", "rollout-controller")?;
    eprintln!("measuring size, memory and start");
    let footprint = footprint::measure(cluster, &program).await?;
    let (binary, memory, start) = (footprint.binary_mb, footprint.idle_rss_mb, footprint.start_ms);
    eprintln!("  {binary:.1} MB, {memory:.1} MB, {start:.0} ms");
    eprintln!("counting the requests of a canary (about a minute)");
    let requests = canary::measure(cluster).await?;
    eprintln!("  {}", requests.total());
    eprintln!("aborting {} releases", abort::TIMES);
    let abort_ms = abort::measure(cluster).await?;
    Ok(Report {
        binary_mb: footprint.binary_mb,
        idle_rss_mb: footprint.idle_rss_mb,
        start_ms: footprint.start_ms,
        requests,
        abort_ms,
    })
}

/// The middle one; of an even number the greater of the two in the middle.
fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn object(report: &Report) -> serde_json::Value {
    json!({
        "binary_mb": rounded(report.binary_mb),
        "idle_rss_mb": rounded(report.idle_rss_mb),
        "start_ms": rounded(report.start_ms),
        "api_requests_per_canary": report.requests.total(),
        "abort_reaction_p50_ms": rounded(median(&report.abort_ms)),
    })
}

fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn table(report: &Report) -> String {
    let requests = u32::try_from(report.requests.total()).map_or(f64::INFINITY, f64::from);
    let mut out = format!("{:<42} {:>9} {:>9}\n", "", "measured", "at most");
    for (what, unit, number, bar) in [
        ("release binary", "MB", report.binary_mb, 25.0),
        ("memory without objects", "MB", report.idle_rss_mb, 20.0),
        ("ready after start", "ms", report.start_ms, 1_000.0),
        ("API requests per canary", "", requests, 24.0),
        ("failed measurement to 100 % stable, median", "ms", median(&report.abort_ms), 50.0),
    ] {
        let verdict = if number <= bar { "" } else { "  above" };
        let _ = writeln!(out, "{what:<42} {:>6} {unit:<2} {bar:>6} {unit:<2}{verdict}", rounded(number));
    }
    let mut sorted = report.abort_ms.clone();
    sorted.sort_by(f64::total_cmp);
    let all: Vec<String> = sorted.iter().map(|ms| format!("{ms:.1}")).collect();
    let _ = writeln!(out, "\nreactions in ms: {}", all.join(" "));
    let _ = writeln!(out, "\nrequests of the canary:");
    for (kind, count) in report.requests.by_kind() {
        let _ = writeln!(out, "{count:>5}  {kind}");
    }
    let _ = writeln!(out, "\nin order:");
    for line in report.requests.lines() {
        let _ = writeln!(out, "  {line}");
    }
    out
}
