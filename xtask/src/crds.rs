//! `cargo xtask crds`: the CRDs in `deploy/crds`, written by the `crds` crate from its types.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::command::{cargo, repository};

#[derive(clap::Args)]
pub struct Arguments {
    /// Change nothing; fail when a file is stale.
    #[arg(long)]
    check: bool,
}

/// Writes the files, or compares them.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let checked_in = repository().join("deploy/crds");
    if !arguments.check {
        generate(&checked_in)?;
        return Ok(ExitCode::SUCCESS);
    }
    let fresh = tempfile::tempdir()?;
    generate(fresh.path())?;
    let (fresh, checked_in) = (contents(fresh.path())?, contents(&checked_in)?);
    let names: std::collections::BTreeSet<_> = fresh.keys().chain(checked_in.keys()).collect();
    let stale: Vec<_> = names.into_iter().filter(|name| fresh.get(*name) != checked_in.get(*name)).collect();
    for name in &stale {
        eprintln!("deploy/crds/{name} is stale: run `cargo xtask crds` and commit it");
    }
    Ok(if stale.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn generate(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let status = cargo(&["run", "--quiet", "--package", "crds", "--bin", "crds-yaml", "--"])
        .arg(folder)
        .status()
        .context("run cargo")?;
    if !status.success() {
        bail!("the crds crate did not write its definitions");
    }
    Ok(())
}

fn contents(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if let Some(name) = path.file_name() {
            files.insert(name.to_string_lossy().into_owned(), fs::read(&path)?);
        }
    }
    Ok(files)
}
