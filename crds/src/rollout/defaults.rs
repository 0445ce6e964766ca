//! What an absent field of a Rollout means, and the typed view of its words.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::duration::{self, InvalidDuration};
use crate::words::{ALB_ANNOTATION_PREFIX, NGINX_ANNOTATION_PREFIX};
use crate::{
    AlbTrafficRouting, AnalysisPhase, AnalysisRunStrategy, BlueGreenStrategy, CanaryStep, CanaryStrategy,
    NginxTrafficRouting, PauseCondition, PauseReason, PingPong, PodTemplate, Rollout, RolloutAnalysis,
    RolloutAnalysisBackground, RolloutAnalysisRunStatus, RolloutCondition, RolloutConditionType, RolloutPause,
    RolloutPhase, RolloutSpec, RolloutStatus, SetMirrorRoute, TrafficRouting,
};

/// Default of `spec.replicas`.
pub const DEFAULT_REPLICAS: i32 = 1;
/// Default of `spec.revisionHistoryLimit`.
pub const DEFAULT_REVISION_HISTORY_LIMIT: i32 = 10;
/// Default of `spec.progressDeadlineSeconds`.
pub const DEFAULT_PROGRESS_DEADLINE_SECONDS: i32 = 600;
/// Default of all scale-down delays, in seconds.
pub const DEFAULT_SCALE_DOWN_DELAY_SECONDS: i32 = 30;
/// Default of `trafficRouting.maxTrafficWeight`.
pub const DEFAULT_MAX_TRAFFIC_WEIGHT: i32 = 100;
/// Default of both limits of `spec.analysis`.
pub const DEFAULT_RUN_HISTORY_LIMIT: i32 = 5;
/// Default of `maxSurge` and `maxUnavailable`.
pub const DEFAULT_FENCE: &str = "25%";

/// The strategy of a Rollout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StrategyKind<'a> {
    /// Step by step.
    Canary(&'a CanaryStrategy),
    /// By a switch.
    BlueGreen(&'a BlueGreenStrategy),
    /// Both are set, which is invalid.
    Both,
    /// None is set, which is invalid.
    Neither,
}

impl Rollout {
    /// The strategy that is set.
    pub fn strategy_kind(&self) -> StrategyKind<'_> {
        self.spec.strategy_kind()
    }

    /// `spec.strategy.canary`, when it is set.
    pub fn canary(&self) -> Option<&CanaryStrategy> {
        self.spec.canary()
    }

    /// `spec.strategy.blueGreen`, when it is set.
    pub fn blue_green(&self) -> Option<&BlueGreenStrategy> {
        self.spec.blue_green()
    }

    /// `spec.template`, when it is set.
    pub fn template(&self) -> Option<&PodTemplate> {
        self.spec.template.as_ref()
    }
}

impl RolloutSpec {
    /// The strategy that is set.
    pub fn strategy_kind(&self) -> StrategyKind<'_> {
        match (self.canary(), self.blue_green()) {
            (Some(_), Some(_)) => StrategyKind::Both,
            (Some(canary), None) => StrategyKind::Canary(canary),
            (None, Some(blue_green)) => StrategyKind::BlueGreen(blue_green),
            (None, None) => StrategyKind::Neither,
        }
    }

    /// `strategy.canary`, when it is set.
    pub fn canary(&self) -> Option<&CanaryStrategy> {
        self.strategy.as_ref()?.canary.as_ref()
    }

    /// `strategy.blueGreen`, when it is set.
    pub fn blue_green(&self) -> Option<&BlueGreenStrategy> {
        self.strategy.as_ref()?.blue_green.as_ref()
    }

    /// Pods wanted. Default: 1.
    pub fn replicas_or_default(&self) -> i32 {
        self.replicas.unwrap_or(DEFAULT_REPLICAS)
    }

    /// Seconds before a ready pod counts as available. Default: 0.
    pub fn min_ready_seconds_or_default(&self) -> i32 {
        self.min_ready_seconds.unwrap_or(0)
    }

    /// Old ReplicaSets to keep. Default: 10.
    pub fn revision_history_limit_or_default(&self) -> i32 {
        self.revision_history_limit.unwrap_or(DEFAULT_REVISION_HISTORY_LIMIT)
    }

    /// Seconds without progress which are tolerated. Default: 600.
    pub fn progress_deadline_seconds_or_default(&self) -> i32 {
        self.progress_deadline_seconds.unwrap_or(DEFAULT_PROGRESS_DEADLINE_SECONDS)
    }

    /// Whether a person paused the Rollout. Default: false.
    pub fn is_paused(&self) -> bool {
        self.paused.unwrap_or(false)
    }

    /// Whether exceeding the progress deadline aborts. Default: false.
    pub fn is_progress_deadline_abort(&self) -> bool {
        self.progress_deadline_abort.unwrap_or(false)
    }

    /// Successful AnalysisRuns to keep. Default: 5.
    pub fn successful_run_history_limit_or_default(&self) -> i32 {
        let limit = |analysis: &AnalysisRunStrategy| analysis.successful_run_history_limit;
        self.analysis.as_ref().and_then(limit).unwrap_or(DEFAULT_RUN_HISTORY_LIMIT)
    }

    /// Other finished AnalysisRuns to keep. Default: 5.
    pub fn unsuccessful_run_history_limit_or_default(&self) -> i32 {
        let limit = |analysis: &AnalysisRunStrategy| analysis.unsuccessful_run_history_limit;
        self.analysis.as_ref().and_then(limit).unwrap_or(DEFAULT_RUN_HISTORY_LIMIT)
    }

    /// Time for which the old version keeps running after a promotion. Default: 30 s for blue-green and for a canary
    /// with traffic routing; zero for one without, whose old pods go as the new ones come.
    pub fn scale_down_delay(&self) -> Duration {
        match self.strategy_kind() {
            StrategyKind::BlueGreen(blue_green) => {
                seconds(blue_green.scale_down_delay_seconds.unwrap_or(DEFAULT_SCALE_DOWN_DELAY_SECONDS))
            }
            // With dynamicStableScale the old version has gone with its traffic.
            StrategyKind::Canary(canary) if canary.traffic_routing.is_some() && !canary.is_dynamic_stable_scale() => {
                seconds(canary.scale_down_delay_seconds_or_default())
            }
            StrategyKind::Canary(_) | StrategyKind::Both | StrategyKind::Neither => Duration::ZERO,
        }
    }

    /// Time for which the new version keeps running after an abort; `None` keeps it for good. Default: 30 s. A canary
    /// without traffic routing shrinks at once.
    pub fn abort_scale_down_delay(&self) -> Option<Duration> {
        match self.strategy_kind() {
            StrategyKind::BlueGreen(blue_green) => {
                let delay = blue_green.abort_scale_down_delay_seconds.unwrap_or(DEFAULT_SCALE_DOWN_DELAY_SECONDS);
                Some(delay).filter(|delay| *delay != 0).map(seconds)
            }
            StrategyKind::Canary(canary) if canary.traffic_routing.is_some() => {
                canary.abort_scale_down_delay_seconds_or_default().map(seconds)
            }
            StrategyKind::Canary(_) | StrategyKind::Both | StrategyKind::Neither => Some(Duration::ZERO),
        }
    }
}

impl CanaryStrategy {
    /// The steps; none is an empty list.
    pub fn steps(&self) -> &[CanaryStep] {
        self.steps.as_deref().unwrap_or_default()
    }

    /// Seconds the old version keeps running after the promotion. Default: 30 with traffic routing, none without.
    pub fn scale_down_delay_seconds_or_default(&self) -> i32 {
        let default = if self.traffic_routing.is_some() { DEFAULT_SCALE_DOWN_DELAY_SECONDS } else { 0 };
        self.scale_down_delay_seconds.unwrap_or(default)
    }

    /// Seconds the canary keeps running after an abort; `None` keeps it. Default: 30. Without traffic routing the canary
    /// shrinks at once, whatever this says.
    pub fn abort_scale_down_delay_seconds_or_default(&self) -> Option<i32> {
        Some(self.abort_scale_down_delay_seconds.unwrap_or(DEFAULT_SCALE_DOWN_DELAY_SECONDS))
            .filter(|delay| *delay != 0)
    }

    /// Pods beyond the wanted number. Default: 25%.
    pub fn max_surge_or_default(&self) -> IntOrString {
        self.max_surge.clone().unwrap_or_else(default_fence)
    }

    /// Pods which may be unavailable. Default: 25%.
    pub fn max_unavailable_or_default(&self) -> IntOrString {
        self.max_unavailable.clone().unwrap_or_else(default_fence)
    }

    /// Whether the stable version shrinks as traffic leaves it. Default: false.
    pub fn is_dynamic_stable_scale(&self) -> bool {
        self.dynamic_stable_scale.unwrap_or(false)
    }

    /// The weight that stands for all traffic. Default: 100.
    pub fn max_traffic_weight_or_default(&self) -> i32 {
        self.traffic_routing.as_ref().map_or(DEFAULT_MAX_TRAFFIC_WEIGHT, TrafficRouting::max_traffic_weight_or_default)
    }
}

impl BlueGreenStrategy {
    /// Whether the cut-over needs no person. Default: true.
    pub fn is_auto_promotion_enabled(&self) -> bool {
        self.auto_promotion_enabled.unwrap_or(true)
    }

    /// Pods which may be unavailable during a restart. Default: 25%.
    pub fn max_unavailable_or_default(&self) -> IntOrString {
        self.max_unavailable.clone().unwrap_or_else(default_fence)
    }
}

impl TrafficRouting {
    /// The weight that stands for all traffic. Default: 100.
    pub fn max_traffic_weight_or_default(&self) -> i32 {
        self.max_traffic_weight.unwrap_or(DEFAULT_MAX_TRAFFIC_WEIGHT)
    }
}

impl NginxTrafficRouting {
    /// Prefix of the annotations. Default (also when empty): `nginx.ingress.kubernetes.io`.
    pub fn annotation_prefix_or_default(&self) -> &str {
        self.annotation_prefix.as_deref().filter(|prefix| !prefix.is_empty()).unwrap_or(NGINX_ANNOTATION_PREFIX)
    }

    /// The stable Ingresses: `stableIngress`, then those of `stableIngresses`.
    pub fn ingresses(&self) -> Vec<&str> {
        let one = self.stable_ingress.as_deref().filter(|name| !name.is_empty());
        one.into_iter().chain(self.stable_ingresses.iter().flatten().map(String::as_str)).collect()
    }
}

impl AlbTrafficRouting {
    /// Prefix of the annotations. Default (also when empty): `alb.ingress.kubernetes.io`.
    pub fn annotation_prefix_or_default(&self) -> &str {
        self.annotation_prefix.as_deref().filter(|prefix| !prefix.is_empty()).unwrap_or(ALB_ANNOTATION_PREFIX)
    }
}

impl SetMirrorRoute {
    /// Share of the matching requests to copy, in percent. Default: 100.
    pub fn percentage_or_default(&self) -> i32 {
        self.percentage.unwrap_or(100)
    }
}

impl RolloutPause {
    /// How long to wait; `None` is until a person resumes.
    ///
    /// # Errors
    ///
    /// When the duration cannot be read.
    pub fn wait(&self) -> Result<Option<Duration>, InvalidDuration> {
        self.duration.as_ref().map(duration::of).transpose()
    }
}

impl RolloutAnalysisBackground {
    /// Index of the step at which it begins. Default: 0.
    pub fn starting_step_or_default(&self) -> i32 {
        self.starting_step.unwrap_or(0)
    }

    /// The analysis without its starting step.
    pub fn rollout_analysis(&self) -> RolloutAnalysis {
        RolloutAnalysis {
            templates: self.templates.clone(),
            args: self.args.clone(),
            dry_run: self.dry_run.clone(),
            measurement_retention: self.measurement_retention.clone(),
            analysis_run_metadata: self.analysis_run_metadata.clone(),
        }
    }
}

impl RolloutStatus {
    /// The phase, when it is a known word.
    pub fn phase_kind(&self) -> Option<RolloutPhase> {
        RolloutPhase::parse(self.phase.as_deref()?)
    }

    /// The condition of a type.
    pub fn condition(&self, wanted: RolloutConditionType) -> Option<&RolloutCondition> {
        self.conditions.iter().flatten().find(|condition| condition.type_ == wanted.as_str())
    }

    /// The pause condition for a reason.
    pub fn pause_condition(&self, wanted: PauseReason) -> Option<&PauseCondition> {
        self.pause_conditions.iter().flatten().find(|pause| pause.reason == wanted.as_str())
    }

    /// Whether the release is aborted.
    pub fn is_aborted(&self) -> bool {
        self.abort.unwrap_or(false)
    }

    /// Whether a full promotion is asked for.
    pub fn is_promote_full(&self) -> bool {
        self.promote_full.unwrap_or(false)
    }

    /// Which of the ping-pong services is stable.
    pub fn stable_ping_pong(&self) -> Option<PingPong> {
        PingPong::parse(self.canary.as_ref()?.stable_ping_pong.as_deref()?)
    }
}

impl PauseCondition {
    /// The reason, when it is a known word.
    pub fn reason_kind(&self) -> Option<PauseReason> {
        PauseReason::parse(&self.reason)
    }
}

impl RolloutCondition {
    /// Whether the status is `True`.
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }
}

impl RolloutAnalysisRunStatus {
    /// The phase, when it is a known word.
    pub fn phase_kind(&self) -> Option<AnalysisPhase> {
        AnalysisPhase::parse(&self.status)
    }
}

fn default_fence() -> IntOrString {
    IntOrString::String(DEFAULT_FENCE.to_owned())
}

/// Negative delays, which validation refuses, count as none.
fn seconds(seconds: i32) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(strategy: &serde_json::Value) -> RolloutSpec {
        serde_json::from_value(json!({ "strategy": strategy })).unwrap()
    }

    #[test]
    fn what_is_absent_has_the_documented_meaning() {
        let empty = RolloutSpec::default();
        assert_eq!(empty.replicas_or_default(), 1);
        assert_eq!(empty.revision_history_limit_or_default(), 10);
        assert_eq!(empty.progress_deadline_seconds_or_default(), 600);
        assert_eq!(empty.successful_run_history_limit_or_default(), 5);
        assert_eq!(empty.strategy_kind(), StrategyKind::Neither);
        assert_eq!(CanaryStrategy::default().max_surge_or_default(), IntOrString::String("25%".to_owned()));
        assert!(BlueGreenStrategy::default().is_auto_promotion_enabled());
        assert_eq!(RolloutPause::default().wait(), Ok(None));
        assert_eq!(NginxTrafficRouting::default().annotation_prefix_or_default(), "nginx.ingress.kubernetes.io");
    }

    #[test]
    fn delays_depend_on_strategy_and_traffic_routing() {
        let half_minute = Duration::from_secs(30);
        for (strategy, after_promotion, after_abort) in [
            (json!({ "canary": {} }), Duration::ZERO, Some(Duration::ZERO)),
            (json!({ "canary": { "abortScaleDownDelaySeconds": 5 } }), Duration::ZERO, Some(Duration::ZERO)),
            (json!({ "canary": { "trafficRouting": {} } }), half_minute, Some(half_minute)),
            (json!({ "canary": { "trafficRouting": {}, "abortScaleDownDelaySeconds": 0 } }), half_minute, None),
            (json!({ "blueGreen": { "activeService": "web" } }), half_minute, Some(half_minute)),
            (
                json!({ "blueGreen": { "activeService": "web", "scaleDownDelaySeconds": 0 } }),
                Duration::ZERO,
                Some(half_minute),
            ),
        ] {
            let spec = spec(&strategy);
            assert_eq!(spec.scale_down_delay(), after_promotion, "{strategy}");
            assert_eq!(spec.abort_scale_down_delay(), after_abort, "{strategy}");
        }
        assert_eq!(
            spec(&json!({ "canary": {}, "blueGreen": { "activeService": "a" } })).strategy_kind(),
            StrategyKind::Both
        );
    }
}
