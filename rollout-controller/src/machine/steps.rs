//! What a status write says of the steps: counted, and told as spans of the release's trace.
//!
//! Invariants: a step is counted as begun once for each time it is begun, and as completed or failed at most once for that; steps that
//! are skipped (a first deployment, a rollback to the stable version, a full promotion) are not counted.

use crds::jiff::Timestamp;
use crds::{Rollout, RolloutStatus};

use super::Machines;
use crate::metrics::StepLabel;
use crate::telemetry::{self, Trace};
use crate::view::store::Name;

/// What happened to the steps between two statuses; indexes of steps.
#[derive(Debug, Default, PartialEq, Eq)]
struct Walk {
    begun: Vec<i32>,
    completed: Vec<i32>,
    failed: Option<i32>,
}

fn walk(old: &RolloutStatus, new: &RolloutStatus, count: i32) -> Walk {
    let (before, after) = (old.current_step_index, new.current_step_index.unwrap_or(0));
    if is_aborted(new) {
        let failed = before.filter(|index| !is_aborted(old) && *index < count && !skips(old, old));
        return Walk { failed, ..Walk::default() };
    }
    if skips(old, new) {
        return Walk::default();
    }
    let goes_on = old.current_pod_hash == new.current_pod_hash
        && old.current_step_hash == new.current_step_hash
        && !is_aborted(old)
        && !skips(old, old);
    let first = if goes_on { before.unwrap_or(0) } else { 0 };
    let entered = if goes_on { first.saturating_add(1) } else { 0 };
    Walk {
        begun: (entered..=after).filter(|index| *index < count).collect(),
        completed: (first..after).collect(),
        failed: None,
    }
}

fn is_aborted(status: &RolloutStatus) -> bool {
    status.abort == Some(true) || status.aborted_at.is_some()
}

/// Whether the steps do not apply between these: there is nothing to go over to, or a person skips them.
fn skips(old: &RolloutStatus, new: &RolloutStatus) -> bool {
    let set = |hash: &Option<String>| hash.clone().filter(|hash| !hash.is_empty());
    let stable = set(&old.stable_rs);
    stable.is_none()
        || stable == set(&new.current_pod_hash)
        || old.promote_full == Some(true)
        || new.promote_full == Some(true)
}

impl Machines {
    /// Metrics and spans of the steps that a status write completes, begins or aborts.
    pub(super) fn count_steps(&self, name: &Name, rollout: &Rollout, new: &RolloutStatus) {
        let canary = rollout.spec.strategy.as_ref().and_then(|strategy| strategy.canary.as_ref());
        let Some(steps) = canary.and_then(|canary| canary.steps.as_ref()) else { return };
        let default = RolloutStatus::default();
        let old = rollout.status.as_ref().unwrap_or(&default);
        let walk = walk(old, new, i32::try_from(steps.len()).unwrap_or(i32::MAX));
        let now = self.clock.now();
        let label = |index: i32| {
            let step = usize::try_from(index).ok().and_then(|index| steps.get(index))?;
            let fields = serde_json::to_value(step).ok()?;
            Some(StepLabel { step: fields.as_object()?.keys().next()?.clone() })
        };
        let began = self.memory().steps.get(name).copied();
        let trace = trace_of(rollout);
        let span = |index: i32, step: &str, failed: Option<String>, began: Option<(i32, Timestamp)>| {
            let start = began.filter(|(known, _)| *known == index).map_or(now, |(_, start)| start);
            let attributes = [("step.index", index.to_string()), ("step.type", step.to_owned())];
            trace.span("step", telemetry::Span { start, end: now, failed }, &attributes);
        };
        let message = || Some(new.message.clone().unwrap_or_default());
        if let Some((index, label)) = walk.failed.and_then(|index| Some((index, label(index)?))) {
            self.metrics.step_errors.get_or_create(&label).inc();
            span(index, &label.step, message(), began);
        }
        if is_aborted(new) && !is_aborted(old) {
            self.memory().steps.remove(name);
            self.whole(rollout, new, message());
        }
        for (index, label) in walk.completed.iter().filter_map(|index| Some((*index, label(*index)?))) {
            self.metrics.step_successes.get_or_create(&label).inc();
            span(index, &label.step, None, began);
        }
        for label in walk.begun.iter().filter_map(|index| label(*index)) {
            self.metrics.steps.get_or_create(&label).inc();
        }
        if let Some(last) = walk.begun.last() {
            self.memory().steps.insert(name.clone(), (*last, now));
        }
        if new.stable_rs.is_some() && new.stable_rs == new.current_pod_hash && old.stable_rs != new.stable_rs {
            self.whole(rollout, new, None);
        }
    }

    /// The span of the whole revision, when it is over.
    fn whole(&self, rollout: &Rollout, status: &RolloutStatus, failed: Option<String>) {
        let end = self.clock.now();
        let started = status.duration.as_ref().and_then(|duration| duration.rollout_started_at.as_ref());
        let start = started.map_or(end, |time| time.0);
        let attributes = [
            ("rollout.namespace", rollout.metadata.namespace.clone().unwrap_or_default()),
            ("rollout.name", rollout.metadata.name.clone().unwrap_or_default()),
            ("rollout.revision", revision(rollout)),
        ];
        trace_of(rollout).whole("rollout", telemetry::Span { start, end, failed }, &attributes);
    }
}

fn revision(rollout: &Rollout) -> String {
    let annotations = rollout.metadata.annotations.as_ref();
    annotations.and_then(|map| map.get(crds::words::REVISION_ANNOTATION)).cloned().unwrap_or_default()
}

/// The trace of the present revision.
pub(super) fn trace_of(rollout: &Rollout) -> Trace {
    Trace::of(&rollout.metadata.uid.clone().unwrap_or_default(), &revision(rollout))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(version: &str, index: i32) -> RolloutStatus {
        RolloutStatus {
            stable_rs: Some("old".to_owned()),
            current_pod_hash: Some(version.to_owned()),
            current_step_hash: Some("s".to_owned()),
            current_step_index: Some(index),
            ..RolloutStatus::default()
        }
    }

    fn aborted(status: RolloutStatus) -> RolloutStatus {
        RolloutStatus { abort: Some(true), current_step_index: Some(0), ..status }
    }

    fn walked(begun: &[i32], completed: &[i32], failed: Option<i32>) -> Walk {
        Walk { begun: begun.to_vec(), completed: completed.to_vec(), failed }
    }

    #[test]
    fn steps_are_counted_once() {
        let full = |status: RolloutStatus| RolloutStatus { promote_full: Some(true), ..status };
        let first = |index| RolloutStatus { stable_rs: None, ..at("old", index) };
        let none = RolloutStatus::default();
        for (what, old, new, says) in vec![
            ("a first deployment", none, first(3), walked(&[], &[], None)),
            ("the end of a first deployment", first(3), at("old", 3), walked(&[], &[], None)),
            ("a new version", at("old", 3), at("new", 0), walked(&[0], &[], None)),
            ("a new version, two steps at once", at("old", 3), at("new", 1), walked(&[0, 1], &[0], None)),
            ("the next step", at("new", 0), at("new", 1), walked(&[1], &[0], None)),
            ("nothing new", at("new", 1), at("new", 1), walked(&[], &[], None)),
            ("the last step", at("new", 2), at("new", 3), walked(&[], &[2], None)),
            ("an abort", at("new", 1), aborted(at("new", 1)), walked(&[], &[], Some(1))),
            ("after an abort", aborted(at("new", 1)), aborted(at("new", 1)), walked(&[], &[], None)),
            ("an abort after the steps", at("new", 3), aborted(at("new", 3)), walked(&[], &[], None)),
            ("a retry", aborted(at("new", 0)), at("new", 0), walked(&[0], &[], None)),
            ("another version after an abort", aborted(at("new", 0)), at("newer", 0), walked(&[0], &[], None)),
            ("back to the stable version", at("new", 1), at("old", 3), walked(&[], &[], None)),
            ("a full promotion", at("new", 1), full(at("new", 3)), walked(&[], &[], None)),
            (
                "changed steps",
                at("new", 2),
                RolloutStatus { current_step_hash: None, ..at("new", 0) },
                walked(&[0], &[], None),
            ),
        ] {
            assert_eq!(walk(&old, &new, 3), says, "{what}");
        }
    }
}
