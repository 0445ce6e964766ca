//! The experiment step of a canary.

use std::collections::BTreeSet;

use crds::{CanaryStrategy, ReplicaSetSpecRef, RolloutExperimentStep};

use super::{Checked, invalid, required};

pub(super) fn check(canary: &CanaryStrategy) -> Checked {
    for (index, step) in canary.steps().iter().enumerate() {
        if let Some(experiment) = &step.experiment {
            one(&format!("spec.strategy.canary.steps[{index}].experiment"), experiment, canary)?;
        }
    }
    Ok(())
}

fn one(path: &str, step: &RolloutExperimentStep, canary: &CanaryStrategy) -> Checked {
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
            let right = match &canary.traffic_routing {
                None => "Experiment template weight cannot be set unless TrafficRouting is enabled",
                Some(_) => "Experiment template weight is not supported with NGINX, which has one canary only",
            };
            return Err(invalid(format!("{field}.weight"), weight, right));
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
