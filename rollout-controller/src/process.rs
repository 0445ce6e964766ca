//! Series about this process and its build, under the names of the usual client libraries.

use std::fmt::Error;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Ticks of a second in `/proc`: always this many, whatever the kernel counts with.
const TICKS: f64 = 100.0;
/// Bytes of a page on the machines we build for.
const PAGE: i64 = 4096;

/// Made at scrape time from `/proc/self`; where there is none, only the build is told.
#[derive(Debug)]
pub struct Process;

#[derive(Debug, EncodeLabelSet)]
struct Build {
    version: &'static str,
    goarch: &'static str,
}

#[derive(Debug, EncodeLabelSet)]
struct Version {
    version: &'static str,
}

/// The processor as container images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Seconds of work and bytes of memory.
fn usage() -> Option<(f64, i64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold blanks; the numbers come after it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u32>().ok();
    let seconds = (f64::from(number(11)?) + f64::from(number(12)?)) / TICKS;
    let pages: i64 = fields.get(21)?.parse().ok()?;
    Some((seconds, pages.saturating_mul(PAGE)))
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let version = env!("CARGO_PKG_VERSION");
        let mut family = encoder.encode_descriptor("build_info", "What is running", None, MetricType::Gauge)?;
        ConstGauge::new(1_i64).encode(family.encode_family(&Build { version, goarch: architecture() })?)?;
        let mut family =
            encoder.encode_descriptor("argo_rollouts_controller_info", "What is running", None, MetricType::Gauge)?;
        ConstGauge::new(1_i64).encode(family.encode_family(&Version { version })?)?;
        if let Some((seconds, bytes)) = usage() {
            let family =
                encoder.encode_descriptor("process_cpu", "Time of work", Some(&Unit::Seconds), MetricType::Counter)?;
            ConstCounter::new(seconds).encode(family)?;
            let family = encoder.encode_descriptor(
                "process_resident_memory",
                "Memory in use",
                Some(&Unit::Bytes),
                MetricType::Gauge,
            )?;
            ConstGauge::new(bytes).encode(family)?;
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            let family = encoder.encode_descriptor("process_open_fds", "Open files", None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(files.count()).unwrap_or(i64::MAX)).encode(family)?;
        }
        Ok(())
    }
}
