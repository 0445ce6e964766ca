//! ReplicaSets and AnalysisRuns that are kept for people, up to their limits.

use std::collections::BTreeMap;

use ::analysis::Phase;
use crds::words::REVISION_ANNOTATION;
use crds::{AnalysisRun, RolloutStatus};

use super::capacity::target;
use super::{Draft, Facts, HASH, analysis};
use crate::{Action, revision};

/// ReplicaSets and AnalysisRuns beyond the limits.
pub(crate) fn limit(facts: &Facts<'_>, draft: &mut Draft) {
    let deletions = beyond(facts, draft);
    if is_written(facts, draft) {
        draft.actions.extend(deletions);
    } else if !deletions.is_empty() {
        draft.wake_at(facts.now);
    }
}

/// What an analysis has found is in the status before the analysis goes: a failure that was forgotten would be no failure.
fn is_written(facts: &Facts<'_>, draft: &Draft) -> bool {
    let Some(stored) = &facts.rollout.status else { return false };
    let facts_of = |status: &RolloutStatus| {
        let canary = status.canary.clone().unwrap_or_default();
        let blue_green = status.blue_green.clone().unwrap_or_default();
        (
            (status.current_pod_hash.clone(), status.stable_rs.clone(), status.current_step_index),
            (status.abort.unwrap_or(false), status.aborted_at.clone(), status.pause_conditions.clone()),
            (canary.current_step_analysis_run_status, canary.current_background_analysis_run_status),
            (blue_green.pre_promotion_analysis_run_status, blue_green.post_promotion_analysis_run_status),
        )
    };
    facts_of(stored) == facts_of(&draft.status)
}

fn beyond(facts: &Facts<'_>, draft: &Draft) -> Vec<Action> {
    let mut deletions = Vec::new();
    for set in revision::history_beyond_limit(facts.rollout, &facts.revisions) {
        deletions.push(Action::DeleteReplicaSet { target: target(set) });
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
        if *count > limit || orphaned {
            deletions.push(Action::DeleteAnalysisRun { target: analysis::target(run) });
        }
    }
    deletions
}
