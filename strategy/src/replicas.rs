//! Replica arithmetic: how many pods each version has, within what may be added (surge) and missing (unavailable).
//!
//! Source: the rules of canary releases without traffic routing, `argo.md` §2.8; of those with routing, §2.9.

use crds::{CanaryStrategy, IntOrString, Rollout, StrategyKind};

/// Bounds on the number of pods during an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Pods that may run beyond the wanted number.
    pub surge: i32,
    /// Pods that may be unavailable.
    pub unavailable: i32,
}

/// Pods of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// As its ReplicaSet wants them.
    pub wanted: i32,
    /// Available ones.
    pub available: i32,
    /// Those that its ReplicaSet counts: more than wanted while it has not yet told what is too much to go.
    pub counted: i32,
}

impl Pods {
    /// Pods that take up room now or as soon as the ReplicaSet has caught up.
    fn taken(self) -> i32 {
        self.wanted.max(self.counted)
    }

    /// Pods of several versions together.
    pub fn sum(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::default(), |sum, pods| Self {
            wanted: sum.wanted + pods.wanted,
            available: sum.available + pods.available,
            counted: sum.counted + pods.taken(),
        })
    }
}

/// `maxSurge` (rounded up) and `maxUnavailable` (rounded down) for this many pods; both zero would never move, so one pod may then
/// be unavailable.
pub fn bounds(canary: &CanaryStrategy, replicas: i32) -> Bounds {
    let surge = resolve(canary.max_surge.as_ref(), replicas, true);
    let unavailable = resolve(canary.max_unavailable.as_ref(), replicas, false);
    Bounds { surge, unavailable: if surge == 0 && unavailable == 0 { 1 } else { unavailable } }
}

/// `maxUnavailable` of whatever strategy, for a restart.
pub fn unavailable(rollout: &Rollout, replicas: i32) -> i32 {
    match rollout.strategy_kind() {
        StrategyKind::Canary(canary) => bounds(canary, replicas).unavailable,
        StrategyKind::BlueGreen(green) => resolve(green.max_unavailable.as_ref(), replicas, false),
        StrategyKind::Both | StrategyKind::Neither => 0,
    }
}

fn resolve(value: Option<&IntOrString>, replicas: i32, up: bool) -> i32 {
    let percent = match value {
        Some(IntOrString::Int(number)) => return (*number).max(0),
        Some(IntOrString::String(text)) => text.trim_end_matches('%').parse::<i64>().unwrap_or(25).clamp(0, 10_000),
        None => 25,
    };
    let product = i64::from(replicas.max(0)) * percent;
    i32::try_from(if up { (product + 99) / 100 } else { product / 100 }).unwrap_or(i32::MAX)
}

/// Pods a version needs for its share of the traffic, rounded up.
pub fn share(replicas: i32, weight: i32, max: i32) -> i32 {
    let product = i64::from(replicas.max(0)) * i64::from(weight.clamp(0, max.max(1)));
    let max = i64::from(max.max(1));
    i32::try_from((product + max - 1) / max).unwrap_or(i32::MAX)
}

/// How the pods are divided between canary and stable so that their numbers come nearest to the weight (of 100).
pub fn split(replicas: i32, weight: i32, bounds: Bounds) -> (i32, i32) {
    if weight <= 0 || replicas <= 0 {
        return (0, replicas.max(0));
    }
    if weight >= 100 {
        return (replicas, 0);
    }
    let mut best: Option<(i64, i64, i32, i32)> = None;
    // Half a pod is rounded up; down only where nothing else would leave a pod to the stable version.
    let mut half = None;
    let totals = if bounds.surge > 0 { vec![replicas, replicas + 1] } else { vec![replicas] };
    for total in totals {
        let exact = i64::from(total) * i64::from(weight);
        let (floor, rest) = (exact / 100, exact % 100);
        let mut candidates = vec![if rest > 0 { floor + 1 } else { floor }];
        if rest != 0 && rest != 50 {
            candidates.push(floor);
        }
        if rest == 50 && floor > 0 {
            let canary = i32::try_from(floor).unwrap_or(replicas);
            half = half.or(Some((canary, total - canary)));
        }
        for canary in candidates {
            let only = replicas == 1 && bounds.surge == 0;
            if !only && (canary == 0 || canary == i64::from(total)) {
                continue;
            }
            // |canary/total − weight/100|, compared as fractions so that nothing is rounded.
            let distance = (canary * 100 - exact).abs();
            let better = best.is_none_or(|(best, best_total, _, _)| distance * best_total < best * i64::from(total));
            if better {
                let canary = i32::try_from(canary).unwrap_or(replicas);
                best = Some((distance, i64::from(total), canary, total - canary));
            }
        }
    }
    best.map(|(_, _, canary, stable)| (canary, stable)).or(half).unwrap_or((replicas, 0))
}

/// The next numbers of canary and stable pods on the way to `desired` without traffic routing: first what may be added is added, stable
/// before canary; then what is too much goes, while enough stay available. Pods of other versions go first. What a ReplicaSet has not yet
/// told to go takes up room still, so that there are never more pods than allowed, as a quota may demand.
pub fn step(
    replicas: i32,
    bounds: Bounds,
    desired: (i32, i32),
    canary: Pods,
    stable: Pods,
    others: Pods,
) -> (i32, i32) {
    let most = replicas.saturating_add(bounds.surge);
    let mut budget = most.saturating_sub(canary.taken() + stable.taken() + others.taken()).max(0);
    let mut next = (canary.wanted, stable.wanted);
    let grow = (desired.1 - stable.wanted).clamp(0, budget);
    next.1 += grow;
    budget -= grow;
    next.0 += (desired.0 - canary.wanted).clamp(0, budget);
    if others.wanted > 0 {
        return next;
    }
    let least = replicas - bounds.unavailable;
    let increasing = desired.0 >= canary.wanted;
    let counted = |pods: Pods, by_wanted: bool| {
        if by_wanted { pods.wanted } else { pods.available.min(pods.wanted) }
    };
    let spare = counted(canary, !increasing) + counted(stable, increasing) - least;
    if spare <= 0 {
        return next;
    }
    if increasing {
        next.1 -= (next.1 - desired.1).clamp(0, spare);
    } else {
        next.0 -= (next.0 - desired.0).clamp(0, spare);
    }
    next
}

/// The next numbers of pods of the other versions: those that are not available go at once, available ones while enough remain.
pub fn others(replicas: i32, bounds: Bounds, available: i32, others: &[Pods]) -> Vec<i32> {
    let mut spare = (available - (replicas - bounds.unavailable)).max(0);
    others
        .iter()
        .map(|pods| {
            let kept = pods.available.min(pods.wanted);
            let gone = kept.min(spare);
            spare -= gone;
            kept - gone
        })
        .collect()
}
