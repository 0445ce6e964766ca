//! Names of runs: deterministic, so that a decision that is repeated finds what it made.

use crds::{AnalysisRun, AnalysisRunSpec};

use crate::Phase;

/// Longest name of an object.
const LONGEST: usize = 253;

/// `<rollout>-<hash>-<revision>[-<infix>]`; the infix is a step index, `pre`, `post`, or absent for the background run.
pub fn run_name(rollout: &str, hash: &str, revision: i64, infix: Option<&str>) -> String {
    match infix {
        Some(infix) if !infix.is_empty() => format!("{rollout}-{hash}-{revision}-{infix}"),
        _ => format!("{rollout}-{hash}-{revision}"),
    }
}

/// Which object a new run becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunChoice {
    /// This one exists, is the same and goes on.
    Reuse(String),
    /// To be created under this name.
    Create(String),
}

/// The run under `base`, or the first free name `base.1`, `base.2` … A run of the same owner with the same spec that is
/// not completed is used again; a completed one where `wanted` says that it is the very run that is asked for: it may have ended before
/// anybody wrote down its name. `superseded` is the run whose successor is asked for.
pub fn choose_run<'a>(
    base: &str,
    owner_uid: &str,
    spec: &AnalysisRunSpec,
    superseded: Option<&str>,
    by_name: &dyn Fn(&str) -> Option<&'a AnalysisRun>,
    wanted: &dyn Fn(&AnalysisRun) -> bool,
) -> RunChoice {
    let mut number: u64 = 0;
    let mut before = superseded.is_some_and(|name| name.strip_prefix(base).is_some_and(is_suffix));
    loop {
        let suffix = if number == 0 { String::new() } else { format!(".{number}") };
        let room = LONGEST.saturating_sub(suffix.len());
        let stem: String = base.chars().take(room).collect();
        let name = format!("{stem}{suffix}");
        let Some(run) = by_name(&name) else { return RunChoice::Create(name) };
        let owned = run.metadata.owner_references.iter().flatten().any(|owner| owner.uid == owner_uid);
        let phase = Phase::of_status(run.status.as_ref().map(|status| status.phase.as_str()));
        let fits = if phase.is_completed() { !before && wanted(run) } else { true };
        // A run that was told to stop is on its way out.
        if owned && fits && run.metadata.deletion_timestamp.is_none() && run.spec == *spec {
            return RunChoice::Reuse(name);
        }
        before &= superseded != Some(name.as_str());
        number += 1;
    }
}

/// Nothing, or a dot and a number.
fn is_suffix(text: &str) -> bool {
    text.is_empty() || text.strip_prefix('.').is_some_and(|number| number.parse::<u64>().is_ok())
}
