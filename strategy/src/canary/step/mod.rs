//! Canary steps: one file each. A step says whether its end is an observed fact; what it wants meanwhile follows from the position.

mod analysis;
mod experiment;
mod pause;
mod set_canary_scale;
mod set_weight;

use crds::CanaryStep;

use super::{Draft, Release};

/// Whether a step is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its end is an observed fact.
    Done,
    /// Something is still to come.
    Waits,
}

/// Asks a step whether it is over; a step may note its beginning in the draft.
pub(crate) fn progress(release: &Release<'_>, draft: &mut Draft, index: usize, step: &CanaryStep) -> Outcome {
    if let Some(weight) = step.set_weight {
        set_weight::progress(release, index, weight)
    } else if step.set_canary_scale.is_some() {
        set_canary_scale::progress(release, index)
    } else if let Some(pause) = &step.pause {
        pause::progress(release, draft, pause)
    } else if step.analysis.is_some() {
        analysis::progress(draft)
    } else if step.set_header_route.is_some() || step.set_mirror_route.is_some() {
        // The route is written with the position that lies behind this step.
        Outcome::Done
    } else if step.plugin.is_some() {
        // Validation refuses the ones that are not switched off.
        Outcome::Done
    } else if step.experiment.is_some() {
        experiment::progress(release, draft)
    } else {
        // Validation refuses every other kind, so the release never comes here with one.
        Outcome::Waits
    }
}

/// A step in the words of events.
pub fn describe(step: &CanaryStep) -> String {
    if let Some(weight) = step.set_weight {
        return format!("setWeight: {weight}");
    }
    if let Some(pause) = &step.pause {
        return match &pause.duration {
            Some(crds::IntOrString::Int(seconds)) => format!("pause: {seconds}s"),
            Some(crds::IntOrString::String(text)) => format!("pause: {text}"),
            None => "pause".to_owned(),
        };
    }
    if let Some(scale) = &step.set_canary_scale {
        return match (scale.weight, scale.replicas) {
            (Some(weight), _) => format!("setCanaryScale{{weight: {weight}}}"),
            (None, Some(replicas)) => format!("setCanaryScale{{replicas: {replicas}}}"),
            (None, None) => "setCanaryScale{matchTrafficWeight: true}".to_owned(),
        };
    }
    if let Some(route) = &step.set_header_route {
        let name = route.name.as_deref().unwrap_or_default();
        let what =
            if route.match_.iter().flatten().next().is_some() { "setHeaderRoute" } else { "end of header route" };
        return format!("{what}: {name}");
    }
    if let Some(route) = &step.set_mirror_route {
        let what =
            if route.match_.iter().flatten().next().is_some() { "setMirrorRoute" } else { "end of mirror route" };
        return format!("{what}: {}", route.name);
    }
    if let Some(plugin) = &step.plugin {
        return format!("plugin: {}, skipped", plugin.name);
    }
    if step.experiment.is_some() {
        return "experiment".to_owned();
    }
    if step.analysis.is_some() { "analysis".to_owned() } else { "unknown".to_owned() }
}
