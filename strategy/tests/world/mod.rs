//! A small world around `decide` for whole releases: objects of any fleet, pods that become ready, people's verbs, and a clock that
//! only tests move. What the laws say against an action is noted, not asserted, so that a test can show all of it.
//!
//! It applies decisions as the controller does: actions in order, then look again; the status once there is no action left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(dead_code, reason = "each test file uses a part of it")]

mod api;
mod gateway;
mod given;
pub mod laws;
mod people;
mod tell;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crds::jiff::{SignedDuration, Timestamp};
use crds::words::POD_TEMPLATE_HASH_LABEL;
use crds::{AnalysisRun, ReplicaSet};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use strategy::restart::{self, Pod};
use strategy::revision::hash_of;
use strategy::workload::{Workload, WorkloadKind};
use strategy::{Decision, Observation, Target};

#[allow(unused_imports, reason = "each test file uses a part of it")]
pub use given::{given, given_blue_green};

/// Rounds in which every decision must have come to rest.
pub const ROUNDS: usize = 20;

pub struct World {
    pub seen: Observation,
    /// What `workloadRef` names.
    workload: Option<Value>,
    pub now: Timestamp,
    /// Images whose pods never become ready.
    pub broken: BTreeSet<String>,
    pub events: Vec<String>,
    pub writes: Vec<String>,
    /// What the laws say against what was done.
    pub violations: Vec<String>,
    /// Whether the last decision takes the release back; the status says so only when all its actions are done.
    aborting: Cell<bool>,
    /// Routes as the Gateway has taken them in.
    accepted: traffic::Objects,
    /// It takes nothing in for now.
    pub gateway_sleeps: bool,
    next_uid: u64,
    serial: Cell<u64>,
    /// Single pods of each version, from the first restart on.
    pods: RefCell<BTreeMap<String, Vec<Pod>>>,
    /// A disruption budget: at least this many pods stay available.
    pub budget: i32,
    refused: BTreeSet<String>,
}

fn patched<T: Serialize + DeserializeOwned>(object: &T, patch: &Value) -> T {
    let mut value = serde_json::to_value(object).unwrap();
    crds::json_patch::merge(&mut value, patch);
    serde_json::from_value(value).unwrap()
}

fn available_of(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

/// The image of a version, which is its name in tests.
pub fn image_of(set: &ReplicaSet) -> String {
    set.template().and_then(|template| Some(template.images().first()?.1.to_owned())).unwrap_or_default()
}

pub fn is_over(run: &AnalysisRun) -> bool {
    let phase = run.status.as_ref().map_or("", |status| status.phase.as_str());
    ["Successful", "Failed", "Error", "Inconclusive"].contains(&phase)
}

impl World {
    /// The objects of a cluster; kinds that `decide` does not look at are left out.
    pub fn new(mut objects: Vec<Value>, now: Timestamp) -> Self {
        let place = objects.iter().position(|object| object["kind"] == "Rollout").expect("a Rollout");
        let rollout = serde_json::from_value(objects.remove(place)).unwrap();
        let seen = Observation {
            rollout,
            workload: None,
            pods: None,
            replica_sets: Vec::new(),
            taken: std::collections::BTreeSet::new(),
            unserved: std::collections::BTreeSet::new(),
            services: BTreeMap::new(),
            routes: BTreeMap::new(),
            analysis_runs: Vec::new(),
            experiments: Vec::new(),
            analysis_templates: BTreeMap::new(),
            cluster_analysis_templates: BTreeMap::new(),
        };
        let (broken, events, writes, violations) = (BTreeSet::new(), Vec::new(), Vec::new(), Vec::new());
        let mut world = Self {
            seen,
            workload: None,
            now,
            broken,
            events,
            writes,
            violations,
            aborting: Cell::new(false),
            next_uid: 1,
            serial: Cell::new(1),
            pods: RefCell::default(),
            accepted: traffic::Objects::new(),
            gateway_sleeps: false,
            budget: -1,
            refused: BTreeSet::new(),
        };
        for object in objects {
            world.add(object);
        }
        world
    }

    /// The workload as it is now.
    fn set_workload(&mut self, object: Option<Value>) {
        let reference = self.seen.rollout.spec.workload_ref.clone().unwrap_or_default();
        let fits = |object: &&Value| {
            object["kind"] == json!(reference.kind) && object["metadata"]["name"] == json!(reference.name)
        };
        let kind = WorkloadKind::of(&reference);
        let found = object.as_ref().filter(fits).zip(kind);
        self.seen.workload = found.map(|(object, kind)| Workload::read(kind, object));
        self.workload = object;
    }

    /// Somebody changes the workload.
    pub fn patch_workload(&mut self, patch: &Value) {
        let mut object = self.workload.clone().expect("a workload");
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
        crds::json_patch::merge(&mut object, patch);
        object["metadata"]["generation"] = json!(generation + 1);
        self.set_workload(Some(object));
    }

    pub fn remove_workload(&mut self) {
        self.set_workload(None);
    }

    pub fn add(&mut self, object: Value) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let seen = &mut self.seen;
        match object["kind"].as_str().unwrap() {
            "Deployment" | "PodTemplate" => self.set_workload(Some(object)),
            "ReplicaSet" if object["metadata"]["labels"].get(POD_TEMPLATE_HASH_LABEL).is_none() => {
                self.set_workload(Some(object));
            }
            // As in the controller's picture: those of an Experiment are the Experiment's.
            "ReplicaSet" if object.pointer("/metadata/ownerReferences/0/kind") == Some(&json!("Experiment")) => {}
            "ReplicaSet" => seen.replica_sets.push(serde_json::from_value(object).unwrap()),
            "Service" => drop(seen.services.insert(name, serde_json::from_value(object).unwrap())),
            "AnalysisRun" => seen.analysis_runs.push(serde_json::from_value(object).unwrap()),
            "Experiment" => seen.experiments.push(serde_json::from_value(object).unwrap()),
            "AnalysisTemplate" => drop(seen.analysis_templates.insert(name, serde_json::from_value(object).unwrap())),
            "ClusterAnalysisTemplate" => {
                drop(seen.cluster_analysis_templates.insert(name, serde_json::from_value(object).unwrap()));
            }
            "Ingress" | "VirtualService" | "DestinationRule" | "HTTPRoute" => {
                for reference in traffic::routers(&seen.rollout).iter().flat_map(|router| router.references()) {
                    if reference.name == name && object["kind"] == reference.kind {
                        seen.routes.insert(reference, object.clone());
                    }
                }
            }
            _ => {}
        }
    }

    pub fn decide(&self) -> Decision {
        let decision = if self.seen.rollout.spec.restart_at.is_none() {
            strategy::decide(&self.seen, self.now)
        } else {
            let pods = restart::is_due(&self.seen.rollout, self.now).then(|| self.single_pods());
            strategy::decide(&Observation { pods, ..self.seen.clone() }, self.now)
        };
        self.aborting.set(decision.status.abort == Some(true));
        decision
    }

    /// The pods that the numbers of the ReplicaSets stand for: the oldest are the available ones.
    fn single_pods(&self) -> Vec<Pod> {
        let mut known = self.pods.borrow_mut();
        let mut all = Vec::new();
        for set in &self.seen.replica_sets {
            let name = set.metadata.name.clone().unwrap();
            let first = !known.contains_key(&name);
            let pods = known.entry(name.clone()).or_default();
            let count = set.status.as_ref().map_or(0, |status| usize::try_from(status.replicas).unwrap());
            pods.truncate(count);
            let created = set.metadata.creation_timestamp.as_ref().filter(|_| first).map_or(self.now, |time| time.0);
            while pods.len() < count {
                let number = self.serial.get();
                self.serial.set(number + 1);
                pods.push(Pod {
                    name: format!("{name}-{number}"),
                    uid: format!("pod-{number}"),
                    set: set.metadata.uid.clone().unwrap_or_default(),
                    created,
                    available: false,
                    terminating: false,
                    refused: false,
                });
            }
            let available = usize::try_from(available_of(set)).unwrap();
            for (index, pod) in pods.iter_mut().enumerate() {
                pod.available = index < available;
                pod.refused = self.refused.contains(&pod.uid);
            }
            all.extend(pods.iter().cloned());
        }
        all
    }

    fn version_of_pod(&self, uid: &str) -> String {
        let pods = self.pods.borrow();
        let found = pods.iter().find(|(_, pods)| pods.iter().any(|pod| pod.uid == uid)).map(|(name, _)| name.clone());
        self.version(|set| set.metadata.name == found, "nobody")
    }

    fn evict(&mut self, target: &Target) {
        if self.available(None) <= self.budget {
            self.refused.insert(target.uid.clone());
            return;
        }
        for (name, pods) in self.pods.get_mut() {
            let Some(place) = pods.iter().position(|pod| pod.uid == target.uid) else { continue };
            let gone = pods.remove(place);
            let set = self.seen.replica_sets.iter_mut().find(|set| set.metadata.name.as_ref() == Some(name)).unwrap();
            let status = set.status.as_mut().unwrap();
            let available = status.available_replicas.unwrap_or(0) - i32::from(gone.available);
            status.available_replicas = Some(available).filter(|count| *count > 0);
            status.ready_replicas = status.available_replicas;
        }
    }

    fn uid(&mut self) -> String {
        self.next_uid += 1;
        format!("uid-{}", self.next_uid)
    }

    fn version(&self, fits: impl Fn(&ReplicaSet) -> bool, otherwise: &str) -> String {
        self.seen.replica_sets.iter().find(|set| fits(set)).map_or_else(|| otherwise.to_owned(), image_of)
    }

    /// Available pods of one image, or of all.
    pub fn available(&self, image: Option<&str>) -> i32 {
        self.seen
            .replica_sets
            .iter()
            .filter(|set| image.is_none_or(|image| image_of(set) == image))
            .map(available_of)
            .sum()
    }

    /// `spec.replicas` of the versions with this image.
    pub fn wanted(&self, image: &str) -> i32 {
        self.seen.replica_sets.iter().filter(|set| image_of(set) == image).map(ReplicaSet::replicas_or_default).sum()
    }

    /// The image of the stable version.
    pub fn stable_image(&self) -> String {
        let stable = self.seen.rollout.status.as_ref().and_then(|status| status.stable_rs.clone());
        self.version(|set| stable.is_some() && hash_of(set) == stable.as_deref(), "")
    }

    /// The image the Rollout wants.
    pub fn wanted_image(&self) -> String {
        let workload = self.seen.workload.as_ref();
        strategy::workload::resolved(&self.seen.rollout, workload).spec.template.as_ref().unwrap().images()[0]
            .1
            .to_owned()
    }

    pub fn phase(&self) -> String {
        self.seen.rollout.status.clone().unwrap_or_default().phase.unwrap_or_default()
    }

    /// The canary's weight in force; `None` without routing.
    pub fn weight(&self) -> Option<u32> {
        self.weight_by(&self.seen.routes)
    }

    /// The canary's weight as these objects say it.
    fn weight_by(&self, objects: &traffic::Objects) -> Option<u32> {
        let routers = traffic::routers(&self.seen.rollout);
        let weights = routers.iter().filter_map(|router| router.in_force(objects).ok().flatten());
        (!routers.is_empty()).then(|| weights.max().map_or(0, |weight| weight.0))
    }

    /// Available pods behind a Service.
    fn behind(&self, service: &str) -> i32 {
        let service = self.seen.services.get(service);
        let hash = service.and_then(|service| service.spec.as_ref()?.selector.as_ref()?.get(POD_TEMPLATE_HASH_LABEL));
        self.available_of_version(hash)
    }

    /// Available pods of a version, or of all.
    fn available_of_version(&self, hash: Option<&String>) -> i32 {
        let fits = |set: &&ReplicaSet| hash.is_none() || hash_of(set) == hash.map(String::as_str);
        self.seen.replica_sets.iter().filter(fits).map(available_of).sum()
    }

    /// Available pods behind the canary's share and behind the rest.
    fn roles(&self) -> (i32, i32) {
        let routers = traffic::routers(&self.seen.rollout);
        if let Some(versions) = routers.iter().find_map(|router| router.versions(&self.seen.routes)) {
            return (
                self.available_of_version(versions.canary.as_ref()),
                self.available_of_version(versions.stable.as_ref()),
            );
        }
        let services = traffic::services(&self.seen.rollout);
        (self.behind(&services.canary), self.behind(&services.stable))
    }

    /// `maxUnavailable` in pods.
    pub fn unavailable(&self) -> i32 {
        let canary = self.seen.rollout.canary().cloned().unwrap_or_default();
        strategy::replicas::bounds(&canary, self.seen.rollout.spec.replicas_or_default()).unavailable
    }

    /// Available pods behind the active Service, and the version it selects; nothing without blue-green.
    fn active(&self) -> Option<(i32, Option<String>)> {
        let name = &self.seen.rollout.blue_green()?.active_service;
        let service = self.seen.services.get(name)?;
        let hash = service.spec.as_ref()?.selector.as_ref()?.get(POD_TEMPLATE_HASH_LABEL).cloned();
        Some((self.behind(name), hash))
    }

    /// The image behind a Service; `everyone` when it selects no version.
    pub fn image_behind(&self, name: &str) -> String {
        let service = self.seen.services.get(name);
        let hash = service.and_then(|service| service.spec.as_ref()?.selector.as_ref()?.get(POD_TEMPLATE_HASH_LABEL));
        hash.map_or("everyone".to_owned(), |hash| self.version(|set| hash_of(set) == Some(hash), hash))
    }

    /// What the laws of blue-green say against the step from one picture of the active Service to the next.
    fn active_laws(&mut self, text: &str, before: Option<(i32, Option<String>)>) {
        let (Some((pods_before, hash_before)), Some((pods, hash))) = (before, self.active()) else { return };
        let aborted = self.aborting.get();
        let desired = self.seen.rollout.spec.replicas_or_default();
        let moved = hash != hash_before;
        let laws = [
            (moved && pods == 0 && desired > 0, "requests move to a version without available pods"),
            (
                moved && pods < pods_before.min(desired) && !aborted,
                "requests move to a version with fewer pods than they need",
            ),
            (!moved && pods < pods_before.min(desired), "the active version loses its pods before its traffic"),
        ];
        for (broken, law) in laws {
            if broken {
                self.violations.push(format!("{law}: {text}: available behind it {pods_before} → {pods} of {desired}"));
            }
        }
    }

    fn bump(&mut self) {
        *self.seen.rollout.metadata.generation.get_or_insert(0) += 1;
    }

    /// Until a decision has no action and nothing new to say; the number of decisions it took.
    pub fn settle(&mut self) -> usize {
        self.refused.clear();
        for round in 1..=ROUNDS {
            let decision = self.decide();
            decision.actions.iter().for_each(|action| self.apply(action));
            for event in &decision.events {
                let text = format!("{}: {}", event.reason, event.message);
                if self.events.last() != Some(&text) {
                    self.events.push(text);
                }
            }
            if decision.actions.is_empty() && !(self.store(&decision) && decision.requeue_after == Some(Duration::ZERO))
            {
                return round;
            }
        }
        panic!("no rest after {ROUNDS} rounds:\n{}\n{}", self.writes.join("\n"), self.summary());
    }

    /// Writes the status as the API server keeps it; whether it differed.
    pub fn store(&mut self, decision: &Decision) -> bool {
        let before = json!(self.seen.rollout.status);
        self.seen.rollout.status = serde_json::from_value(json!(decision.status)).unwrap();
        before != json!(self.seen.rollout.status)
    }

    /// The controller is killed: `applied` actions of the next decision happen, and its status is lost.
    pub fn crash_after(&mut self, applied: usize) {
        let actions = self.decide().actions;
        actions.iter().take(applied).for_each(|action| self.apply(action));
    }

    /// The workload's own pods, which are never broken.
    fn workload_pods_ready(&mut self) -> bool {
        let Some(mut object) = self.workload.clone().filter(|object| object["kind"] == "Deployment") else {
            return false;
        };
        object["status"] = json!({
            "availableReplicas": object["spec"]["replicas"], "observedGeneration": object["metadata"]["generation"],
        });
        let before = self.seen.workload.clone();
        self.set_workload(Some(object));
        before != self.seen.workload
    }

    /// At most this many more pods become ready in each version. Whether anything changed.
    pub fn pods_ready(&mut self, at_most: i32) -> bool {
        let mut changed = self.workload_pods_ready();
        for set in &mut self.seen.replica_sets {
            let (wanted, broken) = (set.replicas_or_default(), self.broken.contains(&image_of(set)));
            let generation = set.metadata.generation;
            let status = set.status.get_or_insert_default();
            let before = status.clone();
            let available =
                if broken { 0 } else { wanted.min(status.available_replicas.unwrap_or(0).saturating_add(at_most)) };
            status.replicas = wanted;
            status.observed_generation = generation;
            status.ready_replicas = Some(available).filter(|count| *count > 0);
            status.available_replicas = status.ready_replicas;
            changed |= *status != before;
        }
        changed
    }

    /// Decisions and pods until nothing changes at this time.
    pub fn run(&mut self) {
        for _ in 0..60 {
            self.settle();
            let accepts = !self.gateway_sleeps && self.accept();
            if !self.pods_ready(i32::MAX) && !accepts {
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
}
