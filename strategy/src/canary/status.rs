//! The rest of the status: counts, weights, conditions, phase and message; all of it follows from what was seen.

use crds::jiff::SignedDuration;
use crds::{TrafficWeights, WeightDestination};

use super::position::Wanted;
use super::{Draft, Release, pods, routing, seconds, state};
use crate::words::{condition, reason};
use crate::{conditions, message};

pub(super) fn fill(release: &Release<'_>, draft: &mut Draft, wanted: Wanted) {
    let before = draft.status.clone();
    counts(release, draft);
    if release.routed() {
        weights(release, draft, wanted);
    } else {
        draft.status.canary.get_or_insert_default();
    }
    availability(release, draft);
    let moved = (before.updated_replicas, before.available_replicas)
        != (draft.status.updated_replicas, draft.status.available_replicas);
    progressing(release, draft, moved);
    paused(release, draft);
    let (phase, message) = message::phase(release.rollout, &draft.status);
    draft.status.phase = Some(phase.to_owned());
    draft.status.message = Some(message).filter(|text| !text.is_empty());
}

fn counts(release: &Release<'_>, draft: &mut Draft) {
    let sum = |count: fn(&crds::ReplicaSet) -> i32| release.revisions.all.iter().map(|set| count(set)).sum::<i32>();
    let actual = |set: &crds::ReplicaSet| set.status.as_ref().map_or(0, |status| status.replicas);
    let status = &mut draft.status;
    status.replicas = Some(sum(actual));
    status.hpa_replicas = status.replicas;
    status.updated_replicas = Some(release.revisions.new.map_or(0, actual));
    status.ready_replicas = Some(sum(|set| set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)));
    status.available_replicas = Some(sum(|set| pods(Some(set)).available));
    status.selector = release.rollout.spec.selector.as_ref().map(selector);
}

/// A label selector as text, as `kubectl` and the scale sub-resource read it.
fn selector(selector: &crds::LabelSelector) -> String {
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

fn weights(release: &Release<'_>, draft: &mut Draft, wanted: Wanted) {
    let share = routing::share(release, draft, wanted);
    let destination = |weight, service: &Option<String>, hash: Option<String>| WeightDestination {
        weight,
        service_name: service.clone(),
        pod_template_hash: hash,
    };
    let stable = draft.status.stable_rs.clone().filter(|hash| !hash.is_empty());
    let verified = draft.status.canary.as_ref().and_then(|canary| canary.weights.as_ref()?.verified);
    let weights = TrafficWeights {
        canary: destination(share, &release.canary.canary_service, Some(release.hash.0.clone())),
        stable: destination(release.max - share, &release.canary.stable_service, stable),
        additional: None,
        verified,
    };
    draft.status.canary.get_or_insert_default().weights = Some(weights);
}

fn availability(release: &Release<'_>, draft: &mut Draft) {
    let available = draft.status.available_replicas.unwrap_or(0);
    let enough = available >= release.desired - release.bounds.unavailable;
    let (value, message) = if enough {
        ("True", "Rollout has minimum availability")
    } else {
        ("False", "Rollout does not have minimum availability")
    };
    conditions::set(&mut draft.status, "Available", value, condition::AVAILABLE, message, release.now);
    let promoted = release.promoted(&draft.status);
    let whole = pods(release.revisions.new).available >= release.desired;
    let drained = release.routed() || draft.status.replicas == draft.status.updated_replicas;
    let healthy = promoted && whole && drained;
    let (value, message) = if healthy { ("True", "Rollout is healthy") } else { ("False", "Rollout is not healthy") };
    conditions::set(&mut draft.status, "Healthy", value, condition::HEALTHY, message, release.now);
    let value = if promoted { "True" } else { "False" };
    conditions::set(&mut draft.status, "Completed", value, condition::COMPLETED, "RolloutCompleted", release.now);
}

fn waits(release: &Release<'_>, draft: &Draft) -> bool {
    draft.status.pause_conditions.iter().flatten().next().is_some() || release.rollout.spec.paused == Some(true)
}

fn paused(release: &Release<'_>, draft: &mut Draft) {
    if waits(release, draft) {
        conditions::set(&mut draft.status, "Paused", "True", condition::PAUSED, "Rollout is paused", release.now);
    } else if conditions::find(&draft.status, "Paused").is_some() {
        conditions::set(&mut draft.status, "Paused", "False", condition::PAUSED, "Rollout is paused", release.now);
    }
}

fn progressing(release: &Release<'_>, draft: &mut Draft, moved: bool) {
    if draft.aborted() {
        return;
    }
    let name = release.new_name();
    let now = release.now;
    let healthy = conditions::find(&draft.status, "Healthy").is_some_and(|found| found.status == "True");
    let known = conditions::find(&draft.status, "Progressing").cloned();
    let last = known.as_ref().map_or("", |found| found.reason.as_str());
    if healthy {
        let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
        conditions::set(&mut draft.status, "Progressing", "True", condition::NEW_AVAILABLE, &message, now);
        return;
    }
    if waits(release, draft) {
        conditions::set(&mut draft.status, "Progressing", "Unknown", condition::PAUSED, "Rollout is paused", now);
        return;
    }
    if last == condition::NEW_AVAILABLE && release.promoted(&draft.status) {
        let message = format!("ReplicaSet \"{name}\" is not available");
        conditions::set(&mut draft.status, "Progressing", "True", condition::NOT_AVAILABLE, &message, now);
        return;
    }
    let stuck = last == condition::DEADLINE;
    if moved || last.is_empty() || last == condition::PAUSED {
        let message = format!("ReplicaSet \"{name}\" is progressing.");
        if !stuck
            || moved
                && draft.status.available_replicas > release.rollout.status.as_ref().and_then(|s| s.available_replicas)
        {
            let fresh =
                [condition::NEW_REPLICA_SET, condition::FOUND_REPLICA_SET, condition::RETRY, condition::RESUMED];
            if !fresh.contains(&last) || moved {
                conditions::set(&mut draft.status, "Progressing", "True", condition::UPDATED, &message, now);
                conditions::touch(&mut draft.status, "Progressing", now);
            }
        }
        deadline(release, draft);
        return;
    }
    if !stuck {
        deadline(release, draft);
    }
}

/// Whether time counts: not while a step waits by itself, or an old version waits to go.
fn clock_runs(release: &Release<'_>, draft: &Draft) -> bool {
    let step = release.steps.get(draft.index());
    let by_itself =
        step.is_some_and(|step| step.pause.is_some() || step.analysis.is_some() || step.experiment.is_some());
    let holding = conditions::find(&draft.status, condition::ANALYSIS_HOLDING);
    !by_itself && holding.is_none_or(|found| found.status != "True")
}

fn deadline(release: &Release<'_>, draft: &mut Draft) {
    let limit = release.rollout.spec.progress_deadline_seconds.unwrap_or(600);
    let Some(found) = conditions::find(&draft.status, "Progressing") else { return };
    if !clock_runs(release, draft)
        || release.promoted(&draft.status)
            && !Release::initial(&draft.status)
            && found.reason == condition::NOT_AVAILABLE
    {
        return;
    }
    let Ok(end) = found.last_update_time.0.checked_add(seconds(limit)) else { return };
    if end > release.now {
        if let Ok(later) = end.checked_add(SignedDuration::from_secs(1)) {
            draft.wake_at(later);
        }
        return;
    }
    let message = format!("ReplicaSet \"{}\" has timed out progressing.", release.new_name());
    draft.warning(reason::DEADLINE, message.clone());
    let released = !release.promoted(&draft.status) && !Release::initial(&draft.status);
    if release.rollout.spec.progress_deadline_abort == Some(true) && released {
        state::abort_because(release, draft, &message);
        state::abort(release, draft);
        // The traffic comes with the next look, which is at once.
        draft.wake_at(release.now);
        return;
    }
    conditions::set(&mut draft.status, "Progressing", "False", condition::DEADLINE, &message, release.now);
}
