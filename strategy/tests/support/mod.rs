//! A tiny cluster: actions are applied to an Observation, pods become available when the test says so.
//!
//! After every single write the safety laws are checked, so that a crash between any two writes is covered: requests only go to versions
//! with available pods, and there are never fewer available pods than allowed.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use crds::jiff::{SignedDuration, Timestamp};
use crds::k8s_openapi::api::core::v1::Service;
use crds::words::{POD_TEMPLATE_HASH_LABEL, SCALE_DOWN_DEADLINE_ANNOTATION};
use crds::{ReplicaSet, Rollout, RolloutStatus, Time};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use strategy::{Action, Decision, Event, Observation, Target};
use traffic::Write;

pub struct World {
    pub seen: Observation,
    pub now: Timestamp,
    /// Images whose pods never become available.
    pub broken: BTreeSet<String>,
    /// Writes to the API server, events left out.
    pub writes: Vec<String>,
    pub events: Vec<Event>,
    /// Whether the laws are checked after each write.
    pub lawful: bool,
    serial: u64,
}

/// A canary through NGINX with these steps.
pub fn nginx(replicas: i32, steps: &Value) -> World {
    World::new(
        &json!({
            "canaryService": "web-canary", "stableService": "web-stable", "steps": steps,
            "trafficRouting": { "nginx": { "stableIngress": "web" } },
        }),
        replicas,
    )
}

/// A canary whose traffic follows from the numbers of pods.
pub fn basic(replicas: i32, steps: &Value) -> World {
    World::new(&json!({ "steps": steps }), replicas)
}

fn patched<T: Serialize + DeserializeOwned>(object: &T, patch: &Value) -> T {
    let mut value = serde_json::to_value(object).unwrap();
    crds::json_patch::merge(&mut value, patch);
    serde_json::from_value(value).unwrap()
}

impl World {
    pub fn new(canary: &Value, replicas: i32) -> Self {
        let rollout: Rollout = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": { "name": "web", "namespace": "shop", "uid": "rollout", "generation": 1, "resourceVersion": "1" },
            "spec": {
                "replicas": replicas, "selector": { "matchLabels": { "app": "web" } },
                "template": {
                    "metadata": { "labels": { "app": "web" } },
                    "spec": { "containers": [{ "name": "web", "image": "web:1" }] },
                },
                "strategy": { "canary": canary },
            },
        }))
        .unwrap();
        let service = |name: &str| {
            serde_json::from_value::<Service>(json!({
                "metadata": { "name": name, "namespace": "shop", "uid": format!("service-{name}") },
                "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80 }] },
            }))
            .unwrap()
        };
        let mut routes = BTreeMap::new();
        for reference in traffic::routers(&rollout).iter().flat_map(|router| router.references()) {
            if reference.name == "web" {
                let ingress = json!({
                    "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                    "metadata": { "name": "web", "namespace": "shop", "uid": "ingress-web" },
                    "spec": { "ingressClassName": "nginx", "rules": [{ "host": "web.example", "http": { "paths": [
                        { "path": "/", "pathType": "Prefix", "backend": { "service": { "name": "web-stable", "port": { "number": 80 } } } },
                    ] } }] },
                });
                routes.insert(reference, ingress);
            }
        }
        Self {
            seen: Observation {
                rollout,
                workload: None,
                pods: None,
                replica_sets: Vec::new(),
                taken: std::collections::BTreeSet::new(),
                unserved: std::collections::BTreeSet::new(),
                services: ["web-stable", "web-canary"].map(|name| (name.to_owned(), service(name))).into(),
                routes,
                analysis_runs: Vec::new(),
                experiments: Vec::new(),
                analysis_templates: BTreeMap::new(),
                cluster_analysis_templates: BTreeMap::new(),
            },
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            broken: BTreeSet::new(),
            writes: Vec::new(),
            events: Vec::new(),
            lawful: true,
            serial: 0,
        }
    }

    pub fn decide(&self) -> Decision {
        strategy::decide(&self.seen, self.now)
    }

    pub fn status(&self) -> RolloutStatus {
        self.seen.rollout.status.clone().unwrap_or_default()
    }

    /// What a person writes to the spec.
    pub fn spec(&mut self, patch: &Value) {
        self.seen.rollout = patched(&self.seen.rollout, &json!({ "spec": patch }));
        *self.seen.rollout.metadata.generation.as_mut().unwrap() += 1;
    }

    /// What a person writes to the status.
    pub fn person(&mut self, patch: &Value) {
        self.seen.rollout = patched(&self.seen.rollout, &json!({ "status": patch }));
    }

    pub fn image(&mut self, image: &str) {
        self.spec(&json!({ "template": { "spec": { "containers": [{ "name": "web", "image": image }] } } }));
    }

    /// What the plugin writes on `promote`.
    pub fn promote(&mut self) {
        self.person(&json!({ "pauseConditions": null }));
        if self.seen.rollout.spec.paused == Some(true) {
            self.spec(&json!({ "paused": false }));
        }
    }

    pub fn after(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// Pods come and become available, unless their image is broken.
    pub fn kubelet(&mut self) {
        for set in &mut self.seen.replica_sets {
            let image = set.template().unwrap().images()[0].1.to_owned();
            let wanted = set.replicas_or_default();
            let status = set.status.get_or_insert_default();
            status.replicas = wanted;
            let available = if self.broken.contains(&image) { 0 } else { wanted };
            status.available_replicas = Some(available);
            status.ready_replicas = Some(available);
        }
    }

    /// Applies one action; pods that are too many go at once.
    pub fn apply(&mut self, action: &Action) {
        self.serial += 1;
        let serial = self.serial;
        let told = match action {
            Action::PatchRollout { patch } => {
                self.seen.rollout = patched(&self.seen.rollout, patch);
                "Rollout".to_owned()
            }
            Action::CreateReplicaSet { replica_set } => {
                let mut set = (**replica_set).clone();
                let name = set.metadata.name.clone().unwrap();
                assert!(self.set_named(&name).is_none(), "{name} is created twice");
                set.metadata.uid = Some(format!("uid-{serial}"));
                set.metadata.creation_timestamp =
                    Some(Time(self.now + SignedDuration::from_micros(serial.try_into().unwrap())));
                set.status.get_or_insert_default();
                self.seen.replica_sets.push(set);
                format!("create {name}")
            }
            Action::PatchReplicaSet { target, patch } => {
                let set = self.set_mut(target);
                *set = patched(set, patch);
                let wanted = set.replicas_or_default();
                let status = set.status.get_or_insert_default();
                status.replicas = status.replicas.min(wanted);
                status.available_replicas = status.available_replicas.map(|count| count.min(wanted));
                status.ready_replicas = status.ready_replicas.map(|count| count.min(wanted));
                format!("{} {patch}", target.name)
            }
            Action::PatchPods { replica_set, patch, .. } => format!("pods of {} {patch}", replica_set.name),
            Action::DeleteReplicaSet { target } => {
                self.seen.replica_sets.retain(|set| set.metadata.uid.as_deref() != Some(target.uid.as_str()));
                format!("delete {}", target.name)
            }
            Action::PatchService { target, patch } => {
                let service = self.seen.services.get_mut(&target.name).unwrap();
                *service = patched(service, patch);
                format!("{} {patch}", target.name)
            }
            Action::EvictPod { .. } | Action::PatchWorkload { .. } => panic!("no workload here"),
            Action::Route(Write::Create { reference, object, .. }) => {
                let mut object = object.clone();
                object["metadata"]["uid"] = json!(format!("uid-{serial}"));
                self.seen.routes.insert(reference.clone(), object);
                format!("create {}", reference.name)
            }
            Action::Route(Write::Patch { reference, patch, .. }) => {
                crds::json_patch::merge(self.seen.routes.get_mut(reference).unwrap(), patch);
                format!("{} {patch}", reference.name)
            }
            Action::Route(Write::Delete { reference, .. }) => {
                self.seen.routes.remove(reference);
                format!("delete {}", reference.name)
            }
            Action::CreateAnalysisRun { run } => {
                let mut run = (**run).clone();
                let name = run.metadata.name.clone().unwrap();
                assert!(
                    self.seen.analysis_runs.iter().all(|other| other.metadata.name != run.metadata.name),
                    "{name} twice"
                );
                run.metadata.uid = Some(format!("uid-{serial}"));
                run.metadata.creation_timestamp = Some(Time(self.now));
                self.seen.analysis_runs.push(run);
                format!("create run {name}")
            }
            Action::PatchAnalysisRun { target, patch } => {
                let named = |run: &&mut crds::AnalysisRun| run.metadata.uid.as_deref() == Some(target.uid.as_str());
                let run = self.seen.analysis_runs.iter_mut().find(named).unwrap();
                *run = patched(run, patch);
                format!("{} {patch}", target.name)
            }
            Action::DeleteAnalysisRun { target } => {
                self.seen.analysis_runs.retain(|run| run.metadata.uid.as_deref() != Some(target.uid.as_str()));
                format!("delete run {}", target.name)
            }
            other => panic!("these tests have no experiments: {other:?}"),
        };
        self.writes.push(told);
        if self.lawful {
            self.laws(action);
        }
    }

    /// Decides and applies until nothing is left to do, then writes the status. A next look at the same moment must change nothing.
    pub fn settle(&mut self) -> Decision {
        let mut told: Vec<Event> = Vec::new();
        for _ in 0..20 {
            let decision = self.decide();
            for action in &decision.actions {
                self.apply(action);
            }
            let fresh: Vec<Event> = decision.events.iter().filter(|event| !told.contains(event)).cloned().collect();
            told.extend(fresh);
            if !decision.actions.is_empty() {
                continue;
            }
            self.write_status(&decision);
            self.events.append(&mut told);
            if decision.requeue_after.is_some_and(|after| after.is_zero()) {
                continue;
            }
            let again = self.decide();
            assert!(again.actions.is_empty(), "a second look acts: {:?}", again.actions);
            assert_eq!(json!(again.status), json!(self.status()), "a second look sees another status");
            assert!(again.events.is_empty(), "a second look tells: {:?}", again.events);
            return decision;
        }
        panic!(
            "found no rest: {:#?}\nstatus {}",
            self.writes.iter().rev().take(12).collect::<Vec<_>>(),
            json!(self.status())
        );
    }

    pub fn write_status(&mut self, decision: &Decision) {
        // As the API server keeps it: times have whole seconds.
        let next: RolloutStatus = serde_json::from_value(json!(decision.status)).unwrap();
        if json!(next) != json!(self.status()) {
            self.writes.push("status".to_owned());
            self.seen.rollout.status = Some(next);
        }
    }

    /// Lets pods come and settles, until time alone changes something.
    pub fn rest(&mut self) -> Decision {
        for _ in 0..60 {
            let before = json!(self.seen.replica_sets);
            self.kubelet();
            let decision = self.settle();
            if json!(self.seen.replica_sets) == before {
                return decision;
            }
        }
        panic!("pods never rest: {}", json!(self.seen.replica_sets));
    }

    /// Rests, and lets the time pass for which the machine asked, until it asks for no time, or the limit.
    pub fn run(&mut self, limit: usize) {
        for _ in 0..limit {
            let Some(after) = self.rest().requeue_after else { return };
            self.now += SignedDuration::try_from(after).unwrap();
        }
        self.rest();
    }

    pub fn set_named(&self, name: &str) -> Option<&ReplicaSet> {
        self.seen.replica_sets.iter().find(|set| set.metadata.name.as_deref() == Some(name))
    }

    fn set_mut(&mut self, target: &Target) -> &mut ReplicaSet {
        let named = |set: &&mut ReplicaSet| set.metadata.uid.as_deref() == Some(target.uid.as_str());
        self.seen.replica_sets.iter_mut().find(named).unwrap_or_else(|| panic!("no {}", target.name))
    }

    pub fn hash_of_image(&self, image: &str) -> Option<String> {
        let found = self.seen.replica_sets.iter().find(|set| set.template().unwrap().images()[0].1 == image)?;
        strategy::revision::hash_of(found).map(str::to_owned)
    }

    /// `spec.replicas` of the version with this image.
    pub fn pods(&self, image: &str) -> i32 {
        let found = self.seen.replica_sets.iter().find(|set| set.template().unwrap().images()[0].1 == image);
        found.map_or(0, ReplicaSet::replicas_or_default)
    }

    pub fn waits_for_scale_down(&self, image: &str) -> bool {
        let found = self.seen.replica_sets.iter().find(|set| set.template().unwrap().images()[0].1 == image).unwrap();
        found.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(SCALE_DOWN_DEADLINE_ANNOTATION))
    }

    pub fn weight(&self) -> Option<u32> {
        traffic::routers(&self.seen.rollout)
            .iter()
            .filter_map(|router| router.in_force(&self.seen.routes).unwrap())
            .max()
            .map(|weight| weight.0)
    }

    /// The version a Service points to.
    pub fn behind(&self, service: &str) -> Option<String> {
        self.seen.services[service].spec.as_ref()?.selector.as_ref()?.get(POD_TEMPLATE_HASH_LABEL).cloned()
    }

    fn available(&self, hash: &str) -> i32 {
        let found = self.seen.replica_sets.iter().find(|set| strategy::revision::hash_of(set) == Some(hash));
        found.and_then(|set| set.status.as_ref()?.available_replicas).unwrap_or(0)
    }

    fn laws(&self, last: &Action) {
        let told = || {
            format!(
                "after {last:?}\nwrites {:#?}\nstatus {}",
                self.writes.iter().rev().take(8).collect::<Vec<_>>(),
                json!(self.status())
            )
        };
        let stable = self.status().stable_rs;
        if let Some(weight) = self.weight() {
            let max =
                self.seen.rollout.canary().unwrap().traffic_routing.as_ref().unwrap().max_traffic_weight.unwrap_or(100);
            let max = u32::try_from(max).unwrap();
            let shares = [("web-canary", weight), ("web-stable", max - weight)];
            for (service, share) in shares {
                if let Some(hash) = self.behind(service).filter(|_| share > 0 && stable.is_some()) {
                    assert!(self.available(&hash) > 0, "{share} of {max} go to {hash}, which has no pods; {}", told());
                }
            }
        }
    }
}
