//! Conditions of an Experiment.

use ::analysis::Phase;
use crds::jiff::Timestamp;
use crds::{ExperimentCondition, ExperimentStatus, TemplateStatusCode, Time};

use super::{Draft, Pass, phase};
use crate::words::condition as reasons;
use crate::words::experiment as words;

pub(super) fn find<'a>(status: &'a ExperimentStatus, kind: &str) -> Option<&'a ExperimentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// Sets a condition. Same status, reason and message: nothing changes. Same status: the transition time stays.
pub(super) fn set(status: &mut ExperimentStatus, kind: &str, value: &str, reason: &str, message: &str, now: Timestamp) {
    let old = find(status, kind);
    if old.is_some_and(|old| old.status == value && old.reason == reason && old.message == message) {
        return;
    }
    let transition = old.filter(|old| old.status == value).map(|old| old.last_transition_time.clone());
    let condition = ExperimentCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_update_time: Time(now),
        last_transition_time: transition.unwrap_or(Time(now)),
    };
    remove(status, kind);
    status.conditions.get_or_insert_default().push(condition);
}

pub(super) fn remove(status: &mut ExperimentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
    }
}

/// The condition that says how far the Experiment is.
pub(super) fn progressing(pass: &Pass<'_>, draft: &mut Draft) {
    let name = pass.name();
    let late = draft.status.template_statuses.iter().flatten();
    let late = late.clone().any(|one| one.status_kind() == Some(TemplateStatusCode::Failed));
    let why = draft.status.message.clone().unwrap_or_default();
    let (value, reason, message) = match phase(&draft.status) {
        Phase::Pending => ("True", reasons::UPDATED, format!("Experiment \"{name}\" is progressing.")),
        Phase::Running => ("True", reasons::NEW_AVAILABLE, format!("Experiment \"{name}\" is running.")),
        Phase::Successful => {
            ("False", words::COMPLETE, format!("Experiment \"{name}\" has successfully ran and completed."))
        }
        Phase::Failed if late => {
            ("False", reasons::DEADLINE, format!("Experiment \"{name}\" has timed out progressing."))
        }
        phase @ (Phase::Failed | Phase::Error | Phase::Inconclusive) => {
            ("False", words::COMPLETE, format!("Experiment \"{name}\" has ended {phase}: {why}"))
        }
    };
    set(&mut draft.status, words::PROGRESSING, value, reason, &message, pass.now);
}
