//! The rest of the status: counts, selectors, conditions, phase and message; all of it follows from what was seen.

use crds::ReplicaSet;

use super::Release;
use super::stage::{self, Stage};
use crate::release::{Draft, pods, progress, services};
use crate::revision::hash_of;
use crate::words::condition;
use crate::{conditions, message};

pub(super) fn fill(release: &Release<'_>, draft: &mut Draft, stage: Stage) {
    let before = draft.status.clone();
    let status = draft.status.blue_green.get_or_insert_default();
    let preview = release.blue_green.preview_service.as_ref().and_then(|name| release.seen.services.get(name));
    status.active_selector = release.active.map(str::to_owned);
    status.preview_selector = preview.and_then(services::selected).map(str::to_owned);
    counts(release, draft);
    availability(release, draft);
    let seen = |status: &crds::RolloutStatus| {
        let active = status.blue_green.as_ref().and_then(|status| status.active_selector.clone());
        (status.updated_replicas, status.available_replicas, active)
    };
    let moved = seen(&before) != seen(&draft.status);
    progress::progressing(release, draft, moved, clock_runs(release, draft, stage));
    progress::paused(release, draft);
    progress::waits_for_person(release, draft, release.blue_green.auto_promotion_seconds.unwrap_or(0) == 0);
    let (phase, message) = message::phase(release.rollout, &draft.status);
    draft.status.phase = Some(phase.to_owned());
    draft.status.message = Some(message).filter(|text| !text.is_empty());
}

fn active<'a>(release: &Release<'a>) -> Option<&'a ReplicaSet> {
    release.revisions.all.iter().copied().find(|set| release.is_active(set))
}

/// Pods that carry requests are what autoscalers and people count: those of the active version, once there is one.
fn counts(release: &Release<'_>, draft: &mut Draft) {
    let active = active(release);
    let actual = |set: &ReplicaSet| set.status.as_ref().map_or(0, |status| status.replicas);
    let ready = |set: &ReplicaSet| set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    let available = |set: &ReplicaSet| pods(Some(set)).available;
    let all = |count: &dyn Fn(&ReplicaSet) -> i32| release.revisions.all.iter().map(|set| count(set)).sum::<i32>();
    let serving = |count: &dyn Fn(&ReplicaSet) -> i32| active.map_or_else(|| all(count), count);
    let status = &mut draft.status;
    status.replicas = Some(all(&actual));
    status.updated_replicas = Some(release.revisions.new.map_or(0, actual));
    status.hpa_replicas = Some(serving(&actual));
    status.ready_replicas = Some(serving(&ready));
    status.available_replicas = Some(serving(&available));
    let own = release.rollout.spec.selector.as_ref();
    let selector = active.and_then(|set| set.spec.as_ref()).map(|spec| &spec.selector).or(own);
    status.selector = selector.map(progress::selector);
}

fn availability(release: &Release<'_>, draft: &mut Draft) {
    let enough = draft.status.available_replicas.unwrap_or(0) >= release.desired;
    let (value, message) = if enough {
        ("True", "Rollout has minimum availability")
    } else {
        ("False", "Rollout does not have minimum availability")
    };
    conditions::set(&mut draft.status, "Available", value, condition::AVAILABLE, message, release.now);
    let promoted = release.promoted(&draft.status);
    let serves = release.active.is_some() && release.active == release.revisions.new.and_then(hash_of);
    let healthy = promoted && serves && stage::is_whole(release);
    let (value, message) = if healthy { ("True", "Rollout is healthy") } else { ("False", "Rollout is not healthy") };
    conditions::set(&mut draft.status, "Healthy", value, condition::HEALTHY, message, release.now);
    let value = if promoted { "True" } else { "False" };
    conditions::set(&mut draft.status, "Completed", value, condition::COMPLETED, "RolloutCompleted", release.now);
}

/// Whether time counts: only while pods are waited for, never while a person or an analysis decides.
fn clock_runs(release: &Release<'_>, draft: &Draft, stage: Stage) -> bool {
    let holding = conditions::find(&draft.status, condition::ANALYSIS_HOLDING);
    let pods_are_there = match stage {
        Stage::Preview => stage::is_ready(release),
        Stage::First | Stage::Stable | Stage::Aborted | Stage::Passed | Stage::Active => stage::is_whole(release),
    };
    !pods_are_there && holding.is_none_or(|found| found.status != "True")
}
