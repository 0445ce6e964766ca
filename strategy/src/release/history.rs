//! ReplicaSets, AnalysisRuns and Experiments that are kept for people, up to their limits.

use std::collections::BTreeMap;

use ::analysis::Phase;
use crds::words::REVISION_ANNOTATION;
use crds::{ObjectMeta, RolloutStatus};

use super::capacity::target;
use super::{Draft, Facts, HASH, analysis};
use crate::canary::experiment;
use crate::{Action, revision};

/// An AnalysisRun or an Experiment.
struct Finished<'a, T> {
    object: &'a T,
    meta: &'a ObjectMeta,
    phase: Phase,
}

/// What is beyond the limits goes.
pub(crate) fn limit(facts: &Facts<'_>, draft: &mut Draft) {
    let deletions = deletions(facts, draft);
    if deletions.is_empty() {
        return;
    }
    if is_written(facts, draft) {
        draft.actions.extend(deletions);
    } else {
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
            (
                canary.current_step_analysis_run_status,
                canary.current_background_analysis_run_status,
                canary.current_experiment,
            ),
            (blue_green.pre_promotion_analysis_run_status, blue_green.post_promotion_analysis_run_status),
        )
    };
    facts_of(stored) == facts_of(&draft.status)
}

fn deletions(facts: &Facts<'_>, draft: &Draft) -> Vec<Action> {
    let mut deletions = Vec::new();
    for set in revision::history_beyond_limit(facts.rollout, &facts.revisions) {
        deletions.push(Action::DeleteReplicaSet { target: target(set) });
    }
    let runs = facts.seen.analysis_runs.iter().map(|run| Finished {
        object: run,
        meta: &run.metadata,
        phase: Phase::of_status(run.status.as_ref().map(|status| status.phase.as_str())),
    });
    let runs = runs.filter(|run| !analysis::is_current(&draft.status, run.object)).collect();
    for run in beyond(facts, runs) {
        deletions.push(Action::DeleteAnalysisRun { target: analysis::target(run) });
    }
    let experiments = facts.seen.experiments.iter().map(|one| Finished {
        object: one,
        meta: &one.metadata,
        phase: experiment::phase(one),
    });
    let experiments = experiments.filter(|one| !experiment::is_current(&draft.status, one.object)).collect();
    for one in beyond(facts, experiments) {
        deletions.push(Action::DeleteExperiment { target: experiment::target(one) });
    }
    deletions
}

/// Those which are over and too many, or whose version is gone.
fn beyond<'a, T>(facts: &Facts<'_>, mut all: Vec<Finished<'a, T>>) -> Vec<&'a T> {
    // Times have whole seconds: of two of one second the later revision's is the newer.
    let age = |meta: &ObjectMeta| {
        let revision = meta.annotations.as_ref().and_then(|all| all.get(REVISION_ANNOTATION)?.parse::<i64>().ok());
        (meta.creation_timestamp.clone(), revision)
    };
    all.sort_by_key(|one| std::cmp::Reverse(age(one.meta)));
    let mut kept: BTreeMap<bool, i32> = BTreeMap::new();
    let mut gone = Vec::new();
    for Finished { object, meta, phase } in all {
        if !phase.is_completed() || meta.deletion_timestamp.is_some() {
            continue;
        }
        let good = phase == Phase::Successful;
        let version = meta.labels.as_ref().and_then(|all| all.get(HASH)).map(String::as_str);
        // Without its version a result tells nothing.
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
            gone.push(object);
        }
    }
    gone
}
