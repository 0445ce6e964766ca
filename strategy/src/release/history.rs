//! ReplicaSets and AnalysisRuns that are kept for people, up to their limits.

use std::collections::BTreeMap;

use ::analysis::Phase;

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
    runs.sort_by(|a, b| b.metadata.creation_timestamp.cmp(&a.metadata.creation_timestamp));
    for run in runs {
        let phase = Phase::of_status(run.status.as_ref().map(|status| status.phase.as_str()));
        if !phase.is_completed() || run.metadata.deletion_timestamp.is_some() || analysis::is_current(draft, run) {
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
        if *count > limit || orphaned {
            draft.actions.push(Action::DeleteAnalysisRun { target: analysis::target(run) });
        }
    }
}
