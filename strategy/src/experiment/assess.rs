//! The phase of an Experiment: the worst of what its versions and its analyses say.

use ::analysis::Phase;
use crds::{ExperimentStatus, TemplateStatusCode};

use super::{Draft, Pass, analysis, phase as stored_phase};
use crate::words::experiment as words;

/// From best to worst.
const ORDER: [TemplateStatusCode; 5] = [
    TemplateStatusCode::Successful,
    TemplateStatusCode::Running,
    TemplateStatusCode::Progressing,
    TemplateStatusCode::Error,
    TemplateStatusCode::Failed,
];

fn rank(code: TemplateStatusCode) -> usize {
    ORDER.iter().position(|one| *one == code).unwrap_or(ORDER.len())
}

/// What one side says.
struct Word {
    phase: Phase,
    message: String,
}

pub(super) fn phase(pass: &Pass<'_>, draft: &mut Draft, terminating: bool) {
    if pass.ended {
        return;
    }
    let templates = templates(pass, &draft.status);
    if templates.phase == Phase::Running && draft.status.available_at.is_none() {
        draft.status.available_at = Some(pass.now());
        // The analyses begin once this is written.
        draft.wake_at(pass.now);
    }
    let word = decide(pass, draft, terminating, templates);
    draft.status.phase = Some(word.phase.to_string());
    draft.status.message = Some(word.message).filter(|message| !message.is_empty());
    if stored_phase(&draft.status).is_completed() {
        // Pods, Services and runs go once this is written.
        draft.wake_at(pass.now);
    }
    if let Some(end) = pass.end(&draft.status).filter(|end| *end > pass.now) {
        draft.wake_at(end);
    }
}

fn decide(pass: &Pass<'_>, draft: &Draft, terminating: bool, templates: Word) -> Word {
    let bad = |word: &Word| word.phase.is_completed() && word.phase != Phase::Successful;
    let Analyses { word: analyses, required, done } = analyses(pass, &draft.status);
    if bad(&templates) {
        return templates;
    }
    if bad(&analyses) {
        return analyses;
    }
    if templates.phase == Phase::Successful {
        if required || analyses.phase == Phase::Successful {
            return analyses;
        }
        // A provider that does not answer says nothing, so it does not let the Experiment end well either.
        let holding = if terminating { None } else { analysis::holding(pass, &draft.status) };
        return holding.map_or(templates, |message| Word { phase: Phase::Running, message });
    }
    if required && done && templates.phase == Phase::Running {
        return analyses;
    }
    templates
}

/// The worst of the versions.
fn templates(pass: &Pass<'_>, status: &ExperimentStatus) -> Word {
    let mut worst = TemplateStatusCode::Successful;
    let mut message = String::new();
    for template in &pass.experiment.spec.templates {
        let found = status.template_statuses.iter().flatten().find(|one| one.name == template.name);
        let code = found.and_then(crds::TemplateStatus::status_kind).unwrap_or(TemplateStatusCode::Progressing);
        if rank(code) > rank(worst) {
            worst = code;
            // What is said of a version that goes on is no reason of a phase.
            let ended = matches!(code, TemplateStatusCode::Error | TemplateStatusCode::Failed);
            message = found.filter(|_| ended).and_then(|one| one.message.clone()).unwrap_or_default();
        }
    }
    let phase = match worst {
        TemplateStatusCode::Progressing => Phase::Pending,
        TemplateStatusCode::Running => Phase::Running,
        TemplateStatusCode::Successful => Phase::Successful,
        TemplateStatusCode::Failed => Phase::Failed,
        TemplateStatusCode::Error => Phase::Error,
    };
    Word { phase, message }
}

/// What the analyses say together.
struct Analyses {
    word: Word,
    /// Some are required for completion.
    required: bool,
    /// All those are Successful.
    done: bool,
}

/// The worst of the analyses; one that was never begun says nothing.
fn analyses(pass: &Pass<'_>, status: &ExperimentStatus) -> Analyses {
    let mut worst = Phase::Successful;
    let mut message = String::new();
    let (mut required, mut done) = (false, true);
    for analysis in pass.experiment.spec.analyses.iter().flatten() {
        let found = analysis::entry(status, &analysis.name);
        let phase = found.map(|one| Phase::of_status(Some(&one.phase)));
        if let Some(phase) = phase
            && Phase::worst(worst, phase) != worst
        {
            worst = phase;
            message = found.and_then(|one| one.message.clone()).unwrap_or_default();
        }
        if analysis.required_for_completion == Some(true) {
            required = true;
            done &= phase == Some(Phase::Successful);
        }
    }
    let bad = worst.is_completed() && worst != Phase::Successful;
    if required && done && !bad {
        let word = Word { phase: Phase::Successful, message: words::REQUIRED_COMPLETED.to_owned() };
        return Analyses { word, required, done };
    }
    // As the phase of the Experiment, a run that has not begun is one that goes on.
    let worst = if worst == Phase::Pending { Phase::Running } else { worst };
    Analyses { word: Word { phase: worst, message }, required, done }
}
