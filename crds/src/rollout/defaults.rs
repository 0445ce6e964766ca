//! What an absent field of a Rollout means.

use crate::{CanaryStep, CanaryStrategy, Rollout, RolloutSpec};

impl Rollout {
    /// The canary strategy, if that is the one.
    pub fn canary(&self) -> Option<&CanaryStrategy> {
        self.spec.strategy.as_ref()?.canary.as_ref()
    }
}

impl RolloutSpec {
    /// Number of pods wanted. Default: 1.
    pub fn replicas_or_default(&self) -> i32 {
        self.replicas.unwrap_or(1)
    }

    /// Old ReplicaSets to keep. Default: 10.
    pub fn revision_history_limit_or_default(&self) -> i32 {
        self.revision_history_limit.unwrap_or(10)
    }

    /// Seconds without progress. Default: 600.
    pub fn progress_deadline_seconds_or_default(&self) -> i32 {
        self.progress_deadline_seconds.unwrap_or(600)
    }

    /// Seconds a pod must be ready. Default: 0.
    pub fn min_ready_seconds_or_default(&self) -> i32 {
        self.min_ready_seconds.unwrap_or(0)
    }
}

impl CanaryStrategy {
    /// The steps; none is an empty list.
    pub fn steps(&self) -> &[CanaryStep] {
        self.steps.as_deref().unwrap_or_default()
    }

    /// Seconds the old version keeps running after the promotion. Default: 30 with traffic routing, none without.
    pub fn scale_down_delay_seconds_or_default(&self) -> i32 {
        self.scale_down_delay_seconds.unwrap_or(if self.traffic_routing.is_some() { 30 } else { 0 })
    }

    /// Seconds the canary keeps running after an abort; `None` keeps it. Default: 30 with traffic routing.
    pub fn abort_scale_down_delay_seconds_or_default(&self) -> Option<i32> {
        match self.abort_scale_down_delay_seconds {
            Some(0) => None,
            Some(seconds) => Some(seconds),
            None => Some(30),
        }
    }
}
