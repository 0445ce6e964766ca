//! Experiments of a canary: which one the position needs, what it found, and its end with the position.
//!
//! Invariant: the status names an Experiment only while its step is the current one.

use std::collections::BTreeSet;

use ::analysis::Phase;
use ::analysis::template::{ArgValues, TemplateError, resolve_rollout_args};
use crds::words::{INSTANCE_ID_LABEL, POD_TEMPLATE_HASH_LABEL, REVISION_ANNOTATION};
use crds::{
    Experiment, ExperimentAnalysisTemplateRef, ExperimentSpec, ObjectMeta, PauseCondition, ReplicaSet,
    ReplicaSetSpecRef, RolloutExperimentStep, RolloutExperimentTemplate, RolloutStatus, TemplateService, TemplateSpec,
};
use serde_json::json;

use super::{Draft, Facts, Release, at, state};
use crate::release::LOOK_AGAIN;
use crate::words::reason;
use crate::{Action, Observation, Target, revision};

/// Seconds in which a router has taken the traffic off an Experiment that is over.
const LEAST_DELAY: i32 = 10;
const INCONCLUSIVE: &str = crds::PauseReason::InconclusiveExperiment.as_str();

/// The phase of an Experiment.
pub(crate) fn phase(experiment: &Experiment) -> Phase {
    Phase::of_status(experiment.status.as_ref().and_then(|status| status.phase.as_deref()))
}

/// The name of the current Experiment.
fn current(status: &RolloutStatus) -> Option<&str> {
    status.canary.as_ref()?.current_experiment.as_deref().filter(|name| !name.is_empty())
}

/// Whether the status names this Experiment.
pub(crate) fn is_current(status: &RolloutStatus, experiment: &Experiment) -> bool {
    current(status).is_some() && current(status) == experiment.metadata.name.as_deref()
}

/// The current Experiment.
pub(super) fn found<'a>(release: &Release<'a>, draft: &Draft) -> Option<&'a Experiment> {
    release.seen.experiments.iter().find(|one| is_current(&draft.status, one))
}

/// A version of the current Experiment with a share of the traffic.
pub(super) struct Share {
    pub service: String,
    pub weight: i32,
    pub hash: Option<String>,
}

/// The shares that the versions of the current Experiment have now: once all of them have their pods, until it is over.
pub(super) fn shares(release: &Release<'_>, draft: &Draft) -> Vec<Share> {
    let status = &draft.status;
    let over = Release::initial(status)
        || release.promoted(status)
        || draft.aborted()
        || status.promote_full == Some(true)
        || release.leaving();
    let step = release.steps.get(draft.index()).and_then(|step| step.experiment.as_ref()).filter(|_| !over);
    let (Some(step), Some(experiment)) = (step, found(release, draft)) else { return Vec::new() };
    let runs = phase(experiment) == Phase::Running && experiment.spec.terminate != Some(true);
    let Some(told) = experiment.status.as_ref().filter(|told| runs && told.available_at.is_some()) else {
        return Vec::new();
    };
    let share = |wanted: &RolloutExperimentTemplate| {
        let weight = wanted.weight.filter(|weight| *weight > 0)?;
        let version = told.template_statuses.iter().flatten().find(|version| version.name == wanted.name)?;
        let service = version.service_name.clone().filter(|name| !name.is_empty())?;
        Some(Share { service, weight, hash: version.pod_template_hash.clone() })
    };
    let mut shares: Vec<Share> = step.templates.iter().filter_map(share).collect();
    shares.sort_by(|a, b| a.service.cmp(&b.service));
    shares
}

/// The Services of all Experiments there are.
pub(crate) fn services(seen: &Observation) -> BTreeSet<String> {
    let named = seen.experiments.iter().flat_map(crate::experiment::service_names);
    let told = seen.experiments.iter().filter_map(|one| one.status.as_ref());
    let told = told.flat_map(|status| status.template_statuses.iter().flatten());
    named.chain(told.filter_map(|version| version.service_name.clone())).collect()
}

pub(super) fn forget(draft: &mut Draft) {
    if let Some(canary) = &mut draft.status.canary {
        canary.current_experiment = None;
    }
}

/// Takes over what the current Experiment found: a failure aborts, one that could not tell waits for a person.
pub(super) fn judge(release: &Release<'_>, draft: &mut Draft) {
    if current(&draft.status).is_none() {
        return;
    }
    let at_step = release.steps.get(draft.index()).is_some_and(|step| step.experiment.is_some());
    let Some(experiment) = found(release, draft).filter(|_| at_step) else {
        // Somebody deleted it, or went past its step.
        forget(draft);
        return;
    };
    if release.promoted(&draft.status) || draft.aborted() {
        return;
    }
    match phase(experiment) {
        Phase::Failed | Phase::Error => {
            let message = experiment.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default();
            let detail = if message.is_empty() { String::new() } else { format!(": {message}") };
            state::abort_because(release, draft, &format!("Experiment analysis phase error/failed{detail}"));
        }
        Phase::Inconclusive => inconclusive(release, draft),
        Phase::Pending | Phase::Running | Phase::Successful => {}
    }
}

fn inconclusive(release: &Release<'_>, draft: &mut Draft) {
    if draft.status.pause_conditions.iter().flatten().any(|pause| pause.reason == INCONCLUSIVE) {
        return;
    }
    if draft.status.controller_pause.is_some() {
        // It was waited for a person, who took the pause away: try once more.
        forget(draft);
        draft.status.controller_pause = None;
        return;
    }
    let pause = PauseCondition { reason: INCONCLUSIVE.to_owned(), start_time: at(release.now) };
    draft.status.pause_conditions.get_or_insert_default().push(pause);
    draft.status.controller_pause = Some(true);
    draft.warning(reason::PAUSED, format!("Rollout is paused ({INCONCLUSIVE})"));
}

/// Makes the Experiment of the current step and ends those nobody needs.
pub(super) fn experiments(release: &Release<'_>, draft: &mut Draft) {
    let idle = Release::initial(&draft.status)
        || release.promoted(&draft.status)
        || draft.aborted()
        || draft.status.promote_full == Some(true)
        || release.revisions.new.is_none();
    let step = release.steps.get(draft.index()).and_then(|step| step.experiment.as_ref());
    if idle || step.is_none() {
        forget(draft);
    } else if let Some(step) = step
        && current(&draft.status).is_none()
        && !draft.settles
        && release.rollout.spec.paused != Some(true)
    {
        begin(release, draft, step);
    }
    end_others(release, draft);
}

/// Ends the Experiments of this Rollout that its status does not name.
pub(crate) fn end_others(facts: &Facts<'_>, draft: &mut Draft) {
    for one in &facts.seen.experiments {
        if phase(one).is_completed() || one.spec.terminate == Some(true) || is_current(&draft.status, one) {
            continue;
        }
        let patch = json!({ "spec": { "terminate": true } });
        draft.actions.push(Action::PatchExperiment { target: target(one), patch });
    }
}

pub(crate) fn target(experiment: &Experiment) -> Target {
    Target {
        name: experiment.metadata.name.clone().unwrap_or_default(),
        uid: experiment.metadata.uid.clone().unwrap_or_default(),
        resource_version: None,
    }
}

fn begin(release: &Release<'_>, draft: &mut Draft, step: &RolloutExperimentStep) {
    // Both versions are needed, for their pods are what is compared.
    let (Some(stable), Some(new)) = (release.revisions.stable, release.revisions.new) else { return };
    let spec = match spec(release, draft, step, stable, new) {
        Ok(spec) => spec,
        Err(error) => {
            draft.warning(reason::INVALID_SPEC, format!("Experiment cannot be made: {error}"));
            if let Ok(later) = release.now.checked_add(LOOK_AGAIN) {
                draft.wake_at(later);
            }
            return;
        }
    };
    let number = revision::revision_number(&release.revisions);
    let rollout = release.rollout.metadata.name.as_deref().unwrap_or_default();
    let base = format!("{rollout}-{}-{number}-{}", release.hash, draft.index());
    let mut name = base.clone();
    for earlier in 1..i32::MAX {
        let Some(known) = release.seen.experiments.iter().find(|one| one.metadata.name.as_deref() == Some(&name))
        else {
            let experiment = made(release, &name, spec);
            draft.normal(reason::EXPERIMENT_CREATED, format!("Created Experiment '{name}'"));
            draft.actions.push(Action::CreateExperiment { experiment: Box::new(experiment) });
            break;
        };
        // Made by a look whose status was lost.
        if !phase(known).is_completed() && known.metadata.deletion_timestamp.is_none() && known.spec == spec {
            break;
        }
        name = format!("{base}-{earlier}");
    }
    draft.status.canary.get_or_insert_default().current_experiment = Some(name);
}

fn made(release: &Release<'_>, name: &str, spec: ExperimentSpec) -> Experiment {
    let own = release.rollout.metadata.labels.clone().unwrap_or_default();
    let instance = own.get(INSTANCE_ID_LABEL).cloned();
    let mut labels = own;
    labels.insert(POD_TEMPLATE_HASH_LABEL.to_owned(), release.hash.0.clone());
    if let Some(instance) = instance {
        labels.insert(INSTANCE_ID_LABEL.to_owned(), instance);
    }
    let number = revision::revision_number(&release.revisions).to_string();
    Experiment {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: release.rollout.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some([(REVISION_ANNOTATION.to_owned(), number)].into()),
            owner_references: Some(vec![revision::owner(release.rollout)]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}

fn spec(
    release: &Release<'_>,
    draft: &Draft,
    step: &RolloutExperimentStep,
    stable: &ReplicaSet,
    new: &ReplicaSet,
) -> Result<ExperimentSpec, TemplateError> {
    let object = serde_json::to_value(release.rollout).unwrap_or_default();
    let values = ArgValues {
        stable_hash: draft.status.stable_rs.as_deref().unwrap_or_default(),
        latest_hash: &release.hash.0,
        object: &object,
    };
    let analyses = step.analyses.iter().flatten().map(|analysis| {
        let args = analysis.args.as_ref().map(|args| resolve_rollout_args(args, &values)).transpose()?;
        Ok(ExperimentAnalysisTemplateRef {
            name: analysis.name.clone(),
            template_name: analysis.template_name.clone(),
            cluster_scope: analysis.cluster_scope,
            args,
            required_for_completion: analysis.required_for_completion,
        })
    });
    let analyses: Vec<_> = analyses.collect::<Result<_, TemplateError>>()?;
    let version = |one: &RolloutExperimentTemplate| match ReplicaSetSpecRef::parse(&one.spec_ref) {
        Some(ReplicaSetSpecRef::Canary) => new,
        // Validation knows no other word.
        Some(ReplicaSetSpecRef::Stable) | None => stable,
    };
    Ok(ExperimentSpec {
        templates: step.templates.iter().map(|one| template(one, version(one))).collect(),
        duration: step.duration.clone(),
        progress_deadline_seconds: release.rollout.spec.progress_deadline_seconds,
        terminate: None,
        analyses: Some(analyses).filter(|all| !all.is_empty()),
        scale_down_delay_seconds: delay(step),
        dry_run: step.dry_run.clone(),
        measurement_retention: None,
        analysis_run_metadata: step.analysis_run_metadata.clone(),
    })
}

/// Versions with a share of the traffic keep their pods at least until that has left them.
fn delay(step: &RolloutExperimentStep) -> Option<i32> {
    let weighted = step.templates.iter().any(|template| template.weight.is_some_and(|weight| weight > 0));
    step.scale_down_delay_seconds.map(|delay| if weighted { delay.max(LEAST_DELAY) } else { delay })
}

/// The pods of a version, with what the step adds to them.
fn template(wanted: &RolloutExperimentTemplate, set: &ReplicaSet) -> TemplateSpec {
    let own = set.spec.clone().unwrap_or_default();
    let mut pods = own.template.unwrap_or_default();
    let mut selector = wanted.selector.clone().unwrap_or(own.selector);
    let metadata = wanted.metadata.clone().unwrap_or_default();
    for (key, value) in metadata.labels.iter().flatten() {
        pods.set_label(key, value);
        selector.match_labels.get_or_insert_default().insert(key.clone(), value.clone());
    }
    for (key, value) in metadata.annotations.iter().flatten() {
        pods.set_annotation(key, value);
    }
    let service = wanted.service.clone();
    TemplateSpec {
        name: wanted.name.clone(),
        replicas: wanted.replicas,
        min_ready_seconds: own.min_ready_seconds,
        selector,
        template: pods,
        service: service.or_else(|| wanted.weight.map(|_| TemplateService::default())),
    }
}
