//! The arithmetic of pods without traffic routing, for every Rollout of up to twelve pods, against an oracle that tries all answers and
//! takes the best one the rules (`argo.md` §2.8) allow. It knows the rules, not the way to the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use crds::{CanaryStrategy, IntOrString};
use strategy::replicas::{Bounds, Pods, bounds, others, split, step};

const MOST: i32 = 12;
const WEIGHTS: [i32; 13] = [0, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100];

/// Bounds that may move: not both zero.
fn all_bounds(replicas: i32) -> impl Iterator<Item = Bounds> {
    let pairs = (0..=replicas).flat_map(move |surge| (0..=replicas).map(move |unavailable| (surge, unavailable)));
    pairs.filter(|pair| *pair != (0, 0)).map(|(surge, unavailable)| Bounds { surge, unavailable })
}

#[test]
fn fences_are_the_nearest_whole_numbers() {
    let amount = |percent: i32| Some(IntOrString::String(format!("{percent}%")));
    for replicas in 0..=MOST {
        for surge in 0..=150 {
            for unavailable in [0, 1, 8, 9, 25, 33, 34, 50, 99, 100] {
                let canary = CanaryStrategy {
                    max_surge: amount(surge),
                    max_unavailable: amount(unavailable),
                    ..CanaryStrategy::default()
                };
                let found = bounds(&canary, replicas);
                let up = (0..=replicas * 2).find(|count| count * 100 >= replicas * surge).unwrap();
                let down = (0..=replicas).rev().find(|count| count * 100 <= replicas * unavailable).unwrap();
                let down = if (up, down) == (0, 0) { 1 } else { down };
                assert_eq!(found, Bounds { surge: up, unavailable: down }, "{replicas} pods, {surge}% {unavailable}%");
            }
        }
    }
}

/// Of all divisions of the pods, or of one more where that may be, that are less than a pod away from the exact share, the one nearest to
/// the weight. Each version has a pod unless there is only one in all; half a pod counts as a whole one, unless that leaves nothing to
/// choose. Of equally near ones that with the fewest pods, then that with the larger canary.
fn nearest(replicas: i32, weight: i32, surge: i32) -> (i32, i32) {
    if weight == 0 || replicas == 0 {
        return (0, replicas);
    }
    if weight == 100 {
        return (replicas, 0);
    }
    let totals = replicas..=if surge > 0 { replicas + 1 } else { replicas };
    let lonely = replicas == 1 && surge == 0;
    // In hundredths of a pod.
    let beyond = |(canary, stable): (i32, i32)| canary * 100 - (canary + stable) * weight;
    let mut divisions: Vec<(i32, i32)> = totals
        .flat_map(|total| (0..=total).rev().map(move |canary| (canary, total - canary)))
        .filter(|division| beyond(*division).abs() < 100)
        .filter(|(canary, stable)| lonely || *canary > 0 && *stable > 0)
        .collect();
    if divisions.iter().any(|division| beyond(*division) != -50) {
        divisions.retain(|division| beyond(*division) != -50);
    }
    // The distance of two fractions, over a common denominator of all totals that occur.
    let distance = |division: (i32, i32)| {
        let total = division.0 + division.1;
        i64::from(beyond(division).abs()) * (i64::from(replicas) * i64::from(replicas + 1) / i64::from(total))
    };
    *divisions.iter().min_by_key(|division| distance(**division)).unwrap()
}

#[test]
fn pods_are_divided_as_near_to_the_weight_as_can_be() {
    for replicas in 0..=MOST {
        for weight in 0..=100 {
            for surge in 0..=replicas + 1 {
                let found = split(replicas, weight, Bounds { surge, unavailable: 1 });
                assert_eq!(found, nearest(replicas, weight, surge), "{replicas} pods at {weight} with surge {surge}");
            }
        }
    }
}

/// What one step may do, as rules: every pair of numbers between what is there and what is desired is tried, and of those allowed the one
/// with the most stable pods added is taken, then the most canary pods added, then the most pods removed.
fn best(replicas: i32, bounds: Bounds, desired: (i32, i32), canary: Pods, stable: Pods, old: i32) -> (i32, i32) {
    let there = canary.wanted.max(canary.counted) + stable.wanted.max(stable.counted) + old;
    let increasing = desired.0 >= canary.wanted;
    let between = |from: i32, to: i32| if from <= to { from..=to } else { to..=from };
    let available = |pods: Pods, next: i32| pods.available.min(next);
    let allowed = |next: (i32, i32)| {
        let (added, removed) = (
            (next.0 - canary.wanted).max(0) + (next.1 - stable.wanted).max(0),
            (canary.wanted - next.0).max(0) + (stable.wanted - next.1).max(0),
        );
        // Nothing is added beyond the surge, by what is there before anything goes.
        let fits = added == 0 || there + added <= replicas + bounds.surge;
        // Old versions go first.
        let in_turn = removed == 0 || old == 0;
        // Only the version that is to lose its share loses pods.
        let right = if increasing { next.0 >= canary.wanted } else { next.1 >= stable.wanted };
        // What stays is enough: of the version that loses pods those it is told to have, of the other those that are available.
        let least = replicas - bounds.unavailable;
        let kept = if increasing {
            available(canary, canary.wanted) + next.1.min(stable.wanted)
        } else {
            available(stable, stable.wanted) + next.0.min(canary.wanted)
        };
        fits && in_turn && right && (removed == 0 || kept >= least)
    };
    let stables = between(stable.wanted, desired.1);
    stables
        .flat_map(|stable| between(canary.wanted, desired.0).map(move |canary| (canary, stable)))
        .filter(|next| allowed(*next))
        .max_by_key(|next| {
            let added = |next: i32, before: i32| (next - before).max(0);
            let removed = added(canary.wanted, next.0) + added(stable.wanted, next.1);
            (added(next.1, stable.wanted), added(next.0, canary.wanted), removed)
        })
        .unwrap()
}

/// A version whose ReplicaSet has done what it was told.
fn settled(wanted: i32, available: i32) -> Pods {
    Pods { wanted, available, counted: wanted }
}

/// Goes from one division to another and checks every step on the way, with the canary's new pods ready at once, one at a time, or never.
/// What is too much goes one step after it was told to, and takes up room until then.
fn walk(replicas: i32, bounds: Bounds, from: (i32, i32), to: (i32, i32), ready: i32) {
    let (mut canary, mut stable) = (settled(from.0, from.0), settled(from.1, from.1));
    let least = replicas - bounds.unavailable;
    for _ in 0..8 * (replicas + bounds.surge) + 4 {
        let next = step(replicas, bounds, to, canary, stable, Pods::default());
        let about = || format!("{replicas} pods, {bounds:?}, {from:?} to {to:?}, at {canary:?} {stable:?}");
        assert_eq!(next, best(replicas, bounds, to, canary, stable, 0), "{}", about());
        let there = canary.counted.max(next.0) + stable.counted.max(next.1);
        assert!(there <= (canary.counted + stable.counted).max(replicas + bounds.surge), "too many pods: {}", about());
        let left = canary.available.min(next.0) + stable.available.min(next.1);
        assert!(left >= least.min(canary.available + stable.available), "too few pods: {}", about());
        let before = (canary, stable);
        let after = |pods: Pods, next: i32| Pods {
            wanted: next,
            available: (pods.available + ready).min(next),
            counted: next.max(pods.wanted.min(pods.counted)),
        };
        (canary, stable) = (after(canary, next.0), after(stable, next.1));
        if (canary, stable) == before {
            break;
        }
    }
    if ready > 0 {
        assert_eq!((canary.wanted, stable.wanted), to, "{replicas} pods, {bounds:?}, from {from:?}: does not arrive");
    }
}

#[test]
fn every_way_between_two_weights_keeps_the_bounds_and_arrives() {
    for replicas in 1..=MOST {
        for bounds in all_bounds(replicas) {
            let divisions: BTreeSet<_> = WEIGHTS.iter().map(|weight| split(replicas, *weight, bounds)).collect();
            let ends = [(0, replicas), (replicas, 0)];
            for one in &divisions {
                for end in ends {
                    for ready in [0, 1, MOST] {
                        walk(replicas, bounds, end, *one, ready);
                        walk(replicas, bounds, *one, end, ready);
                    }
                }
            }
            if bounds.surge <= 2 && bounds.unavailable <= 2 {
                for (one, other) in divisions.iter().flat_map(|one| divisions.iter().map(move |other| (one, other))) {
                    walk(replicas, bounds, *one, *other, 1);
                }
            }
        }
    }
}

/// Old versions lose first what is not available, and of the rest only what is beyond the least number of available pods.
#[test]
fn old_versions_go_as_far_as_enough_stays_available() {
    for replicas in 1..=MOST {
        for bounds in all_bounds(replicas) {
            for (first, second) in (0..=4).flat_map(|first| (0..=4).map(move |second| (first, second))) {
                for missing in 0..=first.min(2) {
                    let old = [settled(first, first - missing), settled(second, second)];
                    let alive: i32 = old.iter().map(|pods| pods.available).sum();
                    for elsewhere in [0, replicas / 2, replicas] {
                        let next = others(replicas, bounds, elsewhere + alive, &old);
                        let least = replicas - bounds.unavailable;
                        let kept: i32 = next.iter().sum();
                        let needed = (least - elsewhere).clamp(0, alive);
                        assert_eq!(kept, needed, "{replicas} pods, {bounds:?}, {old:?}, {elsewhere} elsewhere");
                        assert!(next.iter().zip(old).all(|(next, old)| (0..=old.available).contains(next)));
                    }
                }
            }
        }
    }
}
