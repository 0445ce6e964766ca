//! The workload that `spec.workloadRef` names: where the pods of a Rollout are described, and how the pods that workload itself runs
//! give way to those of the Rollout.
//!
//! Invariants
//! - The template and the selector of the workload stand in for those of the Rollout while a decision is made; they are never written.
//! - A Deployment only loses pods that the Rollout has replaced by available ones. Once a version was promoted it gets none back, except
//!   when the Rollout is deleted: then it is whole again before the Rollout's pods go.
//! - The finalizer on the Rollout says that pods were taken from the Deployment; it is there before the first one goes.

use std::borrow::Cow;
use std::time::Duration;

use crds::jiff::Timestamp;
use crds::words::WORKLOAD_GENERATION_ANNOTATION;
use crds::{LabelSelector, ObjectRef, PodTemplate, Rollout, selector_is_set};
use serde_json::{Value, json};

use crate::release::{Draft, Facts, capacity, pods, seconds};
use crate::validate::{Checked, invalid, missing, required};
use crate::words::{WORKLOAD_FINALIZER, reason};
use crate::{Action, Decision, Event, EventType, Observation, Target};

/// `progressDeadlineSeconds` when the user set none.
const DEFAULT_DEADLINE: i32 = 600;

/// The kinds that a Rollout may take its template from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkloadKind {
    /// Of `apps/v1`; the only one that runs pods which the Rollout may take over.
    Deployment,
    /// Of `apps/v1`.
    ReplicaSet,
    /// Of `v1`.
    PodTemplate,
}

impl WorkloadKind {
    /// The kind a reference names; `None` when it is another one.
    pub fn of(reference: &ObjectRef) -> Option<Self> {
        let group =
            reference.api_version.as_deref().map(|version| version.split_once('/').map_or("", |(group, _)| group));
        let (kind, expected) = match reference.kind.as_deref()? {
            "Deployment" => (Self::Deployment, "apps"),
            "ReplicaSet" => (Self::ReplicaSet, "apps"),
            "PodTemplate" => (Self::PodTemplate, ""),
            _ => return None,
        };
        group.is_none_or(|group| group == expected).then_some(kind)
    }

    /// Its name in the API.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::ReplicaSet => "ReplicaSet",
            Self::PodTemplate => "PodTemplate",
        }
    }
}

/// When a Deployment's own pods go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScaleDown {
    Never,
    OnSuccess,
    Progressively,
}

impl ScaleDown {
    fn of(reference: &ObjectRef) -> Option<Self> {
        match reference.scale_down.as_deref() {
            None | Some("" | "never") => Some(Self::Never),
            Some("onsuccess") => Some(Self::OnSuccess),
            Some("progressively") => Some(Self::Progressively),
            Some(_) => None,
        }
    }
}

/// The object that `spec.workloadRef` names, as far as a decision looks at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// What it is.
    pub kind: WorkloadKind,
    /// Name, in the Rollout's namespace.
    pub name: String,
    /// Identity.
    pub uid: String,
    /// Grows with every change of its spec.
    pub generation: i64,
    /// The pods to run, as the user wrote them.
    pub template: Option<PodTemplate>,
    /// Which pods are its own.
    pub selector: Option<LabelSelector>,
    /// Pods it wants.
    pub replicas: i32,
    /// Available pods, as of its present generation.
    pub available: i32,
    /// Somebody has deleted it.
    pub deleting: bool,
}

impl Workload {
    /// Reads an object of this kind; what cannot be read counts as absent.
    pub fn read(kind: WorkloadKind, object: &Value) -> Self {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |path: &str| object.pointer(path).and_then(Value::as_i64);
        let count = |path: &str| number(path).and_then(|count| i32::try_from(count).ok());
        let template = match kind {
            WorkloadKind::Deployment | WorkloadKind::ReplicaSet => "/spec/template",
            WorkloadKind::PodTemplate => "/template",
        };
        let generation = number("/metadata/generation").unwrap_or(0);
        let seen = number("/status/observedGeneration").unwrap_or(0) >= generation;
        Self {
            kind,
            name: text("/metadata/name"),
            uid: text("/metadata/uid"),
            generation,
            template: object.pointer(template).and_then(Value::as_object).cloned().map(PodTemplate::from),
            selector: object.pointer("/spec/selector").and_then(|found| serde_json::from_value(found.clone()).ok()),
            replicas: count("/spec/replicas").unwrap_or(1),
            available: count("/status/availableReplicas").filter(|_| seen).unwrap_or(0),
            deleting: object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()),
        }
    }

    fn target(&self) -> Target {
        Target { name: self.name.clone(), uid: self.uid.clone(), resource_version: None }
    }

    fn scale(&self, to: i32) -> Action {
        let patch = json!({ "spec": { "replicas": to } });
        Action::PatchWorkload { kind: self.kind, target: self.target(), patch }
    }
}

/// A template in which nothing is said.
fn is_empty(template: Option<&PodTemplate>) -> bool {
    template.and_then(PodTemplate::fields).is_none_or(|fields| {
        let nothing = |value: &Value| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
        fields.iter().all(|(key, value)| match key.as_str() {
            "metadata" => value.as_object().is_none_or(|fields| fields.values().all(nothing)),
            "spec" => value.as_object().is_none_or(|fields| {
                fields.iter().all(|(key, value)| key == "containers" && value.as_array().is_none_or(Vec::is_empty))
            }),
            _ => nothing(value),
        })
    })
}

/// The Rollout as it is meant: with the template and, where it has none, the selector of its workload.
pub fn resolved<'a>(rollout: &'a Rollout, workload: Option<&Workload>) -> Cow<'a, Rollout> {
    let Some(workload) = workload.filter(|_| rollout.spec.workload_ref.is_some()) else {
        return Cow::Borrowed(rollout);
    };
    let mut rollout = Cow::Borrowed(rollout);
    if is_empty(rollout.spec.template.as_ref()) {
        rollout.to_mut().spec.template.clone_from(&workload.template);
    }
    if !rollout.spec.selector.as_ref().is_some_and(selector_is_set) {
        rollout.to_mut().spec.selector.clone_from(&workload.selector);
    }
    rollout
}

/// The same for everything that was seen.
pub(crate) fn resolve(seen: &Observation) -> Cow<'_, Observation> {
    match resolved(&seen.rollout, seen.workload.as_ref()) {
        Cow::Borrowed(_) => Cow::Borrowed(seen),
        Cow::Owned(rollout) => Cow::Owned(Observation { rollout, ..seen.clone() }),
    }
}

/// Checks the reference and what it names.
pub(crate) fn check(seen: &Observation) -> Checked {
    let Some(reference) = &seen.rollout.spec.workload_ref else { return Ok(()) };
    let at = |field: &str| format!("spec.workloadRef.{field}");
    let Some(kind) = WorkloadKind::of(reference) else {
        let api = reference.api_version.as_deref().unwrap_or_default();
        let named = format!("\"{} {}\"", api, reference.kind.as_deref().unwrap_or_default());
        let right = "must be a Deployment or ReplicaSet of apps/v1, or a PodTemplate of v1";
        return Err(invalid(at("kind"), named, right));
    };
    let name = reference.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(required(at("name"), format!("the name of a {}", kind.kind())));
    }
    match ScaleDown::of(reference) {
        None => {
            let value = reference.scale_down.as_deref().unwrap_or_default();
            return Err(invalid(at("scaleDown"), format!("\"{value}\""), "must be never, onsuccess or progressively"));
        }
        Some(ScaleDown::OnSuccess | ScaleDown::Progressively) if kind != WorkloadKind::Deployment => {
            let value = reference.scale_down.as_deref().unwrap_or_default();
            let right = format!("a {} has no pods that could be taken over; only a Deployment has", kind.kind());
            return Err(invalid(at("scaleDown"), format!("\"{value}\""), right));
        }
        Some(ScaleDown::Never | ScaleDown::OnSuccess | ScaleDown::Progressively) => {}
    }
    let Some(workload) = &seen.workload else {
        return Err(missing(at("name"), format!("\"{name}\""), format!("{} \"{name}\" not found", kind.kind())));
    };
    let Some(template) = &workload.template else {
        return Err(missing(
            at("name"),
            format!("\"{name}\""),
            format!("{} \"{name}\" has no pod template", kind.kind()),
        ));
    };
    if seen.rollout.spec.template.as_ref() != Some(template) {
        return Err(invalid(
            "spec.template",
            "a pod template",
            "template must be empty for workload reference rollout",
        ));
    }
    Ok(())
}

fn has_finalizer(rollout: &Rollout) -> bool {
    rollout.metadata.finalizers.iter().flatten().any(|found| found == WORKLOAD_FINALIZER)
}

fn with_finalizer(rollout: &Rollout, wanted: bool) -> Value {
    let mut all: Vec<&str> = rollout.metadata.finalizers.iter().flatten().map(String::as_str).collect();
    all.retain(|found| *found != WORKLOAD_FINALIZER);
    if wanted {
        all.push(WORKLOAD_FINALIZER);
    }
    json!({ "metadata": { "finalizers": all } })
}

/// What the Rollout remembers of its workload: a patch of the Rollout, empty when all is said.
pub(crate) fn remember(facts: &Facts<'_>, draft: &mut Draft) -> Value {
    let mut own = json!({});
    let reference = facts.rollout.spec.workload_ref.as_ref();
    let drains = reference.and_then(ScaleDown::of).is_some_and(|when| when != ScaleDown::Never);
    if has_finalizer(facts.rollout) && !drains {
        own = with_finalizer(facts.rollout, false);
    }
    let annotations = facts.rollout.metadata.annotations.as_ref();
    let stored = annotations.and_then(|all| all.get(WORKLOAD_GENERATION_ANNOTATION));
    let generation =
        facts.seen.workload.as_ref().filter(|_| reference.is_some()).map(|workload| workload.generation.to_string());
    if stored != generation.as_ref() {
        let patch = json!({ "metadata": { "annotations": { WORKLOAD_GENERATION_ANNOTATION: generation } } });
        capacity::join(&mut own, &patch);
    }
    draft.status.workload_observed_generation = generation;
    own
}

/// The number of pods where the Rollout says none: what its Deployment has, when that is to be drained; else one.
pub(crate) fn replicas(seen: &Observation) -> i32 {
    let drains =
        seen.rollout.spec.workload_ref.as_ref().and_then(ScaleDown::of).is_some_and(|when| when != ScaleDown::Never);
    seen.workload.as_ref().filter(|_| drains).map(|workload| workload.replicas).filter(|count| *count > 0).unwrap_or(1)
}

/// Takes pods from the Deployment as the Rollout has them.
pub(crate) fn drain(facts: &Facts<'_>, draft: &mut Draft) {
    let Some(workload) = facts.seen.workload.as_ref().filter(|workload| workload.kind == WorkloadKind::Deployment)
    else {
        return;
    };
    let Some(when) = facts.rollout.spec.workload_ref.as_ref().and_then(ScaleDown::of) else { return };
    let available: i32 = facts.revisions.all.iter().map(|set| pods(Some(set)).available).sum();
    let missing = (facts.desired - available).max(0);
    let initial = Facts::initial(&draft.status);
    let wanted = match when {
        // Not a single moment, as of the promotion, but a state: whoever scales the Deployment up later finds it empty again.
        ScaleDown::OnSuccess if !initial && missing == 0 => 0,
        ScaleDown::Never | ScaleDown::OnSuccess => return,
        // While nothing was ever promoted the Deployment stands in for what the Rollout loses again.
        ScaleDown::Progressively if initial && has_finalizer(facts.rollout) => missing,
        ScaleDown::Progressively => missing.min(workload.replicas),
    };
    if wanted == workload.replicas || workload.deleting {
        return;
    }
    if !has_finalizer(facts.rollout) {
        let finalizer = with_finalizer(facts.rollout, true);
        let known = draft.actions.iter_mut().find_map(|action| match action {
            Action::PatchRollout { patch } => Some(patch),
            _ => None,
        });
        match known {
            Some(patch) => capacity::join(patch, &finalizer),
            None => draft.actions.push(Action::PatchRollout { patch: finalizer }),
        }
    }
    draft.normal(reason::WORKLOAD_SCALED, scaled(workload, wanted));
    draft.actions.push(workload.scale(wanted));
}

fn scaled(workload: &Workload, to: i32) -> String {
    let way = if to < workload.replicas { "down" } else { "up" };
    format!("Scaled {way} {} \"{}\" from {} to {to} pods", workload.kind.kind(), workload.name, workload.replicas)
}

/// The Rollout is deleted: its pods go when the Deployment is whole again, or after the progress deadline.
pub(crate) fn farewell(seen: &Observation, now: Timestamp) -> Decision {
    let rollout = &seen.rollout;
    let mut decision = Decision { status: rollout.status.clone().unwrap_or_default(), ..Decision::default() };
    if !has_finalizer(rollout) {
        return decision;
    }
    let workload = seen.workload.as_ref().filter(|found| found.kind == WorkloadKind::Deployment && !found.deleting);
    let wanted = rollout.spec.replicas.unwrap_or(1);
    let limit = seconds(rollout.spec.progress_deadline_seconds.unwrap_or(DEFAULT_DEADLINE));
    let deleted = rollout.metadata.deletion_timestamp.as_ref().map_or(now, |time| time.0);
    let end = deleted.checked_add(limit).unwrap_or(now);
    match workload {
        Some(workload) if workload.replicas < wanted && end > now => {
            decision.actions.push(workload.scale(wanted));
            decision.events.push(Event {
                event_type: EventType::Normal,
                reason: reason::WORKLOAD_SCALED,
                message: format!("{}: the Rollout is deleted", scaled(workload, wanted)),
            });
        }
        Some(workload) if workload.available < wanted && end > now => {
            decision.requeue_after = Some(Duration::try_from(end.duration_since(now)).unwrap_or(Duration::ZERO));
        }
        Some(_) | None => decision.actions.push(Action::PatchRollout { patch: with_finalizer(rollout, false) }),
    }
    decision
}
