//! The versions of an Experiment: a ReplicaSet for each, and how far it is.

use ::analysis::Phase;
use crds::jiff::{SignedDuration, Timestamp, Unit};
use crds::words::{
    EXPERIMENT_NAME_ANNOTATION, EXPERIMENT_TEMPLATE_NAME_ANNOTATION, POD_TEMPLATE_HASH_LABEL,
    SCALE_DOWN_DEADLINE_ANNOTATION,
};
use crds::{
    Experiment, ExperimentStatus, ObjectMeta, ReplicaSet, ReplicaSetSpec, TemplateSpec, TemplateStatus,
    TemplateStatusCode,
};
use serde_json::{Value, json};

use super::{Draft, Pass, phase};
use crate::words::experiment as words;
use crate::words::reason;
use crate::{Action, Target, revision};

/// Name of a version's ReplicaSet, and of its Service unless the user gave another.
pub(super) fn base_name(experiment: &Experiment, template: &str) -> String {
    format!("{}-{template}", experiment.metadata.name.as_deref().unwrap_or_default())
}

/// The name after so many collisions.
pub(super) fn numbered(base: &str, collisions: i32) -> String {
    if collisions == 0 { base.to_owned() } else { format!("{base}-{collisions}") }
}

/// The ReplicaSet of a version.
pub(super) fn find<'a>(pass: &Pass<'a>, template: &str) -> Option<&'a ReplicaSet> {
    let all = pass.seen.replica_sets.iter().filter(|set| set.metadata.deletion_timestamp.is_none());
    let of_template = |set: &&ReplicaSet| {
        let annotations = set.metadata.annotations.as_ref();
        pass.controls(&set.metadata)
            && annotations.and_then(|all| all.get(EXPERIMENT_TEMPLATE_NAME_ANNOTATION)).map(String::as_str)
                == Some(template)
    };
    all.filter(of_template).min_by_key(|set| set.metadata.creation_timestamp.clone())
}

/// What is known of a version.
fn entry<'a>(status: &'a ExperimentStatus, name: &str) -> Option<&'a TemplateStatus> {
    status.template_statuses.iter().flatten().find(|one| one.name == name)
}

/// Takes in how far each version is. Returns whether the Experiment is on its way out.
pub(super) fn observe(pass: &Pass<'_>, draft: &mut Draft) -> bool {
    let mut terminating = pass.experiment.spec.terminate == Some(true)
        || pass.ended
        || draft.status.analysis_runs.iter().flatten().any(|run| bad(Phase::of_status(Some(&run.phase))));
    let mut all: Vec<TemplateStatus> =
        pass.experiment.spec.templates.iter().map(|one| counted(pass, draft, one)).collect();
    // A version that came too late ends the others as well, whatever their order.
    for late in [false, true] {
        for (template, status) in pass.experiment.spec.templates.iter().zip(&mut all) {
            if !late || !status.status_kind().is_some_and(completed) {
                *status = judged(pass, draft, template, status.clone(), terminating);
            }
        }
        let failed = |one: &TemplateStatus| {
            matches!(one.status_kind(), Some(TemplateStatusCode::Failed | TemplateStatusCode::Error))
        };
        if terminating || !all.iter().any(failed) {
            break;
        }
        terminating = true;
    }
    for status in &all {
        tell(draft, status);
    }
    draft.status.template_statuses = Some(all).filter(|all| !all.is_empty());
    terminating
}

fn bad(phase: Phase) -> bool {
    phase.is_completed() && phase != Phase::Successful
}

fn completed(code: TemplateStatusCode) -> bool {
    match code {
        TemplateStatusCode::Successful | TemplateStatusCode::Failed | TemplateStatusCode::Error => true,
        TemplateStatusCode::Progressing | TemplateStatusCode::Running => false,
    }
}

fn counted(pass: &Pass<'_>, draft: &Draft, template: &TemplateSpec) -> TemplateStatus {
    let before = entry(&draft.status, &template.name);
    let mut next =
        before.cloned().unwrap_or_else(|| TemplateStatus { name: template.name.clone(), ..TemplateStatus::default() });
    let set = find(pass, &template.name);
    if let Some(name) = set.and_then(|set| set.metadata.name.as_deref()) {
        let suffix = name.strip_prefix(&base_name(pass.experiment, &template.name));
        next.collision_count =
            suffix.and_then(|suffix| suffix.strip_prefix('-')?.parse().ok()).or(next.collision_count);
    }
    let counts = set.and_then(|set| set.status.as_ref());
    next.replicas = counts.map_or(0, |counts| counts.replicas);
    next.updated_replicas = next.replicas;
    next.ready_replicas = counts.and_then(|counts| counts.ready_replicas).unwrap_or(0);
    next.available_replicas = counts.and_then(|counts| counts.available_replicas).unwrap_or(0);
    let numbers = |one: &TemplateStatus| (one.replicas, one.ready_replicas, one.available_replicas);
    if before.is_none_or(|before| numbers(before) != numbers(&next)) {
        next.last_transition_time = Some(pass.now());
    }
    next
}

fn judged(
    pass: &Pass<'_>,
    draft: &mut Draft,
    template: &TemplateSpec,
    mut next: TemplateStatus,
    terminating: bool,
) -> TemplateStatus {
    let before = next.status_kind();
    if before.is_some_and(completed) {
        return next;
    }
    let whole = find(pass, &template.name).is_some() && next.available_replicas >= template.replicas_or_default();
    let over = pass.end(&draft.status).is_some_and(|end| end <= pass.now);
    let limit = pass.experiment.spec.progress_deadline_seconds_or_default();
    let since = next.last_transition_time.as_ref().map_or(pass.now, |time| time.0);
    let deadline = since.checked_add(SignedDuration::from_secs(i64::from(limit))).unwrap_or(Timestamp::MAX);
    let code = if whole && !(over || terminating) {
        TemplateStatusCode::Running
    } else if whole {
        TemplateStatusCode::Successful
    } else if deadline < pass.now {
        next.message = Some(words::deadline_exceeded(&template.name, limit));
        TemplateStatusCode::Failed
    } else if terminating {
        TemplateStatusCode::Successful
    } else {
        // The second after is the first in which it is exceeded.
        draft.wake_at(deadline.checked_add(SignedDuration::from_secs(1)).unwrap_or(deadline));
        TemplateStatusCode::Progressing
    };
    if before != Some(code) {
        next.last_transition_time = Some(pass.now());
        next.status = Some(code.as_str().to_owned());
    }
    next
}

/// Ends a version with an error that a person has to do something about.
pub(super) fn fail(draft: &mut Draft, name: &str, message: String, pass: &Pass<'_>) {
    let found = draft.status.template_statuses.iter_mut().flatten().find(|one| one.name == name);
    let Some(status) = found.filter(|one| !one.status_kind().is_some_and(completed)) else { return };
    status.status = Some(TemplateStatusCode::Error.as_str().to_owned());
    status.message = Some(message);
    status.last_transition_time = Some(pass.now());
    let status = status.clone();
    tell_of(draft, pass, &status);
    // What follows from it is decided by the next look.
    draft.wake_at(pass.now);
}

fn tell(draft: &mut Draft, status: &TemplateStatus) {
    let before = entry(&draft.status, &status.name).and_then(|one| one.status.clone()).unwrap_or_default();
    transition(draft, &before, status);
}

fn tell_of(draft: &mut Draft, pass: &Pass<'_>, status: &TemplateStatus) {
    let stored = pass.experiment.status.as_ref();
    let before = stored.and_then(|stored| entry(stored, &status.name)?.status.clone()).unwrap_or_default();
    transition(draft, &before, status);
}

fn transition(draft: &mut Draft, before: &str, status: &TemplateStatus) {
    let Some(code) = status.status_kind().filter(|code| code.as_str() != before) else { return };
    let mut message = format!("Template '{}' transitioned from {before} -> {}", status.name, code.as_str());
    if let Some(why) = &status.message {
        message = format!("{message}: {why}");
    }
    let warning = matches!(code, TemplateStatusCode::Failed | TemplateStatusCode::Error);
    draft.tell(warning, words::template_reason(code), message);
}

/// Makes, scales and takes down the ReplicaSets.
pub(super) fn act(pass: &Pass<'_>, draft: &mut Draft, terminating: bool) {
    for template in &pass.experiment.spec.templates {
        match find(pass, &template.name) {
            None if terminating || phase(&draft.status).is_completed() => {}
            None => create(pass, draft, template),
            Some(set) if pass.ended => take_down(pass, draft, set),
            Some(set) => keep_up(draft, set, template.replicas_or_default()),
        }
    }
    for set in &pass.seen.replica_sets {
        let annotations = set.metadata.annotations.as_ref();
        let name = annotations.and_then(|all| all.get(EXPERIMENT_TEMPLATE_NAME_ANNOTATION));
        let wanted = name.is_some_and(|name| pass.experiment.spec.templates.iter().any(|one| one.name == *name));
        if pass.controls(&set.metadata) && !wanted && set.replicas_or_default() > 0 {
            scale(draft, set, 0, json!({}));
        }
    }
}

fn create(pass: &Pass<'_>, draft: &mut Draft, template: &TemplateSpec) {
    let base = base_name(pass.experiment, &template.name);
    let exists = |name: &str| pass.seen.replica_sets.iter().any(|set| set.metadata.name.as_deref() == Some(name));
    let collisions = (0..i32::MAX).find(|count| !exists(&numbered(&base, *count))).unwrap_or_default();
    let name = numbered(&base, collisions);
    let set = made(pass, template, &name, collisions);
    let replicas = template.replicas_or_default();
    draft.tell(false, reason::NEW_REPLICA_SET, format!("Created ReplicaSet {name} with size {replicas}"));
    draft.actions.push(Action::CreateReplicaSet { replica_set: Box::new(set) });
}

/// The whole ReplicaSet of a version.
fn made(pass: &Pass<'_>, template: &TemplateSpec, name: &str, collisions: i32) -> ReplicaSet {
    let annotations = [
        (EXPERIMENT_NAME_ANNOTATION.to_owned(), pass.name().to_owned()),
        (EXPERIMENT_TEMPLATE_NAME_ANNOTATION.to_owned(), template.name.clone()),
    ];
    let mut pods = template.template.clone();
    pods.remove_label(POD_TEMPLATE_HASH_LABEL);
    // Equal pods of two versions, or of a version and of the Rollout, must not be taken for each other by a Service.
    let mut hashed = pods.clone();
    for (key, value) in &annotations {
        hashed.set_annotation(key, value);
    }
    let hash = revision::hash(&hashed, Some(collisions).filter(|count| *count > 0));
    pods.set_label(POD_TEMPLATE_HASH_LABEL, &hash.0);
    let mut selector = template.selector.clone();
    selector.match_labels.get_or_insert_default().insert(POD_TEMPLATE_HASH_LABEL.to_owned(), hash.0);
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: pass.experiment.metadata.namespace.clone(),
            labels: Some(pods.labels()),
            annotations: Some(annotations.into()),
            owner_references: Some(vec![pass.owner()]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(template.replicas_or_default()),
            min_ready_seconds: template.min_ready_seconds.filter(|seconds| *seconds > 0),
            selector,
            template: Some(pods),
        }),
        status: None,
    }
}

fn keep_up(draft: &mut Draft, set: &ReplicaSet, replicas: i32) {
    let patch = if deadline(set).is_some() {
        json!({ "metadata": { "annotations": { SCALE_DOWN_DEADLINE_ANNOTATION: null } } })
    } else {
        json!({})
    };
    scale(draft, set, replicas, patch);
}

/// The pods go when the delay is over, which the ReplicaSet itself remembers.
fn take_down(pass: &Pass<'_>, draft: &mut Draft, set: &ReplicaSet) {
    if set.replicas_or_default() == 0 {
        return;
    }
    let delay = pass.experiment.spec.scale_down_delay_seconds_or_default();
    let gone = json!({ "metadata": { "annotations": { SCALE_DOWN_DEADLINE_ANNOTATION: null } } });
    match deadline(set) {
        None if delay > 0 => {
            let end = pass.now.checked_add(SignedDuration::from_secs(i64::from(delay))).unwrap_or(Timestamp::MAX);
            // Whole seconds, and never early.
            let end = end.checked_add(SignedDuration::from_millis(999)).unwrap_or(end);
            let end =
                end.round(crds::jiff::TimestampRound::new().smallest(Unit::Second).mode(crds::jiff::RoundMode::Trunc));
            let Ok(end) = end else { return };
            draft.wake_at(end);
            let patch = json!({ "metadata": { "annotations": { SCALE_DOWN_DEADLINE_ANNOTATION: end.to_string() } } });
            draft.actions.push(Action::PatchReplicaSet { target: target(set), patch });
        }
        None => scale(draft, set, 0, json!({})),
        Some(text) => match text.parse::<Timestamp>() {
            Ok(end) if end > pass.now && delay > 0 => draft.wake_at(end),
            Ok(_) | Err(_) => scale(draft, set, 0, gone),
        },
    }
}

fn deadline(set: &ReplicaSet) -> Option<&str> {
    let found = set.metadata.annotations.as_ref()?.get(SCALE_DOWN_DEADLINE_ANNOTATION)?;
    Some(found.as_str()).filter(|text| !text.is_empty())
}

/// Patches the number of pods, together with what else is to be written.
fn scale(draft: &mut Draft, set: &ReplicaSet, replicas: i32, mut patch: Value) {
    let before = set.replicas_or_default();
    if before != replicas {
        if let Some(fields) = patch.as_object_mut() {
            fields.insert("spec".to_owned(), json!({ "replicas": replicas }));
        }
        let way = if replicas > before { "up" } else { "down" };
        let name = set.metadata.name.as_deref().unwrap_or_default();
        draft.tell(false, words::SCALING, format!("Scaled {way} ReplicaSet {name} from {before} to {replicas}"));
    }
    if patch != json!({}) {
        draft.actions.push(Action::PatchReplicaSet { target: target(set), patch });
    }
}

fn target(set: &ReplicaSet) -> Target {
    Target {
        name: set.metadata.name.clone().unwrap_or_default(),
        uid: set.metadata.uid.clone().unwrap_or_default(),
        resource_version: None,
    }
}
