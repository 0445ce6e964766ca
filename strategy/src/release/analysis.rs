//! AnalysisRuns of a release: what they found, how they are made, which ones are not needed any more.

use ::analysis::Phase;
use ::analysis::template::{ArgValues, RunChoice, Templates, build_run_spec, choose_run, run_name};
use crds::words::{
    POD_TEMPLATE_HASH_LABEL, REVISION_ANNOTATION, ROLLOUT_TYPE_BACKGROUND, ROLLOUT_TYPE_LABEL,
    ROLLOUT_TYPE_POST_PROMOTION, ROLLOUT_TYPE_PRE_PROMOTION, ROLLOUT_TYPE_STEP, STEP_INDEX_LABEL,
};
use crds::{
    AnalysisRun, AnalysisRunSpec, AnalysisTemplateSpec, ObjectMeta, PauseCondition, RolloutAnalysis,
    RolloutAnalysisRunStatus, RolloutStatus,
};
use serde_json::json;

use super::{Draft, Facts, LOOK_AGAIN, at, state};
use crate::words::{STEP_HASH_ANNOTATION, condition, reason};
use crate::{Action, Observation, Target, conditions, revision};

const INCONCLUSIVE: &str = "InconclusiveAnalysisRun";

/// Which analysis of a facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Step,
    Background,
    PrePromotion,
    PostPromotion,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::Step => ROLLOUT_TYPE_STEP,
            Self::Background => ROLLOUT_TYPE_BACKGROUND,
            Self::PrePromotion => ROLLOUT_TYPE_PRE_PROMOTION,
            Self::PostPromotion => ROLLOUT_TYPE_POST_PROMOTION,
        }
    }

    fn spoken(self) -> &'static str {
        match self {
            Self::Step => "Step-based analysis",
            Self::Background => "Background analysis",
            Self::PrePromotion => "Blue/green pre-promotion analysis",
            Self::PostPromotion => "Blue/green post-promotion analysis",
        }
    }
}

/// Where the status names the current run of this kind.
pub(crate) fn slot(draft: &mut Draft, kind: Kind) -> &mut Option<RolloutAnalysisRunStatus> {
    let status = &mut draft.status;
    match kind {
        Kind::Step => &mut status.canary.get_or_insert_default().current_step_analysis_run_status,
        Kind::Background => &mut status.canary.get_or_insert_default().current_background_analysis_run_status,
        Kind::PrePromotion => &mut status.blue_green.get_or_insert_default().pre_promotion_analysis_run_status,
        Kind::PostPromotion => &mut status.blue_green.get_or_insert_default().post_promotion_analysis_run_status,
    }
}

fn named(status: &RolloutStatus, kind: Kind) -> Option<&RolloutAnalysisRunStatus> {
    let (canary, blue_green) = (status.canary.as_ref(), status.blue_green.as_ref());
    match kind {
        Kind::Step => canary?.current_step_analysis_run_status.as_ref(),
        Kind::Background => canary?.current_background_analysis_run_status.as_ref(),
        Kind::PrePromotion => blue_green?.pre_promotion_analysis_run_status.as_ref(),
        Kind::PostPromotion => blue_green?.post_promotion_analysis_run_status.as_ref(),
    }
}

/// Whether a run of this revision belongs to the present attempt, and not to one before a retry or before the steps were changed.
/// The `written` status says when the attempt began, unless it does not know of the revision yet: then there was none before.
fn is_of_this_attempt(
    facts: &Facts<'_>,
    written: Option<&RolloutStatus>,
    steps: Option<&str>,
    run: &AnalysisRun,
) -> bool {
    let annotations = run.metadata.annotations.as_ref();
    if annotations.and_then(|all| all.get(STEP_HASH_ANNOTATION)).map(String::as_str) != steps {
        return false;
    }
    let Some(status) = written.filter(|status| status.current_pod_hash.as_ref() == Some(&facts.hash.0)) else {
        return true;
    };
    let Some(created) = run.metadata.creation_timestamp.as_ref() else { return false };
    if let Some(aborted) = &status.aborted_at {
        return created.0 > aborted.0;
    }
    let started = status.duration.as_ref().and_then(|duration| duration.rollout_started_at.as_ref());
    started.is_some_and(|started| created.0 >= started.0)
}

/// Whether the status names this run as a current one.
pub(crate) fn is_current(status: &RolloutStatus, run: &AnalysisRun) -> bool {
    let name = run.metadata.name.as_deref();
    let canary = status
        .canary
        .iter()
        .flat_map(|canary| [&canary.current_step_analysis_run_status, &canary.current_background_analysis_run_status]);
    let blue_green = status.blue_green.iter().flat_map(|blue_green| {
        [&blue_green.pre_promotion_analysis_run_status, &blue_green.post_promotion_analysis_run_status]
    });
    canary.chain(blue_green).flatten().any(|current| Some(current.name.as_str()) == name)
}

fn phase(run: &AnalysisRun) -> Phase {
    Phase::of_status(run.status.as_ref().map(|status| status.phase.as_str()))
}

fn find<'a>(seen: &'a Observation, name: &str) -> Option<&'a AnalysisRun> {
    seen.analysis_runs.iter().find(|run| run.metadata.name.as_deref() == Some(name))
}

/// Takes over what the current runs found: a failure aborts, a run that could not tell waits for a person, a provider that does not
/// answer holds the release and is told.
pub(crate) fn judge(facts: &Facts<'_>, draft: &mut Draft, kinds: &[Kind]) {
    let mut holding = None;
    for kind in kinds.iter().copied() {
        let Some(current) = slot(draft, kind).clone() else { continue };
        let Some(run) = find(facts.seen, &current.name) else {
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
        if facts.promoted(&draft.status) || draft.aborted() || run.spec.terminate == Some(true) {
            continue;
        }
        match phase {
            Phase::Failed | Phase::Error => {
                let what = kind.spoken();
                let detail = message.map_or_else(String::new, |message| format!(": {message}"));
                state::abort_because(facts, draft, &format!("{what} phase error/failed{detail}"));
            }
            Phase::Inconclusive => inconclusive(facts, draft, kind, &current),
            Phase::Running | Phase::Pending => holding = holding.or_else(|| held(run)),
            Phase::Successful => {}
        }
    }
    told_hold(facts, draft, holding);
}

fn inconclusive(facts: &Facts<'_>, draft: &mut Draft, kind: Kind, before: &RolloutAnalysisRunStatus) {
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
    let pause = PauseCondition { reason: INCONCLUSIVE.to_owned(), start_time: at(facts.now) };
    draft.status.pause_conditions.get_or_insert_default().push(pause);
    draft.status.controller_pause = Some(true);
    draft.warning(reason::PAUSED, format!("Rollout is paused ({INCONCLUSIVE})"));
}

/// Whether the status names a run that ended well.
pub(crate) fn is_successful(current: Option<&RolloutAnalysisRunStatus>) -> bool {
    current.is_some_and(|run| Phase::of_status(Some(&run.status)) == Phase::Successful)
}

/// What a run that holds says of itself.
pub(crate) fn held(run: &AnalysisRun) -> Option<String> {
    let results = run.status.as_ref()?.metric_results.as_ref()?;
    let holding = |result: &&crds::MetricResult| {
        result.metadata.as_ref().is_some_and(|metadata| metadata.contains_key(::analysis::words::HOLD_SINCE))
    };
    let result = results.iter().find(holding)?;
    let why = result.metadata.as_ref()?.get(::analysis::words::HOLD_REASON).cloned().unwrap_or_default();
    let run = run.metadata.name.as_deref().unwrap_or_default();
    Some(format!(
        "Waiting for an answer: metric \"{}\" of AnalysisRun \"{run}\" cannot be measured: {why}",
        result.name
    ))
}

fn told_hold(facts: &Facts<'_>, draft: &mut Draft, holding: Option<String>) {
    let kind = condition::ANALYSIS_HOLDING;
    let before = conditions::find(&draft.status, kind).is_some_and(|found| found.status == "True");
    match holding {
        Some(message) => {
            conditions::set(&mut draft.status, kind, "True", kind, &message, facts.now);
            if !before {
                draft.warning(reason::ANALYSIS_HOLDING, message);
            }
        }
        None if before => {
            let message = "Metrics can be measured again";
            conditions::set(&mut draft.status, kind, "False", condition::ANALYSIS_GOES_ON, message, facts.now);
            // Time without an answer is no lack of progress.
            conditions::touch(&mut draft.status, "Progressing", facts.now);
        }
        None => {}
    }
}

/// Ends the runs that nobody needs; with `idle`, all of them.
pub(crate) fn end(facts: &Facts<'_>, draft: &mut Draft, idle: bool) {
    for run in &facts.seen.analysis_runs {
        if phase(run).is_completed() || run.spec.terminate == Some(true) || !idle && is_current(&draft.status, run) {
            continue;
        }
        draft
            .actions
            .push(Action::PatchAnalysisRun { target: target(run), patch: json!({ "spec": { "terminate": true } }) });
    }
}

pub(super) fn target(run: &AnalysisRun) -> Target {
    Target {
        name: run.metadata.name.clone().unwrap_or_default(),
        uid: run.metadata.uid.clone().unwrap_or_default(),
        resource_version: None,
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

/// Makes the current run of this kind, unless there is one.
pub(crate) fn ensure(facts: &Facts<'_>, draft: &mut Draft, kind: Kind, wanted: &RolloutAnalysis) {
    if slot(draft, kind).is_some() {
        return;
    }
    let object = serde_json::to_value(facts.rollout).unwrap_or_default();
    let values = ArgValues {
        stable_hash: draft.status.stable_rs.as_deref().unwrap_or_default(),
        latest_hash: &facts.hash.0,
        object: &object,
    };
    let spec = match build_run_spec(wanted, &values, &Known(facts.seen)) {
        Ok(spec) => spec,
        Err(error) => {
            draft.warning(reason::INVALID_SPEC, format!("AnalysisRun cannot be made: {error}"));
            if let Ok(later) = facts.now.checked_add(LOOK_AGAIN) {
                draft.wake_at(later);
            }
            return;
        }
    };
    let number = revision::revision_number(&facts.revisions);
    let index = draft.index().to_string();
    let infix = match kind {
        Kind::Step => Some(index.as_str()),
        Kind::Background => None,
        Kind::PrePromotion => Some("pre"),
        Kind::PostPromotion => Some("post"),
    };
    let rollout = facts.rollout.metadata.name.as_deref().unwrap_or_default();
    let base = run_name(rollout, &facts.hash.0, i64::try_from(number.0).unwrap_or(i64::MAX), infix);
    let owner = facts.rollout.metadata.uid.as_deref().unwrap_or_default();
    let written = facts.rollout.status.as_ref();
    let superseded = written.and_then(|status| named(status, kind)).map(|current| current.name.as_str());
    let steps = draft.status.current_step_hash.clone();
    let belongs = |run: &AnalysisRun| is_of_this_attempt(facts, written, steps.as_deref(), run);
    let name = match choose_run(&base, owner, &spec, superseded, &|name| find(facts.seen, name), &belongs) {
        RunChoice::Reuse(name) => {
            if find(facts.seen, &name).is_some_and(|run| phase(run).is_completed()) {
                // It ended before its name was written down: what it found is taken over at once.
                draft.wake_at(facts.now);
            }
            name
        }
        RunChoice::Create(name) => {
            let run = made(facts, wanted, kind, &index, &name, spec, steps);
            draft.actions.push(Action::CreateAnalysisRun { run: Box::new(run) });
            name
        }
    };
    *slot(draft, kind) = Some(RolloutAnalysisRunStatus { name, status: Phase::Pending.to_string(), message: None });
}

fn made(
    facts: &Facts<'_>,
    wanted: &RolloutAnalysis,
    kind: Kind,
    index: &str,
    name: &str,
    spec: AnalysisRunSpec,
    steps: Option<String>,
) -> AnalysisRun {
    let metadata = wanted.analysis_run_metadata.clone().unwrap_or_default();
    let selector = facts.rollout.spec.selector.as_ref().and_then(|selector| selector.match_labels.clone());
    let mut labels = selector.unwrap_or_default();
    labels.extend(metadata.labels.unwrap_or_default());
    labels.insert(POD_TEMPLATE_HASH_LABEL.to_owned(), facts.hash.0.clone());
    let instance = facts.rollout.metadata.labels.as_ref().and_then(|all| all.get(crds::words::INSTANCE_ID_LABEL));
    if let Some(instance) = instance {
        labels.insert(crds::words::INSTANCE_ID_LABEL.to_owned(), instance.clone());
    }
    labels.insert(ROLLOUT_TYPE_LABEL.to_owned(), kind.label().to_owned());
    if kind == Kind::Step {
        labels.insert(STEP_INDEX_LABEL.to_owned(), index.to_owned());
    }
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.insert(REVISION_ANNOTATION.to_owned(), revision::revision_number(&facts.revisions).to_string());
    if let Some(steps) = steps {
        annotations.insert(STEP_HASH_ANNOTATION.to_owned(), steps);
    }
    AnalysisRun {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: facts.rollout.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(vec![revision::owner(facts.rollout)]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}
