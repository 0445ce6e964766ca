//! The steps of a canary.

use crds::{CanaryStep, CanaryStrategy};

use super::{Checked, invalid, unsupported};

pub(super) fn check(canary: &CanaryStrategy) -> Checked {
    let most = canary.traffic_routing.as_ref().and_then(|routing| routing.max_traffic_weight).unwrap_or(100);
    for (index, step) in canary.steps().iter().enumerate() {
        one(&format!("spec.strategy.canary.steps[{index}]"), step, most)?;
    }
    if let Some(background) = &canary.analysis
        && let Some(start) = background.starting_step
        && (start < 0 || usize::try_from(start).is_ok_and(|start| start > canary.steps().len()))
    {
        let right = format!("must be between 0 and the number of steps ({})", canary.steps().len());
        return Err(invalid("spec.strategy.canary.analysis.startingStep", start, right));
    }
    Ok(())
}

fn one(path: &str, step: &CanaryStep, most: i32) -> Checked {
    let kinds = [
        ("setWeight", step.set_weight.is_some()),
        ("pause", step.pause.is_some()),
        ("experiment", step.experiment.is_some()),
        ("analysis", step.analysis.is_some()),
        ("setCanaryScale", step.set_canary_scale.is_some()),
        ("setHeaderRoute", step.set_header_route.is_some()),
        ("setMirrorRoute", step.set_mirror_route.is_some()),
        ("plugin", step.plugin.is_some()),
    ];
    let set: Vec<&str> = kinds.iter().filter(|(_, set)| *set).map(|(kind, _)| *kind).collect();
    let [kind] = set.as_slice() else {
        let found = if set.is_empty() { "nothing".to_owned() } else { set.join(" and ") };
        return Err(invalid(
            path,
            found,
            "Step must have one of the following set: experiment, setWeight, setCanaryScale, pause or analysis",
        ));
    };
    if *kind == "plugin" {
        return Err(invalid(format!("{path}.plugin"), "plugin", "step plugins are not supported yet"));
    }
    if !["setWeight", "pause", "analysis"].contains(kind) {
        return Err(unsupported(format!("{path}.{kind}")));
    }
    if let Some(weight) = step.set_weight.filter(|weight| !(0..=most).contains(weight)) {
        return Err(invalid(
            format!("{path}.setWeight"),
            weight,
            format!("SetWeight needs to be between 0 and {most}"),
        ));
    }
    if let Some(pause) = &step.pause
        && let Err(error) = pause.wait()
    {
        let value =
            pause.duration.as_ref().and_then(|duration| serde_json::to_string(duration).ok()).unwrap_or_default();
        return Err(invalid(format!("{path}.pause.duration"), value, error));
    }
    if let Some(analysis) = &step.analysis
        && analysis.templates.as_ref().is_none_or(Vec::is_empty)
    {
        return Err(invalid(format!("{path}.analysis.templates"), "[]", "an analysis needs at least one template"));
    }
    Ok(())
}
