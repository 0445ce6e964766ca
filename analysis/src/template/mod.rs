//! From templates and arguments to the spec of a run, and its name.
//!
//! Invariants: pure; a secret is never resolved here, only its reference is passed on; every error names what is wrong,
//! where, and what would be right.

pub mod args;
mod flatten;
mod name;
mod validate;

use std::collections::BTreeMap;
use std::fmt;

use crds::{
    AnalysisRunSpec, AnalysisTemplateRef, AnalysisTemplateSpec, Argument, DryRun, MeasurementRetention, RolloutAnalysis,
};

use crate::words::HASH_LABEL_OF_SERIES;

pub use args::{ArgValues, resolve_rollout_args};
pub use flatten::Flat;
pub use name::{RunChoice, choose_run, run_name};
pub use validate::{validate, validate_run, validate_spec};

/// Where templates are found.
pub trait Templates {
    /// The AnalysisTemplate of this name, in the namespace of the object.
    fn namespaced(&self, name: &str) -> Option<&AnalysisTemplateSpec>;
    /// The ClusterAnalysisTemplate of this name.
    fn cluster(&self, name: &str) -> Option<&AnalysisTemplateSpec>;
}

/// Names a template of either kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateName {
    /// Whether it is a ClusterAnalysisTemplate.
    pub cluster: bool,
    /// Its name.
    pub name: String,
}

impl TemplateName {
    fn of(reference: &AnalysisTemplateRef) -> Self {
        Self {
            cluster: reference.cluster_scope == Some(true),
            name: reference.template_name.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for TemplateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.cluster { "ClusterAnalysisTemplate" } else { "AnalysisTemplate" };
        write!(f, "{kind} '{}'", self.name)
    }
}

/// Why templates and arguments make no run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template does not exist.
    #[error("{0} not found")]
    NotFound(TemplateName),
    /// The analysis names no template.
    #[error("no templates given: name at least one template")]
    NoTemplates,
    /// The templates have no metric together.
    #[error("the templates have no metrics: add at least one metric")]
    NoMetrics,
    /// Two metrics have one name.
    #[error("two metrics have the same name '{0}': give each metric its own name")]
    DuplicateMetric(String),
    /// Two templates give an argument different values.
    #[error("Argument `{arg}` specified multiple times with different values: '{first}', '{second}'")]
    ConflictingArgument {
        /// Name of the argument.
        arg: String,
        /// The one value.
        first: String,
        /// The other value.
        second: String,
    },
    /// Two rules of one kind have one name.
    #[error("two {0} rules have the same metric name '{1}'")]
    DuplicateRule(&'static str, String),
    /// An argument has no value.
    #[error("args.{0} was not resolved")]
    Unresolved(String),
    /// A field reference leads nowhere.
    #[error("invalid path {path} for argument '{arg}': {problem}")]
    FieldRef {
        /// Name of the argument.
        arg: String,
        /// The path as written.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// An argument itself is wrong.
    #[error("argument '{arg}': {problem}")]
    Argument {
        /// Name of the argument.
        arg: String,
        /// What is wrong.
        problem: String,
    },
    /// A field of a metric is wrong.
    #[error("metric '{metric}': {field}: {problem}")]
    Metric {
        /// Name of the metric.
        metric: String,
        /// Name of the field.
        field: String,
        /// What is wrong, with the value and what is right.
        problem: String,
    },
    /// A rule of dryRun or measurementRetention is wrong.
    #[error("{field}: {problem}")]
    Rule {
        /// `dryRun[0]` or `measurementRetention[0]`.
        field: String,
        /// What is wrong.
        problem: String,
    },
}

/// The spec of the run that `analysis` asks for.
pub fn build_run_spec(
    analysis: &RolloutAnalysis,
    values: &ArgValues<'_>,
    templates: &dyn Templates,
) -> Result<AnalysisRunSpec, TemplateError> {
    let given = resolve_rollout_args(analysis.args.as_deref().unwrap_or_default(), values)?;
    let mut spec = build_run_spec_from(
        analysis.templates.as_deref().unwrap_or_default(),
        &given,
        analysis.dry_run.as_deref().unwrap_or_default(),
        analysis.measurement_retention.as_deref().unwrap_or_default(),
        templates,
    )?;
    versions(&mut spec, values);
    Ok(spec)
}

/// Tells comparisons how the two versions are told apart, where they do not say.
fn versions(spec: &mut AnalysisRunSpec, values: &ArgValues<'_>) {
    let label = |hash: &str| BTreeMap::from([(HASH_LABEL_OF_SERIES.to_owned(), hash.to_owned())]);
    for comparison in spec.metrics.iter_mut().filter_map(|metric| metric.provider.comparison.as_mut()) {
        for (labels, hash) in
            [(&mut comparison.canary, values.latest_hash), (&mut comparison.stable, values.stable_hash)]
        {
            if labels.as_ref().is_none_or(BTreeMap::is_empty) && !hash.is_empty() {
                *labels = Some(label(hash));
            }
        }
    }
}

/// The spec of a run from templates and arguments that have their values already.
pub fn build_run_spec_from(
    references: &[AnalysisTemplateRef],
    given: &[Argument],
    dry_run: &[DryRun],
    retention: &[MeasurementRetention],
    templates: &dyn Templates,
) -> Result<AnalysisRunSpec, TemplateError> {
    let mut flat = flatten::flatten(references, templates)?;
    if flat.metrics.is_empty() {
        return Err(TemplateError::NoMetrics);
    }
    flat.add_dry_run(dry_run);
    flat.add_retention(retention)?;
    let resolved = args::merge(&flat.args, given)?;
    Ok(AnalysisRunSpec {
        metrics: flat.metrics,
        args: (!resolved.is_empty()).then_some(resolved),
        dry_run: (!flat.dry_run.is_empty()).then_some(flat.dry_run),
        measurement_retention: (!flat.retention.is_empty()).then_some(flat.retention),
        ..AnalysisRunSpec::default()
    })
}
