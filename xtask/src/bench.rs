//! `cargo xtask bench`: the numbers that we promise, measured.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::command::{cargo, pass_on};

/// Environment variable by which the tests' programs are given another controller than their own build of it.
const CONTROLLER: &str = "ROLLOUT_CONTROLLER_BIN";

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Size, memory, start, API requests per canary and reaction to a failed analysis, on the real test cluster.
    Controller {
        /// One JSON object instead of the table.
        #[arg(long)]
        json: bool,
    },
    /// The time of one decision about a rollout of ten steps with twelve ReplicaSets.
    Decide,
    /// How many healthy releases each judgement aborts, how many bad ones it finds and how soon; and the time of one look.
    Analysis {
        /// One JSON object instead of the tables.
        #[arg(long)]
        json: bool,
        /// Releases per row.
        #[arg(long, default_value_t = 20_000)]
        releases: u32,
    },
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    match arguments.what {
        What::Analysis { json, releases } => analysis(json, releases),
        What::Controller { json } => controller(json),
        What::Decide => pass_on(cargo(&["bench", "--quiet", "--package", "strategy", "--bench", "decide"])),
    }
}

/// Runs the benches of the `analysis` crate: the time of one look, then the releases.
fn analysis(json: bool, releases: u32) -> Result<ExitCode> {
    if !json {
        let looks = pass_on(cargo(&["bench", "--quiet", "--package", "analysis", "--bench", "comparison"]))?;
        if looks != ExitCode::SUCCESS {
            return Ok(looks);
        }
    }
    let mut command = cargo(&["bench", "--quiet", "--package", "analysis", "--bench", "operating", "--", "--releases"]);
    command.arg(releases.to_string());
    if json {
        command.arg("--json");
    }
    pass_on(command)
}

/// Builds the release controller and runs `bench-controller` of the `cluster-tests` crate with it.
fn controller(json: bool) -> Result<ExitCode> {
    let mut command = cargo(&["run", "--quiet", "--package", "cluster-tests", "--bin", "bench-controller", "--"]);
    if std::env::var_os(CONTROLLER).is_none() {
        command.env(CONTROLLER, build_release()?);
    }
    if json {
        command.arg("--json");
    }
    pass_on(command)
}

fn build_release() -> Result<PathBuf> {
    const NAME: &str = "rollout-controller";
    let running = std::env::current_exe()?;
    let target = running.parent().and_then(|profile| profile.parent()).context("no target folder")?;
    eprintln!("building the release controller (the first time this takes minutes)");
    let mut build = cargo(&["build", "--quiet", "--release", "--package", NAME, "--bin", NAME, "--target-dir"]);
    if !build.arg(target).status().context("run cargo")?.success() {
        bail!("cargo build --release --package {NAME} failed");
    }
    Ok(target.join("release").join(NAME))
}
