//! The tree: Rollout, revisions, and in each the ReplicaSets, Experiments and AnalysisRuns with what belongs to them.

use std::collections::BTreeMap;

use crds::jiff::Timestamp;
use crds::k8s_openapi::api::core::v1::Pod;
use crds::kube::{Resource, ResourceExt};
use crds::{AnalysisRun, Experiment, ReplicaSet};

use super::objects::{analysis_state, controlled_by, experiment_state, hash, health, revision, roles};
use super::pod::PodInfo;
use super::{State, Tone};
use crate::age::Age;
use crate::picture::{ExperimentPicture, Picture};
use crate::terminal::{Colour, Text};

/// One line of the tree and those below it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Icon of the kind.
    pub icon: &'static str,
    /// Name of the object, or of the group.
    pub name: String,
    /// Kind; empty for a group.
    pub kind: &'static str,
    /// How it stands; `None` for a group.
    pub state: Option<State>,
    /// How old it is.
    pub age: Option<Age>,
    /// What else is worth knowing.
    pub info: Vec<Text>,
    /// What belongs to it.
    pub children: Vec<Node>,
}

impl Node {
    /// Takes out what time alone changes.
    pub fn forget_time(&mut self) {
        self.age = None;
        self.info.retain(|part| !part.render(false).starts_with("delay:"));
        self.children.iter_mut().for_each(Self::forget_time);
    }
}

/// The objects among which those of an Experiment are.
#[derive(Clone, Copy)]
struct Parts<'a> {
    replica_sets: &'a [ReplicaSet],
    pods: &'a [Pod],
    analysis_runs: &'a [AnalysisRun],
}

/// The tree of an Experiment.
pub fn of_experiment(picture: &ExperimentPicture, now: Timestamp) -> Node {
    let parts =
        Parts { replica_sets: &picture.replica_sets, pods: &picture.pods, analysis_runs: &picture.analysis_runs };
    experiment_node(parts, &picture.experiment, now)
}

/// The tree of a picture.
pub fn of(picture: &Picture, state: State, now: Timestamp) -> Node {
    let uid = picture.rollout.metadata.uid.as_deref();
    let parts =
        Parts { replica_sets: &picture.replica_sets, pods: &picture.pods, analysis_runs: &picture.analysis_runs };
    let mut revisions: BTreeMap<Option<u64>, Vec<Node>> = BTreeMap::new();
    for set in sorted(&picture.replica_sets, uid) {
        revisions.entry(revision(set)).or_default().push(replica_set(picture, set, now));
    }
    for experiment in sorted(&picture.experiments, uid) {
        revisions.entry(revision(experiment)).or_default().push(experiment_node(parts, experiment, now));
    }
    for run in sorted(&picture.analysis_runs, uid) {
        revisions.entry(revision(run)).or_default().push(analysis_run(run, now));
    }
    let children = revisions.into_iter().rev().map(|(number, children)| Node {
        icon: "#",
        name: number.map_or_else(|| "revision:?".to_owned(), |number| format!("revision:{number}")),
        kind: "",
        state: None,
        age: None,
        info: Vec::new(),
        children,
    });
    Node {
        icon: "⟳",
        name: picture.rollout.name_any(),
        kind: "Rollout",
        state: Some(state),
        age: age(&picture.rollout, now),
        info: Vec::new(),
        children: children.collect(),
    }
}

/// Those of this owner, oldest first.
fn sorted<'a, K: ResourceExt>(objects: &'a [K], owner: Option<&str>) -> Vec<&'a K> {
    let mut own: Vec<&K> = objects.iter().filter(|object| controlled_by(*object, owner)).collect();
    own.sort_by_key(|object| (created(*object), object.name_any()));
    own
}

fn created(object: &impl Resource) -> Option<Timestamp> {
    object.meta().creation_timestamp.as_ref().map(|time| time.0)
}

fn age(object: &impl Resource, now: Timestamp) -> Option<Age> {
    created(object).map(|created| Age::between(created, now))
}

fn replica_set(picture: &Picture, set: &ReplicaSet, now: Timestamp) -> Node {
    let mut info: Vec<Text> =
        roles(&picture.rollout, hash(set)).iter().map(|role| Text::coloured(role.colour(), role.tag())).collect();
    info.extend(delay(set, now).map(Text::plain));
    node("⧉", "ReplicaSet", set, health(set), info, pods(&picture.pods, set, now), now)
}

/// How long the ReplicaSet still runs although it is no longer used.
fn delay(set: &ReplicaSet, now: Timestamp) -> Option<String> {
    let deadline: Timestamp = set.annotations().get(crds::words::SCALE_DOWN_DEADLINE_ANNOTATION)?.parse().ok()?;
    if set.replicas_or_default() == 0 {
        return None;
    }
    if deadline > now {
        Some(format!("delay:{}", Age::between(now, deadline)))
    } else {
        Some("delay:passed".to_owned())
    }
}

fn pods(all: &[Pod], set: &ReplicaSet, now: Timestamp) -> Vec<Node> {
    sorted(all, set.metadata.uid.as_deref()).into_iter().map(|pod| pod_node(pod, now)).collect()
}

fn pod_node(pod: &Pod, now: Timestamp) -> Node {
    let seen = PodInfo::of(pod);
    let mut info = vec![Text::plain(format!("ready:{}/{}", seen.ready, seen.containers))];
    if seen.restarts > 0 {
        info.push(Text::coloured(Colour::Yellow, format!("restarts:{}", seen.restarts)));
    }
    node("□", "Pod", pod, seen.state, info, Vec::new(), now)
}

fn experiment_node(parts: Parts<'_>, experiment: &Experiment, now: Timestamp) -> Node {
    let uid = experiment.metadata.uid.as_deref();
    let mut children: Vec<Node> = sorted(parts.replica_sets, uid)
        .into_iter()
        .map(|set| {
            let info: Vec<Text> = delay(set, now).map(Text::plain).into_iter().collect();
            node("⧉", "ReplicaSet", set, health(set), info, pods(parts.pods, set, now), now)
        })
        .collect();
    children.extend(sorted(parts.analysis_runs, uid).into_iter().map(|run| analysis_run(run, now)));
    node("Σ", "Experiment", experiment, experiment_state(experiment), Vec::new(), children, now)
}

fn analysis_run(run: &AnalysisRun, now: Timestamp) -> Node {
    let status = run.status.clone().unwrap_or_default();
    let results = status.metric_results.unwrap_or_default();
    let total = |count: fn(&crds::MetricResult) -> Option<i32>| -> i32 { results.iter().filter_map(count).sum() };
    let counts = [
        (Tone::Good, total(|result| result.successful)),
        (Tone::Bad, total(|result| result.failed)),
        (Tone::Unknown, total(|result| result.inconclusive)),
        (Tone::Warning, total(|result| result.error)),
    ];
    let info = counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(tone, count)| Text::coloured(tone.colour(), tone.icon()).then(Text::plain(format!(" {count}"))));
    let jobs = results.iter().flat_map(|result| result.measurements.iter().flatten()).filter_map(|measurement| {
        let name = measurement.metadata.as_ref()?.get("job-name")?.clone();
        let started = measurement.started_at.as_ref().map(|time| Age::between(time.0, now));
        let state = Some(analysis_state(&measurement.phase));
        Some(Node { icon: "⊞", name, kind: "Job", state, age: started, info: Vec::new(), children: Vec::new() })
    });
    node("α", "AnalysisRun", run, analysis_state(&status.phase), info.collect(), jobs.collect(), now)
}

fn node(
    icon: &'static str,
    kind: &'static str,
    object: &impl ResourceExt,
    state: State,
    info: Vec<Text>,
    children: Vec<Node>,
    now: Timestamp,
) -> Node {
    Node { icon, name: object.name_any(), kind, state: Some(state), age: age(object, now), info, children }
}
