//! ReplicaSets and AnalysisRuns that are kept for people, up to their limits.

use std::collections::BTreeMap;

use ::analysis::Phase;
use crds::AnalysisRun;
use crds::words::REVISION_ANNOTATION;

use super::capacity::target;
use super::{Draft, Facts, HASH, analysis};
use crate::{Action, revision};

/// ReplicaSets and AnalysisRuns beyond the limits.
pub(crate) fn limit(facts: &Facts<'_>, draft: &mut Draft) {
    for set in revision::history_beyond_limit(facts.rollout, &facts.revisions) {
        draft.actions.push(Action::DeleteReplicaSet { target: target(set) });
    }
    let mut kept: BTreeMap<bool, i32> = BTreeMap::new();
    let mut runs: Vec<_> = facts.seen.analysis_runs.iter().collect();
    // Times have whole seconds: of two runs of one second the later revision's is the newer.
    let age = |run: &AnalysisRun| {
        let revision =
            run.metadata.annotations.as_ref().and_then(|all| all.get(REVISION_ANNOTATION)?.parse::<i64>().ok());
        (run.metadata.creation_timestamp.clone(), revision)
    };
    runs.sort_by_key(|run| std::cmp::Reverse(age(run)));
    for run in runs {
        let phase = Phase::of_status(run.status.as_ref().map(|status| status.phase.as_str()));
        if !phase.is_completed()
            || run.metadata.deletion_timestamp.is_some()
            || analysis::is_current(&draft.status, run)
        {
            continue;
        }
        let good = phase == Phase::Successful;
        let labels = run.metadata.labels.as_ref();
        let version = labels.and_then(|all| all.get(HASH)).map(String::as_str);
        // Without its version a run tells nothing.
        let orphaned = version.is_some()
            && version != Some(facts.hash.0.as_str())
            && facts.revisions.all.iter().all(|set| revision::hash_of(set) != version);
        let limit = if good {
            facts.rollout.spec.successful_run_history_limit_or_default()
        } else {
            facts.rollout.spec.unsuccessful_run_history_limit_or_default()
        };
        let count = kept.entry(good).or_default();
        *count += i32::from(!orphaned);
        // The stored status still rests on it: what the run has decided has to be written before it may go.
        let needed = facts.rollout.status.as_ref().is_some_and(|stored| analysis::is_current(stored, run));
        if (*count > limit || orphaned) && needed {
            draft.wake_at(facts.now);
        } else if *count > limit || orphaned {
            draft.actions.push(Action::DeleteAnalysisRun { target: analysis::target(run) });
        }
    }
}
