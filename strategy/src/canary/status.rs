//! The rest of the status: counts, weights, conditions, phase and message; all of it follows from what was seen.

use crds::{TrafficWeights, WeightDestination};
use traffic::Verified;

use super::position::Wanted;
use super::{Draft, Release, experiment, pods, roles, routing};
use crate::release::progress;
use crate::words::condition;
use crate::{Action, conditions, message};

pub(super) fn fill(release: &Release<'_>, draft: &mut Draft, wanted: Wanted) {
    let pods = |status: &crds::RolloutStatus| (status.updated_replicas, status.available_replicas);
    let before = pods(&draft.status);
    counts(release, draft);
    if release.routed() {
        weights(release, draft, wanted);
    } else {
        draft.status.canary.get_or_insert_default();
    }
    availability(release, draft);
    let moved = before != pods(&draft.status);
    let clock_runs = clock_runs(release, draft);
    progress::progressing(release, draft, moved, clock_runs);
    progress::paused(release, draft);
    let pause = release.steps.get(draft.index()).and_then(|step| step.pause.as_ref());
    progress::waits_for_person(release, draft, pause.is_some_and(|pause| pause.duration.is_none()));
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
    status.selector = release.rollout.spec.selector.as_ref().map(progress::selector);
}

fn weights(release: &Release<'_>, draft: &mut Draft, wanted: Wanted) {
    let share = routing::share_now(release, draft, wanted);
    let services = roles::services(release, draft);
    let destination = |weight, service: String, hash: Option<String>| WeightDestination {
        weight,
        service_name: Some(service).filter(|name| !name.is_empty()),
        pod_template_hash: hash,
    };
    let additional: Vec<WeightDestination> = experiment::shares(release, draft)
        .into_iter()
        .map(|one| destination(one.weight, one.service, one.hash))
        .collect();
    let others: i32 = additional.iter().map(|one| one.weight).sum();
    let stable = draft.status.stable_rs.clone().filter(|hash| !hash.is_empty());
    let known = draft.status.canary.as_ref().and_then(|canary| canary.weights.as_ref()?.verified);
    let writes = draft.actions.iter().any(|action| matches!(action, Action::Route(_)));
    let verified = match &release.verified {
        Verified::Unknown => known,
        // What is written now has not been taken in by anybody.
        Verified::Yes => Some(!writes),
        Verified::No(_) | Verified::NotYet => Some(false),
    };
    let weights = TrafficWeights {
        canary: destination(share, services.canary, Some(release.hash.0.clone())),
        stable: destination(release.max - share - others, services.stable, stable),
        additional: Some(additional).filter(|all| !all.is_empty()),
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

/// Whether time counts: not while a step waits by itself, or an old version waits to go.
fn clock_runs(release: &Release<'_>, draft: &Draft) -> bool {
    let step = release.steps.get(draft.index());
    let by_itself =
        step.is_some_and(|step| step.pause.is_some() || step.analysis.is_some() || step.experiment.is_some());
    let holding = conditions::find(&draft.status, condition::ANALYSIS_HOLDING);
    !by_itself && holding.is_none_or(|found| found.status != "True")
}
