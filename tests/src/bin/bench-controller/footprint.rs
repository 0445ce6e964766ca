//! Size of the program, and memory and time of a start on a namespace without objects.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use cluster_tests::{Cluster, User, eventually};

/// First argument of this program when it is the one that waits for `/readyz` inside the cluster's network.
pub const PROBE: &str = "probe";

const STARTS: usize = 5;
/// Port of `/readyz` inside the cluster's own network.
const PORT: &str = "28080";
const DEADLINE: Duration = Duration::from_mins(1);
/// How long after it was ready the memory is read: what only the start needed has been given back, or never will be.
const SETTLED: Duration = Duration::from_secs(3);

/// What was measured.
pub struct Footprint {
    pub binary_mb: f64,
    pub idle_rss_mb: f64,
    pub start_ms: f64,
}

pub async fn measure(cluster: &Cluster, program: &Path) -> Result<Footprint> {
    let size = std::fs::metadata(program).with_context(|| program.display().to_string())?.len();
    let (mut starts, mut memory) = (Vec::new(), 0u64);
    for _ in 0..STARTS {
        let (ms, rss) = start(cluster).await?;
        starts.push(ms);
        memory = memory.max(rss);
    }
    Ok(Footprint { binary_mb: megabytes(size), idle_rss_mb: megabytes(memory), start_ms: crate::median(&starts) })
}

#[allow(clippy::cast_precision_loss)]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// One start: milliseconds until ready, and bytes of memory a little later.
async fn start(cluster: &Cluster) -> Result<(f64, u64)> {
    let ns = cluster.fast_namespace("bench-idle").await;
    let probe = cluster.spawn(&std::env::current_exe()?, &[PROBE, PORT], User::Admin, "bench-probe")?;
    eventually(
        "the probe runs",
        DEADLINE,
        async || {
            if probe.log().contains("waiting") { Ok(()) } else { Err(probe.log()) }
        },
    )
    .await;
    let begun = SystemTime::now();
    let mut controller = cluster.spawn_controller(&[
        "--namespaced",
        "--namespace",
        ns.name(),
        "--leader-election-namespace",
        "argo-rollouts",
        "--metricsport=0",
        &format!("--healthzPort={PORT}"),
    ]);
    let ready = eventually("the controller is ready", DEADLINE, async || {
        let log = probe.log();
        let ready = log.lines().find_map(|line| line.strip_prefix("ready ")?.parse::<u64>().ok());
        ready.ok_or_else(|| format!("{log}\n{}", controller.log()))
    })
    .await;
    tokio::time::sleep(SETTLED).await;
    if let Some(status) = controller.ended()? {
        bail!("the controller ended ({status}):\n{}", controller.log());
    }
    let rss = controller.rss()?;
    controller.terminate(DEADLINE).await?;
    let ready = UNIX_EPOCH + Duration::from_micros(ready);
    Ok((ready.duration_since(begun).unwrap_or_default().as_secs_f64() * 1e3, rss))
}

/// Asks for `/readyz` every two milliseconds and writes down the moment (microseconds of Unix time) of the first 200.
pub async fn probe(port: &str) -> Result<()> {
    cluster_tests::install_tls();
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1)).build()?;
    let url = format!("http://127.0.0.1:{port}/readyz");
    println!("waiting");
    loop {
        if client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!("ready {}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros());
    Ok(())
}
