//! Conditions that tell how a release goes on, and its deadline.

use crds::jiff::SignedDuration;

use super::{Draft, Facts, seconds, state};
use crate::conditions;
use crate::words::{condition, reason};

/// A label selector as text, as `kubectl` and the scale sub-resource read it.
pub(crate) fn selector(selector: &crds::LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().flatten().map(|one| {
        let values = one.values.clone().unwrap_or_default().join(",");
        match one.operator.as_str() {
            "In" => format!("{} in ({values})", one.key),
            "NotIn" => format!("{} notin ({values})", one.key),
            "DoesNotExist" => format!("!{}", one.key),
            _ => one.key.clone(),
        }
    });
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}

/// Somebody or something has to go on first.
pub(crate) fn waits(facts: &Facts<'_>, draft: &Draft) -> bool {
    draft.status.pause_conditions.iter().flatten().next().is_some() || facts.rollout.spec.paused == Some(true)
}

/// Adds up the time in which the release waits for a person: paused by hand, or at a pause without an end.
pub(crate) fn waits_for_person(facts: &Facts<'_>, draft: &mut Draft, endless: bool) {
    let waits = facts.rollout.spec.paused == Some(true)
        || draft
            .status
            .pause_conditions
            .iter()
            .flatten()
            .any(|pause| endless || pause.reason.starts_with("Inconclusive"));
    let Some(duration) = &mut draft.status.duration else { return };
    let over = duration.finished_at.is_some();
    match (&duration.manual_pause_started_at, waits && !over) {
        (None, true) => duration.manual_pause_started_at = Some(super::at(facts.now)),
        (Some(since), false) => {
            let waited = facts.now.duration_since(since.0).as_secs().max(0);
            let before = duration.total_manual_pause_duration_seconds.unwrap_or(0);
            duration.total_manual_pause_duration_seconds = Some(before.saturating_add(waited));
            duration.manual_pause_started_at = None;
        }
        (Some(_), true) | (None, false) => {}
    }
}

/// The condition Paused.
pub(crate) fn paused(facts: &Facts<'_>, draft: &mut Draft) {
    // What another controller left on a release it took back is no news.
    let stored = facts.rollout.status.as_ref();
    let long_aborted = draft.aborted() && stored.is_some_and(|status| status.aborted_at.is_some());
    if waits(facts, draft) {
        conditions::set(&mut draft.status, "Paused", "True", condition::PAUSED, "Rollout is paused", facts.now);
    } else if conditions::find(&draft.status, "Paused").is_some() && !long_aborted {
        conditions::set(&mut draft.status, "Paused", "False", condition::PAUSED, "Rollout is paused", facts.now);
    }
}

/// The condition Progressing: `moved` says that pods came or went, `clock_runs` that time without progress counts.
pub(crate) fn progressing(facts: &Facts<'_>, draft: &mut Draft, moved: bool, clock_runs: bool) {
    state::remember_abort(facts, draft);
    if draft.aborted() {
        return;
    }
    let name = facts.new_name();
    let now = facts.now;
    let healthy = conditions::find(&draft.status, "Healthy").is_some_and(|found| found.status == "True");
    let known = conditions::find(&draft.status, "Progressing").cloned();
    let last = known.as_ref().map_or("", |found| found.reason.as_str());
    if healthy {
        let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
        conditions::set(&mut draft.status, "Progressing", "True", condition::NEW_AVAILABLE, &message, now);
        return;
    }
    if waits(facts, draft) {
        conditions::set(&mut draft.status, "Progressing", "Unknown", condition::PAUSED, "Rollout is paused", now);
        return;
    }
    if last == condition::NEW_AVAILABLE && facts.promoted(&draft.status) {
        let message = format!("ReplicaSet \"{name}\" is not available");
        conditions::set(&mut draft.status, "Progressing", "True", condition::NOT_AVAILABLE, &message, now);
        return;
    }
    let stuck = last == condition::DEADLINE;
    if moved || last.is_empty() || last == condition::PAUSED {
        let message = format!("ReplicaSet \"{name}\" is progressing.");
        if !stuck
            || moved
                && draft.status.available_replicas > facts.rollout.status.as_ref().and_then(|s| s.available_replicas)
        {
            let fresh =
                [condition::NEW_REPLICA_SET, condition::FOUND_REPLICA_SET, condition::RETRY, condition::RESUMED];
            if !fresh.contains(&last) || moved {
                conditions::set(&mut draft.status, "Progressing", "True", condition::UPDATED, &message, now);
                conditions::touch(&mut draft.status, "Progressing", now);
            }
        }
        deadline(facts, draft, clock_runs);
        return;
    }
    if !stuck {
        deadline(facts, draft, clock_runs);
    }
}

fn deadline(facts: &Facts<'_>, draft: &mut Draft, clock_runs: bool) {
    let limit = facts.rollout.spec.progress_deadline_seconds.unwrap_or(600);
    let Some(found) = conditions::find(&draft.status, "Progressing") else { return };
    if !clock_runs
        || facts.promoted(&draft.status) && !Facts::initial(&draft.status) && found.reason == condition::NOT_AVAILABLE
    {
        return;
    }
    let Ok(end) = found.last_update_time.0.checked_add(seconds(limit)) else { return };
    if end > facts.now {
        if let Ok(later) = end.checked_add(SignedDuration::from_secs(1)) {
            draft.wake_at(later);
        }
        return;
    }
    let message = format!("ReplicaSet \"{}\" has timed out progressing.", facts.new_name());
    draft.warning(reason::DEADLINE, message.clone());
    let released = !facts.promoted(&draft.status) && !Facts::initial(&draft.status);
    if facts.rollout.spec.progress_deadline_abort == Some(true) && released {
        state::abort_because(facts, draft, &message);
        state::abort(facts, draft);
        // The traffic comes with the next look, which is at once.
        draft.wake_at(facts.now);
        return;
    }
    conditions::set(&mut draft.status, "Progressing", "False", condition::DEADLINE, &message, facts.now);
}
