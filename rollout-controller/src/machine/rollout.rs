//! The Rollout machine: decisions of `strategy` carried out.
//!
//! Invariants
//! - Actions are applied in order; the first that fails ends the round.
//! - The status patch names the resourceVersion of the picture it was decided on, so that what a person wrote meanwhile
//!   (abort, promote) is never overwritten by an older thought.
//! - A write that the API server refuses is said on the Rollout, and tried again slowly.

use std::collections::BTreeSet;
use std::time::Duration;

use crds::kube::Resource;
use crds::{Guarded, ReplicaSet, Rollout, RolloutStatus};
use serde_json::{Value, json};
use strategy::{Action, Decision, Event, EventType, Target};
use tokio::time::Instant;

use super::steps::trace_of;
use super::writes::meta_of;
use super::{Machines, REFUSED_RETRY, ROUNDS, about};
use crate::apply::{Outcome, called, merge, routing};
use crate::events::Note;
use crate::queue::Next;
use crate::telemetry;
use crate::view::store::Name;
use crate::view::{Key, pods, references, workloads};
use crate::words;

/// Fields of the status that count, or put counts in words; a change of these alone may wait for company.
const MINOR: &[&str] = &["replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "HPAReplicas", "message"];

/// Why a pass ended before it came to rest.
enum Stop {
    LookAgain(String),
    Unavailable(String),
    Refused { reason: &'static str, message: String },
}

impl Machines {
    pub(super) async fn settle_rollout(&self, key: &Key, name: &Name) -> Next {
        let Some(rollout) = self.view.rollouts.get(name) else {
            self.forget_rollout(key, name);
            return self.give_services_back(key, name).await;
        };
        match &*rollout {
            Guarded::Malformed(malformed) => return self.malformed_rollout(key, name, malformed).await,
            Guarded::Valid(rollout) if rollout.metadata.deletion_timestamp.is_some() && !holds_on(rollout) => {
                return Next::Rest;
            }
            Guarded::Valid(rollout) => {
                self.memory().known.entry(name.clone()).or_insert_with(|| about::<Rollout>(&rollout.metadata));
                if let Err(problem) = self.read_workload(rollout).await {
                    tracing::warn!(rollout = %name, problem, "cannot read what workloadRef names");
                    return Next::BackOff;
                }
                if let Err(problem) = self.view.read_routes(self.writer.client(), rollout).await {
                    tracing::warn!(rollout = %name, problem, "cannot read what the traffic routers name");
                    return Next::BackOff;
                }
            }
        }
        let mut notes = Vec::new();
        let mut wrote = false;
        // Pods that a disruption budget did not let go in this pass.
        let mut refused = BTreeSet::new();
        for _ in 0..ROUNDS {
            let Some(Guarded::Valid(rollout)) = self.view.rollouts.get(name).as_deref().cloned() else {
                // Gone or malformed since: there is a wake for it.
                return Next::After(Duration::ZERO);
            };
            if notes.is_empty() {
                // What an earlier pass did and could not tell.
                notes = self.memory().carry.remove(name).unwrap_or_default();
            }
            let mut seen = self.view.observe(name, &rollout);
            seen.taken = self.memory().taken.get(name).cloned().unwrap_or_default();
            let now = self.clock.now();
            if strategy::restart::is_due(&rollout, now) {
                match pods::of(self.writer.client(), &seen, now, &refused).await {
                    Ok(found) => seen.pods = Some(found),
                    Err(error) => {
                        tracing::warn!(rollout = %name, %error, "cannot list the pods that are to be restarted");
                        self.keep(name, notes);
                        return Next::BackOff;
                    }
                }
            }
            let decision = (self.decide)(&seen, now);
            if decision.actions.is_empty() {
                return self.finish(key, name, &rollout, decision, notes, wrote).await;
            }
            for action in &decision.actions {
                if let Action::EvictPod { target } = action {
                    let namespace = rollout.metadata.namespace.as_deref().unwrap_or_default();
                    match self.writer.evict(namespace, &target.name, &target.uid).await {
                        Ok(()) => wrote = true,
                        Err(problem) => {
                            tracing::info!(rollout = %name, pod = target.name, problem, "a pod may not go now");
                            refused.insert(target.uid.clone());
                        }
                    }
                    continue;
                }
                if let Err(stop) = self.act(key, &rollout, action, &mut notes).await {
                    if let (Stop::LookAgain(_), Action::CreateReplicaSet { replica_set }) = (&stop, action) {
                        self.look_who_has_it(key, &rollout, &replica_set.metadata).await;
                    }
                    return self.stop(key, name, &rollout, stop, notes).await;
                }
                wrote = true;
            }
            add_events(&mut notes, &rollout, &decision.events);
        }
        self.metrics.unsettled.inc();
        tracing::error!(rollout = %name, rounds = ROUNDS, "found no rest");
        Next::BackOff
    }

    /// A Rollout that is gone moves no Service any more: each selects again what its user wrote. What is not in the picture may also be
    /// another instance's, so the API server is asked.
    async fn give_services_back(&self, key: &Key, name: &Name) -> Next {
        let services = self.view.services_moved_by(name);
        if services.is_empty() {
            return Next::Rest;
        }
        match self.writer.api::<Rollout>(&name.namespace).get_metadata_opt(&name.name).await {
            Ok(Some(_)) => return Next::Rest,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(rollout = %name, %error, "cannot tell whether the Rollout of these Services is gone");
                return Next::BackOff;
            }
        }
        for service in services {
            let action = strategy::services::let_go(&service);
            let Some(written) = self.write_object(key, &name.namespace, &action).await else { continue };
            match written.outcome {
                Outcome::Applied(()) => tracing::info!(rollout = %name, what = written.what, "given back"),
                Outcome::LookAgain(_) | Outcome::Unavailable(_) => return Next::BackOff,
                Outcome::Refused(problem) => {
                    tracing::warn!(rollout = %name, what = written.what, problem, "cannot be given back");
                    return Next::After(REFUSED_RETRY);
                }
            }
        }
        Next::Rest
    }

    /// Reads the workload that the Rollout references, when it is not in the picture; that it does not exist is no failure.
    async fn read_workload(&self, rollout: &Rollout) -> Result<(), String> {
        let Some((kind, name)) = references::workload(rollout) else { return Ok(()) };
        self.view.workloads.want(kind);
        if self.view.workloads.knows(kind, &name) {
            return Ok(());
        }
        let api = workloads::api(self.writer.client(), &name.namespace, kind);
        let found = api.get_opt(&name.name).await.map_err(|error| format!("{} \"{name}\": {error}", kind.kind()))?;
        if let Some(found) = found {
            self.view.take_workload(kind, found, Some(&Key::Rollout(Name::of(&rollout.metadata))));
        }
        Ok(())
    }

    /// Applies one action and takes in the answer.
    async fn act(&self, key: &Key, rollout: &Rollout, action: &Action, notes: &mut Vec<Note>) -> Result<(), Stop> {
        let namespace = rollout.metadata.namespace.clone().unwrap_or_default();
        let start = self.clock.now();
        let (writer, view, by) = (&self.writer, &self.view, Some(key));
        let (what, reason, outcome) = match action {
            Action::PatchRollout { patch } => {
                let meta = &rollout.metadata;
                let patch =
                    merge::with_preconditions(patch.clone(), meta.uid.as_deref(), meta.resource_version.as_deref());
                let api = writer.api::<Rollout>(&namespace);
                let outcome = writer.patch(&api, "Rollout", &meta.name.clone().unwrap_or_default(), &patch).await;
                let outcome = outcome.map(|rollout| view.take_rollout(Guarded::Valid(Box::new(rollout)), by));
                (called("Rollout", meta), words::WRITE_REFUSED, outcome)
            }
            // Carried out where refusals are remembered.
            Action::EvictPod { .. } => return Ok(()),
            Action::Route(write) => {
                let plural = routing::reference(write).plural;
                let outcome = writer.route(&namespace, write, view.routes.resource(plural).as_ref()).await;
                let outcome = outcome.map(|written| {
                    if let Some(object) = written {
                        view.take_route(plural, *object, by);
                    } else if let traffic::Write::Delete { reference, uid } = write {
                        let target = Target { name: reference.name.clone(), uid: uid.clone(), resource_version: None };
                        view.drop_ingress(&meta_of(&namespace, &target), by);
                    }
                    if let traffic::Write::Create { event: (reason, message), .. }
                    | traffic::Write::Patch { event: (reason, message), .. } = write
                    {
                        let event = Event { event_type: EventType::Normal, reason, message: message.clone() };
                        add_events(notes, rollout, &[event]);
                    }
                });
                let reference = routing::reference(write);
                (format!("{} \"{}\"", reference.kind, reference.name), "TrafficRoutingError", outcome)
            }
            other => {
                let Some(written) = self.write_object(key, &namespace, other).await else { return Ok(()) };
                (written.what, written.reason, written.outcome)
            }
        };
        let failed = match &outcome {
            Outcome::Applied(()) => None,
            Outcome::LookAgain(text) | Outcome::Refused(text) | Outcome::Unavailable(text) => Some(text.clone()),
        };
        let span = telemetry::Span { start, end: self.clock.now(), failed };
        trace_of(rollout).span("write", span, &[("object", what), ("outcome", outcome.word().to_owned())]);
        match outcome {
            Outcome::Applied(()) => Ok(()),
            Outcome::LookAgain(text) => Err(Stop::LookAgain(text)),
            Outcome::Unavailable(text) => Err(Stop::Unavailable(text)),
            Outcome::Refused(message) => Err(Stop::Refused { reason, message }),
        }
    }

    /// A ReplicaSet of the wanted name exists: ours, and the picture is old, or somebody else's, and another name has to be found.
    async fn look_who_has_it(&self, key: &Key, rollout: &Rollout, wanted: &crds::ObjectMeta) {
        let (Some(namespace), Some(name)) = (&wanted.namespace, &wanted.name) else { return };
        let Ok(found) = self.writer.api::<ReplicaSet>(namespace).get(name).await else { return };
        let owners = found.metadata.owner_references.iter().flatten();
        let owner = owners.into_iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone());
        let labelled = found
            .metadata
            .labels
            .as_ref()
            .is_some_and(|labels| labels.contains_key(crds::words::POD_TEMPLATE_HASH_LABEL));
        let ours = owner.as_ref().map_or(labelled, |owner| Some(owner) == rollout.metadata.uid.as_ref());
        if ours {
            self.view.take_replica_set(found, Some(key));
        } else {
            let rollout = Name::of(&rollout.metadata);
            self.memory().taken.entry(rollout).or_default().insert(name.clone());
        }
    }

    /// The pass ends early: what was done is told by the next one.
    async fn stop(&self, key: &Key, name: &Name, rollout: &Rollout, stop: Stop, notes: Vec<Note>) -> Next {
        self.keep(name, notes);
        match stop {
            Stop::LookAgain(problem) => {
                tracing::debug!(rollout = %name, problem, "looking again");
                Next::BackOff
            }
            Stop::Unavailable(problem) => {
                tracing::warn!(rollout = %name, problem, "the API server does not do it now");
                Next::BackOff
            }
            Stop::Refused { reason, message } => {
                self.say_refused(key, name, rollout, reason, &message).await;
                let note = Note {
                    about: about::<Rollout>(&rollout.metadata),
                    warning: true,
                    reason: reason.to_owned(),
                    message,
                };
                self.tell_once(key, note);
                Next::After(REFUSED_RETRY)
            }
        }
    }

    /// The condition that says that a write was refused.
    async fn say_refused(&self, key: &Key, name: &Name, rollout: &Rollout, reason: &str, message: &str) {
        let now = crds::Time(self.clock.now());
        let old = rollout.status.clone().unwrap_or_default();
        let mut conditions = old.conditions.unwrap_or_default();
        if conditions.iter().any(|condition| condition.type_ == words::REPLICA_FAILURE && condition.message == message)
        {
            return;
        }
        conditions.retain(|condition| condition.type_ != words::REPLICA_FAILURE);
        conditions.push(crds::RolloutCondition {
            type_: words::REPLICA_FAILURE.to_owned(),
            status: "True".to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_update_time: now.clone(),
            last_transition_time: now,
        });
        // An action of this pass may have changed the Rollout since it was looked at.
        let Some(present) = self.view.rollouts.get(name) else { return };
        let meta = present.meta();
        let patch = json!({ "status": { "conditions": conditions } });
        let patch = merge::with_preconditions(patch, meta.uid.as_deref(), meta.resource_version.as_deref());
        let outcome = self.writer.patch_status(&self.writer.api(&name.namespace), "Rollout", &name.name, &patch).await;
        if let Outcome::Applied(written) = outcome {
            self.view.take_rollout(Guarded::Valid(Box::new(written)), Some(key));
        }
    }

    /// Nothing left to do: the status, then the events.
    async fn finish(
        &self,
        key: &Key,
        name: &Name,
        rollout: &Rollout,
        mut decision: Decision,
        mut notes: Vec<Note>,
        wrote: bool,
    ) -> Next {
        // Events of a status that is surely not written are told by the decision that is.
        let earlier = notes.len();
        add_events(&mut notes, rollout, &decision.events);
        // Every write went through, so none is refused any more.
        if let Some(conditions) = &mut decision.status.conditions {
            let ours =
                |reason: &str| [words::WRITE_REFUSED, "ReplicaSetCreateError", "TrafficRoutingError"].contains(&reason);
            conditions.retain(|condition| condition.type_ != words::REPLICA_FAILURE || !ours(&condition.reason));
        }
        self.memory().told.remove(key);
        let rest = decision.requeue_after.map_or(Next::Rest, Next::After);
        let patch = match merge::diff_of(rollout.status.as_ref(), &decision.status) {
            Ok(Some(patch)) => patch,
            Ok(None) => {
                self.memory().waiting.remove(name);
                self.tell_all(notes);
                return rest;
            }
            Err(error) => {
                tracing::error!(rollout = %name, %error, "failed to write a status as JSON");
                return Next::After(REFUSED_RETRY);
            }
        };
        if !wrote && decision.events.is_empty() && is_minor(&patch, rollout.status.as_ref(), &decision.status) {
            let now = Instant::now();
            let since = *self.memory().waiting.entry(name.clone()).or_insert(now);
            let left = (since + self.coalesce).saturating_duration_since(now);
            if !left.is_zero() {
                self.keep(name, notes);
                return Next::After(decision.requeue_after.map_or(left, |requeue| requeue.min(left)));
            }
        }
        let meta = &rollout.metadata;
        tracing::debug!(rollout = %name, %patch, "writing the status");
        let patch = merge::with_preconditions(
            json!({ "status": patch }),
            meta.uid.as_deref(),
            meta.resource_version.as_deref(),
        );
        match self.writer.patch_status(&self.writer.api(&name.namespace), "Rollout", &name.name, &patch).await {
            Outcome::Applied(written) => {
                self.view.take_rollout(Guarded::Valid(Box::new(written)), Some(key));
                self.memory().waiting.remove(name);
                self.count_steps(name, rollout, &decision.status);
                self.tell_all(notes);
                rest
            }
            failed => {
                // Without an answer it may be written: then nobody else tells it. What is told twice is told once.
                if !matches!(failed, Outcome::Unavailable(_)) {
                    notes.truncate(earlier);
                }
                self.keep(name, notes);
                match failed {
                    Outcome::Refused(message) => {
                        let (about, reason) = (about::<Rollout>(meta), words::WRITE_REFUSED.to_owned());
                        self.tell_once(key, Note { about, warning: true, reason, message });
                        Next::After(REFUSED_RETRY)
                    }
                    Outcome::Unavailable(problem) => {
                        tracing::warn!(rollout = %name, problem, "cannot write the status");
                        Next::BackOff
                    }
                    Outcome::LookAgain(_) | Outcome::Applied(_) => Next::BackOff,
                }
            }
        }
    }

    fn keep(&self, name: &Name, notes: Vec<Note>) {
        if !notes.is_empty() {
            self.memory().carry.insert(name.clone(), notes);
        }
    }

    /// Tells of the end of a Rollout that was worked on, and forgets it.
    fn forget_rollout(&self, key: &Key, name: &Name) {
        let known = self.memory().known.remove(name);
        if let Some(about) = known {
            let message = format!("Rollout {name} is deleted");
            self.recorder.tell(Note { about, warning: false, reason: words::ROLLOUT_DELETED.to_owned(), message });
        }
        self.metrics.forget(&name.namespace, &name.name);
        let mut memory = self.memory();
        memory.told.remove(key);
        memory.waiting.remove(name);
        memory.carry.remove(name);
        memory.steps.remove(name);
        memory.taken.remove(name);
    }
}

/// The Rollout is not let go before its workload is whole again.
fn holds_on(rollout: &Rollout) -> bool {
    let finalizers = rollout.metadata.finalizers.iter().flatten();
    finalizers.into_iter().any(|found| found == strategy::words::WORKLOAD_FINALIZER)
}

/// Adds what is not there yet.
fn add_events(notes: &mut Vec<Note>, rollout: &Rollout, events: &[Event]) {
    for event in events {
        if notes.iter().any(|note| note.reason == event.reason && note.message == event.message) {
            continue;
        }
        notes.push(Note {
            about: about::<Rollout>(&rollout.metadata),
            warning: event.event_type == EventType::Warning,
            reason: event.reason.to_owned(),
            message: event.message.clone(),
        });
    }
}

/// True when a status patch only changes counters and words: no phase, no position, no condition's status (save that the release
/// goes on again, which the phase tells).
fn is_minor(patch: &Value, old: Option<&RolloutStatus>, new: &RolloutStatus) -> bool {
    let Some(old) = old else { return false };
    let fields = patch.as_object().into_iter().flat_map(|fields| fields.keys());
    let stands = |status: &RolloutStatus| {
        let conditions = status.conditions.iter().flatten();
        let stand = |condition: &crds::RolloutCondition| match (condition.type_.as_str(), condition.status.as_str()) {
            ("Progressing", "Unknown") => "True".to_owned(),
            (_, status) => status.to_owned(),
        };
        conditions.map(|condition| (condition.type_.clone(), stand(condition))).collect::<Vec<_>>()
    };
    fields
        .into_iter()
        .all(|field| MINOR.contains(&field.as_str()) || field == "conditions" && stands(old) == stands(new))
}
