//! One file for each verb. A verb gets a session and a terminal, and says at the end whether it did what was asked.

pub mod abort;
pub mod completion;
pub mod eval;
pub mod get;
pub mod get_experiment;
pub mod lint;
pub mod list;
pub mod list_experiments;
pub mod pause;
pub mod promote;
pub mod restart;
pub mod resume;
pub mod retry;
pub mod set_image;
pub mod status;
pub mod terminate;
pub mod undo;
pub mod version;
pub mod workload;

use std::future::Future;

use crate::cli::{Cli, Command, Get, List, Retry, Set, Terminate};
use crate::errors::Error;
use crate::session::Session;
use crate::terminal::Terminal;

/// Carries out a command line of the program called `name`.
///
/// # Errors
/// What was asked was not done.
pub async fn run(name: &'static str, cli: Cli, terminal: &mut Terminal) -> Result<(), Error> {
    match cli.command {
        Command::Completion { shell } => completion::run(name, shell, terminal),
        Command::Eval(eval) => eval::run(&eval, terminal),
        Command::Lint(lint) if !lint.filename.is_empty() => lint::files(&lint, terminal),
        Command::Version(version) => version::run(name, &version, terminal),
        command => with_session(&cli.connection.session().await?, command, terminal).await,
    }
}

/// Carries out a command that needs the cluster.
///
/// # Errors
/// What was asked was not done.
pub async fn with_session(session: &Session, command: Command, terminal: &mut Terminal) -> Result<(), Error> {
    match command {
        Command::Abort(names) => each(&names.names, terminal, |name| abort::run(session, name)).await,
        Command::Get(Get::Rollout(get)) => get::run(session, &get, terminal).await,
        Command::Get(Get::Experiment(get)) => get_experiment::run(session, &get, terminal).await,
        Command::List(List::Experiments(list)) => list_experiments::run(session, &list, terminal).await,
        Command::List(List::Rollouts(list)) => list::run(session, &list, terminal).await,
        Command::Lint(lint) => lint::cluster(session, &lint, terminal).await,
        Command::Pause(names) => each(&names.names, terminal, |name| pause::run(session, name)).await,
        Command::Promote(promote) => {
            let how = promote::How::of(&promote);
            each(&promote.names, terminal, |name| promote::run(session, name, how)).await
        }
        Command::Restart(restart) => {
            let after = restart.after.unwrap_or_default();
            each(&restart.names, terminal, |name| restart::run(session, name, after)).await
        }
        Command::Resume(names) => each(&names.names, terminal, |name| resume::run(session, name)).await,
        Command::Retry(Retry::Rollout(names)) => each(&names.names, terminal, |name| retry::run(session, name)).await,
        Command::Retry(Retry::Experiment(names)) => {
            each(&names.names, terminal, |name| retry::experiment(session, name)).await
        }
        Command::Terminate(Terminate::AnalysisRun(names)) => {
            each(&names.names, terminal, |name| terminate::analysis_run(session, name)).await
        }
        Command::Terminate(Terminate::Experiment(names)) => {
            each(&names.names, terminal, |name| terminate::experiment(session, name)).await
        }
        Command::Set(Set::Image(set)) => {
            terminal.line(&set_image::run(session, &set.name, &set.images).await?).map_err(Error::from)
        }
        Command::Status(status) => status::run(session, &status, terminal).await,
        Command::Undo(undo) => {
            terminal.line(&Box::pin(undo::run(session, &undo.name, undo.to_revision)).await?).map_err(Error::from)
        }
        Command::Completion { .. } | Command::Eval(_) | Command::Version(_) => {
            Err(Error::Request("this command does not use the cluster".to_owned()))
        }
    }
}

/// Does the same to each object. One that fails does not keep the others from their turn.
async fn each<'a, F>(names: &'a [String], terminal: &mut Terminal, verb: impl Fn(&'a str) -> F) -> Result<(), Error>
where
    F: Future<Output = Result<String, Error>>,
{
    let mut failures = Vec::new();
    for name in names {
        match verb(name).await {
            Ok(told) => terminal.line(&told)?,
            Err(error) => failures.push(error),
        }
    }
    match failures.len() {
        0 => Ok(()),
        _ if names.len() == 1 => Err(failures.swap_remove(0)),
        failed => {
            for error in &failures {
                terminal.complain(&format!("Error: {error}"))?;
            }
            Err(Error::Several { failed, all: names.len() })
        }
    }
}
