//! A program run inside the cluster's network namespace for the time of a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

use crate::state::signal_pid;

/// A running program; killed when dropped. Its output goes to a file, printed when the test panics.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts `command` with its output in `logs/NAME-N.log` of `folder`.
    pub(crate) fn start(mut command: std::process::Command, name: &str, folder: &Path) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let logs = folder.join("logs");
        fs::create_dir_all(&logs)?;
        let log = logs.join(format!("{name}-{}-{}.log", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        let file = fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = Command::from(command).kill_on_drop(true).spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { child, log })
    }

    /// Its pid, while it has not been seen to end.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// `kill -9`; returns when it is gone.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// `SIGTERM`, as Kubernetes ends a pod; returns how it ended, an error when it still runs at the deadline.
    pub async fn terminate(mut self, deadline: Duration) -> Result<ExitStatus> {
        if let Some(pid) = self.child.id() {
            signal_pid(pid, "TERM");
        }
        let ended = tokio::time::timeout(deadline, self.child.wait()).await;
        Ok(ended.with_context(|| format!("still running {deadline:?} after SIGTERM"))??)
    }

    /// Whether it has ended by itself, and how.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Resident memory in bytes.
    pub fn rss(&self) -> Result<u64> {
        let pid = self.pid().context("it has ended")?;
        let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes * 1024)
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = self.log();
            let tail: Vec<&str> = text.lines().rev().take(40).collect();
            eprintln!("--- end of {}", self.log.display());
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}
