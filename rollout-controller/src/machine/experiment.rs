//! The Experiment machine: decisions of `strategy::experiment` carried out.
//!
//! Invariants: as those of the Rollout machine. The status of an Experiment is no sub-resource, so it is written with the object.

use std::time::Duration;

use crds::{Experiment, ExperimentStatus, Guarded};
use serde_json::json;
use strategy::experiment::{ExperimentDecision, decide};
use strategy::{Event, EventType};

use super::{Machines, REFUSED_RETRY, ROUNDS, about};
use crate::apply::{Outcome, merge};
use crate::events::Note;
use crate::queue::Next;
use crate::view::Key;
use crate::view::store::Name;
use crate::words;

impl Machines {
    pub(super) async fn settle_experiment(&self, key: &Key, name: &Name) -> Next {
        let Some(experiment) = self.view.experiments.get(name) else {
            self.forget_experiment(key);
            return Next::Rest;
        };
        match &*experiment {
            Guarded::Malformed(malformed) => {
                let message = format!("The Experiment \"{}\" is invalid: {}", name.name, malformed.error);
                self.tell_malformed::<Experiment>(key, malformed, &message);
                return Next::Rest;
            }
            Guarded::Valid(experiment) if experiment.metadata.deletion_timestamp.is_some() => return Next::Rest,
            Guarded::Valid(_) => {}
        }
        let mut notes = Vec::new();
        for _ in 0..ROUNDS {
            let Some(Guarded::Valid(experiment)) = self.view.experiments.get(name).as_deref().cloned() else {
                // Gone or malformed since: there is a wake for it.
                return Next::After(Duration::ZERO);
            };
            if notes.is_empty() {
                // What an earlier pass did and could not tell.
                notes = self.memory().experiments.remove(name).unwrap_or_default();
            }
            let seen = self.view.observe_experiment(name, &experiment);
            let decision = decide(&seen, self.clock.now());
            if decision.actions.is_empty() {
                match self.finish_experiment(key, name, &experiment, &decision, notes).await {
                    // The status was written, and there is more to do at once.
                    Next::After(Duration::ZERO) => {
                        notes = Vec::new();
                        continue;
                    }
                    next => return next,
                }
            }
            for action in &decision.actions {
                let Some(written) = self.write_object(key, &name.namespace, action).await else {
                    tracing::error!(experiment = %name, ?action, "an Experiment cannot ask for this");
                    continue;
                };
                let next = match written.outcome {
                    Outcome::Applied(()) => continue,
                    Outcome::LookAgain(problem) => {
                        tracing::debug!(experiment = %name, object = written.what, problem, "looking again");
                        Next::BackOff
                    }
                    Outcome::Unavailable(problem) => {
                        tracing::warn!(experiment = %name, problem, "the API server does not do it now");
                        Next::BackOff
                    }
                    Outcome::Refused(message) => {
                        self.tell_refused(key, &experiment, written.reason, message);
                        Next::After(REFUSED_RETRY)
                    }
                };
                self.keep_experiment(name, notes);
                return next;
            }
            add(&mut notes, &experiment, &decision.events);
        }
        self.metrics.unsettled.inc();
        tracing::error!(experiment = %name, rounds = ROUNDS, "found no rest");
        Next::BackOff
    }

    /// Nothing left to do for this picture: the status, then the events.
    async fn finish_experiment(
        &self,
        key: &Key,
        name: &Name,
        experiment: &Experiment,
        decision: &ExperimentDecision,
        mut notes: Vec<Note>,
    ) -> Next {
        let earlier = notes.len();
        add(&mut notes, experiment, &decision.events);
        self.memory().told.remove(key);
        let rest = decision.requeue_after.map_or(Next::Rest, Next::After);
        let stored: Option<&ExperimentStatus> = experiment.status.as_ref();
        let patch = match merge::diff_of(stored, &decision.status) {
            Ok(Some(patch)) => patch,
            Ok(None) => {
                self.tell_all(notes);
                // Asked again at once without any change, it would say the same.
                return if rest == Next::After(Duration::ZERO) { Next::BackOff } else { rest };
            }
            Err(error) => {
                tracing::error!(experiment = %name, %error, "failed to write a status as JSON");
                return Next::After(REFUSED_RETRY);
            }
        };
        let meta = &experiment.metadata;
        let patch = merge::with_preconditions(
            json!({ "status": patch }),
            meta.uid.as_deref(),
            meta.resource_version.as_deref(),
        );
        let api = self.writer.api::<Experiment>(&name.namespace);
        match self.writer.patch(&api, "Experiment", &name.name, &patch).await {
            Outcome::Applied(written) => {
                self.view.take_experiment(written, Some(key));
                self.tell_all(notes);
                rest
            }
            failed => {
                // Without an answer it may be written: then nobody else tells it. What is told twice is told once.
                if !matches!(failed, Outcome::Unavailable(_)) {
                    notes.truncate(earlier);
                }
                self.keep_experiment(name, notes);
                match failed {
                    Outcome::Refused(message) => {
                        self.tell_refused(key, experiment, words::WRITE_REFUSED, message);
                        Next::After(REFUSED_RETRY)
                    }
                    Outcome::Unavailable(problem) => {
                        tracing::warn!(experiment = %name, problem, "cannot write the status");
                        Next::BackOff
                    }
                    Outcome::LookAgain(_) | Outcome::Applied(_) => Next::BackOff,
                }
            }
        }
    }

    fn tell_refused(&self, key: &Key, experiment: &Experiment, reason: &str, message: String) {
        let about = about::<Experiment>(&experiment.metadata);
        self.tell_once(key, Note { about, warning: true, reason: reason.to_owned(), message });
    }

    fn keep_experiment(&self, name: &Name, notes: Vec<Note>) {
        if !notes.is_empty() {
            self.memory().experiments.insert(name.clone(), notes);
        }
    }

    fn forget_experiment(&self, key: &Key) {
        let Key::Experiment(name) = key else { return };
        self.metrics.forget(&name.namespace, &name.name);
        let mut memory = self.memory();
        memory.told.remove(key);
        memory.experiments.remove(name);
    }
}

/// Adds what is not there yet.
fn add(notes: &mut Vec<Note>, experiment: &Experiment, events: &[Event]) {
    for event in events {
        if notes.iter().any(|note| note.reason == event.reason && note.message == event.message) {
            continue;
        }
        notes.push(Note {
            about: about::<Experiment>(&experiment.metadata),
            warning: event.event_type == EventType::Warning,
            reason: event.reason.to_owned(),
            message: event.message.clone(),
        });
    }
}
