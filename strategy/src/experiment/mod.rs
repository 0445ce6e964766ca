//! Experiments: several versions side by side for some time, and what is found out about them.
//!
//! One pass: what the analyses say, then the versions, then the phase that follows from both, then the writes that phase asks for.
//!
//! Invariants
//! - An end is written before anything is taken down: pods, Services and runs go only once the stored phase is complete, so a crash in
//!   between never turns a good end into a bad one.
//! - Analyses begin only once `availableAt` is stored, because their arguments may contain it.
//! - A phase that is complete stays; only `status: null` (a retry) begins anew.

mod analysis;
mod assess;
mod condition;
mod service;
mod template;
mod validate;

use std::collections::BTreeMap;
use std::time::Duration;

use ::analysis::Phase;
use crds::jiff::Timestamp;
use crds::k8s_openapi::api::core::v1::Service;
use crds::k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use crds::kube::Resource;
use crds::{
    AnalysisRun, AnalysisTemplate, AnalysisTemplateRef, ClusterAnalysisTemplate, Experiment,
    ExperimentAnalysisTemplateRef, ExperimentStatus, ReplicaSet, Time,
};

use crate::words::experiment as words;
use crate::{Action, Event, EventType};

pub use service::service_names;
pub use validate::validate;

/// Everything a decision about one Experiment may look at.
#[derive(Clone, Debug)]
pub struct ExperimentObservation {
    /// The Experiment itself.
    pub experiment: Experiment,
    /// ReplicaSets that it controls, and others that have the names it would use.
    pub replica_sets: Vec<ReplicaSet>,
    /// Services that it controls, and others that have the names it would use, by name.
    pub services: BTreeMap<String, Service>,
    /// AnalysisRuns that it controls, and others that have the names it would use.
    pub analysis_runs: Vec<AnalysisRun>,
    /// The AnalysisTemplates of its namespace that it names, directly or through other templates.
    pub analysis_templates: BTreeMap<String, AnalysisTemplate>,
    /// The ClusterAnalysisTemplates that it names, directly or through other templates.
    pub cluster_analysis_templates: BTreeMap<String, ClusterAnalysisTemplate>,
}

impl ExperimentObservation {
    /// An Experiment of which nothing else is known.
    pub fn new(experiment: Experiment) -> Self {
        Self {
            experiment,
            replica_sets: Vec::new(),
            services: BTreeMap::new(),
            analysis_runs: Vec::new(),
            analysis_templates: BTreeMap::new(),
            cluster_analysis_templates: BTreeMap::new(),
        }
    }
}

/// What should happen now; as [`crate::Decision`], for an Experiment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExperimentDecision {
    /// What is true now; written only when it differs from what is stored.
    pub status: ExperimentStatus,
    /// Ordered. After these were applied the machine is asked again.
    pub actions: Vec<Action>,
    /// What a person should be told, once.
    pub events: Vec<Event>,
    /// The next moment at which time alone changes the answer, from now.
    pub requeue_after: Option<Duration>,
}

/// What one pass knows.
struct Pass<'a> {
    seen: &'a ExperimentObservation,
    experiment: &'a Experiment,
    now: Timestamp,
    /// The stored phase is complete.
    ended: bool,
}

/// What one pass makes.
#[derive(Default)]
struct Draft {
    status: ExperimentStatus,
    actions: Vec<Action>,
    events: Vec<Event>,
    wake: Option<Timestamp>,
}

impl Draft {
    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |earlier| earlier.min(at)));
    }

    fn tell(&mut self, warning: bool, reason: &'static str, message: String) {
        let event_type = if warning { EventType::Warning } else { EventType::Normal };
        self.events.push(Event { event_type, reason, message });
    }

    /// What the status says is told once it is written, so with the decision that has nothing left to do; what an action does is told
    /// with it.
    fn finish(mut self, now: Timestamp) -> ExperimentDecision {
        if !self.actions.is_empty() {
            self.events.retain(|event| words::WITH_ACTIONS.contains(&event.reason));
        }
        let requeue_after = self.wake.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO));
        ExperimentDecision { status: self.status, actions: self.actions, events: self.events, requeue_after }
    }
}

impl Pass<'_> {
    fn name(&self) -> &str {
        self.experiment.metadata.name.as_deref().unwrap_or_default()
    }

    fn uid(&self) -> &str {
        self.experiment.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Whether this Experiment controls the object.
    fn controls(&self, meta: &crds::ObjectMeta) -> bool {
        let owner = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        owner.is_some_and(|owner| owner.uid == self.uid())
    }

    fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: Experiment::api_version(&()).into_owned(),
            kind: Experiment::kind(&()).into_owned(),
            name: self.name().to_owned(),
            uid: self.uid().to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }

    /// When the duration is over, once it runs.
    fn end(&self, status: &ExperimentStatus) -> Option<Timestamp> {
        // Validation has read the duration already.
        let duration = crds::duration::parse(self.experiment.spec.duration.as_deref()?).ok()?;
        status.available_at.as_ref()?.0.checked_add(duration).ok()
    }

    fn now(&self) -> Time {
        Time(self.now)
    }
}

/// The phase as a word that is compared; absent is Pending.
fn phase(status: &ExperimentStatus) -> Phase {
    Phase::of_status(status.phase.as_deref())
}

/// The reference to the template of an analysis.
pub fn template_ref(analysis: &ExperimentAnalysisTemplateRef) -> AnalysisTemplateRef {
    AnalysisTemplateRef { template_name: Some(analysis.template_name.clone()), cluster_scope: analysis.cluster_scope }
}

/// ReplicaSets that exist under the names that the Experiment would use, whoever has them; `find` gives the one of a name.
pub fn named_replica_sets(experiment: &Experiment, find: &dyn Fn(&str) -> Option<ReplicaSet>) -> Vec<ReplicaSet> {
    let bases = experiment.spec.templates.iter().map(|one| template::base_name(experiment, &one.name));
    bases.flat_map(|base| taken(move |count| template::numbered(&base, count), find)).collect()
}

/// AnalysisRuns that exist under the names that the Experiment would use, whoever has them; `find` gives the one of a name.
pub fn named_runs(experiment: &Experiment, find: &dyn Fn(&str) -> Option<AnalysisRun>) -> Vec<AnalysisRun> {
    let analyses = experiment.spec.analyses.iter().flatten();
    let bases = analyses.map(|one| analysis::base_name(experiment, &one.name));
    bases.flat_map(|base| taken(move |count| analysis::numbered(&base, count), find)).collect()
}

/// The objects of the first names in a row, up to the first name that is free.
fn taken<T>(name: impl Fn(i32) -> String, find: &dyn Fn(&str) -> Option<T>) -> Vec<T> {
    (0..).map_while(|count| find(&name(count))).collect()
}

/// Decides about an Experiment.
pub fn decide(seen: &ExperimentObservation, now: Timestamp) -> ExperimentDecision {
    let experiment = &seen.experiment;
    let stored = experiment.status.clone().unwrap_or_default();
    let invalid = condition::find(&stored, words::INVALID_SPEC).is_some();
    let mut draft = Draft { status: stored, ..Draft::default() };
    if let Err(problem) = validate(experiment) {
        return refuse(draft, experiment, &problem, now);
    }
    if invalid {
        // The spec was mended: what was said about it is no result.
        condition::remove(&mut draft.status, words::INVALID_SPEC);
        if !began(&draft.status) {
            draft.status.phase = None;
            draft.status.message = None;
        }
    }
    let pass = Pass { seen, experiment, now, ended: phase(&draft.status).is_completed() };
    analysis::take(&pass, &mut draft);
    let terminating = template::observe(&pass, &mut draft);
    analysis::begin(&pass, &mut draft, terminating);
    assess::phase(&pass, &mut draft, terminating);
    template::act(&pass, &mut draft, terminating);
    service::act(&pass, &mut draft, terminating);
    analysis::end(&pass, &mut draft, terminating);
    condition::progressing(&pass, &mut draft);
    tell_phase(&pass, &mut draft);
    draft.finish(now)
}

/// A spec that cannot be carried out: said on the object, nothing else touched.
fn refuse(mut draft: Draft, experiment: &Experiment, problem: &str, now: Timestamp) -> ExperimentDecision {
    let known = condition::find(&draft.status, words::INVALID_SPEC).is_some_and(|old| old.message == problem);
    condition::set(&mut draft.status, words::INVALID_SPEC, "True", words::INVALID_SPEC, problem, now);
    if !known {
        draft.tell(
            true,
            words::INVALID_SPEC,
            format!("The Experiment \"{}\" is invalid: {problem}", named(experiment)),
        );
    }
    // What runs already is not ended by a slip of the pen.
    if !began(&draft.status) {
        draft.status.phase = Some(Phase::Error.to_string());
        draft.status.message = Some(problem.to_owned());
    }
    draft.finish(now)
}

/// Whether it was ever worked on.
fn began(status: &ExperimentStatus) -> bool {
    condition::find(status, words::PROGRESSING).is_some()
}

fn named(experiment: &Experiment) -> &str {
    experiment.metadata.name.as_deref().unwrap_or_default()
}

fn tell_phase(pass: &Pass<'_>, draft: &mut Draft) {
    let before = pass.experiment.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
    let after = draft.status.phase.clone().unwrap_or_default();
    if before == after {
        return;
    }
    let mut message = format!("Experiment transitioned from {before} -> {after}");
    if let Some(why) = draft.status.message.as_deref().filter(|why| !why.is_empty()) {
        message = format!("{message}: {why}");
    }
    let phase = phase(&draft.status);
    let bad = phase.is_completed() && phase != Phase::Successful;
    draft.tell(bad, words::experiment_reason(phase), message);
}
