//! A small world around `strategy::experiment::decide`: pods that become ready, runs that end, people's verbs, and a clock that only
//! tests move. Decisions are applied as the controller does it: actions in order, then look again; the status when none is left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use crds::jiff::{SignedDuration, Timestamp};
use crds::k8s_openapi::api::core::v1::Service;
use crds::{AnalysisRun, ReplicaSet, Time};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use strategy::experiment::{ExperimentDecision, ExperimentObservation, decide};
use strategy::{Action, Target};

/// Rounds in which every decision must have come to rest.
const ROUNDS: usize = 20;

pub struct World {
    pub seen: ExperimentObservation,
    pub now: Timestamp,
    /// Versions whose pods never become ready.
    pub broken: BTreeSet<String>,
    pub events: Vec<String>,
    pub writes: Vec<String>,
    /// What the laws say against what was done.
    pub violations: Vec<String>,
    /// How far the clock of the API server is behind that of the controller.
    pub behind: SignedDuration,
    next_uid: u64,
}

fn patched<T: Serialize + DeserializeOwned>(object: &T, patch: &Value) -> T {
    let mut value = serde_json::to_value(object).unwrap();
    crds::json_patch::merge(&mut value, patch);
    serde_json::from_value(value).unwrap()
}

pub fn is_over(run: &AnalysisRun) -> bool {
    let phase = run.status.as_ref().map_or("", |status| status.phase.as_str());
    ["Successful", "Failed", "Error", "Inconclusive"].contains(&phase)
}

/// An Experiment `try` with the versions `baseline` and `candidate`, unless the spec says otherwise.
pub fn given(spec: &Value) -> World {
    let template = |name: &str, image: &str| {
        json!({
            "name": name, "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "web", "image": image, "ports": [{ "containerPort": 8080 }] }] },
            },
        })
    };
    let mut experiment = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Experiment",
        "metadata": { "name": "try", "namespace": "shop", "uid": "experiment", "generation": 1 },
        "spec": { "templates": [template("baseline", "web:1"), template("candidate", "web:2")] },
    });
    crds::json_patch::merge(&mut experiment["spec"], spec);
    // Templates of a spec are completed, so that scenarios only say what is different.
    for (index, one) in experiment["spec"]["templates"].as_array_mut().unwrap().iter_mut().enumerate() {
        let name = one["name"].as_str().unwrap_or_default().to_owned();
        let mut whole = template(&name, &format!("web:{}", index + 1));
        crds::json_patch::merge(&mut whole, one);
        *one = whole;
    }
    let mut seen = ExperimentObservation::new(serde_json::from_value(experiment).unwrap());
    for (name, args) in
        [("errors", json!([])), ("compare", json!([{ "name": "hash" }, { "name": "since", "value": "" }]))]
    {
        let template = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": { "name": name, "uid": name },
            "spec": { "args": args, "metrics": [{ "name": "errors", "successCondition": "result < 0.01",
                "provider": { "prometheus": { "address": "http://prometheus", "query": "errors{version=\"{{args.hash}}\"}" } } }] },
        });
        seen.analysis_templates.insert(name.to_owned(), serde_json::from_value(template).unwrap());
    }
    let (broken, events, writes, violations) = (BTreeSet::new(), Vec::new(), Vec::new(), Vec::new());
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    World { seen, now, broken, events, writes, violations, behind: SignedDuration::ZERO, next_uid: 1 }
}

impl World {
    pub fn decide(&self) -> ExperimentDecision {
        decide(&self.seen, self.now)
    }

    fn uid(&mut self) -> String {
        self.next_uid += 1;
        format!("uid-{}", self.next_uid)
    }

    pub fn phase(&self) -> String {
        self.seen.experiment.status.clone().unwrap_or_default().phase.unwrap_or_default()
    }

    pub fn set(&self, version: &str) -> Option<&ReplicaSet> {
        self.seen.replica_sets.iter().find(|set| version_of(set) == version)
    }

    /// Carries one action out and notes what the laws say against it.
    pub fn apply(&mut self, action: &Action) {
        let text = describe(action);
        let ended = ["Successful", "Failed", "Error", "Inconclusive"].contains(&self.phase().as_str());
        let takes_down = matches!(action, Action::DeleteService { .. })
            || matches!(action, Action::PatchReplicaSet { patch, .. } if patch.pointer("/metadata/annotations/scale-down-deadline").is_some_and(Value::is_string));
        if takes_down && !ended {
            self.violations.push(format!("{text}: something is taken down before the end is written"));
        }
        if matches!(action, Action::CreateAnalysisRun { .. })
            && self.seen.experiment.status.as_ref().is_none_or(|status| status.available_at.is_none())
        {
            self.violations.push(format!("{text}: an analysis begins before the versions are available"));
        }
        self.carry_out(action);
        self.writes.push(text);
    }

    fn carry_out(&mut self, action: &Action) {
        let uid = self.uid();
        let now = self.now - self.behind;
        let seen = &mut self.seen;
        let fits = |name: Option<&String>, target: &Target| name == Some(&target.name);
        match action {
            Action::CreateReplicaSet { replica_set } => {
                let mut set = (**replica_set).clone();
                if seen.replica_sets.iter().all(|known| known.metadata.name != set.metadata.name) {
                    set.metadata.uid = Some(uid);
                    set.metadata.creation_timestamp = Some(Time(now));
                    seen.replica_sets.push(set);
                }
            }
            Action::PatchReplicaSet { target, patch } => {
                for set in seen.replica_sets.iter_mut().filter(|set| fits(set.metadata.name.as_ref(), target)) {
                    *set = patched(set, patch);
                    let wanted = set.replicas_or_default();
                    if let Some(status) = &mut set.status {
                        status.replicas = status.replicas.min(wanted);
                        status.available_replicas = status.available_replicas.map(|count| count.min(wanted));
                        status.ready_replicas = status.available_replicas;
                    }
                }
            }
            Action::CreateService { service } => {
                let name = service.metadata.name.clone().unwrap();
                assert!(!seen.services.contains_key(&name), "{name} exists");
                seen.services.insert(name, (**service).clone());
            }
            Action::DeleteService { target } => drop(seen.services.remove(&target.name)),
            Action::CreateAnalysisRun { run } => {
                let mut run = (**run).clone();
                if seen.analysis_runs.iter().all(|known| known.metadata.name != run.metadata.name) {
                    run.metadata.uid = Some(uid);
                    run.metadata.creation_timestamp = Some(Time(now));
                    seen.analysis_runs.push(run);
                }
            }
            Action::PatchAnalysisRun { target, patch } => {
                for run in seen.analysis_runs.iter_mut().filter(|run| fits(run.metadata.name.as_ref(), target)) {
                    *run = patched(run, patch);
                }
            }
            other => panic!("no Experiment does this: {other:?}"),
        }
    }

    /// Until a decision has no action and nothing new to say. Then a second look must change nothing.
    pub fn settle(&mut self) {
        let mut told = Vec::new();
        for _ in 0..ROUNDS {
            let decision = self.decide();
            decision.actions.iter().for_each(|action| self.apply(action));
            for event in &decision.events {
                let text = format!("{}: {}", event.reason, event.message);
                if !told.contains(&text) {
                    told.push(text);
                }
            }
            if !decision.actions.is_empty() {
                continue;
            }
            self.store(&decision);
            self.events.append(&mut told);
            if decision.requeue_after == Some(Duration::ZERO) {
                continue;
            }
            let again = self.decide();
            assert_eq!(again.actions, Vec::new(), "a second look acts");
            assert_eq!(json!(again.status), json!(self.seen.experiment.status), "a second look sees another status");
            assert_eq!(again.events, Vec::new(), "a second look tells");
            return;
        }
        panic!("no rest after {ROUNDS} rounds:\n{}\n{}", self.writes.join("\n"), self.summary());
    }

    /// Writes the status as the API server keeps it.
    pub fn store(&mut self, decision: &ExperimentDecision) {
        self.seen.experiment.status = serde_json::from_value(json!(decision.status)).unwrap();
    }

    /// The controller is killed: `applied` actions of the next decision happen, and its status is lost.
    pub fn crash_after(&mut self, applied: usize) {
        let actions = self.decide().actions;
        actions.iter().take(applied).for_each(|action| self.apply(action));
    }

    /// At most this many more pods become ready in each version, and terminated runs end. Whether anything changed.
    pub fn pods_ready(&mut self, at_most: i32) -> bool {
        let mut changed = false;
        for set in &mut self.seen.replica_sets {
            let (wanted, broken) = (set.replicas_or_default(), self.broken.contains(&version_of(set)));
            let status = set.status.get_or_insert_default();
            let before = status.clone();
            let ready = status.available_replicas.unwrap_or(0);
            status.replicas = wanted;
            status.available_replicas =
                Some(if broken { 0 } else { wanted.min(ready.saturating_add(at_most)) }).filter(|count| *count > 0);
            status.ready_replicas = status.available_replicas;
            changed |= *status != before;
        }
        for run in self.seen.analysis_runs.iter_mut().filter(|run| run.spec.terminate == Some(true) && !is_over(run)) {
            *run = patched(run, &json!({ "status": { "phase": "Successful", "message": "Run Terminated" } }));
            changed = true;
        }
        changed
    }

    /// Decisions and pods until nothing changes at this time.
    pub fn run(&mut self) {
        for _ in 0..60 {
            self.settle();
            if !self.pods_ready(i32::MAX) {
                return;
            }
        }
        panic!("pods and decisions chase each other:\n{}\n{}", self.writes.join("\n"), self.summary());
    }

    /// Runs, going to each moment that a decision asks for, until the time is over.
    pub fn run_for(&mut self, limit: SignedDuration) {
        let end = self.now + limit;
        for _ in 0..500 {
            self.run();
            let after = self.decide().requeue_after.map(|after| SignedDuration::try_from(after).unwrap());
            match after.filter(|after| self.now + *after < end) {
                Some(after) => self.now += after.max(SignedDuration::from_millis(1)),
                None if self.now == end => return,
                None => self.now = end,
            }
        }
        panic!("time goes by without an end:\n{}\n{}", self.writes.join("\n"), self.summary());
    }

    pub fn patch(&mut self, patch: &Value) {
        self.seen.experiment = patched(&self.seen.experiment, patch);
    }

    /// Writes the status of the newest run of an analysis which is not over; whether there was one.
    pub fn analysis(&mut self, name: &str, status: &Value) -> bool {
        let prefix = format!("try-{name}");
        let named = |run: &&mut AnalysisRun| {
            let own = run.metadata.name.as_deref().unwrap();
            own == prefix || own.starts_with(&format!("{prefix}."))
        };
        let open = self.seen.analysis_runs.iter_mut().rev().filter(named).find(|run| !is_over(run));
        let found = open.is_some();
        if let Some(run) = open {
            *run = patched(run, &json!({ "status": status }));
        }
        found
    }

    /// Somebody else has an object of this name.
    pub fn taken(&mut self, kind: &str, name: &str) {
        let object = json!({ "metadata": { "name": name, "namespace": "shop", "uid": format!("foreign-{name}") } });
        match kind {
            "ReplicaSet" => self.seen.replica_sets.push(serde_json::from_value(object).unwrap()),
            "Service" => {
                let service: Service = serde_json::from_value(object).unwrap();
                self.seen.services.insert(name.to_owned(), service);
            }
            "AnalysisRun" => {
                let mut object = object;
                object["spec"] = json!({ "metrics": [] });
                self.seen.analysis_runs.push(serde_json::from_value(object).unwrap());
            }
            other => panic!("{other}"),
        }
    }

    /// The state in one line.
    pub fn summary(&self) -> String {
        let status = self.seen.experiment.status.clone().unwrap_or_default();
        let mut text = status.phase.unwrap_or_default();
        if let Some(message) = status.message {
            let _ = write!(text, " ({message})");
        }
        for one in status.template_statuses.unwrap_or_default() {
            let wanted = self.set(&one.name).map_or(0, ReplicaSet::replicas_or_default);
            let _ =
                write!(text, ", {} {} {}/{wanted}", one.name, one.status.unwrap_or_default(), one.available_replicas);
            if let Some(service) = one.service_name {
                let _ = write!(text, " behind {service}");
            }
            if let Some(count) = one.collision_count {
                let _ = write!(text, " collisions {count}");
            }
            if let Some(message) = one.message {
                let _ = write!(text, " ({message})");
            }
        }
        for one in status.analysis_runs.unwrap_or_default() {
            let _ = write!(text, ", {}: {} {}", one.name, one.analysis_run, one.phase);
            if let Some(message) = one.message {
                let _ = write!(text, " ({message})");
            }
        }
        for condition in status.conditions.iter().flatten() {
            let _ = write!(text, ", {}={} {}", condition.type_, condition.status, condition.reason);
        }
        text
    }
}

/// The version of an Experiment a ReplicaSet is for.
pub fn version_of(set: &ReplicaSet) -> String {
    let annotations = set.metadata.annotations.as_ref();
    let name = annotations.and_then(|all| all.get(crds::words::EXPERIMENT_TEMPLATE_NAME_ANNOTATION));
    name.cloned().unwrap_or_default()
}

fn describe(action: &Action) -> String {
    match action {
        Action::CreateReplicaSet { replica_set } => {
            let name = replica_set.metadata.name.as_deref().unwrap();
            let ready = replica_set.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
            let ready = ready.map_or_else(String::new, |seconds| format!(" minReadySeconds={seconds}"));
            format!("{name}: create replicas={}{ready}", replica_set.replicas_or_default())
        }
        Action::PatchReplicaSet { target, patch } => {
            let mut text = format!("{}:", target.name);
            if let Some(deadline) = patch.pointer("/metadata/annotations/scale-down-deadline") {
                let _ = write!(text, " scale-down-deadline={}", deadline.as_str().unwrap_or("removed"));
            }
            if let Some(count) = patch.pointer("/spec/replicas") {
                let _ = write!(text, " replicas={count}");
            }
            text
        }
        Action::CreateService { service } => {
            let spec = service.spec.as_ref().unwrap();
            let ports: Vec<String> = spec
                .ports
                .iter()
                .flatten()
                .map(|port| {
                    format!("{}{}", port.name.as_ref().map_or_else(String::new, |name| format!("{name}=")), port.port)
                })
                .collect();
            format!("Service {}: create ports={}", service.metadata.name.as_deref().unwrap(), ports.join(","))
        }
        Action::DeleteService { target } => format!("Service {}: delete", target.name),
        Action::CreateAnalysisRun { run } => {
            let mut text = format!("AnalysisRun {}: create", run.metadata.name.as_deref().unwrap());
            for arg in run.spec.args.iter().flatten() {
                let _ = write!(text, " {}={}", arg.name, arg.value.as_deref().unwrap_or("from elsewhere"));
            }
            for rule in run.spec.dry_run.iter().flatten() {
                let _ = write!(text, " dry-run={}", rule.metric_name);
            }
            for rule in run.spec.measurement_retention.iter().flatten() {
                let _ = write!(text, " keep {}={}", rule.metric_name, rule.limit);
            }
            let own = crds::words::EXPERIMENT_AVAILABLE_AT_ANNOTATION;
            for (key, value) in run.metadata.annotations.iter().flatten().filter(|(key, _)| *key != own) {
                let _ = write!(text, " annotation {key}={value}");
            }
            for (key, value) in run.metadata.labels.iter().flatten() {
                let _ = write!(text, " label {key}={value}");
            }
            text
        }
        Action::PatchAnalysisRun { target, .. } => format!("AnalysisRun {}: terminate", target.name),
        other => format!("{other:?}"),
    }
}
