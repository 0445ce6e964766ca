//! `completion`: the script with which a shell completes our commands.

use clap_complete::{Shell, generate};

use crate::cli;
use crate::errors::Error;
use crate::terminal::Terminal;

/// Prints the script for the program under the name it was called by.
///
/// # Errors
/// The output is gone.
pub fn run(name: &'static str, shell: cli::Shell, terminal: &mut Terminal) -> Result<(), Error> {
    let shell = match shell {
        cli::Shell::Bash => Shell::Bash,
        cli::Shell::Zsh => Shell::Zsh,
        cli::Shell::Fish => Shell::Fish,
        cli::Shell::Powershell => Shell::PowerShell,
    };
    let mut script = Vec::new();
    generate(shell, &mut cli::grammar(name), name, &mut script);
    Ok(terminal.write(&String::from_utf8_lossy(&script))?)
}
