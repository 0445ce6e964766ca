//! Programs of this workspace that a test runs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

/// Programs known to be current; held while one is built.
static CURRENT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The path of the program `name` of `package`, built first (once in a test run) if it is not current, in the profile and target folder of the running
/// program. An environment variable in capitals (`ROLLOUT_CONTROLLER_BIN`) gives another one instead.
pub fn binary(package: &str, name: &str) -> Result<PathBuf> {
    if let Ok(given) = std::env::var(format!("{}_BIN", name.replace('-', "_").to_uppercase())) {
        return Ok(given.into());
    }
    let profile = profile_dir()?;
    let target = profile.parent().context("the target folder has no parent")?;
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    if current.contains(name) {
        return Ok(profile.join(name));
    }
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", package, "--bin", name, "--target-dir"]).arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(crate::repository()).status().context("run cargo")?;
    if !status.success() {
        bail!("cargo build --package {package} --bin {name} failed");
    }
    current.insert(name.to_owned());
    Ok(profile.join(name))
}

/// The program that serves pods and forwards ports: this crate's own `test-cluster`.
pub(crate) fn helper() -> Result<PathBuf> {
    const NAME: &str = "test-cluster";
    let running = std::env::current_exe()?;
    if running.file_name().is_some_and(|name| name == NAME) {
        return Ok(running);
    }
    // Cargo builds a package's programs before its integration tests run.
    let beside = profile_dir()?.join(NAME);
    if beside.exists() { Ok(beside) } else { binary("cluster-tests", NAME) }
}

fn profile_dir() -> Result<PathBuf> {
    let running = std::env::current_exe()?;
    let folder = running.parent().context("the program has no folder")?;
    let folder = if folder.ends_with("deps") || folder.ends_with("examples") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    Ok(folder.to_path_buf())
}
