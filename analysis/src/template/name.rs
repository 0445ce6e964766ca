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
/// not completed is used again.
pub fn choose_run<'a>(
    base: &str,
    owner_uid: &str,
    spec: &AnalysisRunSpec,
    by_name: &dyn Fn(&str) -> Option<&'a AnalysisRun>,
) -> RunChoice {
    let mut number: u64 = 0;
    loop {
        let suffix = if number == 0 { String::new() } else { format!(".{number}") };
        let room = LONGEST.saturating_sub(suffix.len());
        let stem: String = base.chars().take(room).collect();
        let name = format!("{stem}{suffix}");
        let Some(run) = by_name(&name) else { return RunChoice::Create(name) };
        let owned = run.metadata.owner_references.iter().flatten().any(|owner| owner.uid == owner_uid);
        let open = run.metadata.deletion_timestamp.is_none()
            && !Phase::of_status(run.status.as_ref().map(|status| status.phase.as_str())).is_completed();
        // A run that was told to stop is on its way out.
        if owned && open && run.spec == *spec {
            return RunChoice::Reuse(name);
        }
        number += 1;
    }
}
