//! `lint`: what is wrong with AnalysisTemplates, in files or on the cluster: fields that do not fit, and PromQL that judges nothing.

use std::collections::BTreeMap;
use std::path::Path;

use analysis::lint::{self, Known, Severity};
use analysis::template::validate_spec;
use crds::kube::api::{Api, ListParams};
use crds::{AnalysisRun, AnalysisTemplate, Argument, ClusterAnalysisTemplate, Metric};
use serde_json::Value;

use crate::cli;
use crate::errors::Error;
use crate::session::Session;
use crate::terminal::Terminal;

/// What a template and a run have in common.
struct Subject {
    kind: &'static str,
    name: String,
    metrics: Vec<Metric>,
    args: Vec<Argument>,
    problems: Vec<String>,
}

impl Subject {
    fn of_template(kind: &'static str, name: Option<String>, spec: crds::AnalysisTemplateSpec) -> Self {
        let metrics = spec.metrics.unwrap_or_default();
        let (dry, kept) = (spec.dry_run.unwrap_or_default(), spec.measurement_retention.unwrap_or_default());
        // One that only collects others has none of its own.
        let collects = spec.templates.is_some_and(|templates| !templates.is_empty());
        let problems = if metrics.is_empty() && collects { Vec::new() } else { validate_spec(&metrics, &dry, &kept) };
        let problems = problems.into_iter().map(|problem| problem.to_string()).collect();
        Self { kind, name: name.unwrap_or_default(), metrics, args: spec.args.unwrap_or_default(), problems }
    }
}

/// Looks at files; prints what was found.
///
/// # Errors
/// There are errors, not just warnings; a file cannot be read.
pub fn files(flags: &cli::Lint, terminal: &mut Terminal) -> Result<(), Error> {
    let mut count = Count::default();
    for path in &flags.filename {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::Request(format!("could not read {}: {error}", path.display())))?;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
            .map_err(|error| Error::Request(format!("{}: {error}", path.display())))?;
        for document in documents {
            if let Some(subject) = subject(path, document)? {
                show(&subject, &format!("{}: ", path.display()), flags, terminal, &mut count)?;
            }
        }
    }
    count.end(terminal)
}

/// Looks at the templates of the namespace and of the cluster.
///
/// # Errors
/// There are errors, not just warnings; the cluster gives no answer.
pub async fn cluster(session: &Session, flags: &cli::Lint, terminal: &mut Terminal) -> Result<(), Error> {
    let mut count = Count::default();
    let about = |resource| session.about(resource, "");
    let api: Api<AnalysisTemplate> = Api::namespaced(session.client.clone(), &session.namespace);
    let all = ListParams::default();
    let templates = session.answer(about("analysistemplates.argoproj.io"), api.list(&all)).await?;
    let api: Api<ClusterAnalysisTemplate> = Api::all(session.client.clone());
    let clusters = session.answer(about("clusteranalysistemplates.argoproj.io"), api.list(&all)).await?;
    let templates =
        templates.items.into_iter().map(|one| Subject::of_template("AnalysisTemplate", one.metadata.name, one.spec));
    let clusters = clusters
        .items
        .into_iter()
        .map(|one| Subject::of_template("ClusterAnalysisTemplate", one.metadata.name, one.spec.0));
    for subject in templates.chain(clusters) {
        show(&subject, "", flags, terminal, &mut count)?;
    }
    count.end(terminal)
}

fn subject(path: &Path, document: Value) -> Result<Option<Subject>, Error> {
    let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let ours = document.get("apiVersion").and_then(Value::as_str).is_some_and(|api| api.starts_with("argoproj.io/"));
    let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !ours {
        return Ok(None);
    }
    let unread = |error: serde_json::Error| Error::Request(format!("{}: {kind} \"{name}\": {error}", path.display()));
    Ok(match kind.as_str() {
        "AnalysisTemplate" => {
            let one: AnalysisTemplate = serde_json::from_value(document).map_err(unread)?;
            Some(Subject::of_template("AnalysisTemplate", one.metadata.name, one.spec))
        }
        "ClusterAnalysisTemplate" => {
            let one: ClusterAnalysisTemplate = serde_json::from_value(document).map_err(unread)?;
            Some(Subject::of_template("ClusterAnalysisTemplate", one.metadata.name, one.spec.0))
        }
        "AnalysisRun" => {
            let one: AnalysisRun = serde_json::from_value(document).map_err(unread)?;
            Some(Subject {
                kind: "AnalysisRun",
                name: one.metadata.name.unwrap_or_default(),
                metrics: one.spec.metrics,
                args: one.spec.args.unwrap_or_default(),
                problems: Vec::new(),
            })
        }
        _ => None,
    })
}

#[derive(Default)]
struct Count {
    objects: usize,
    errors: usize,
    warnings: usize,
}

impl Count {
    fn end(&self, terminal: &mut Terminal) -> Result<(), Error> {
        let Self { objects, errors, warnings } = self;
        terminal.line(&format!("{objects} objects, {errors} errors, {warnings} warnings"))?;
        if *errors > 0 { Err(Error::Request(format!("lint found {errors} errors"))) } else { Ok(()) }
    }
}

fn show(
    subject: &Subject,
    before: &str,
    flags: &cli::Lint,
    terminal: &mut Terminal,
    count: &mut Count,
) -> Result<(), Error> {
    count.objects += 1;
    let title = format!("{before}{} \"{}\"", subject.kind, subject.name);
    for problem in &subject.problems {
        count.errors += 1;
        terminal.line(&format!("{title}: error: {problem}"))?;
    }
    let args: BTreeMap<String, Option<String>> =
        subject.args.iter().map(|arg| (arg.name.clone(), arg.value.clone())).collect();
    for metric in &subject.metrics {
        let Some(prometheus) = &metric.provider.prometheus else { continue };
        let known = Known { args: args.clone(), scrape_interval: flags.scrape_interval };
        for finding in lint::lint(prometheus.query.as_deref().unwrap_or_default(), &known) {
            match finding.severity {
                Severity::Error => count.errors += 1,
                Severity::Warning => count.warnings += 1,
            }
            terminal.line(&format!("{title}: metric '{}': {finding}", metric.name))?;
        }
    }
    Ok(())
}
