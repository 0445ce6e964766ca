//! What is running, remembered in `state.json` between commands.
//!
//! A process is known by pid *and* start time, so that a pid used again by a stranger is never mistaken for ours.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The ports of the cluster, the same inside its network namespace and outside, on 127.0.0.1.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ports {
    /// Kubernetes API, https.
    pub api: u16,
    /// Prometheus, http.
    pub prometheus: u16,
    /// Traefik's entry point, http.
    pub traefik: u16,
}

impl Ports {
    /// The preferred ports (`ROLLOUTS_CLUSTER_{API,PROMETHEUS,TRAEFIK}_PORT`, or 36443, 39090, 38080), each replaced by a free one when it
    /// is taken. The listeners are returned so that nobody takes them in between.
    pub(crate) fn reserve() -> Result<(Self, [TcpListener; 3])> {
        let (api, a) = listen("API", 36443)?;
        let (prometheus, b) = listen("PROMETHEUS", 39090)?;
        let (traefik, c) = listen("TRAEFIK", 38080)?;
        Ok((Self { api, prometheus, traefik }, [a, b, c]))
    }
}

fn listen(what: &str, preferred: u16) -> Result<(u16, TcpListener)> {
    let wanted = match std::env::var(format!("ROLLOUTS_CLUSTER_{what}_PORT")) {
        Ok(text) => text.parse().with_context(|| format!("ROLLOUTS_CLUSTER_{what}_PORT: {text}"))?,
        Err(_) => preferred,
    };
    let listener = TcpListener::bind(("127.0.0.1", wanted)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
    Ok((listener.local_addr()?.port(), listener))
}

/// One process of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Start time in clock ticks since boot, field 22 of `/proc/PID/stat`.
    pub(crate) started: u64,
}

impl Process {
    /// The process that has this pid now.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let (_, started) = stat(pid).with_context(|| format!("process {pid} ended at once"))?;
        Ok(Self { pid, started })
    }

    /// Whether it still runs; a zombie does not.
    pub(crate) fn alive(&self) -> bool {
        stat(self.pid).is_some_and(|(state, started)| started == self.started && state != 'Z' && state != 'X')
    }

    /// Sends the signal, if the process still is the one recorded.
    pub(crate) fn signal(&self, signal: &str) {
        if self.alive() {
            signal_pid(self.pid, signal);
        }
    }
}

/// Sends a signal by the shell's own `kill`, which every machine has.
pub(crate) fn signal_pid(pid: u32, signal: &str) {
    let _ = std::process::Command::new("sh").args(["-c", &format!("kill -{signal} {pid} 2>/dev/null")]).status();
}

fn stat(pid: u32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself hold spaces and parentheses.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// The cluster as last started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// Its ports.
    pub ports: Ports,
    /// Where the built control plane lies.
    pub(crate) binaries: PathBuf,
    /// Traefik's program.
    pub(crate) traefik: PathBuf,
    pub(crate) processes: BTreeMap<String, Process>,
}

impl State {
    pub(crate) fn load(run: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(run.join("state.json")).ok()?).ok()
    }

    pub(crate) fn save(&self, run: &Path) -> Result<()> {
        // Written aside and renamed: a reader never sees half of it.
        let part = run.join("state.json.part");
        fs::write(&part, serde_json::to_vec_pretty(self)?)?;
        Ok(fs::rename(part, run.join("state.json"))?)
    }

    pub(crate) fn alive(&self, name: &str) -> bool {
        self.processes.get(name).is_some_and(Process::alive)
    }
}
