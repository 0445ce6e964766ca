//! `setWeight`: over when the pods for it are available and the traffic is at that weight.

use super::Outcome;
use crate::canary::{Release, pods, position};
use crate::replicas;

pub(super) fn progress(release: &Release<'_>, weight: i32) -> Outcome {
    let done = if release.routed() {
        let in_force = release.in_force.and_then(|found| i32::try_from(found.0).ok());
        in_force == Some(weight) && position::has_pods_for(release, weight)
    } else {
        let (canary, stable) = replicas::split(release.desired, weight, release.bounds);
        let is_there = |found: replicas::Pods, wanted: i32| found.wanted == wanted && found.available >= wanted;
        is_there(pods(release.revisions.new), canary)
            && is_there(pods(release.revisions.stable), stable)
            && release.revisions.others.iter().all(|set| set.replicas_or_default() == 0)
    };
    if done { Outcome::Done } else { Outcome::Waits }
}
