//! What an Experiment may ask for.

use std::collections::BTreeSet;

use crds::words::POD_TEMPLATE_HASH_LABEL;
use crds::{Experiment, selector_is_set, selector_matches};

/// The first thing that is wrong, in the words of Argo Rollouts where it has some.
///
/// # Errors
///
/// When the spec cannot be carried out.
pub fn validate(experiment: &Experiment) -> Result<(), String> {
    let spec = &experiment.spec;
    let name = experiment.metadata.name.as_deref().unwrap_or_default();
    if spec.templates.is_empty() {
        return Err("spec.templates: Required value: an experiment has at least one template".to_owned());
    }
    let deadline = spec.progress_deadline_seconds_or_default();
    if deadline <= 0 {
        return Err(format!("spec.progressDeadlineSeconds: Invalid value: {deadline}: must be greater than 0"));
    }
    let mut names = BTreeSet::new();
    for (index, template) in spec.templates.iter().enumerate() {
        let field = format!("spec.templates[{index}]");
        if !selector_is_set(&template.selector) {
            return Err(format!(
                "This experiment is selecting all pods at index {index}. A non-empty selector is required."
            ));
        }
        if template.min_ready_seconds.unwrap_or(0) > deadline {
            return Err(format!(
                "MinReadySeconds cannot be longer than ProgressDeadlineSeconds. Check template index {index}"
            ));
        }
        if template.name.is_empty() {
            return Err(format!("Experiment {name} has empty template name at index {index}"));
        }
        if !names.insert(&template.name) {
            return Err(format!("Experiment {name} has repeated template name '{}' in templates", template.name));
        }
        if let Some(replicas) = template.replicas.filter(|replicas| *replicas < 0) {
            return Err(format!("{field}.replicas: Invalid value: {replicas}: must be greater than or equal to 0"));
        }
        // The hash in a selector is replaced by the template's own.
        let mut selector = template.selector.clone();
        if let Some(labels) = &mut selector.match_labels {
            labels.remove(POD_TEMPLATE_HASH_LABEL);
        }
        if !selector_matches(&selector, &template.template.labels()) {
            return Err(format!(
                "{field}.template.metadata.labels: Invalid value: `selector` does not match template `labels`"
            ));
        }
        if template.template.containers().is_empty() {
            return Err(format!("{field}.template.spec.containers: Required value: a pod has at least one container"));
        }
    }
    if let Some(duration) = &spec.duration
        && let Err(error) = crds::duration::parse(duration)
    {
        return Err(format!("spec.duration: Invalid value: {error}"));
    }
    if let Some(delay) = spec.scale_down_delay_seconds.filter(|delay| *delay < 0) {
        return Err(format!("spec.scaleDownDelaySeconds: Invalid value: {delay}: must be greater than or equal to 0"));
    }
    let mut names = BTreeSet::new();
    for (index, analysis) in spec.analyses.iter().flatten().enumerate() {
        let field = format!("spec.analyses[{index}]");
        if analysis.name.is_empty() {
            return Err(format!("{field}.name: Required value: each analysis has a name"));
        }
        if !names.insert(&analysis.name) {
            let name = &analysis.name;
            return Err(format!("{field}.name: Invalid value: \"{name}\": duplicate name: each analysis has its own"));
        }
        if analysis.template_name.is_empty() {
            return Err(format!("{field}.templateName: Required value: the name of an AnalysisTemplate"));
        }
    }
    Ok(())
}
