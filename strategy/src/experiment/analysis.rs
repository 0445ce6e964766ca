//! The AnalysisRuns of an Experiment: which are needed, and what they found.

use std::fmt::Write as _;

use ::analysis::Phase;
use ::analysis::template::{ArgValues, TemplateError, Templates, build_run_spec_from, resolve_rollout_args};
use crds::words::EXPERIMENT_AVAILABLE_AT_ANNOTATION;
use crds::{
    AnalysisRun, AnalysisRunArgument, AnalysisRunSpec, AnalysisTemplateSpec, Argument, ArgumentValueFrom, Experiment,
    ExperimentAnalysisRunStatus, ExperimentAnalysisTemplateRef, ExperimentStatus, FieldRef, ObjectMeta,
};
use serde_json::json;

use super::{Draft, ExperimentObservation, Pass, phase, template, template_ref};
use crate::words::experiment as words;
use crate::{Action, Target, release, revision};

/// Name of an analysis' run.
pub(super) fn base_name(experiment: &Experiment, analysis: &str) -> String {
    format!("{}-{analysis}", experiment.metadata.name.as_deref().unwrap_or_default())
}

/// The name after so many earlier runs.
pub(super) fn numbered(base: &str, earlier: i32) -> String {
    if earlier == 0 { base.to_owned() } else { format!("{base}.{earlier}") }
}

/// What is known of an analysis.
pub(super) fn entry<'a>(status: &'a ExperimentStatus, name: &str) -> Option<&'a ExperimentAnalysisRunStatus> {
    status.analysis_runs.iter().flatten().find(|one| one.name == name)
}

fn found(run: &AnalysisRun) -> Phase {
    Phase::of_status(run.status.as_ref().map(|status| status.phase.as_str()))
}

fn named<'a>(pass: &Pass<'a>, name: &str) -> Option<&'a AnalysisRun> {
    pass.seen.analysis_runs.iter().find(|run| run.metadata.name.as_deref() == Some(name))
}

/// Takes in what the runs found. One that is gone before its end is forgotten, so that another is made.
pub(super) fn take(pass: &Pass<'_>, draft: &mut Draft) {
    let Some(entries) = draft.status.analysis_runs.take() else { return };
    let next = entries.into_iter().filter_map(|mut one| {
        if Phase::of_status(Some(&one.phase)).is_completed() {
            return Some(one);
        }
        let run = named(pass, &one.analysis_run).filter(|run| pass.controls(&run.metadata))?;
        let message = run.status.as_ref().and_then(|status| status.message.clone()).filter(|text| !text.is_empty());
        let before = one.phase.clone();
        one.phase = found(run).to_string();
        one.message = message;
        tell(draft, &before, &one);
        Some(one)
    });
    let next: Vec<_> = next.collect();
    draft.status.analysis_runs = Some(next).filter(|all| !all.is_empty());
}

fn tell(draft: &mut Draft, before: &str, now: &ExperimentAnalysisRunStatus) {
    if before == now.phase {
        return;
    }
    let mut message = format!("AnalysisRun '{}' transitioned from {before} -> {}", now.name, now.phase);
    if let Some(why) = &now.message {
        let _ = write!(message, ": {why}");
    }
    let phase = Phase::of_status(Some(&now.phase));
    draft.tell(phase.is_completed() && phase != Phase::Successful, words::run_reason(phase), message);
}

/// Starts the runs once `availableAt` is stored; until then it is only looked whether their templates exist.
pub(super) fn begin(pass: &Pass<'_>, draft: &mut Draft, terminating: bool) {
    if terminating {
        return;
    }
    let stored = pass.experiment.status.as_ref().and_then(|status| status.available_at.as_ref());
    for analysis in pass.experiment.spec.analyses.iter().flatten() {
        if entry(&draft.status, &analysis.name).is_some() {
            continue;
        }
        let next = match stored {
            None => match missing(pass.seen, analysis) {
                None => continue,
                Some(problem) => failed(analysis, words::template_missing(&analysis.name, &problem)),
            },
            Some(_) => match spec(pass, draft, analysis) {
                Err(error) => failed(analysis, words::run_failed(&analysis.name, &error)),
                Ok(spec) => {
                    let name = run(pass, draft, analysis, spec);
                    let phase = named(pass, &name).map_or(Phase::Pending, found);
                    status(analysis, name, phase, None)
                }
            },
        };
        if Phase::of_status(Some(&next.phase)).is_completed() {
            // What follows from it is decided by the next look.
            draft.wake_at(pass.now);
        }
        tell(draft, "", &next);
        draft.status.analysis_runs.get_or_insert_default().push(next);
    }
}

fn status(
    analysis: &ExperimentAnalysisTemplateRef,
    analysis_run: String,
    phase: Phase,
    message: Option<String>,
) -> ExperimentAnalysisRunStatus {
    ExperimentAnalysisRunStatus { name: analysis.name.clone(), analysis_run, phase: phase.to_string(), message }
}

fn failed(analysis: &ExperimentAnalysisTemplateRef, message: String) -> ExperimentAnalysisRunStatus {
    status(analysis, String::new(), Phase::Error, Some(message))
}

fn missing(seen: &ExperimentObservation, analysis: &ExperimentAnalysisTemplateRef) -> Option<String> {
    let name = &analysis.template_name;
    let (found, kind) = if analysis.cluster_scope == Some(true) {
        (seen.cluster_analysis_templates.contains_key(name), "ClusterAnalysisTemplate")
    } else {
        (seen.analysis_templates.contains_key(name), "AnalysisTemplate")
    };
    (!found).then(|| format!("{kind} '{name}' not found"))
}

/// Finds the run of this attempt, or makes it; its name.
fn run(pass: &Pass<'_>, draft: &mut Draft, analysis: &ExperimentAnalysisTemplateRef, spec: AnalysisRunSpec) -> String {
    let base = base_name(pass.experiment, &analysis.name);
    let since = draft.status.available_at.as_ref().map(|time| time.0.to_string()).unwrap_or_default();
    let mut free = base.clone();
    for earlier in 0.. {
        free = numbered(&base, earlier);
        let Some(run) = named(pass, &free) else { break };
        // One that is over may be of an earlier attempt. No time of the API server's tells it: its clock is not ours.
        let annotations = run.metadata.annotations.as_ref();
        let attempt = annotations.and_then(|all| all.get(EXPERIMENT_AVAILABLE_AT_ANNOTATION));
        let ours = pass.controls(&run.metadata) && run.metadata.deletion_timestamp.is_none() && run.spec == spec;
        if ours && (!found(run).is_completed() || attempt == Some(&since)) {
            return free;
        }
    }
    let run = made(pass, &free, spec, since);
    draft.actions.push(Action::CreateAnalysisRun { run: Box::new(run) });
    free
}

fn made(pass: &Pass<'_>, name: &str, spec: AnalysisRunSpec, attempt: String) -> AnalysisRun {
    let metadata = pass.experiment.spec.analysis_run_metadata.clone().unwrap_or_default();
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.insert(EXPERIMENT_AVAILABLE_AT_ANNOTATION.to_owned(), attempt);
    let mut labels = metadata.labels.unwrap_or_default();
    let own = pass.experiment.metadata.labels.as_ref();
    if let Some(instance) = own.and_then(|all| all.get(crds::words::INSTANCE_ID_LABEL)) {
        labels.insert(crds::words::INSTANCE_ID_LABEL.to_owned(), instance.clone());
    }
    AnalysisRun {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: pass.experiment.metadata.namespace.clone(),
            labels: Some(labels).filter(|labels| !labels.is_empty()),
            annotations: Some(annotations),
            owner_references: Some(vec![pass.owner()]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}

struct Known<'a>(&'a ExperimentObservation);

impl Templates for Known<'_> {
    fn namespaced(&self, name: &str) -> Option<&AnalysisTemplateSpec> {
        self.0.analysis_templates.get(name).map(|template| &template.spec)
    }

    fn cluster(&self, name: &str) -> Option<&AnalysisTemplateSpec> {
        self.0.cluster_analysis_templates.get(name).map(|template| &*template.spec)
    }
}

fn spec(
    pass: &Pass<'_>,
    draft: &Draft,
    analysis: &ExperimentAnalysisTemplateRef,
) -> Result<AnalysisRunSpec, TemplateError> {
    let given = analysis.args.iter().flatten().map(|arg| {
        if let Some(field) = arg.value_from.as_ref().and_then(|from| from.field_ref.clone()) {
            return own_field(pass, &arg.name, field);
        }
        let value = arg.value.as_ref().map(|value| filled(pass, &draft.status, &arg.name, value)).transpose()?;
        Ok(Argument { name: arg.name.clone(), value, value_from: arg.value_from.clone() })
    });
    let given: Vec<Argument> = given.collect::<Result<_, TemplateError>>()?;
    let spec = &pass.experiment.spec;
    build_run_spec_from(
        &[template_ref(analysis)],
        &given,
        spec.dry_run.as_deref().unwrap_or_default(),
        spec.measurement_retention.as_deref().unwrap_or_default(),
        &Known(pass.seen),
    )
}

/// An argument that is a field of the Experiment.
fn own_field(pass: &Pass<'_>, arg: &str, field: FieldRef) -> Result<Argument, TemplateError> {
    let from = ArgumentValueFrom { field_ref: Some(field), pod_template_hash_value: None };
    let wanted = [AnalysisRunArgument { name: arg.to_owned(), value: None, value_from: Some(from) }];
    let object = serde_json::to_value(pass.experiment).unwrap_or_default();
    let values = ArgValues { stable_hash: "", latest_hash: "", object: &object };
    let found = resolve_rollout_args(&wanted, &values)?;
    Ok(found.into_iter().next().unwrap_or_default())
}

/// The value of an argument: `{{templates.<name>.podTemplateHash}}` and its siblings replaced by what they stand for.
fn filled(pass: &Pass<'_>, status: &ExperimentStatus, arg: &str, value: &str) -> Result<String, TemplateError> {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, inside)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((tag, after)) = inside.split_once("}}") else {
            out.push_str("{{");
            rest = inside;
            continue;
        };
        let meaning = meaning(pass, status, tag.trim())
            .ok_or_else(|| TemplateError::Argument { arg: arg.to_owned(), problem: words::unknown_tag(tag) })?;
        out.push_str(&meaning);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn meaning(pass: &Pass<'_>, status: &ExperimentStatus, tag: &str) -> Option<String> {
    match tag {
        "experiment.availableAt" => status.available_at.as_ref().map(|time| time.0.to_string()),
        "experiment.finishedAt" => {
            let end = pass.end(status)?;
            // As the API server keeps times.
            end.round(crds::jiff::Unit::Second).ok().map(|end| end.to_string())
        }
        _ => {
            let rest = tag.strip_prefix("templates.")?;
            if let Some(name) = rest.strip_suffix(".podTemplateHash") {
                return template::find(pass, name).and_then(revision::hash_of).map(str::to_owned);
            }
            let name = rest.strip_suffix(".replicaset.name")?;
            template::find(pass, name)?.metadata.name.clone()
        }
    }
}

/// Ends the runs that nobody waits for any more.
pub(super) fn end(pass: &Pass<'_>, draft: &mut Draft, terminating: bool) {
    if !terminating {
        return;
    }
    // Until the end is stored, a run that goes on may still be what it is waited for.
    let over = pass.ended || !phase(&draft.status).is_completed() || pass.experiment.spec.terminate == Some(true);
    for run in pass.seen.analysis_runs.iter().filter(|run| over && pass.controls(&run.metadata)) {
        if found(run).is_completed() || run.spec.terminate == Some(true) {
            continue;
        }
        let target = Target {
            name: run.metadata.name.clone().unwrap_or_default(),
            uid: run.metadata.uid.clone().unwrap_or_default(),
            resource_version: None,
        };
        draft.actions.push(Action::PatchAnalysisRun { target, patch: json!({ "spec": { "terminate": true } }) });
    }
}

/// What a run that goes on and holds says of itself.
pub(super) fn holding(pass: &Pass<'_>, status: &ExperimentStatus) -> Option<String> {
    let open = status.analysis_runs.iter().flatten().filter(|one| !Phase::of_status(Some(&one.phase)).is_completed());
    open.filter_map(|one| named(pass, &one.analysis_run)).find_map(release::analysis::held)
}
