//! `cargo xtask demo`: the controller's own demo.

use std::process::ExitCode;

use anyhow::Result;

use crate::command::{cargo, pass_on};

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    /// Passed on to `rollout-controller demo`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Builds the controller and runs `rollout-controller demo` with the arguments given.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    let mut command =
        cargo(&["run", "--quiet", "--package", "rollout-controller", "--bin", "rollout-controller", "--", "demo"]);
    command.args(arguments.rest);
    pass_on(command)
}
