//! The experiment step of a canary.

use std::collections::BTreeSet;

use crds::{CanaryStrategy, ReplicaSetSpecRef, RolloutExperimentStep};
use traffic::{Feature, Router};

use super::routing::can;
use super::{Checked, invalid, required};

pub(super) fn check(canary: &CanaryStrategy, routers: &[Box<dyn Router>]) -> Checked {
    for (index, step) in canary.steps().iter().enumerate() {
        if let Some(experiment) = &step.experiment {
            one(&format!("spec.strategy.canary.steps[{index}].experiment"), experiment, canary, routers)?;
            weights(canary, index, experiment)?;
        }
    }
    Ok(())
}

fn one(path: &str, step: &RolloutExperimentStep, canary: &CanaryStrategy, routers: &[Box<dyn Router>]) -> Checked {
    if step.templates.is_empty() {
        return Err(required(format!("{path}.templates"), "an experiment has at least one template"));
    }
    let mut names = BTreeSet::new();
    for (index, template) in step.templates.iter().enumerate() {
        let field = format!("{path}.templates[{index}]");
        if template.name.is_empty() {
            return Err(required(format!("{field}.name"), "each template has a name"));
        }
        if !names.insert(&template.name) {
            let right = "duplicate name: each template of an experiment has its own";
            return Err(invalid(format!("{field}.name"), &template.name, right));
        }
        if ReplicaSetSpecRef::parse(&template.spec_ref).is_none() {
            let right = "must be canary or stable";
            return Err(invalid(format!("{field}.specRef"), format!("\"{}\"", template.spec_ref), right));
        }
        if let Some(replicas) = template.replicas.filter(|replicas| *replicas < 0) {
            return Err(invalid(format!("{field}.replicas"), replicas, "must be greater than or equal to 0"));
        }
        if let Some(weight) = template.weight {
            let field = format!("{field}.weight");
            if canary.traffic_routing.is_none() {
                let right = "Experiment template weight cannot be set unless TrafficRouting is enabled";
                return Err(invalid(field, weight, right));
            }
            if !(0..=100).contains(&weight) {
                return Err(invalid(field, weight, "must be between 0 and 100"));
            }
            can(routers, Feature::ExperimentWeights, &field, &weight.to_string())?;
        }
    }
    if let Some(duration) = &step.duration
        && let Err(error) = crds::duration::parse(duration)
    {
        return Err(invalid(format!("{path}.duration"), format!("\"{duration}\""), error));
    }
    if let Some(delay) = step.scale_down_delay_seconds.filter(|delay| *delay < 0) {
        return Err(invalid(format!("{path}.scaleDownDelaySeconds"), delay, "must be greater than or equal to 0"));
    }
    let mut names = BTreeSet::new();
    for (index, analysis) in step.analyses.iter().flatten().enumerate() {
        let field = format!("{path}.analyses[{index}]");
        if analysis.name.is_empty() {
            return Err(required(format!("{field}.name"), "each analysis has a name"));
        }
        if !names.insert(&analysis.name) {
            let right = "duplicate name: each analysis of an experiment has its own";
            return Err(invalid(format!("{field}.name"), &analysis.name, right));
        }
    }
    Ok(())
}

/// The canary and the versions of an Experiment can have no more than everything together.
fn weights(canary: &CanaryStrategy, index: usize, step: &RolloutExperimentStep) -> Checked {
    let own: i32 = step.templates.iter().filter_map(|template| template.weight).sum();
    let set = canary.steps().iter().take(index).rev().find_map(|step| step.set_weight).unwrap_or(0);
    if own > 0 && own + set > 100 {
        let field = format!("spec.strategy.canary.steps[{index}].experiment.templates");
        let right = format!("the weights of the templates and of the canary ({set}) must not sum to more than 100");
        return Err(invalid(field, own, right));
    }
    Ok(())
}
