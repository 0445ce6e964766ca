//! Workloads that Rollouts reference: Deployments, ReplicaSets and PodTemplates.
//!
//! Invariants
//! - A kind is watched from the moment at which a first Rollout references one of it; until then it costs nothing.
//! - Only referenced objects are kept, and of them only what a decision looks at. Who references one that was not referenced before
//!   reads it once; the watch says what happens to it from then on.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crds::kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use crds::kube::core::DynamicResourceScope;
use crds::kube::runtime::watcher;
use crds::kube::{Client, Resource};
use crds::{LabelSelector, ObjectMeta, PodTemplate};
use serde::{Deserialize, Serialize};
use strategy::workload::{Workload, WorkloadKind};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::references::Referenced;
use super::store::{Change, Name, Store};
use super::{View, watch};

/// A workload without what no decision looks at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Described {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spec: Option<Spec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    template: Option<PodTemplate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Spec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replicas: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    selector: Option<LabelSelector>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    template: Option<PodTemplate>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    observed_generation: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    available_replicas: Option<i32>,
}

impl Resource for Described {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(kind: &ApiResource) -> Cow<'_, str> {
        DynamicObject::kind(kind)
    }

    fn group(kind: &ApiResource) -> Cow<'_, str> {
        DynamicObject::group(kind)
    }

    fn version(kind: &ApiResource) -> Cow<'_, str> {
        DynamicObject::version(kind)
    }

    fn plural(kind: &ApiResource) -> Cow<'_, str> {
        DynamicObject::plural(kind)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// How a kind is read and written.
pub fn resource(kind: WorkloadKind) -> ApiResource {
    let (group, plural) = match kind {
        WorkloadKind::Deployment => ("apps", "deployments"),
        WorkloadKind::ReplicaSet => ("apps", "replicasets"),
        WorkloadKind::PodTemplate => ("", "podtemplates"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind.kind()), plural)
}

/// The API of a kind in a namespace.
pub fn api(client: &Client, namespace: &str, kind: WorkloadKind) -> Api<Described> {
    Api::namespaced_with(client.clone(), namespace, &resource(kind))
}

/// What is known of workloads.
#[derive(Debug)]
pub struct Workloads {
    deployments: Store<Described>,
    replica_sets: Store<Described>,
    pod_templates: Store<Described>,
    wanted: UnboundedSender<WorkloadKind>,
    waiting: Mutex<Option<UnboundedReceiver<WorkloadKind>>>,
    watched: Mutex<BTreeSet<WorkloadKind>>,
}

impl Default for Workloads {
    fn default() -> Self {
        let (wanted, waiting) = unbounded_channel();
        Self {
            deployments: Store::default(),
            replica_sets: Store::default(),
            pod_templates: Store::default(),
            wanted,
            waiting: Mutex::new(Some(waiting)),
            watched: Mutex::default(),
        }
    }
}

impl Workloads {
    fn store(&self, kind: WorkloadKind) -> &Store<Described> {
        match kind {
            WorkloadKind::Deployment => &self.deployments,
            WorkloadKind::ReplicaSet => &self.replica_sets,
            WorkloadKind::PodTemplate => &self.pod_templates,
        }
    }

    /// Whether the workload is in the picture.
    pub fn knows(&self, kind: WorkloadKind, name: &Name) -> bool {
        self.store(kind).get(name).is_some()
    }

    /// The workload as a decision looks at it.
    pub fn get(&self, kind: WorkloadKind, name: &Name) -> Option<Workload> {
        let object = serde_json::to_value(&*self.store(kind).get(name)?).ok()?;
        Some(Workload::read(kind, &object))
    }

    /// From now on this kind is watched.
    pub fn want(&self, kind: WorkloadKind) {
        if lock(&self.watched).insert(kind) {
            // Without a receiver the controller is stopping.
            let _ = self.wanted.send(kind);
        }
    }

    /// Takes in an object that is referenced.
    pub fn put(&self, kind: WorkloadKind, mut object: Described) -> Change<Described> {
        watch::strip_meta(&mut object.metadata);
        self.store(kind).put(object)
    }

    /// What nobody references is not kept.
    fn forget(&self, kind: WorkloadKind, name: &Name) {
        self.store(kind).forget(name);
    }
}

/// Starts the watch of each kind when it is first wanted, until it is told to stop.
pub async fn run(view: Arc<View>, client: Client, namespace: Option<String>, shared: watch::Shared) {
    let Some(mut wanted) = lock(&view.workloads.waiting).take() else { return };
    let mut watches = JoinSet::new();
    loop {
        let kind = tokio::select! {
            () = shared.stop.cancelled() => break,
            kind = wanted.recv() => kind,
        };
        let Some(kind) = kind else { break };
        let api: Api<Described> = match &namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource(kind)),
            None => Api::all_with(client.clone(), &resource(kind)),
        };
        let (view, shared) = (view.clone(), shared.clone());
        watches.spawn(async move {
            let changed = |change: &Change<Described>| {
                if let Some(meta) = super::meta_of(change) {
                    let name = Name::of(meta);
                    if !view.workload_changed(kind, &name, None) {
                        view.workloads.forget(kind, &name);
                    }
                }
            };
            let plural = format!("{}s", kind.kind().to_lowercase());
            watch::run(api, watcher::Config::default(), &plural, view.workloads.store(kind), shared, changed).await;
        });
    }
    watches.shutdown().await;
}

impl View {
    /// Takes in a workload that was read or written. Wakes whoever references it, except `by`.
    pub fn take_workload(&self, kind: WorkloadKind, object: Described, by: Option<&super::Key>) {
        if let Some(meta) = super::meta_of(&self.workloads.put(kind, object)) {
            self.workload_changed(kind, &Name::of(meta), by);
        }
    }

    /// Whether somebody references it.
    fn workload_changed(&self, kind: WorkloadKind, name: &Name, by: Option<&super::Key>) -> bool {
        let referenced = Referenced::Workload(kind, name.clone());
        self.wake_naming(&referenced, by);
        !self.index.naming(&referenced).is_empty()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
