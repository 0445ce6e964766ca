//! A small world around `decide` for whole releases: objects of any fleet, pods that become ready, people's verbs, and a clock that
//! only tests move. What the laws say against an action is noted, not asserted, so that a test can show all of it.
//!
//! It applies decisions as the controller does: actions in order, then look again; the status once there is no action left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod laws;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
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
use strategy::{Action, Decision, Observation, Target};
use traffic::Write;

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
            next_uid: 1,
            serial: Cell::new(1),
            pods: RefCell::default(),
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
            "Ingress" => {
                for reference in traffic::routers(&seen.rollout).iter().flat_map(|router| router.references()) {
                    if reference.name == name {
                        seen.routes.insert(reference, object.clone());
                    }
                }
            }
            _ => {}
        }
    }

    pub fn decide(&self) -> Decision {
        if self.seen.rollout.spec.restart_at.is_none() {
            return strategy::decide(&self.seen, self.now);
        }
        let pods = restart::is_due(&self.seen.rollout, self.now).then(|| self.single_pods());
        strategy::decide(&Observation { pods, ..self.seen.clone() }, self.now)
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
        let routers = traffic::routers(&self.seen.rollout);
        let weights = routers.iter().filter_map(|router| router.in_force(&self.seen.routes).ok().flatten());
        (!routers.is_empty()).then(|| weights.max().map_or(0, |weight| weight.0))
    }

    /// Available pods behind a Service.
    fn behind(&self, service: Option<&String>) -> i32 {
        let service = service.and_then(|name| self.seen.services.get(name));
        let hash = service.and_then(|service| service.spec.as_ref()?.selector.as_ref()?.get(POD_TEMPLATE_HASH_LABEL));
        let fits = |set: &&ReplicaSet| hash.is_none() || hash_of(set) == hash.map(String::as_str);
        self.seen.replica_sets.iter().filter(fits).map(available_of).sum()
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
        Some((self.behind(Some(name)), hash))
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
        let aborted = self.seen.rollout.status.as_ref().is_some_and(|status| status.abort == Some(true));
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

    /// Carries one action out and notes what the laws say against it.
    pub fn apply(&mut self, action: &Action) {
        let text = self.describe(action);
        let active_before = self.active();
        let canary = self.seen.rollout.canary().cloned().unwrap_or_default();
        let measure = |world: &Self| {
            let pods = (world.behind(canary.canary_service.as_ref()), world.behind(canary.stable_service.as_ref()));
            (world.weight().unwrap_or(0), pods, world.available(None))
        };
        let (weight_before, (canary_before, stable_before), available_before) = measure(self);
        let picture = laws::Picture::of(self);
        self.carry_out(action);
        for law in picture.compare(self, action) {
            self.violations.push(format!("{law}: {text}: {}", self.summary()));
        }
        // A restart takes pods by leave of maxUnavailable, which is looked at below.
        if !matches!(action, Action::EvictPod { .. }) {
            self.active_laws(&text, active_before);
        }
        let (weight, (canary_now, stable_now), available) = measure(self);
        // A restart may always take one.
        let allowed = self.unavailable().max(i32::from(matches!(action, Action::EvictPod { .. })));
        let least = self.seen.rollout.spec.replicas_or_default() - allowed;
        let max = canary
            .traffic_routing
            .as_ref()
            .and_then(|routing| routing.max_traffic_weight)
            .unwrap_or(100)
            .unsigned_abs();
        // With routing, pods of a version without traffic serve nobody: what counts is who gets requests.
        let routed = canary.traffic_routing.is_some();
        let blue_green = self.seen.rollout.blue_green().is_some();
        // Scaled to nothing there is nobody who could answer.
        let evicts = matches!(action, Action::EvictPod { .. });
        let wanted = self.seen.rollout.spec.replicas_or_default() > 0 && !evicts;
        let released = routed && !self.stable_image().is_empty() && wanted;
        let dynamic = released && canary.dynamic_stable_scale == Some(true);
        let rest = strategy::replicas::share(
            self.seen.rollout.spec.replicas_or_default(),
            max.saturating_sub(weight).cast_signed(),
            max.cast_signed(),
        );
        let laws = [
            (
                dynamic && weight < weight_before && stable_now < rest && canary_now > 0,
                "the weight falls before the stable version has the pods for the rest",
            ),
            (
                dynamic && stable_now < rest && stable_now < stable_before && canary_now == canary_before,
                "the stable version loses pods that its share of the traffic needs",
            ),
            (weight > weight_before && canary_now == 0, "the weight rises towards a canary without available pods"),
            (
                weight < weight_before && stable_now == 0 && canary_now > 0,
                "the weight falls towards a stable version without available pods",
            ),
            (
                released && weight > 0 && canary_now == 0 && canary_before > 0,
                "the canary loses its pods before its traffic",
            ),
            (
                released && weight < max && stable_now == 0 && stable_before > 0,
                "the stable version loses its pods before its traffic",
            ),
            (
                !routed && !blue_green && available < available_before && available < least,
                "fewer available pods than allowed",
            ),
        ];
        for (broken, law) in laws {
            if broken {
                let state = format!(
                    "weight {weight_before} → {weight}, available {available_before} → {available} (least {least})"
                );
                self.violations.push(format!("{law}: {text}: {state}"));
            }
        }
        self.writes.push(text);
    }

    fn carry_out(&mut self, action: &Action) {
        let uid = self.uid();
        let seen = &mut self.seen;
        match action {
            Action::PatchRollout { patch } => {
                seen.rollout = patched(&seen.rollout, patch);
                if patch.get("spec").is_some() {
                    self.bump();
                }
            }
            Action::CreateReplicaSet { replica_set } => {
                let mut set = (**replica_set).clone();
                if seen.replica_sets.iter().all(|known| known.metadata.name != set.metadata.name) {
                    set.metadata.uid = Some(uid);
                    set.metadata.creation_timestamp = Some(crds::Time(self.now));
                    seen.replica_sets.push(set);
                }
            }
            Action::PatchReplicaSet { target, patch } => {
                for set in seen.replica_sets.iter_mut().filter(|set| set.metadata.name.as_ref() == Some(&target.name)) {
                    *set = patched(set, patch);
                    remove_pods(set);
                }
            }
            // Nobody decides by what pods carry.
            Action::PatchPods { .. } => {}
            Action::DeleteReplicaSet { target } => {
                seen.replica_sets.retain(|set| set.metadata.name.as_ref() != Some(&target.name));
            }
            Action::PatchService { target, patch } => {
                let service = seen.services.get_mut(&target.name).unwrap();
                *service = patched(service, patch);
            }
            Action::EvictPod { target } => self.evict(target),
            Action::PatchWorkload { patch, .. } => self.patch_workload(patch),
            Action::Route(Write::Create { reference, object, .. }) => {
                let mut object = object.clone();
                object["metadata"]["uid"] = json!(uid);
                seen.routes.insert(reference.clone(), object);
            }
            Action::Route(Write::Patch { reference, patch, .. }) => {
                crds::json_patch::merge(seen.routes.get_mut(reference).unwrap(), patch);
            }
            Action::Route(Write::Delete { reference, .. }) => drop(seen.routes.remove(reference)),
            Action::CreateAnalysisRun { run } => {
                let mut run = (**run).clone();
                if seen.analysis_runs.iter().all(|known| known.metadata.name != run.metadata.name) {
                    run.metadata.uid = Some(uid);
                    run.metadata.creation_timestamp = Some(crds::Time(self.now));
                    seen.analysis_runs.push(run);
                }
            }
            Action::PatchAnalysisRun { target, patch } => {
                for run in seen.analysis_runs.iter_mut().filter(|run| run.metadata.name.as_ref() == Some(&target.name))
                {
                    *run = patched(run, patch);
                }
            }
            Action::DeleteAnalysisRun { target } => {
                seen.analysis_runs.retain(|run| run.metadata.name.as_ref() != Some(&target.name));
            }
            Action::CreateExperiment { experiment } => {
                let mut experiment = (**experiment).clone();
                if seen.experiments.iter().all(|known| known.metadata.name != experiment.metadata.name) {
                    experiment.metadata.uid = Some(uid);
                    experiment.metadata.creation_timestamp = Some(crds::Time(self.now));
                    seen.experiments.push(experiment);
                }
            }
            Action::PatchExperiment { target, patch } => {
                for one in seen.experiments.iter_mut().filter(|one| one.metadata.name.as_ref() == Some(&target.name)) {
                    *one = patched(one, patch);
                }
            }
            Action::DeleteExperiment { target } => {
                seen.experiments.retain(|one| one.metadata.name.as_ref() != Some(&target.name));
            }
            Action::CreateService { .. } | Action::DeleteService { .. } => {
                panic!("no Rollout makes or deletes a Service")
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

    pub fn patch_status(&mut self, patch: &Value) {
        self.seen.rollout = patched(&self.seen.rollout, &json!({ "status": patch }));
    }

    pub fn patch_metadata(&mut self, patch: &Value) {
        self.seen.rollout = patched(&self.seen.rollout, &json!({ "metadata": patch }));
    }

    /// A new image, whose ReplicaSet would have a name that somebody else's has.
    pub fn taken(&mut self, image: &str) {
        self.image(image);
        let actions = self.decide().actions;
        let name = actions.iter().find_map(|action| match action {
            Action::CreateReplicaSet { replica_set } => replica_set.metadata.name.clone(),
            _ => None,
        });
        self.seen.taken.insert(name.unwrap());
    }

    /// The times of the release.
    pub fn duration(&self) -> String {
        let status = self.seen.rollout.status.clone().unwrap_or_default();
        serde_json::to_string(&status.duration).unwrap()
    }

    pub fn patch_spec(&mut self, patch: &Value) {
        self.seen.rollout = patched(&self.seen.rollout, &json!({ "spec": patch }));
        self.bump();
    }

    pub fn image(&mut self, image: &str) {
        if let Some(workload) = &self.workload {
            let at = if workload["kind"] == "PodTemplate" { "/template" } else { "/spec/template" };
            let mut template = workload.pointer(at).unwrap().clone();
            template["spec"]["containers"][0]["image"] = json!(image);
            let inner = json!({ "template": template });
            return self.patch_workload(&if at == "/template" { inner } else { json!({ "spec": inner }) });
        }
        let mut template = self.seen.rollout.spec.template.clone().unwrap();
        template.0["spec"]["containers"][0]["image"] = json!(image);
        self.patch_spec(&json!({ "template": template }));
    }

    /// What `promote` does: resumes, or goes one step further when nothing waits.
    pub fn promote(&mut self) {
        let status = self.seen.rollout.status.clone().unwrap_or_default();
        if self.seen.rollout.spec.is_paused() {
            self.patch_spec(&json!({ "paused": false }));
        }
        if status.pause_conditions.is_some_and(|pauses| !pauses.is_empty()) {
            self.patch_status(&json!({ "pauseConditions": null }));
        } else if let Some(index) = status.current_step_index {
            let last = self.seen.rollout.canary().map_or(0, |canary| canary.steps().len());
            self.patch_status(&json!({ "currentStepIndex": (index + 1).min(i32::try_from(last).unwrap()) }));
        }
    }

    /// This many pods of a version are not available any more.
    pub fn lose(&mut self, image: &str, count: i32) {
        for set in self.seen.replica_sets.iter_mut().filter(|set| image_of(set) == image) {
            if let Some(status) = &mut set.status {
                let left = status.available_replicas.map(|available| available - count);
                status.available_replicas = left.filter(|available| *available > 0);
                status.ready_replicas = status.available_replicas;
            }
        }
    }

    /// Ends the newest run which is not over; whether there was one.
    pub fn analysis(&mut self, phase: &str, message: &str) -> bool {
        let open = self.seen.analysis_runs.iter_mut().rev().find(|run| !is_over(run));
        let found = open.is_some();
        if let Some(run) = open {
            *run = patched(run, &json!({ "status": { "phase": phase, "message": message } }));
        }
        found
    }

    /// Ends the newest Experiment which is not over; whether there was one.
    pub fn experiment(&mut self, phase: &str, message: &str) -> bool {
        let over = |one: &&mut crds::Experiment| {
            let kind = one.status.as_ref().and_then(crds::ExperimentStatus::phase_kind);
            !kind.is_some_and(crds::AnalysisPhase::is_completed)
        };
        let open = self.seen.experiments.iter_mut().rev().find(over);
        let found = open.is_some();
        if let Some(one) = open {
            *one = patched(one, &json!({ "status": { "phase": phase, "message": message } }));
        }
        found
    }

    fn describe(&self, action: &Action) -> String {
        let named = |name: &str| self.version(|set| set.metadata.name.as_deref() == Some(name), name);
        let metadata = |patch: &Value| {
            let mut text = String::new();
            for (key, value) in patch.pointer("/metadata/annotations").and_then(Value::as_object).into_iter().flatten()
            {
                let key = key.rsplit('/').next().unwrap_or(key);
                let _ = write!(text, " {key}={}", value.as_str().unwrap_or("removed"));
            }
            if patch.pointer("/metadata/ownerReferences").is_some() {
                text.push_str(" owner");
            }
            if let Some(finalizers) = patch.pointer("/metadata/finalizers").and_then(Value::as_array) {
                let _ = write!(text, " {}", if finalizers.is_empty() { "no finalizer" } else { "finalizer" });
            }
            if let Some(count) = patch.pointer("/spec/replicas") {
                let _ = write!(text, " replicas={count}");
            }
            if let Some(seconds) = patch.pointer("/spec/minReadySeconds") {
                let _ = write!(text, " minReadySeconds={seconds}");
            }
            if text.is_empty() { format!(" {patch}") } else { text }
        };
        match action {
            Action::PatchRollout { patch } => format!("Rollout:{}", metadata(patch)),
            Action::CreateReplicaSet { replica_set } => {
                let ready =
                    replica_set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).filter(|seconds| *seconds > 0);
                let ready = ready.map_or(String::new(), |seconds| format!(" minReadySeconds={seconds}"));
                let annotations = replica_set.metadata.annotations.iter().flatten();
                let injected = annotations.into_iter().find(|(key, _)| key.ends_with("/ephemeral-metadata"));
                let carries = injected.map(|(_, text)| format!(" carries {text}")).unwrap_or_default();
                let count = replica_set.replicas_or_default();
                let template = serde_json::to_value(replica_set.template()).unwrap();
                let keeps_off = template.pointer("/spec/affinity/podAntiAffinity").map(|anti| format!(" anti {anti}"));
                let keeps_off = keeps_off.unwrap_or_default();
                format!("{}: create replicas={count}{ready}{carries}{keeps_off}", image_of(replica_set))
            }
            Action::PatchReplicaSet { target, patch } => format!("{}:{}", named(&target.name), metadata(patch)),
            Action::PatchPods { replica_set, patch, .. } => {
                format!("pods of {}: {}", named(&replica_set.name), patch["metadata"])
            }
            Action::DeleteReplicaSet { target } => format!("{}: delete", named(&target.name)),
            Action::EvictPod { target } => {
                let held = if self.available(None) <= self.budget { " (refused)" } else { "" };
                format!("Pod of {}: evict{held}", self.version_of_pod(&target.uid))
            }
            Action::PatchWorkload { kind, target, patch } => {
                format!("{} {}:{}", kind.kind(), target.name, metadata(patch))
            }
            Action::PatchService { target, patch } => {
                let hash = patch
                    .pointer("/spec/selector")
                    .and_then(|selector| selector.get(POD_TEMPLATE_HASH_LABEL))
                    .and_then(Value::as_str);
                format!(
                    "Service {}: to {}",
                    target.name,
                    self.version(|set| hash.is_some() && hash_of(set) == hash, hash.unwrap_or("anyone"))
                )
            }
            Action::Route(Write::Create { reference, object, .. }) => {
                format!("Ingress {}: create weight={}", reference.name, weight_of(object))
            }
            Action::Route(Write::Patch { reference, patch, .. }) => {
                format!("Ingress {}: weight={}{}", reference.name, weight_of(patch), header_of(patch))
            }
            Action::Route(Write::Delete { reference, .. }) => format!("Ingress {}: delete", reference.name),
            Action::CreateAnalysisRun { run } => {
                format!("AnalysisRun {}: create{}", without_hash(run.metadata.name.as_deref()), self.given_to(run))
            }
            Action::PatchAnalysisRun { target, .. } => {
                format!("AnalysisRun {}: terminate", without_hash(Some(&target.name)))
            }
            Action::DeleteAnalysisRun { target } => format!("AnalysisRun {}: delete", without_hash(Some(&target.name))),
            Action::CreateService { service } => {
                format!("Service {}: create", service.metadata.name.as_deref().unwrap_or_default())
            }
            Action::DeleteService { target } => format!("Service {}: delete", target.name),
            Action::CreateExperiment { experiment } => {
                let mut text = format!("Experiment {}: create", without_hash(experiment.metadata.name.as_deref()));
                for one in &experiment.spec.templates {
                    let image = one.template.images().first().map_or("", |(_, image)| *image).to_owned();
                    let _ = write!(text, " {}={image} x{}", one.name, one.replicas_or_default());
                }
                text
            }
            Action::PatchExperiment { target, .. } => {
                format!("Experiment {}: terminate", without_hash(Some(&target.name)))
            }
            Action::DeleteExperiment { target } => format!("Experiment {}: delete", without_hash(Some(&target.name))),
        }
    }

    /// What a run is given beyond its metrics.
    fn given_to(&self, run: &AnalysisRun) -> String {
        let mut text = String::new();
        for argument in run.spec.args.iter().flatten() {
            let value = argument.value.as_deref().unwrap_or("nothing");
            let _ = write!(text, " {}={}", argument.name, self.version(|set| hash_of(set) == Some(value), value));
        }
        for rule in run.spec.dry_run.iter().flatten() {
            let _ = write!(text, " dry-run {}", rule.metric_name);
        }
        for rule in run.spec.measurement_retention.iter().flatten() {
            let _ = write!(text, " keep {} of {}", rule.limit, rule.metric_name);
        }
        let own = ["app", "rollout-type", "step-index", "rollouts-pod-template-hash"];
        let labels = run.metadata.labels.iter().flatten().filter(|(key, _)| !own.contains(&key.as_str()));
        let annotations = run
            .metadata
            .annotations
            .iter()
            .flatten()
            .filter(|(key, _)| !key.contains("revision") && *key != strategy::words::STEP_HASH_ANNOTATION);
        for (key, value) in labels.chain(annotations) {
            let _ = write!(text, " {key}: {value}");
        }
        text
    }

    /// The state in one line.
    pub fn summary(&self) -> String {
        let status = self.seen.rollout.status.clone().unwrap_or_default();
        let mut text = status.phase.unwrap_or_default();
        if let Some(message) = status.message.filter(|message| !message.is_empty()) {
            let _ = write!(text, " ({message})");
        }
        let steps = self.seen.rollout.canary().map_or(0, |canary| canary.steps().len());
        if let Some(index) = status.current_step_index.filter(|_| steps > 0) {
            let _ = write!(text, ", step {index} of {steps}");
        }
        if let Some(weight) = self.weight() {
            let _ = write!(text, ", weight {weight}");
        }
        if let Some(workload) = self.seen.workload.as_ref().filter(|workload| workload.kind == WorkloadKind::Deployment)
        {
            let _ = write!(text, ", Deployment {} {}/{}", workload.name, workload.available, workload.replicas);
        }
        if let Some(blue_green) = self.seen.rollout.blue_green() {
            let _ = write!(text, ", active {}", self.image_behind(&blue_green.active_service));
            if let Some(preview) = &blue_green.preview_service {
                let _ = write!(text, ", preview {}", self.image_behind(preview));
            }
        }
        let mut sets: Vec<&ReplicaSet> = self.seen.replica_sets.iter().collect();
        sets.sort_by_key(|set| (set.metadata.creation_timestamp.clone(), image_of(set)));
        for set in sets {
            let role = if hash_of(set) == status.stable_rs.as_deref() { " stable" } else { "" };
            let _ = write!(text, ", {}{role} {}/{}", image_of(set), available_of(set), set.replicas_or_default());
        }
        text
    }
}

/// Pods that are not wanted any more are gone at once, those not ready first.
fn remove_pods(set: &mut ReplicaSet) {
    let wanted = set.replicas_or_default();
    if let Some(status) = &mut set.status {
        status.replicas = status.replicas.min(wanted);
        status.ready_replicas = status.ready_replicas.map(|count| count.min(wanted)).filter(|count| *count > 0);
        status.available_replicas = status.available_replicas.map(|count| count.min(wanted)).filter(|count| *count > 0);
    }
}

fn weight_of(object: &Value) -> &str {
    let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
    let found = annotations.into_iter().flatten().find(|(key, _)| key.ends_with("/canary-weight"));
    found.and_then(|(_, value)| value.as_str()).unwrap_or("unchanged")
}

fn header_of(object: &Value) -> String {
    let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
    let mut text = String::new();
    for (key, value) in annotations.into_iter().flatten() {
        if let Some((_, what)) = key.split_once("/canary-by-") {
            let _ = write!(text, " {what}={}", value.as_str().unwrap_or("removed"));
        }
    }
    text
}

fn without_hash(name: Option<&str>) -> String {
    let parts = name.unwrap_or_default().split('-').enumerate().filter(|(index, _)| *index != 1);
    parts.map(|(_, part)| part).collect::<Vec<_>>().join("-")
}

/// A blue-green Rollout `web` and what it names; `blue_green` may leave the names of the Services out.
pub fn given_blue_green(blue_green: &Value, spec: &Value) -> Vec<Value> {
    let mut strategy = json!({ "activeService": "web-active", "previewService": "web-preview" });
    crds::json_patch::merge(&mut strategy, blue_green);
    let mut whole = json!({ "strategy": { "canary": null, "blueGreen": strategy } });
    crds::json_patch::merge(&mut whole, spec);
    given(&json!({}), &whole)
}

/// A Rollout `web` and what it names. `canary` is its strategy; with `nginx: true` in it, it is routed.
pub fn given(canary: &Value, spec: &Value) -> Vec<Value> {
    let mut canary = canary.clone();
    let mut objects = Vec::new();
    if canary.as_object_mut().unwrap().shift_remove("nginx").is_some_and(|value| value == true) {
        let routing = json!({
            "canaryService": "web-canary", "stableService": "web-stable", "trafficRouting": { "nginx": { "stableIngress": "web" } },
        });
        crds::json_patch::merge(&mut canary, &routing);
        for name in ["web-canary", "web-stable"] {
            let metadata = json!({ "name": name, "uid": name });
            objects.push(json!({ "kind": "Service", "metadata": metadata, "spec": { "selector": { "app": "web" } } }));
        }
        let backend = json!({ "service": { "name": "web-stable", "port": { "number": 80 } } });
        objects.push(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "web", "uid": "ingress" },
            "spec": { "rules": [{ "host": "web.example", "http": { "paths": [{ "path": "/", "pathType": "Prefix", "backend": backend }] } }] },
        }));
    }
    for name in ["web-active", "web-preview"] {
        let metadata = json!({ "name": name, "uid": name });
        objects.push(json!({ "kind": "Service", "metadata": metadata, "spec": { "selector": { "app": "web" } } }));
    }
    objects.push(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": { "name": "errors", "uid": "errors" },
        "spec": { "metrics": [{ "name": "errors", "count": 3, "interval": "10s", "successCondition": "result < 0.01",
                                "provider": { "prometheus": { "address": "http://prometheus", "query": "errors" } } }] },
    }));
    let containers = json!([{ "name": "web", "image": "web:1" }]);
    let mut rollout = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": { "name": "web", "namespace": "shop", "uid": "rollout", "generation": 1 },
        "spec": {
            "replicas": 4,
            "selector": { "matchLabels": { "app": "web" } },
            "strategy": { "canary": canary },
            "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": containers } },
        },
    });
    crds::json_patch::merge(&mut rollout["spec"], spec);
    objects.push(rollout);
    objects
}
