//! The AnalysisRun machine: decisions of `analysis::run` carried out.
//!
//! Invariant: from the moment a result is here, the shortest way to the Rollout is taken: the status is written, taken in,
//! and the Rollout woken, before anything else is done.

use analysis::run::{RunDecision, decide};
use crds::{AnalysisRun, Guarded};
use serde_json::json;

use super::{Machines, REFUSED_RETRY, about};
use crate::apply::{Outcome, merge};
use crate::events::Note;
use crate::measure::RunId;
use crate::queue::Next;
use crate::telemetry::Trace;
use crate::view::Key;
use crate::view::store::Name;
use crate::words;

impl Machines {
    pub(super) async fn settle_run(&self, key: &Key, name: &Name) -> Next {
        let Some(run) = self.view.runs.get(name) else {
            self.forget_run(key, name);
            return Next::Rest;
        };
        let run = match &*run {
            Guarded::Valid(run) => run,
            Guarded::Malformed(malformed) => {
                let message = format!("The AnalysisRun \"{}\" is invalid: {}", name.name, malformed.error);
                self.tell_malformed::<AnalysisRun>(key, malformed, &message);
                return Next::Rest;
            }
        };
        if run.metadata.deletion_timestamp.is_some() {
            self.forget_run(key, name);
            return Next::Rest;
        }
        let id = RunId { name: name.clone(), uid: run.metadata.uid.clone().unwrap_or_default() };
        let inputs = self.pool.inputs(&id);
        let decision = decide(run, &inputs, self.clock.now(), &self.policy);
        if let Some(next) = self.write_run_status(key, name, run, &decision).await {
            return next;
        }
        self.pool.settled(&id, &inputs.finished);
        for measurement in &decision.cancel {
            self.pool.cancel(&id, measurement);
        }
        let notes = decision.events.iter().map(|event| Note {
            about: about::<AnalysisRun>(&run.metadata),
            warning: event.warning,
            reason: event.reason.clone(),
            message: event.message.clone(),
        });
        self.tell_all(notes.collect());
        self.count_hold(name, decision.hold.is_some());
        let trace = trace_of(run);
        for request in decision.measure {
            self.pool.start(&id, request, trace);
        }
        if decision.delete {
            return self.delete_run(key, name, run).await;
        }
        decision.requeue_after.map_or(Next::Rest, Next::After)
    }

    /// Writes the status when it differs; what to do instead of going on, when it could not be written.
    async fn write_run_status(
        &self,
        key: &Key,
        name: &Name,
        run: &AnalysisRun,
        decision: &RunDecision,
    ) -> Option<Next> {
        let patch = match merge::diff_of(run.status.as_ref(), &decision.status) {
            Ok(patch) => patch?,
            Err(error) => {
                tracing::error!(run = %name, %error, "failed to write a status as JSON");
                return Some(Next::After(REFUSED_RETRY));
            }
        };
        let meta = &run.metadata;
        let patch = merge::with_preconditions(
            json!({ "status": patch }),
            meta.uid.as_deref(),
            meta.resource_version.as_deref(),
        );
        // The status of an AnalysisRun is no sub-resource.
        match self
            .writer
            .patch(&self.writer.api::<AnalysisRun>(&name.namespace), "AnalysisRun", &name.name, &patch)
            .await
        {
            Outcome::Applied(written) => {
                self.view.take_run(written, Some(key));
                None
            }
            Outcome::LookAgain(_) => Some(Next::BackOff),
            Outcome::Unavailable(problem) => {
                tracing::warn!(run = %name, problem, "cannot write the status");
                Some(Next::BackOff)
            }
            Outcome::Refused(message) => {
                let about = about::<AnalysisRun>(meta);
                self.tell_once(key, Note { about, warning: true, reason: words::WRITE_REFUSED.to_owned(), message });
                Some(Next::After(REFUSED_RETRY))
            }
        }
    }

    async fn delete_run(&self, key: &Key, name: &Name, run: &AnalysisRun) -> Next {
        let uid = run.metadata.uid.clone().unwrap_or_default();
        match self
            .writer
            .delete(&self.writer.api::<AnalysisRun>(&name.namespace), "AnalysisRun", &name.name, &uid)
            .await
        {
            Outcome::Applied(()) => {
                self.view.drop_run(&run.metadata, Some(key));
                self.forget_run(key, name);
                Next::Rest
            }
            Outcome::LookAgain(_) | Outcome::Unavailable(_) => Next::BackOff,
            Outcome::Refused(problem) => {
                tracing::warn!(run = %name, problem, "cannot delete the run, whose time is over");
                Next::After(REFUSED_RETRY)
            }
        }
    }

    /// How many runs wait for a provider; the events about it are those of the decision.
    fn count_hold(&self, name: &Name, holds: bool) {
        let mut memory = self.memory();
        if holds {
            memory.holding.insert(name.clone());
        } else {
            memory.holding.remove(name);
        }
        self.metrics.analysis_holds.set(i64::try_from(memory.holding.len()).unwrap_or(i64::MAX));
    }

    fn forget_run(&self, key: &Key, name: &Name) {
        self.pool.forget(name);
        self.metrics.forget(&name.namespace, &name.name);
        self.memory().told.remove(key);
        self.count_hold(name, false);
    }
}

/// The trace of the revision a run belongs to.
fn trace_of(run: &AnalysisRun) -> Option<Trace> {
    let owner = run.metadata.owner_references.as_ref()?.iter().find(|owner| owner.kind == "Rollout")?;
    let revision = run.metadata.annotations.as_ref()?.get(crds::words::REVISION_ANNOTATION)?;
    Some(Trace::of(&owner.uid, revision))
}
