//! Conditions of a status: set by type, times kept by the rules that people's tools rely on.

use crds::jiff::Timestamp;
use crds::{RolloutCondition, RolloutStatus, Time};

/// The condition of this type.
pub fn find<'a>(status: &'a RolloutStatus, kind: &str) -> Option<&'a RolloutCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// Sets a condition. Same status, reason and message: nothing changes. Same status: the transition time stays.
pub fn set(status: &mut RolloutStatus, kind: &str, value: &str, reason: &str, message: &str, now: Timestamp) {
    let old = find(status, kind);
    if old.is_some_and(|old| old.status == value && old.reason == reason && old.message == message) {
        return;
    }
    let transition = old.filter(|old| old.status == value).map(|old| old.last_transition_time.clone());
    let condition = RolloutCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_update_time: Time(now),
        last_transition_time: transition.unwrap_or(Time(now)),
    };
    let conditions = status.conditions.get_or_insert_default();
    match conditions.iter_mut().find(|old| old.type_ == kind) {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
}

/// Moves the update time of a condition: the thing it speaks of went on.
pub fn touch(status: &mut RolloutStatus, kind: &str, now: Timestamp) {
    for condition in status.conditions.iter_mut().flatten().filter(|condition| condition.type_ == kind) {
        condition.last_update_time = Time(now);
    }
}

/// Removes the condition of this type.
pub fn remove(status: &mut RolloutStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
    }
}
