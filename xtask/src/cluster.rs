//! `cargo xtask cluster`: the test cluster by hand. The work is done by `test-cluster` of the `cluster-tests` crate, which the tests use
//! as well.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::command::{cargo, pass_on};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Start what does not run yet (the first time this builds the control plane: about 8 minutes), print the KUBECONFIG line.
    Up,
    /// End it and delete its data.
    Down,
    /// What runs and where; exit code 1 when something does not run.
    Status,
    /// Run a command inside the cluster's network namespace, where pod IPs are reachable.
    Exec {
        /// The command.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

/// Builds `test-cluster` and passes the words on.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    let mut command = cargo(&["run", "--quiet", "--package", "cluster-tests", "--bin", "test-cluster", "--"]);
    match arguments.what {
        What::Up => command.arg("up"),
        What::Down => command.arg("down"),
        What::Status => command.arg("status"),
        What::Exec { command: words } => command.args(["exec", "--"]).args(words),
    };
    pass_on(command)
}
