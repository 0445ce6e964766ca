//! Validation: what a Rollout asks for that cannot be carried out, told so that a person can mend it.
//!
//! Invariants: nothing is refused that an existing controller accepts, except what is not built yet, which is named; the first problem
//! found is told, in the order spec, steps, references.

mod blue_green;
mod experiment;
mod references;
mod routing;
mod steps;

use std::fmt::Display;

use crds::{CanaryStrategy, IntOrString, Rollout, StrategyKind, selector_is_set, selector_matches};
use serde_json::Value;

use crate::Observation;

/// Why a Rollout cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Path of the field, such as `spec.strategy.canary.steps[0].setWeight`.
    pub field: String,
    /// The whole sentence: object, field, value, what would be right.
    pub message: String,
    /// It names an object that may still appear: worth looking again without a change of the Rollout.
    pub transient: bool,
}

/// A problem of one field, before it is told of which Rollout.
pub(crate) struct Problem {
    field: String,
    text: String,
    transient: bool,
}

pub(crate) type Checked = Result<(), Problem>;

pub(crate) fn invalid(field: impl Display, value: impl Display, right: impl Display) -> Problem {
    Problem { field: field.to_string(), text: format!("Invalid value: {value}: {right}"), transient: false }
}

pub(crate) fn required(field: impl Display, right: impl Display) -> Problem {
    Problem { field: field.to_string(), text: format!("Required value: {right}"), transient: false }
}

pub(crate) fn unsupported(field: impl Display) -> Problem {
    let field = field.to_string();
    Problem { text: format!("Invalid value: {} is not supported yet", last(&field)), field, transient: false }
}

pub(crate) fn missing(field: impl Display, value: impl Display, right: impl Display) -> Problem {
    Problem { transient: true, ..invalid(field, value, right) }
}

fn last(field: &str) -> &str {
    field.rsplit('.').next().unwrap_or(field)
}

/// Checks a Rollout against itself and against the objects it names.
///
/// # Errors
/// The first problem found.
pub fn validate(seen: &Observation) -> Result<(), Invalid> {
    let seen = &*crate::workload::resolve(seen);
    let name = seen.rollout.metadata.name.as_deref().unwrap_or_default();
    let checked = crate::workload::check(seen).and_then(|()| spec(&seen.rollout)).and_then(|()| {
        match seen.rollout.strategy_kind() {
            StrategyKind::Canary(canary) => {
                let routers = traffic::routers(&seen.rollout);
                steps::check(canary, &routers)
                    .and_then(|()| experiment::check(canary, &routers))
                    .and_then(|()| references::check(seen, canary, &routers))
            }
            StrategyKind::BlueGreen(blue_green) => references::check_blue_green(seen, blue_green),
            StrategyKind::Both | StrategyKind::Neither => Ok(()),
        }
    });
    checked.map_err(|problem| Invalid {
        message: format!("The Rollout \"{name}\" is invalid: {}: {}", problem.field, problem.text),
        field: problem.field,
        transient: problem.transient,
    })
}

fn spec(rollout: &Rollout) -> Checked {
    let spec = &rollout.spec;
    for (field, value) in [
        ("spec.replicas", spec.replicas),
        ("spec.minReadySeconds", spec.min_ready_seconds),
        ("spec.revisionHistoryLimit", spec.revision_history_limit),
        ("spec.progressDeadlineSeconds", spec.progress_deadline_seconds),
    ] {
        if let Some(value) = value.filter(|value| *value < 0) {
            return Err(invalid(field, value, "must be greater than or equal to 0"));
        }
    }
    let (ready, deadline) = (spec.min_ready_seconds.unwrap_or(0), spec.progress_deadline_seconds.unwrap_or(600));
    if ready >= deadline {
        return Err(invalid(
            "spec.minReadySeconds",
            ready,
            format!("must be less than progressDeadlineSeconds ({deadline})"),
        ));
    }
    let selector = spec.selector.as_ref().filter(|selector| selector_is_set(selector));
    let Some(selector) = selector else {
        return Err(required(
            "spec.selector",
            "a Rollout must say which pods are its own, such as matchLabels: {app: web}",
        ));
    };
    template(rollout)?;
    let labels = spec.template.as_ref().map(crds::PodTemplate::labels).unwrap_or_default();
    if !selector_matches(selector, &labels) {
        let text = serde_json::to_string(&labels).unwrap_or_default();
        return Err(invalid("spec.template.metadata.labels", text, "`selector` does not match template `labels`"));
    }
    match rollout.strategy_kind() {
        StrategyKind::Canary(canary) => strategy(rollout, canary),
        StrategyKind::BlueGreen(blue_green) => blue_green::check(rollout, blue_green),
        StrategyKind::Both => Err(invalid("spec.strategy", "canary and blueGreen", "only one strategy may be set")),
        StrategyKind::Neither => Err(required(
            "spec.strategy",
            "Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'",
        )),
    }
}

fn template(rollout: &Rollout) -> Checked {
    let Some(template) = &rollout.spec.template else {
        return Err(required("spec.template", "a pod template with at least one container"));
    };
    if let Err(error) = template.typed() {
        return Err(invalid("spec.template", "the pod template", error));
    }
    let field = "spec.template.spec.containers";
    let containers = template.get("spec").and_then(|spec| spec.get("containers")).and_then(Value::as_array);
    let containers =
        containers.filter(|all| !all.is_empty()).ok_or_else(|| required(field, "at least one container"))?;
    let mut names = Vec::new();
    for (index, container) in containers.iter().enumerate() {
        let text = |key: &str| container.get(key).and_then(Value::as_str).unwrap_or_default();
        for (key, right) in [("name", "every container has a name"), ("image", "every container has an image")] {
            if text(key).is_empty() {
                return Err(required(format!("{field}[{index}].{key}"), right));
            }
        }
        if names.contains(&text("name")) {
            return Err(invalid(
                format!("{field}[{index}].name"),
                text("name"),
                "duplicate name: each container has its own",
            ));
        }
        names.push(text("name"));
    }
    Ok(())
}

fn strategy(rollout: &Rollout, canary: &CanaryStrategy) -> Checked {
    let at = |field: &str| format!("spec.strategy.canary.{field}");
    threshold(canary)?;
    if let Some(word) = canary.steps_change.as_deref().filter(|word| !["restart", "keep"].contains(word)) {
        return Err(invalid(at("stepsChange"), format!("\"{word}\""), "must be restart or keep"));
    }
    if let Some(wanted) = &canary.anti_affinity {
        blue_green::anti_affinity(&at("antiAffinity"), wanted)?;
    }
    fences(canary)?;
    if let Some(limit) = canary.scale_down_delay_revision_limit {
        let history = rollout.spec.revision_history_limit.unwrap_or(10);
        if limit > history {
            let right = format!("must not be more than revisionHistoryLimit ({history})");
            return Err(invalid(at("scaleDownDelayRevisionLimit"), limit, right));
        }
    }
    routing::check(rollout, canary)
}

fn threshold(canary: &CanaryStrategy) -> Checked {
    let Some(threshold) = &canary.replica_progress_threshold else { return Ok(()) };
    let field = "spec.strategy.canary.replicaProgressThreshold";
    match (threshold.type_.as_str(), threshold.value) {
        ("Percent", 1..=100) | ("Pods", 1..) => Ok(()),
        ("Percent", value) => Err(invalid(format!("{field}.value"), value, "must be between 1 and 100")),
        ("Pods", value) => Err(invalid(format!("{field}.value"), value, "must be greater than 0")),
        (other, _) => Err(invalid(format!("{field}.type"), format!("\"{other}\""), "must be Percent or Pods")),
    }
}

fn fences(canary: &CanaryStrategy) -> Checked {
    let mut zero = true;
    for (field, value) in [("maxSurge", &canary.max_surge), ("maxUnavailable", &canary.max_unavailable)] {
        let path = format!("spec.strategy.canary.{field}");
        match value {
            Some(IntOrString::Int(number)) if *number < 0 => {
                return Err(invalid(path, number, "must be greater than or equal to 0"));
            }
            Some(IntOrString::Int(number)) => zero &= *number == 0,
            Some(IntOrString::String(text)) => match text.trim_end_matches('%').parse::<u32>() {
                Ok(number) => zero &= number == 0,
                Err(_) => {
                    return Err(invalid(
                        path,
                        format!("{text:?}"),
                        "must be a number of pods or a percentage such as 25%",
                    ));
                }
            },
            None => zero = false,
        }
    }
    if zero {
        return Err(invalid("spec.strategy.canary.maxSurge", 0, "MaxSurge and MaxUnavailable both can not be zero"));
    }
    Ok(())
}
