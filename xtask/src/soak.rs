//! `cargo xtask soak`: releases at random for some minutes, with the laws checked at every state.

use std::process::ExitCode;

use anyhow::Result;

use crate::command::{cargo, pass_on};

#[derive(clap::Args)]
pub struct Arguments {
    /// How long to look for violations.
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u64,
    /// Play one seed again, as a violation was reported with it.
    #[arg(long, value_name = "SEED", conflicts_with = "minutes")]
    seed: Option<u64>,
}

/// Plays new seeds for that long. Ends with the number of rollouts and violations; good when there are none.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut command = cargo(&["test", "--quiet", "--package", "strategy", "--test", "soak"]);
    command.args(["--", "--nocapture"]);
    match arguments.seed {
        Some(seed) => command.env("SOAK_SEED", seed.to_string()),
        None => command.env("SOAK_MINUTES", arguments.minutes.to_string()),
    };
    pass_on(command)
}
