//! Templates, and the templates they name, as one.

use std::collections::BTreeSet;

use crds::{AnalysisTemplateRef, AnalysisTemplateSpec, Argument, DryRun, MeasurementRetention, Metric};

use super::{TemplateError, TemplateName, Templates};

/// Everything that several templates say together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flat {
    /// All metrics; the names are unique.
    pub metrics: Vec<Metric>,
    /// All declared arguments.
    pub args: Vec<Argument>,
    /// Rules of dry-run mode.
    pub dry_run: Vec<DryRun>,
    /// Rules of retention.
    pub retention: Vec<MeasurementRetention>,
}

/// Collects `references` and what they name. A template that is named twice, or that names itself, counts once.
pub(super) fn flatten(references: &[AnalysisTemplateRef], templates: &dyn Templates) -> Result<Flat, TemplateError> {
    if references.is_empty() {
        return Err(TemplateError::NoTemplates);
    }
    let mut flat = Flat::default();
    let mut seen = BTreeSet::new();
    let mut open: Vec<TemplateName> = references.iter().rev().map(TemplateName::of).collect();
    while let Some(name) = open.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let found = if name.cluster { templates.cluster(&name.name) } else { templates.namespaced(&name.name) };
        let template = found.ok_or_else(|| TemplateError::NotFound(name.clone()))?;
        flat.add(template)?;
        open.extend(template.templates.iter().flatten().rev().map(TemplateName::of));
    }
    Ok(flat)
}

impl Flat {
    fn add(&mut self, template: &AnalysisTemplateSpec) -> Result<(), TemplateError> {
        for metric in template.metrics.iter().flatten() {
            if self.metrics.iter().any(|known| known.name == metric.name) {
                return Err(TemplateError::DuplicateMetric(metric.name.clone()));
            }
            self.metrics.push(metric.clone());
        }
        for arg in template.args.iter().flatten() {
            self.add_arg(arg)?;
        }
        self.add_dry_run(template.dry_run.as_deref().unwrap_or_default());
        self.add_retention(template.measurement_retention.as_deref().unwrap_or_default())
    }

    /// Two declarations of one argument agree when at most one has a value, or both the same.
    fn add_arg(&mut self, arg: &Argument) -> Result<(), TemplateError> {
        let Some(known) = self.args.iter_mut().find(|known| known.name == arg.name) else {
            self.args.push(arg.clone());
            return Ok(());
        };
        let open = |arg: &Argument| arg.value.is_none() && arg.value_from.is_none();
        if open(known) {
            *known = arg.clone();
        } else if !open(arg) && known != arg {
            let text = |arg: &Argument| arg.value.clone().unwrap_or_else(|| "valueFrom".to_owned());
            let (first, second) = (text(known), text(arg));
            return Err(TemplateError::ConflictingArgument { arg: arg.name.clone(), first, second });
        }
        Ok(())
    }

    /// Adds rules; the same rule twice is one.
    pub(super) fn add_dry_run(&mut self, rules: &[DryRun]) {
        for rule in rules {
            if !self.dry_run.contains(rule) {
                self.dry_run.push(rule.clone());
            }
        }
    }

    /// Adds rules; one name with two limits is an error.
    pub(super) fn add_retention(&mut self, rules: &[MeasurementRetention]) -> Result<(), TemplateError> {
        for rule in rules {
            match self.retention.iter().find(|known| known.metric_name == rule.metric_name) {
                None => self.retention.push(rule.clone()),
                Some(known) if known == rule => {}
                Some(_) => {
                    return Err(TemplateError::DuplicateRule("measurementRetention", rule.metric_name.clone()));
                }
            }
        }
        Ok(())
    }
}
