//! The private network namespace: held by a sleeping process, entered with `nsenter`.
//!
//! AnyIP makes every pod's IP local in it, so one server on 0.0.0.0 answers for all pods. Without root a user namespace is made as well.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::state::{Process, signal_pid};

/// The addresses that pods get; kwok hands them out, the namespace answers for them.
pub(crate) const POD_CIDR: &str = "10.244.0.0/16";

fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|text| {
        text.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
    })
}

/// Makes the namespace and the routes in it.
pub(crate) fn create() -> Result<Process> {
    let flags = if is_root() { "-n" } else { "-rn" };
    let child = Command::new("unshare")
        .args([flags, "sleep", "infinity"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("start unshare (Debian package util-linux)")?;
    let holder = Process::of(child.id())?;
    let begun = Instant::now();
    // The namespace exists once unshare has become sleep.
    while fs::read_to_string(format!("/proc/{}/comm", holder.pid)).ok().as_deref().map(str::trim) != Some("sleep") {
        if !holder.alive() || begun.elapsed() > Duration::from_secs(5) {
            bail!("cannot make a network namespace here: `unshare {flags} true` must work");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    for args in [&["link", "set", "lo", "up"][..], &["route", "add", "local", POD_CIDR, "dev", "lo"]] {
        let output = enter(&holder, "ip").args(args).output().context("run ip (Debian package iproute2)")?;
        if !output.status.success() {
            signal_pid(holder.pid, "KILL");
            bail!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
    }
    Ok(holder)
}

/// A command that runs `program` inside the namespace; `nsenter` becomes the program, so the pid is the program's own.
pub(crate) fn enter(holder: &Process, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["-t", &holder.pid.to_string(), "-n"]);
    if !is_root() {
        command.args(["-U", "--preserve-credentials"]);
    }
    command.arg("--").arg(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// Ends every process that lives in the namespace: whatever it is, it was started into it by us.
pub(crate) fn end_all(holder: &Process) {
    let link = |pid: &str| -> Option<PathBuf> { fs::read_link(format!("/proc/{pid}/ns/net")).ok() };
    let (Some(ours), Some(theirs)) = (link("self"), link(&holder.pid.to_string())) else { return };
    if !holder.alive() || ours == theirs {
        return;
    }
    let Ok(entries) = fs::read_dir("/proc") else { return };
    for pid in
        entries.flatten().filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()))
    {
        if pid != holder.pid && link(&pid.to_string()).as_ref() == Some(&theirs) {
            signal_pid(pid, "KILL");
        }
    }
    holder.signal("KILL");
}
