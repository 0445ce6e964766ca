//! The command line: what can be said, in kubectl's and Argo's words.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::connect::{Connection, duration};
use crate::names;

/// See and steer Rollouts
#[derive(Parser, Clone, Debug)]
#[command(name = names::OWN, disable_version_flag = true, disable_help_subcommand = true, infer_long_args = false)]
pub struct Cli {
    /// How to reach the cluster.
    #[command(flatten)]
    pub connection: Connection,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads a command line of the program called by this name.
    ///
    /// # Errors
    /// Help, or what does not fit; clap's own form, to be printed.
    pub fn read(
        name: &'static str,
        arguments: impl IntoIterator<Item = std::ffi::OsString>,
    ) -> Result<Self, clap::Error> {
        let matches = grammar(name).try_get_matches_from(arguments)?;
        Self::from_arg_matches(&matches)
    }
}

/// The grammar under one of the program's names.
pub fn grammar(name: &'static str) -> clap::Command {
    Cli::command().name(name).bin_name(names::typed(name))
}

/// A verb.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Take a release back: traffic and pods go to the stable version
    Abort(Names),
    /// Print the completion script of a shell
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Try a condition on a value, as an analysis would
    Eval(Eval),
    /// Show one object and all that belongs to it
    #[command(subcommand)]
    Get(Get),
    /// Tell what is wrong with AnalysisTemplates: fields that do not fit, and PromQL that judges nothing
    Lint(Lint),
    /// List objects
    #[command(subcommand)]
    List(List),
    /// Hold a release at the place where it is
    Pause(Names),
    /// Go on: past a pause, past a step, or straight to the end
    Promote(Promote),
    /// Replace all pods, a few at a time, without a new revision
    Restart(Restart),
    /// Go on after a pause, and only then: no step is skipped
    Resume(Names),
    /// Try an aborted release again
    #[command(subcommand)]
    Retry(Retry),
    /// Change a field of a Rollout
    #[command(subcommand)]
    Set(Set),
    /// Tell how a release stands, and wait for its end
    Status(Status),
    /// End an Experiment or an AnalysisRun before its time
    #[command(subcommand)]
    Terminate(Terminate),
    /// Go back to the pod template of an earlier revision
    Undo(Undo),
    /// Print the version
    Version(Version),
}

/// One or more Rollouts.
#[derive(Args, Clone, Debug)]
pub struct Names {
    /// Names of Rollouts
    #[arg(required = true, value_name = "ROLLOUT")]
    pub names: Vec<String>,
}

/// `eval`. The exit code tells the verdict: 0 Successful, 2 Failed, 3 Inconclusive, 1 an error.
#[derive(Args, Clone, Debug)]
pub struct Eval {
    /// The successCondition, such as 'result[0] < 0.01'
    #[arg(value_name = "CONDITION")]
    pub condition: Option<String>,
    /// The failureCondition
    #[arg(long, value_name = "CONDITION")]
    pub failure_condition: Option<String>,
    /// The provider's value as JSON, or NaN, +Inf, -Inf, nil
    #[arg(
        long,
        value_name = "JSON",
        allow_hyphen_values = true,
        conflicts_with = "value_file",
        required_unless_present = "value_file"
    )]
    pub value: Option<String>,
    /// A file with that value; - for the standard input
    #[arg(long, value_name = "FILE")]
    pub value_file: Option<PathBuf>,
}

/// `lint`.
#[derive(Args, Clone, Debug)]
pub struct Lint {
    /// Files with AnalysisTemplates, ClusterAnalysisTemplates or AnalysisRuns; without any, the templates on the cluster
    #[arg(short, long, value_name = "FILE")]
    pub filename: Vec<PathBuf>,
    /// How often Prometheus scrapes
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub scrape_interval: Duration,
}

/// What to get.
#[derive(Subcommand, Clone, Debug)]
pub enum Get {
    /// Show a Rollout as a tree of revisions, ReplicaSets, pods and analyses
    #[command(visible_aliases = ["ro", "rollouts"])]
    Rollout(GetRollout),
    /// Show an Experiment as a tree of its versions and analyses
    #[command(visible_aliases = ["exp", "experiments"])]
    Experiment(GetExperiment),
}

/// `get experiment`.
#[derive(Args, Clone, Debug)]
pub struct GetExperiment {
    /// Name of the Experiment
    #[arg(value_name = "EXPERIMENT")]
    pub name: String,
    /// Keep showing changes
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", action = ArgAction::Set, value_name = "BOOL")]
    pub watch: bool,
    /// Never use colours
    #[arg(long)]
    pub no_color: bool,
}

/// `get rollout`.
#[derive(Args, Clone, Debug)]
pub struct GetRollout {
    /// Name of the Rollout
    #[arg(value_name = "ROLLOUT")]
    pub name: String,
    /// Keep showing changes
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", action = ArgAction::Set, value_name = "BOOL")]
    pub watch: bool,
    /// Never use colours
    #[arg(long)]
    pub no_color: bool,
    /// End watching after this many seconds; 0 for never
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub timeout_seconds: u64,
}

/// What to list.
#[derive(Subcommand, Clone, Debug)]
pub enum List {
    /// List Rollouts, one line each
    #[command(visible_aliases = ["ro", "rollout"])]
    Rollouts(ListRollouts),
    /// List Experiments, one line each
    #[command(visible_aliases = ["exp", "experiment"])]
    Experiments(ListExperiments),
}

/// `list experiments`.
#[derive(Args, Clone, Debug)]
pub struct ListExperiments {
    /// Those of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
}

/// `list rollouts`.
#[derive(Args, Clone, Debug)]
pub struct ListRollouts {
    /// Only the Rollout of this name
    #[arg(long, value_name = "ROLLOUT")]
    pub name: Option<String>,
    /// Those of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Keep listing those that change
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", action = ArgAction::Set, value_name = "BOOL")]
    pub watch: bool,
    /// Begin each line with the time
    #[arg(long)]
    pub timestamps: bool,
}

/// `promote`.
#[derive(Args, Clone, Debug)]
pub struct Promote {
    /// Names of Rollouts
    #[arg(required = true, value_name = "ROLLOUT")]
    pub names: Vec<String>,
    /// Skip all steps, pauses and analyses
    #[arg(long)]
    pub full: bool,
    /// Skip the current step
    #[arg(short = 'c', long, conflicts_with_all = ["full", "skip_all_steps"])]
    pub skip_current_step: bool,
    /// Skip all steps that are left
    #[arg(short = 'a', long, conflicts_with = "full")]
    pub skip_all_steps: bool,
}

/// `restart`.
#[derive(Args, Clone, Debug)]
pub struct Restart {
    /// Names of Rollouts
    #[arg(required = true, value_name = "ROLLOUT")]
    pub names: Vec<String>,
    /// How long from now, such as 10s, 5m, 1h
    #[arg(short = 'i', long = "in", value_name = "DURATION", value_parser = duration)]
    pub after: Option<Duration>,
}

/// What to retry.
#[derive(Subcommand, Clone, Debug)]
pub enum Retry {
    /// Try an aborted Rollout again
    #[command(visible_aliases = ["ro", "rollouts"])]
    Rollout(Names),
    /// Run an Experiment again from its beginning
    #[command(visible_aliases = ["exp", "experiments"])]
    Experiment(ExperimentNames),
}

/// One or more Experiments.
#[derive(Args, Clone, Debug)]
pub struct ExperimentNames {
    /// Names of Experiments
    #[arg(required = true, value_name = "EXPERIMENT")]
    pub names: Vec<String>,
}

/// One or more AnalysisRuns.
#[derive(Args, Clone, Debug)]
pub struct RunNames {
    /// Names of AnalysisRuns
    #[arg(required = true, value_name = "ANALYSISRUN")]
    pub names: Vec<String>,
}

/// What to terminate.
#[derive(Subcommand, Clone, Debug)]
pub enum Terminate {
    /// End AnalysisRuns; what was measured until then decides
    #[command(name = "analysisrun", visible_aliases = ["ar", "analysisruns"])]
    AnalysisRun(RunNames),
    /// End Experiments
    #[command(visible_aliases = ["exp", "experiments"])]
    Experiment(ExperimentNames),
}

/// What to set.
#[derive(Subcommand, Clone, Debug)]
pub enum Set {
    /// Set the images of containers; * stands for all containers
    Image(SetImage),
}

/// `set image`.
#[derive(Args, Clone, Debug)]
pub struct SetImage {
    /// Name of the Rollout
    #[arg(value_name = "ROLLOUT")]
    pub name: String,
    /// Container and its new image
    #[arg(required = true, value_name = "CONTAINER=IMAGE", value_parser = container_image)]
    pub images: Vec<(String, String)>,
}

fn container_image(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((container, image)) if !container.is_empty() && !image.is_empty() => {
            Ok((container.to_owned(), image.to_owned()))
        }
        _ => Err("expected CONTAINER=IMAGE, such as web=registry.example/web:2".to_owned()),
    }
}

/// `status`.
#[derive(Args, Clone, Debug)]
pub struct Status {
    /// Name of the Rollout
    #[arg(value_name = "ROLLOUT")]
    pub name: String,
    /// Wait until the Rollout is healthy or degraded
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", action = ArgAction::Set, value_name = "BOOL")]
    pub watch: bool,
    /// Give up waiting after this time, such as 30s, 5m; 0 for never
    #[arg(short, long, default_value = "0", value_name = "DURATION", value_parser = duration)]
    pub timeout: Duration,
}

/// `undo`.
#[derive(Args, Clone, Debug)]
pub struct Undo {
    /// Name of the Rollout
    #[arg(value_name = "ROLLOUT")]
    pub name: String,
    /// Revision to go back to; 0 for the one before the current
    #[arg(long, default_value_t = 0, value_name = "REVISION")]
    pub to_revision: u64,
}

/// `version`.
#[derive(Args, Clone, Debug)]
pub struct Version {
    /// Only the version number
    #[arg(long)]
    pub short: bool,
    /// Form of the output
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// Forms of the output of `version`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object.
    Json,
}

/// Shells with completion scripts.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
    /// PowerShell
    Powershell,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(names::OWN, line.split(' ').map(Into::into))
    }

    #[test]
    fn the_grammar_is_sound_under_both_names() {
        grammar(names::OWN).debug_assert();
        grammar(names::ARGO).debug_assert();
        let help = Cli::read(names::ARGO, ["x".into(), "promote".into(), "--help".into()]).unwrap_err().to_string();
        assert!(help.contains("Usage: kubectl argo rollouts promote"), "{help}");
    }

    #[test]
    fn kubectls_flags_may_stand_anywhere() {
        for line in
            ["x -n shop status web", "x status web -n shop", "x status -n=shop web", "x --namespace shop status web"]
        {
            assert_eq!(read(line).unwrap().connection.namespace.as_deref(), Some("shop"), "{line}");
        }
        let cli = read(
            "x get ro web -s https://h:1 --token t --as u --as-group a --as-group b --insecure-skip-tls-verify \
             --request-timeout 5 --tls-server-name n --kubeconfig k --context c --cluster cl --user us -v 6"
                .replace("             ", "")
                .as_str(),
        )
        .unwrap()
        .connection;
        assert_eq!(cli.act_as_group, ["a", "b"]);
        assert_eq!(cli.insecure_skip_tls_verify, Some(true));
        assert_eq!(cli.request_timeout, Some(Duration::from_secs(5)));
    }

    #[test]
    fn status_watches_unless_told_otherwise() {
        let watch = |line: &str| match read(line).unwrap().command {
            Command::Status(status) => status.watch,
            other => panic!("{other:?}"),
        };
        assert!(watch("x status web"));
        assert!(watch("x status web -w"));
        assert!(!watch("x status web -w=false"));
        assert!(!watch("x status --watch=false web"));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for line in [
            "x pause",
            "x set image web",
            "x set image web web",
            "x set image web =a:1",
            "x promote web --full -c",
            "x restart web --in soon",
            "x get rollout",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
