//! AnalysisRuns of a canary: what they found, which ones are needed, which are not any more.

use analysis::Phase;
use analysis::template::{ArgValues, RunChoice, Templates, build_run_spec, choose_run, run_name};
use crds::words::{
    POD_TEMPLATE_HASH_LABEL, REVISION_ANNOTATION, ROLLOUT_TYPE_BACKGROUND, ROLLOUT_TYPE_LABEL, ROLLOUT_TYPE_STEP,
    STEP_INDEX_LABEL,
};
use crds::{
    AnalysisRun, AnalysisRunSpec, AnalysisTemplateSpec, ObjectMeta, PauseCondition, RolloutAnalysis,
    RolloutAnalysisRunStatus,
};
use serde_json::json;

use super::{Draft, Release, at, state};
use crate::words::{condition, reason};
use crate::{Action, Observation, Target, conditions, revision};

const INCONCLUSIVE: &str = "InconclusiveAnalysisRun";

/// Which of the two kinds a canary has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Step,
    Background,
}

fn slot(draft: &mut Draft, kind: Kind) -> &mut Option<RolloutAnalysisRunStatus> {
    let canary = draft.status.canary.get_or_insert_default();
    match kind {
        Kind::Step => &mut canary.current_step_analysis_run_status,
        Kind::Background => &mut canary.current_background_analysis_run_status,
    }
}

/// Whether the status names this run as a current one.
pub(super) fn is_current(draft: &Draft, run: &AnalysisRun) -> bool {
    let name = run.metadata.name.as_deref();
    draft.status.canary.iter().any(|canary| {
        let slots = [&canary.current_step_analysis_run_status, &canary.current_background_analysis_run_status];
        slots.into_iter().flatten().any(|current| Some(current.name.as_str()) == name)
    })
}

fn phase(run: &AnalysisRun) -> Phase {
    Phase::of_status(run.status.as_ref().map(|status| status.phase.as_str()))
}

fn find<'a>(seen: &'a Observation, name: &str) -> Option<&'a AnalysisRun> {
    seen.analysis_runs.iter().find(|run| run.metadata.name.as_deref() == Some(name))
}

/// Takes over what the current runs found: a failure aborts, a run that could not tell waits for a person, a provider that does not
/// answer holds the release and is told.
pub(super) fn judge(release: &Release<'_>, draft: &mut Draft) {
    let mut holding = None;
    for kind in [Kind::Background, Kind::Step] {
        let Some(current) = slot(draft, kind).clone() else { continue };
        let Some(run) = find(release.seen, &current.name) else {
            // Somebody deleted it before it ended: a new one is made.
            if !Phase::of_status(Some(&current.status)).is_completed() {
                *slot(draft, kind) = None;
            }
            continue;
        };
        let phase = phase(run);
        let message = run.status.as_ref().and_then(|status| status.message.clone()).filter(|text| !text.is_empty());
        *slot(draft, kind) = Some(RolloutAnalysisRunStatus {
            name: current.name.clone(),
            status: phase.to_string(),
            message: message.clone(),
        });
        if release.promoted(&draft.status) || draft.aborted() || run.spec.terminate == Some(true) {
            continue;
        }
        match phase {
            Phase::Failed | Phase::Error => {
                let what = match kind {
                    Kind::Step => "Step-based analysis",
                    Kind::Background => "Background analysis",
                };
                let detail = message.map_or_else(String::new, |message| format!(": {message}"));
                state::abort_because(release, draft, &format!("{what} phase error/failed{detail}"));
            }
            Phase::Inconclusive => inconclusive(release, draft, kind, &current),
            Phase::Running | Phase::Pending => holding = holding.or_else(|| held(run)),
            Phase::Successful => {}
        }
    }
    told_hold(release, draft, holding);
}

fn inconclusive(release: &Release<'_>, draft: &mut Draft, kind: Kind, before: &RolloutAnalysisRunStatus) {
    let waiting = draft.status.pause_conditions.iter().flatten().any(|pause| pause.reason == INCONCLUSIVE);
    if waiting {
        return;
    }
    if Phase::of_status(Some(&before.status)) == Phase::Inconclusive {
        // It was waited for a person, who took the pause away: look once more.
        *slot(draft, kind) = None;
        draft.status.controller_pause = None;
        return;
    }
    let pause = PauseCondition { reason: INCONCLUSIVE.to_owned(), start_time: at(release.now) };
    draft.status.pause_conditions.get_or_insert_default().push(pause);
    draft.status.controller_pause = Some(true);
    draft.warning(reason::PAUSED, format!("Rollout is paused ({INCONCLUSIVE})"));
}

/// What a run that holds says of itself.
fn held(run: &AnalysisRun) -> Option<String> {
    let results = run.status.as_ref()?.metric_results.as_ref()?;
    let holding = |result: &&crds::MetricResult| {
        result.metadata.as_ref().is_some_and(|metadata| metadata.contains_key(analysis::words::HOLD_SINCE))
    };
    let result = results.iter().find(holding)?;
    let why = result.metadata.as_ref()?.get(analysis::words::HOLD_REASON).cloned().unwrap_or_default();
    let run = run.metadata.name.as_deref().unwrap_or_default();
    Some(format!(
        "Waiting for an answer: metric \"{}\" of AnalysisRun \"{run}\" cannot be measured: {why}",
        result.name
    ))
}

fn told_hold(release: &Release<'_>, draft: &mut Draft, holding: Option<String>) {
    let kind = condition::ANALYSIS_HOLDING;
    let before = conditions::find(&draft.status, kind).is_some_and(|found| found.status == "True");
    match holding {
        Some(message) => {
            conditions::set(&mut draft.status, kind, "True", kind, &message, release.now);
            if !before {
                draft.warning(reason::ANALYSIS_HOLDING, message);
            }
        }
        None if before => {
            let message = "Metrics can be measured again";
            conditions::set(&mut draft.status, kind, "False", condition::ANALYSIS_GOES_ON, message, release.now);
            // Time without an answer is no lack of progress.
            conditions::touch(&mut draft.status, "Progressing", release.now);
        }
        None => {}
    }
}

/// Creates the runs the position needs and ends those nobody needs.
pub(super) fn runs(release: &Release<'_>, draft: &mut Draft) {
    let idle = Release::initial(&draft.status)
        || release.promoted(&draft.status)
        || draft.aborted()
        || draft.status.promote_full == Some(true)
        || release.revisions.new.is_none();
    let index = draft.index();
    if !idle && release.rollout.spec.paused != Some(true) {
        if let Some(background) = &release.canary.analysis {
            let starts = usize::try_from(background.starting_step.unwrap_or(0)).unwrap_or(0);
            let wanted = background.templates.as_ref().is_some_and(|templates| !templates.is_empty());
            if wanted && index >= starts {
                ensure(release, draft, Kind::Background, &background.rollout_analysis());
            }
        }
        if let Some(inline) = release.steps.get(index).and_then(|step| step.analysis.as_ref()) {
            ensure(release, draft, Kind::Step, inline);
        }
    }
    for run in &release.seen.analysis_runs {
        if phase(run).is_completed() || run.spec.terminate == Some(true) || !idle && is_current(draft, run) {
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

struct Known<'a>(&'a Observation);

impl Templates for Known<'_> {
    fn namespaced(&self, name: &str) -> Option<&AnalysisTemplateSpec> {
        self.0.analysis_templates.get(name).map(|template| &template.spec)
    }

    fn cluster(&self, name: &str) -> Option<&AnalysisTemplateSpec> {
        self.0.cluster_analysis_templates.get(name).map(|template| &*template.spec)
    }
}

/// The templates of an observation, for validation as well.
pub(crate) fn templates(seen: &Observation) -> impl Templates + '_ {
    Known(seen)
}

fn ensure(release: &Release<'_>, draft: &mut Draft, kind: Kind, wanted: &RolloutAnalysis) {
    if slot(draft, kind).is_some() {
        return;
    }
    let object = serde_json::to_value(release.rollout).unwrap_or_default();
    let values = ArgValues {
        stable_hash: draft.status.stable_rs.as_deref().unwrap_or_default(),
        latest_hash: &release.hash.0,
        object: &object,
    };
    let spec = match build_run_spec(wanted, &values, &Known(release.seen)) {
        Ok(spec) => spec,
        Err(error) => {
            draft.warning(reason::INVALID_SPEC, format!("AnalysisRun cannot be made: {error}"));
            if let Ok(later) = release.now.checked_add(super::LOOK_AGAIN) {
                draft.wake_at(later);
            }
            return;
        }
    };
    let number = revision::revision_number(&release.revisions);
    let index = draft.index().to_string();
    let infix = (kind == Kind::Step).then_some(index.as_str());
    let rollout = release.rollout.metadata.name.as_deref().unwrap_or_default();
    let base = run_name(rollout, &release.hash.0, i64::try_from(number.0).unwrap_or(i64::MAX), infix);
    let owner = release.rollout.metadata.uid.as_deref().unwrap_or_default();
    let name = match choose_run(&base, owner, &spec, &|name| find(release.seen, name)) {
        RunChoice::Reuse(name) => name,
        RunChoice::Create(name) => {
            let run = made(release, wanted, kind, &index, &name, spec);
            draft.actions.push(Action::CreateAnalysisRun { run: Box::new(run) });
            name
        }
    };
    *slot(draft, kind) = Some(RolloutAnalysisRunStatus { name, status: Phase::Pending.to_string(), message: None });
}

fn made(
    release: &Release<'_>,
    wanted: &RolloutAnalysis,
    kind: Kind,
    index: &str,
    name: &str,
    spec: AnalysisRunSpec,
) -> AnalysisRun {
    let metadata = wanted.analysis_run_metadata.clone().unwrap_or_default();
    let selector = release.rollout.spec.selector.as_ref().and_then(|selector| selector.match_labels.clone());
    let mut labels = selector.unwrap_or_default();
    labels.extend(metadata.labels.unwrap_or_default());
    labels.insert(POD_TEMPLATE_HASH_LABEL.to_owned(), release.hash.0.clone());
    let instance = release.rollout.metadata.labels.as_ref().and_then(|all| all.get(crds::words::INSTANCE_ID_LABEL));
    if let Some(instance) = instance {
        labels.insert(crds::words::INSTANCE_ID_LABEL.to_owned(), instance.clone());
    }
    match kind {
        Kind::Step => {
            labels.insert(ROLLOUT_TYPE_LABEL.to_owned(), ROLLOUT_TYPE_STEP.to_owned());
            labels.insert(STEP_INDEX_LABEL.to_owned(), index.to_owned());
        }
        Kind::Background => {
            labels.insert(ROLLOUT_TYPE_LABEL.to_owned(), ROLLOUT_TYPE_BACKGROUND.to_owned());
        }
    }
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.insert(REVISION_ANNOTATION.to_owned(), revision::revision_number(&release.revisions).to_string());
    AnalysisRun {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: release.rollout.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(vec![revision::owner(release.rollout)]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}
