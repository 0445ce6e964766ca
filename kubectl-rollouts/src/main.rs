//! The kubectl plugin's entry point: reads the command line, runs it, turns the outcome into an exit code.

#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;

use kubectl_rollouts::cli::Cli;
use kubectl_rollouts::{Error, Terminal, commands, names};

fn main() -> ExitCode {
    // kube leaves the choice of cryptography to the program. It fails only when one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let name = names::called_by(&std::env::args().next().unwrap_or_default());
    let cli = match Cli::read(name, std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("Error: could not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut terminal = Terminal::standard();
    match runtime.block_on(commands::run(name, cli, &mut terminal)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = terminal.complain(&format!("Error: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}
