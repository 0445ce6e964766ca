//! `cargo xtask test`: everything that must hold, in stages, the quick ones first.
//!
//! The Go build of the test cluster (minutes when cold) begins at once beside cargo's. The first failing stage ends the run and the one
//! command that repeats it is printed. The tests on the real cluster come last, so that a good run ends with the test runner's summary.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::command::{cargo, repository};

#[derive(clap::Args)]
pub struct Arguments {
    /// Only these stages.
    #[arg(value_enum)]
    stages: Vec<Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// rustfmt leaves every file as it is.
    Format,
    /// clippy finds nothing in the whole workspace.
    Lints,
    /// Files that are generated are current.
    Generated,
    /// The alert rules of deploy/ fire when their tests say so (promtool).
    Alerts,
    /// Unit, property and scenario tests; no cluster.
    Tests,
    /// Tests on a real Kubernetes API with Prometheus and Traefik (or on the cluster of KUBECONFIG).
    Cluster,
}

impl Stage {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn commands(self) -> Vec<Vec<String>> {
        let one = |line: &str| vec![line.split(' ').map(str::to_owned).collect()];
        match self {
            Self::Format => one("cargo fmt --all --check"),
            Self::Lints => one("cargo clippy --quiet --workspace --all-targets -- -D warnings"),
            Self::Generated => one("cargo xtask crds --check"),
            Self::Alerts => alert_tests()
                .into_iter()
                .map(|path| vec!["promtool".into(), "test".into(), "rules".into(), path])
                .collect(),
            Self::Tests => one("cargo test --workspace --exclude cluster-tests"),
            // These tests wait more than they work: more at a time than there are cores.
            Self::Cluster => one("cargo test --package cluster-tests -- --test-threads=8"),
        }
    }

    fn needs_installed(self) -> bool {
        matches!(self, Self::Alerts | Self::Cluster)
    }
}

/// Runs the stages asked for, or all.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    let stages = if arguments.stages.is_empty() { Stage::value_variants().to_vec() } else { arguments.stages };
    let own_cluster = std::env::var_os("KUBECONFIG").is_none_or(|given| given.is_empty());
    let mut pieces =
        if stages.iter().any(|stage| stage.needs_installed()) { Some(Pieces::begin(own_cluster)?) } else { None };
    let ran_before = state_file().exists();

    for stage in &stages {
        if stage.needs_installed()
            && let Some(pieces) = pieces.take()
        {
            pieces.wait()?;
        }
        let begun = Instant::now();
        for words in stage.commands() {
            println!("\n=== {}: {}", stage.name(), words.join(" "));
            if !execute(&words)? {
                eprintln!("\nFAILED: {}. To repeat it alone: {}", stage.name(), words.join(" "));
                return Ok(ExitCode::FAILURE);
            }
        }
        if Some(stage) != stages.last() {
            println!("=== {}: good, {:.0} s", stage.name(), begun.elapsed().as_secs_f64());
        }
    }
    if own_cluster && stages.contains(&Stage::Cluster) && !ran_before {
        // Quietly: the last words are the test runner's.
        let mut down = cargo(&["run", "--quiet", "--package", "cluster-tests", "--bin", "test-cluster", "--", "down"]);
        let output = down.stdin(Stdio::null()).output().context("end the test cluster")?;
        if !output.status.success() {
            bail!("the test cluster could not be ended: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn execute(words: &[String]) -> Result<bool> {
    let Some((program, rest)) = words.split_first() else { return Ok(true) };
    let mut command = if program == "cargo" { cargo(&[]) } else { Command::new(program) };
    command.args(rest).current_dir(repository());
    Ok(command.status().with_context(|| format!("run {program}"))?.success())
}

/// Where a running test cluster is remembered, see `cluster-tests`.
fn state_file() -> PathBuf {
    let name = std::env::var("ROLLOUTS_CLUSTER_NAME").unwrap_or_else(|_| "run".into());
    repository().join("target/cluster").join(name).join("state.json")
}

/// Unit tests of the alert rules: files of deploy/ whose name ends in `.test.yaml`.
fn alert_tests() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![repository().join("deploy")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().is_some_and(|path| path.ends_with(".test.yaml")) {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// What is installed from packages or built with Go, under way in the background.
struct Pieces {
    child: Child,
    log: PathBuf,
}

impl Pieces {
    fn begin(own_cluster: bool) -> Result<Self> {
        let folder = repository().join("target/cluster");
        fs::create_dir_all(&folder)?;
        let log = folder.join("build.log");
        println!("=== beside this: installing and building what the test cluster needs, log in {}", log.display());
        let scripts = if own_cluster {
            "bash tests/cluster/install.sh && bash tests/cluster/build.sh"
        } else {
            "bash tests/cluster/install.sh"
        };
        let file = File::create(&log)?;
        let child = Command::new("sh")
            .args(["-c", scripts])
            .current_dir(repository())
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        Ok(Self { child, log })
    }

    fn wait(mut self) -> Result<()> {
        let begun = Instant::now();
        let status = self.child.wait()?;
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        print!("{text}");
        if !status.success() {
            bail!(
                "the pieces of the test cluster could not be installed or built; to repeat it: cargo xtask cluster up"
            );
        }
        let waited = begun.elapsed().as_secs_f64();
        if waited > 1.0 {
            println!("=== waited {waited:.0} s for the pieces of the test cluster");
        }
        Ok(())
    }
}
