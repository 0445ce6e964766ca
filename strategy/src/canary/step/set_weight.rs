//! `setWeight`: over when the pods for it are available and the traffic is at that weight, also for the data plane where it can tell.

use super::Outcome;
use crate::canary::{Release, capacity, pods, position, share};
use crate::replicas;

pub(super) fn progress(release: &Release<'_>, index: usize, weight: i32) -> Outcome {
    let done = if release.routed() {
        // A canary that setCanaryScale leaves without pods gets no traffic, whatever the weight.
        let weight = if share::canary(release, index, weight) == 0 { 0 } else { weight };
        release.weight_in_force() == weight
            && !release.unverified()
            && position::has_pods_for(release, index, weight)
            && !release.leaving()
    } else {
        let (canary, stable) = replicas::split(release.desired, weight, release.bounds);
        let is_there = |found: replicas::Pods, wanted: i32| found.wanted == wanted && found.available >= wanted;
        let found = pods(release.revisions.new);
        if release.canary.replica_progress_threshold.is_some() && canary > 0 {
            // The pods that are missing keep stable ones alive, so those cannot be waited for; but everything has gone as far as it
            // can for this weight.
            let numbers = (found.wanted, pods(release.revisions.stable).wanted);
            capacity::next_numbers(release, (canary, stable)) == numbers
                && share::enough(release, found.available, canary)
        } else {
            // A step up only takes pods from the stable version; if those it leaves are broken, that is no reason to keep them.
            let up = index.checked_sub(1).is_none_or(|before| position::weight_at(release, before) <= weight);
            let rest = pods(release.revisions.stable);
            is_there(found, canary)
                && (is_there(rest, stable) || up && rest.wanted == stable)
                && release.revisions.others.iter().all(|set| set.replicas_or_default() == 0)
        }
    };
    if done { Outcome::Done } else { Outcome::Waits }
}
