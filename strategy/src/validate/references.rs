//! The objects a Rollout names: Services, the routers' objects, AnalysisTemplates.

use analysis::template::validate as validate_analysis;
use crds::words::MANAGED_BY_ANNOTATION;
use crds::{AnalysisTemplateRef, BlueGreenStrategy, CanaryStrategy, RolloutAnalysis};
use traffic::Router;

use super::{Checked, Problem, invalid, missing};
use crate::Observation;

pub(super) fn check(seen: &Observation, canary: &CanaryStrategy, routers: &[Box<dyn Router>]) -> Checked {
    let ping_pong = canary.ping_pong.as_ref();
    let named = [
        ("stableService", canary.stable_service.as_ref()),
        ("canaryService", canary.canary_service.as_ref()),
        ("pingPong.pingService", ping_pong.map(|both| &both.ping_service)),
        ("pingPong.pongService", ping_pong.map(|both| &both.pong_service)),
    ];
    for (field, name) in named {
        if let Some(name) = name {
            service(seen, &format!("spec.strategy.canary.{field}"), name)?;
        }
    }
    let services = traffic::services(&seen.rollout);
    let additional: Vec<String> = crate::canary::experiment::services(seen).into_iter().collect();
    for router in routers {
        let field = format!("spec.strategy.canary.trafficRouting.{}", router.field());
        let selected = router.selected().into_iter().map(|selected| selected.like);
        let mut named = router.references().into_iter().chain(selected);
        if let Some(unserved) = named.find(|one| seen.unserved.contains(one.kind)) {
            let right = format!(
                "{} \"{}\": the cluster does not know this kind ({}); install its CustomResourceDefinition",
                unserved.kind, unserved.name, unserved.api_version
            );
            return Err(missing(field, router.name(), right));
        }
        if let Err(error) = router.validate(&services, &additional, &seen.routes) {
            return Err(missing(field, router.name(), error));
        }
    }
    analyses(seen, canary)
}

/// The objects that a blue-green release names.
pub(super) fn check_blue_green(seen: &Observation, blue_green: &BlueGreenStrategy) -> Checked {
    let at = |field: &str| format!("spec.strategy.blueGreen.{field}");
    service(seen, &at("activeService"), &blue_green.active_service)?;
    if let Some(preview) = blue_green.preview_service.as_deref().filter(|name| !name.is_empty()) {
        service(seen, &at("previewService"), preview)?;
    }
    let analyses = [
        ("prePromotionAnalysis", &blue_green.pre_promotion_analysis),
        ("postPromotionAnalysis", &blue_green.post_promotion_analysis),
    ];
    for (field, wanted) in analyses {
        if let Some(wanted) = wanted {
            analysis(seen, &at(field), wanted)?;
            finite(seen, &at(field), wanted)?;
        }
    }
    Ok(())
}

fn service(seen: &Observation, path: &str, name: &str) -> Checked {
    let rollout = seen.rollout.metadata.name.as_deref().unwrap_or_default();
    let Some(service) = seen.services.get(name) else {
        return Err(missing(path, format!("\"{name}\""), format!("service \"{name}\" not found")));
    };
    let manager = service.metadata.annotations.as_ref().and_then(|all| all.get(MANAGED_BY_ANNOTATION));
    if let Some(other) = manager.filter(|other| other.as_str() != rollout) {
        let right = format!("Service \"{name}\" is managed by another Rollout: \"{other}\"");
        return Err(missing(path, format!("\"{name}\""), right));
    }
    let label = |key: &str| seen.rollout.spec.template.as_ref().and_then(|template| template.label(key));
    let mut selector = service.spec.iter().flat_map(|spec| spec.selector.iter().flatten());
    let mismatch = selector
        .find(|(key, value)| *key != crds::words::POD_TEMPLATE_HASH_LABEL && label(key) != Some(value.as_str()));
    if let Some((key, _)) = mismatch {
        let right = format!("Service \"{name}\" has unmatch label \"{key}\" in rollout");
        return Err(missing(path, format!("\"{name}\""), right));
    }
    Ok(())
}

fn analyses(seen: &Observation, canary: &CanaryStrategy) -> Checked {
    if let Some(background) = &canary.analysis {
        analysis(seen, "spec.strategy.canary.analysis", &background.rollout_analysis())?;
    }
    for (index, step) in canary.steps().iter().enumerate() {
        if let Some(inline) = &step.analysis {
            analysis(seen, &format!("spec.strategy.canary.steps[{index}].analysis"), inline)?;
            finite(seen, &format!("spec.strategy.canary.steps[{index}].analysis"), inline)?;
        }
        for (number, one) in step.experiment.iter().flat_map(|step| step.analyses.iter().flatten()).enumerate() {
            let reference = AnalysisTemplateRef {
                template_name: Some(one.template_name.clone()),
                cluster_scope: one.cluster_scope,
            };
            let wanted = RolloutAnalysis {
                templates: Some(vec![reference]),
                args: one.args.clone(),
                ..RolloutAnalysis::default()
            };
            analysis(seen, &format!("spec.strategy.canary.steps[{index}].experiment.analyses[{number}]"), &wanted)?;
        }
    }
    Ok(())
}

fn analysis(seen: &Observation, field: &str, wanted: &RolloutAnalysis) -> Checked {
    for reference in wanted.templates.iter().flatten() {
        let name = reference.template_name.as_deref().unwrap_or_default();
        let (found, kind) = if reference.cluster_scope == Some(true) {
            (seen.cluster_analysis_templates.contains_key(name), "ClusterAnalysisTemplate")
        } else {
            (seen.analysis_templates.contains_key(name), "AnalysisTemplate")
        };
        if !found {
            return Err(missing(
                format!("{field}.templates"),
                format!("\"{name}\""),
                format!("{kind} '{name}' not found"),
            ));
        }
    }
    match validate_analysis(wanted, &crate::release::analysis::templates(seen)).into_iter().next() {
        Some(error) => Err(Problem { transient: true, ..invalid(format!("{field}.templates"), names(wanted), error) }),
        None => Ok(()),
    }
}

fn names(wanted: &RolloutAnalysis) -> String {
    let names: Vec<&str> = wanted.templates.iter().flatten().filter_map(|one| one.template_name.as_deref()).collect();
    format!("\"{}\"", names.join(", "))
}

/// A step or a promotion must end by itself: a metric with an interval needs a count there.
fn finite(seen: &Observation, field: &str, wanted: &RolloutAnalysis) -> Checked {
    for reference in wanted.templates.iter().flatten() {
        let name = reference.template_name.as_deref().unwrap_or_default();
        let spec = if reference.cluster_scope == Some(true) {
            seen.cluster_analysis_templates.get(name).map(|template| &*template.spec)
        } else {
            seen.analysis_templates.get(name).map(|template| &template.spec)
        };
        for metric in spec.iter().flat_map(|spec| spec.metrics.iter().flatten()) {
            if metric.interval.is_some() && metric.count.is_none() {
                let field = format!("{field}.templates");
                let right = format!(
                    "AnalysisTemplate {name} has metric {} which runs indefinitely. Invalid value for count: <nil>",
                    metric.name
                );
                return Err(Problem { transient: true, ..invalid(field, format!("\"{name}\""), right) });
            }
        }
    }
    Ok(())
}
