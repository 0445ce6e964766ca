//! Shares with traffic routing: how many pods each version should have at a position, and how much traffic the stable one can bear.
//!
//! Invariants: pods are rounded up; `setCanaryScale` is the only thing that gives a canary fewer pods than its share of the traffic
//! needs, because a person wrote it down.
//!
//! Source: `argo.md` §2.9.

use super::{Release, pods};
use crate::replicas;

/// Pods for this share of the traffic, at least `minPodsPerReplicaSet` where there are any.
pub(super) fn by_weight(release: &Release<'_>, weight: i32) -> i32 {
    let least = release.canary.min_pods_per_replica_set.unwrap_or(0).min(release.desired);
    match replicas::share(release.desired, weight, release.max) {
        0 => 0,
        count => count.max(least),
    }
}

/// The canary pods that the `setCanaryScale` at or before a step asks for; `None` where pods follow the traffic.
pub(super) fn fixed(release: &Release<'_>, index: usize) -> Option<i32> {
    if !release.routed() || index >= release.steps.len() {
        return None;
    }
    let mut before = release.steps.iter().take(index + 1).rev();
    let scale = before.find_map(|step| step.set_canary_scale.as_ref())?;
    if scale.match_traffic_weight == Some(true) {
        return None;
    }
    scale.replicas.or_else(|| scale.weight.map(|weight| by_weight(release, weight)))
}

/// The canary pods that are wanted at a step with this weight.
pub(super) fn canary(release: &Release<'_>, index: usize, weight: i32) -> i32 {
    fixed(release, index).unwrap_or_else(|| by_weight(release, weight))
}

/// Whether so many available pods are taken for all that are wanted (`replicaProgressThreshold`).
pub(super) fn enough(release: &Release<'_>, available: i32, wanted: i32) -> bool {
    let Some(threshold) = &release.canary.replica_progress_threshold else { return available >= wanted };
    let needed =
        if threshold.type_ == "Pods" { threshold.value } else { replicas::share(wanted, threshold.value, 100) };
    // Nothing that is wanted is never enough of something.
    available >= needed.clamp(1, wanted.max(1)) || available >= wanted
}

/// The weight the canary may fall to: with `dynamicStableScale` the stable version grows again before the traffic comes back, so the
/// weight goes down over the weights of the steps, as far as the stable version has the pods for the rest.
pub(super) fn bearable(release: &Release<'_>, goal: i32, in_force: i32) -> i32 {
    let available = pods(release.revisions.stable).available;
    let mut weights: Vec<i32> = release.steps.iter().filter_map(|step| step.set_weight).collect();
    weights.push(goal);
    weights.sort_unstable();
    let bears = |weight: &i32| replicas::share(release.desired, release.max - weight, release.max) <= available;
    weights.into_iter().filter(|weight| (goal..in_force).contains(weight)).find(bears).unwrap_or(in_force)
}

/// The pods of the stable version while the canary has, and will have, at least this weight.
pub(super) fn stable(release: &Release<'_>, canary_weight: i32) -> i32 {
    if release.dynamic() { by_weight(release, release.max - canary_weight) } else { release.desired }
}
