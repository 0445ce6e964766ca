//! Simulated controllers and kubelet, in one task.
//!
//! Each turn first takes in what changed, then lets every part do its share in a fixed order, then sleeps until the next
//! change or timer. With a paused clock a run is therefore the same every time.

mod endpoints;
mod kubelet;
mod replica_sets;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::api::storage::{Key, Object, State, Written, key};
use crate::{Inner, json, lock};

pub(crate) const PODS: &str = "/pods";
pub(crate) const SERVICES: &str = "/services";
pub(crate) const SETS: &str = "apps/replicasets";
const NODE: &str = "simulated-node";

/// How long the steps of a pod's life take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delays {
    /// From creation to having a node.
    pub schedule: Duration,
    /// From having a node to running containers (or a failed image pull).
    pub start: Duration,
    /// From running to ready.
    pub ready: Duration,
    /// From the wish to delete to being gone.
    pub stop: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            schedule: Duration::from_millis(100),
            start: Duration::from_millis(400),
            ready: Duration::from_secs(1),
            stop: Duration::from_secs(1),
        }
    }
}

/// The running simulation of workloads. It goes on until stopped or the runtime ends; dropping the handle changes
/// nothing.
#[derive(Debug)]
pub struct Workloads(JoinHandle<()>);

impl Workloads {
    /// Ends the simulation: pods and ReplicaSets stay as they are.
    pub fn stop(self) {
        self.0.abort();
    }
}

/// What a timer is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Pod { key: Key, uid: String, stage: kubelet::Stage },
    Set(Key),
}

/// What the parts share.
struct Work {
    delays: Delays,
    sets: BTreeSet<Key>,
    services: BTreeSet<Key>,
    pods: BTreeSet<Key>,
    /// Changed pods, before and after, whose Services are yet to be found.
    pod_labels: Vec<Object>,
    timers: BTreeMap<(Instant, u64), Timer>,
    armed: BTreeMap<String, kubelet::Stage>,
    sequence: u64,
    next_address: u32,
}

impl Work {
    fn after(&mut self, wait: Duration, timer: Timer) {
        self.sequence += 1;
        self.timers.insert((Instant::now() + wait, self.sequence), timer);
    }

    fn take_in(&mut self, table: &str, changes: &[(Object, Option<Object>)]) {
        for (object, before) in changes {
            let place = key(object);
            match table {
                SETS => {
                    self.sets.insert(place);
                }
                SERVICES => {
                    self.services.insert(place);
                }
                _ => {
                    self.pod_labels.extend([Some(object), before.as_ref()].into_iter().flatten().map(Arc::clone));
                    for owner in
                        [Some(object), before.as_ref()].into_iter().flatten().filter_map(|pod| json::controller_of(pod))
                    {
                        if json::text(owner, &["kind"]) == Some("ReplicaSet") {
                            let name = json::text(owner, &["name"]).unwrap_or_default();
                            self.sets.insert((place.0.clone(), name.to_owned()));
                        }
                    }
                    self.pods.insert(place);
                }
            }
        }
    }
}

pub(crate) fn start(inner: &Arc<Inner>, delays: Delays) -> Workloads {
    let inner = Arc::clone(inner);
    Workloads(tokio::spawn(async move { run(&inner, delays).await }))
}

async fn run(inner: &Inner, delays: Delays) {
    let tables = [SETS, PODS, SERVICES];
    let mut work = Work {
        delays,
        sets: BTreeSet::new(),
        services: BTreeSet::new(),
        pods: BTreeSet::new(),
        pod_labels: Vec::new(),
        timers: BTreeMap::new(),
        armed: BTreeMap::new(),
        sequence: 0,
        next_address: 1,
    };
    let (mut changed, mut positions) = {
        let mut state = lock(&inner.state);
        make_node(&mut state);
        for table in tables {
            let all: Vec<_> = state.all(table, None).into_iter().map(|object| (object, None)).collect();
            work.take_in(table, &all);
        }
        let version = state.version();
        (tables.map(|table| state.subscribe(table)), tables.map(|_| version))
    };
    loop {
        {
            let mut state = lock(&inner.state);
            turn(&mut state, &mut work, &tables, &mut positions);
        }
        let [sets, pods, services] = &mut changed;
        let wake = work.timers.keys().next().map(|(at, _)| *at);
        let timer = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = sets.changed() => if ended.is_err() { return },
            ended = pods.changed() => if ended.is_err() { return },
            ended = services.changed() => if ended.is_err() { return },
            () = timer => {}
        }
    }
}

/// Works until nothing is left to do now.
fn turn(state: &mut State, work: &mut Work, tables: &[&str; 3], positions: &mut [u64; 3]) {
    loop {
        for (table, position) in tables.iter().zip(positions.iter_mut()) {
            let changes: Vec<(Object, Option<Object>)> = if let Ok(changes) = state.since(table, *position) {
                if let Some(last) = changes.last() {
                    *position = last.version;
                }
                changes.into_iter().map(|Written { object, before, .. }| (object, before)).collect()
            } else {
                *position = state.version();
                state.all(table, None).into_iter().map(|object| (object, None)).collect()
            };
            work.take_in(table, &changes);
        }
        while let Some(entry) = work.timers.first_entry().filter(|entry| entry.key().0 <= Instant::now()) {
            match entry.remove() {
                Timer::Set(key) => {
                    work.sets.insert(key);
                }
                Timer::Pod { key, uid, stage } => kubelet::advance(state, work, &key, &uid, stage),
            }
        }
        if let Some(pod) = work.pods.pop_first() {
            kubelet::look(state, work, &pod);
        } else if !work.pod_labels.is_empty() {
            endpoints::pods_changed(state, work);
        } else if let Some(set) = work.sets.pop_first() {
            replica_sets::reconcile(state, work, &set);
        } else if let Some(service) = work.services.pop_first() {
            endpoints::reconcile(state, &service);
        } else {
            let behind = tables
                .iter()
                .zip(positions.iter())
                .any(|(table, position)| state.since(table, *position).map_or(true, |changes| !changes.is_empty()));
            if !behind {
                return;
            }
        }
    }
}

fn make_node(state: &mut State) {
    let key = (String::new(), NODE.to_owned());
    if state.get("/nodes", &key).is_some() {
        return;
    }
    let uid = state.uid();
    let stamp = state.clock.stamp();
    let size = json!({"cpu": "10k", "memory": "40Ti", "pods": "100k"});
    state.write("/nodes", json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": NODE, "uid": uid, "creationTimestamp": stamp, "labels": {"kubernetes.io/hostname": NODE}},
        "spec": {},
        "status": {"allocatable": size, "capacity": size, "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "simulated", "lastTransitionTime": stamp,
        }]},
    }));
}

/// Sets a condition; its transition time moves only when the status does.
fn set_condition(object: &mut Value, stamp: &str, kind: &str, status: &str, reason: &str) {
    let conditions =
        json::object_mut(object, &["status"]).entry("conditions").or_insert_with(|| Value::Array(Vec::new()));
    let Some(conditions) = conditions.as_array_mut() else { return };
    let mut fresh = json!({"type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": stamp});
    if !reason.is_empty() {
        json::set(&mut fresh, &["reason"], reason);
    }
    match conditions.iter_mut().find(|found| json::text(found, &["type"]) == Some(kind)) {
        Some(found) => {
            if json::text(found, &["status"]) == Some(status) {
                json::carry(found, &mut fresh, &["lastTransitionTime"]);
            }
            *found = fresh;
        }
        None => conditions.push(fresh),
    }
}
