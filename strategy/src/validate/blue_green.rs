//! What a blue-green strategy asks for.

use crds::{AntiAffinity, BlueGreenStrategy, IntOrString, Rollout};

use super::{Checked, invalid, required};

pub(super) fn check(rollout: &Rollout, blue_green: &BlueGreenStrategy) -> Checked {
    let at = |field: &str| format!("spec.strategy.blueGreen.{field}");
    if blue_green.active_service.is_empty() {
        return Err(required(at("activeService"), "the name of the Service that carries users' requests"));
    }
    if blue_green.preview_service.as_ref() == Some(&blue_green.active_service) {
        let right = "This rollout uses the same service for the active and preview services, but two different services are required.";
        return Err(invalid(at("previewService"), format!("\"{}\"", blue_green.active_service), right));
    }
    for (field, value) in [
        ("previewReplicaCount", blue_green.preview_replica_count),
        ("autoPromotionSeconds", blue_green.auto_promotion_seconds),
        ("scaleDownDelaySeconds", blue_green.scale_down_delay_seconds),
        ("scaleDownDelayRevisionLimit", blue_green.scale_down_delay_revision_limit),
        ("abortScaleDownDelaySeconds", blue_green.abort_scale_down_delay_seconds),
    ] {
        if let Some(value) = value.filter(|value| *value < 0) {
            return Err(invalid(at(field), value, "must be greater than or equal to 0"));
        }
    }
    if let Some(limit) = blue_green.scale_down_delay_revision_limit {
        let history = rollout.spec.revision_history_limit_or_default();
        if limit > history {
            let right = format!("must not be more than revisionHistoryLimit ({history})");
            return Err(invalid(at("scaleDownDelayRevisionLimit"), limit, right));
        }
    }
    if let Some(IntOrString::String(text)) = &blue_green.max_unavailable
        && text.trim_end_matches('%').parse::<u32>().is_err()
    {
        let right = "must be a number of pods or a percentage such as 25%";
        return Err(invalid(at("maxUnavailable"), format!("{text:?}"), right));
    }
    blue_green.anti_affinity.as_ref().map_or(Ok(()), |wanted| anti_affinity(&at("antiAffinity"), wanted))
}

/// Exactly one of the two kinds, the preferred one with a weight that the scheduler takes.
pub(super) fn anti_affinity(field: &str, wanted: &AntiAffinity) -> Checked {
    let preferred = &wanted.preferred_during_scheduling_ignored_during_execution;
    let strict = &wanted.required_during_scheduling_ignored_during_execution;
    if preferred.is_some() == strict.is_some() {
        let value = if strict.is_some() { "both" } else { "neither" };
        return Err(invalid(field, value, "AntiAffinity must have exactly one strategy listed"));
    }
    let weight = preferred.as_ref().map(|preferred| preferred.weight).filter(|weight| !(1..=100).contains(weight));
    weight.map_or(Ok(()), |weight| {
        let field = format!("{field}.preferredDuringSchedulingIgnoredDuringExecution.weight");
        Err(invalid(field, weight, "must be between 1 and 100"))
    })
}
