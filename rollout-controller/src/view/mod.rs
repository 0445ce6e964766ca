//! The picture of the cluster: what the watches have seen and what our own writes were answered with.
//!
//! Invariants
//! - What the API server answers to a write is in the picture before the next decision is made.
//! - Whoever depends on a changed object is woken: the Rollout that controls it, names it or could adopt it; the
//!   AnalysisRun itself. An answer to a write does not wake the one who wrote, who looks again anyway.
//! - A malformed object is in the picture as such; it stops nothing.

pub mod analysis_gauges;
mod experiments;
pub mod gauges;
mod managed;
mod observe;
pub mod pods;
pub mod references;
pub mod routes;
pub mod store;
pub mod watch;
pub mod workloads;

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::k8s_openapi::api::core::v1::Service;
use crds::kube::Client;
use crds::kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use crds::kube::core::{NamespaceResourceScope, Selector, SelectorExt};
use crds::kube::runtime::watcher;
use crds::kube::{Resource, ResourceExt};
use crds::{
    AnalysisRun, AnalysisTemplate, AnalysisTemplateSpec, ClusterAnalysisTemplate, Experiment, Guarded, ObjectMeta,
    ReplicaSet, Rollout,
};
use tokio::task::JoinSet;

use self::references::{Index, Referenced};
use self::store::{Change, Name, Store};
use crate::metrics::KindLabel;
use crate::queue::Queue;

/// What can be worked on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// An AnalysisRun.
    AnalysisRun(Name),
    /// An Experiment.
    Experiment(Name),
    /// A Rollout.
    Rollout(Name),
}

/// The picture. Shared behind an `Arc`.
#[derive(Debug)]
pub struct View {
    /// Rollouts of this instance.
    pub rollouts: Store<Guarded<Rollout>>,
    /// ReplicaSets with a pod-template hash.
    pub replica_sets: Store<ReplicaSet>,
    /// Services.
    pub services: Store<Service>,
    /// Ingresses, as they came.
    pub ingresses: Store<DynamicObject>,
    /// AnalysisRuns of this instance.
    pub runs: Store<Guarded<AnalysisRun>>,
    /// Experiments of this instance.
    pub experiments: Store<Guarded<Experiment>>,
    /// AnalysisTemplates.
    pub templates: Store<Guarded<AnalysisTemplate>>,
    /// ClusterAnalysisTemplates.
    pub cluster_templates: Store<Guarded<ClusterAnalysisTemplate>>,
    /// What Rollouts reference with `workloadRef`.
    pub workloads: workloads::Workloads,
    /// Routers' objects of kinds that a cluster may not have.
    pub routes: routes::Routes,
    index: Index,
    experiment_index: Index,
    managed: managed::Managed,
    queue: Arc<Queue<Key>>,
}

/// The kind under which Ingresses are read and written.
pub fn ingress_kind() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("networking.k8s.io", "v1", "Ingress"), "ingresses")
}

impl View {
    /// An empty picture that wakes keys of `queue`.
    pub fn new(queue: Arc<Queue<Key>>) -> Self {
        Self {
            rollouts: Store::default(),
            replica_sets: Store::default(),
            services: Store::default(),
            ingresses: Store::default(),
            runs: Store::default(),
            experiments: Store::default(),
            templates: Store::default(),
            cluster_templates: Store::default(),
            workloads: workloads::Workloads::default(),
            routes: routes::Routes::default(),
            index: Index::default(),
            experiment_index: Index::default(),
            managed: managed::Managed::default(),
            queue,
        }
    }

    /// Takes in a Rollout from a watch or an answer.
    pub fn take_rollout(&self, rollout: Guarded<Rollout>, by: Option<&Key>) {
        self.rollout_changed(&self.rollouts.put(rollout), by);
    }

    /// Takes in the answer to a write.
    pub fn take_replica_set(&self, set: ReplicaSet, by: Option<&Key>) {
        self.replica_set_changed(&self.replica_sets.put(set), by);
    }

    /// Takes in the answer to a write.
    pub fn take_service(&self, service: Service, by: Option<&Key>) {
        self.service_changed(&self.services.put(service), by);
    }

    /// Takes in the answer to a write.
    pub fn take_ingress(&self, ingress: DynamicObject, by: Option<&Key>) {
        self.ingress_changed(&self.ingresses.put(ingress), by);
    }

    /// Takes in the answer to a write.
    pub fn take_run(&self, run: AnalysisRun, by: Option<&Key>) {
        self.run_changed(&self.runs.put(Guarded::Valid(Box::new(run))), by);
    }

    /// A run was deleted by us.
    pub fn drop_run(&self, meta: &ObjectMeta, by: Option<&Key>) {
        self.run_changed(&self.runs.remove(meta), by);
    }

    /// A ReplicaSet was deleted by us.
    pub fn drop_replica_set(&self, meta: &ObjectMeta, by: Option<&Key>) {
        self.replica_set_changed(&self.replica_sets.remove(meta), by);
    }

    /// An Ingress was deleted by us.
    pub fn drop_ingress(&self, meta: &ObjectMeta, by: Option<&Key>) {
        self.ingress_changed(&self.ingresses.remove(meta), by);
    }

    /// Wakes everything there is: after leadership was gained.
    pub fn wake_all(&self) {
        for rollout in self.rollouts.all() {
            self.queue.wake(&Key::Rollout(Name::of(rollout.meta())));
        }
        for run in self.runs.all() {
            self.queue.wake(&Key::AnalysisRun(Name::of(run.meta())));
        }
        for experiment in self.experiments.all() {
            self.queue.wake(&Key::Experiment(Name::of(experiment.meta())));
        }
    }

    fn rollout_changed(&self, change: &Change<Guarded<Rollout>>, by: Option<&Key>) {
        let name = match change {
            Change::None => return,
            Change::Put { new, .. } => {
                let name = Name::of(new.meta());
                if let Guarded::Valid(rollout) = &**new {
                    self.names(&name, self.references(rollout));
                }
                name
            }
            Change::Removed(old) => {
                let name = Name::of(old.meta());
                self.names(&name, std::collections::BTreeSet::new());
                name
            }
        };
        self.wake(&Key::Rollout(name), by);
    }

    fn names(&self, rollout: &Name, references: std::collections::BTreeSet<Referenced>) {
        self.routes.named_by(rollout, &references);
        self.index.set(rollout, references);
    }

    fn references(&self, rollout: &Rollout) -> std::collections::BTreeSet<Referenced> {
        references::of_rollout(rollout, &|referenced| self.template_spec(referenced))
    }

    fn template_spec(&self, referenced: &Referenced) -> Option<AnalysisTemplateSpec> {
        match referenced {
            Referenced::Template(name) => match &*self.templates.get(name)? {
                Guarded::Valid(template) => Some(template.spec.clone()),
                Guarded::Malformed(_) => None,
            },
            Referenced::ClusterTemplate(name) => match &*self.cluster_templates.get(&Name::new("", name))? {
                Guarded::Valid(template) => serde_json::to_value(&template.spec).and_then(serde_json::from_value).ok(),
                Guarded::Malformed(_) => None,
            },
            Referenced::Service(_) | Referenced::Route(..) | Referenced::Routes(..) | Referenced::Workload(..) => None,
        }
    }

    fn replica_set_changed(&self, change: &Change<ReplicaSet>, by: Option<&Key>) {
        let (old, new) = both(change);
        for set in old.into_iter().chain(new) {
            if self.wake_controller(&set.metadata, by) || controller(&set.metadata).is_some() {
                continue;
            }
            // An orphan: whoever's selector matches may adopt it.
            for rollout in self.rollouts.in_namespace(&set.namespace().unwrap_or_default()) {
                if let Guarded::Valid(rollout) = &*rollout
                    && selector_of(rollout).is_some_and(|selector| selector.matches(set.labels()))
                {
                    self.wake(&Key::Rollout(Name::of(&rollout.metadata)), by);
                }
            }
        }
    }

    fn service_changed(&self, change: &Change<Service>, by: Option<&Key>) {
        if let Some(meta) = meta_of(change) {
            let referenced = Referenced::Service(Name::of(meta));
            self.wake_naming(&referenced, by);
            self.wake_experiments_naming(&referenced, by);
            let (old, new) = both(change);
            let [before, now] = [old, new].map(|service| service.and_then(strategy::services::managed_by));
            let name = Name::of(meta);
            self.managed.change(&name, before, now);
            for rollout in before.into_iter().chain(now).collect::<std::collections::BTreeSet<_>>() {
                self.wake(&Key::Rollout(Name::new(name.namespace.clone(), rollout)), by);
            }
        }
        self.experiments_service_changed(change, by);
    }

    fn ingress_changed(&self, change: &Change<DynamicObject>, by: Option<&Key>) {
        if let Some(meta) = meta_of(change) {
            self.wake_naming(&Referenced::Route("ingresses", Name::of(meta)), by);
        }
    }

    fn run_changed(&self, change: &Change<Guarded<AnalysisRun>>, by: Option<&Key>) {
        let Some(meta) = meta_of(change) else { return };
        self.wake(&Key::AnalysisRun(Name::of(meta)), by);
        self.wake_controller(meta, by);
    }

    fn template_changed(&self, referenced: &Referenced) {
        for name in self.index.naming(referenced) {
            if let Some(Guarded::Valid(rollout)) = self.rollouts.get(&name).as_deref() {
                self.index.set(&name, self.references(rollout));
            }
            self.wake(&Key::Rollout(name), None);
        }
        self.wake_experiments_naming(referenced, None);
    }

    fn wake_naming(&self, referenced: &Referenced, by: Option<&Key>) {
        for name in self.index.naming(referenced) {
            self.wake(&Key::Rollout(name), by);
        }
    }

    /// True when the object is controlled by a Rollout or an Experiment that is in the picture.
    fn wake_controller(&self, meta: &ObjectMeta, by: Option<&Key>) -> bool {
        let Some(owner) = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true)) else {
            return false;
        };
        let name = Name::new(meta.namespace.clone().unwrap_or_default(), owner.name.clone());
        let key = match owner.kind.as_str() {
            "Rollout" if self.rollouts.get(&name).is_some() => Key::Rollout(name),
            "Experiment" if self.experiments.get(&name).is_some() => Key::Experiment(name),
            _ => return false,
        };
        self.wake(&key, by);
        true
    }

    fn wake(&self, key: &Key, by: Option<&Key>) {
        if by != Some(key) {
            self.queue.wake(key);
        }
    }
}

/// The selector of a Rollout; `None` when it has none, an empty or a wrong one, which select nothing here.
pub fn selector_of(rollout: &Rollout) -> Option<Selector> {
    let selector = rollout.spec.selector.clone()?;
    if selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
    {
        return None;
    }
    Selector::try_from(selector).ok()
}

/// The uid of the controlling owner.
fn controller(meta: &ObjectMeta) -> Option<&str> {
    let owner = meta.owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true))?;
    Some(&owner.uid)
}

fn both<K>(change: &Change<K>) -> (Option<&K>, Option<&K>) {
    match change {
        Change::None => (None, None),
        Change::Put { old, new } => (old.as_deref(), Some(new)),
        Change::Removed(old) => (Some(old), None),
    }
}

fn meta_of<K: Resource>(change: &Change<K>) -> Option<&ObjectMeta> {
    match change {
        Change::None => None,
        Change::Put { new, .. } => Some(new.meta()),
        Change::Removed(old) => Some(old.meta()),
    }
}

/// Starts all watches. They end with [`watch::Shared::stop`].
pub fn start(
    view: &Arc<View>,
    client: &Client,
    namespace: Option<&str>,
    instance_selector: &str,
    shared: &watch::Shared,
) -> JoinSet<()> {
    let plurals = [
        "rollouts",
        "replicasets",
        "services",
        "ingresses",
        "analysisruns",
        "experiments",
        "analysistemplates",
        "clusteranalysistemplates",
    ];
    for plural in plurals {
        shared.readiness.waits_for(plural, "the first list is not complete");
    }
    let mut tasks = JoinSet::new();
    let all = watcher::Config::default();
    let ours = watcher::Config::default().labels(instance_selector);
    let hashed = watcher::Config::default().labels(crds::words::POD_TEMPLATE_HASH_LABEL);
    tasks.spawn(routes::run(view.clone(), client.clone(), namespace.map(str::to_owned), shared.clone()));
    tasks.spawn(workloads::run(view.clone(), client.clone(), namespace.map(str::to_owned), shared.clone()));
    let ingresses = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &ingress_kind()),
        None => Api::all_with(client.clone(), &ingress_kind()),
    };
    let (v, s, api) = (view.clone(), shared.clone(), scoped(client, namespace));
    let (label, config) = (KindLabel { kind: "Rollout".to_owned() }, ours.clone());
    tasks.spawn(async move {
        let changed = |change: &Change<Guarded<Rollout>>| {
            count_malformed(&s, &label, change);
            v.rollout_changed(change, None);
        };
        watch::run(api, config, "rollouts", &v.rollouts, s.clone(), changed).await;
    });
    let (v, s, api) = (view.clone(), shared.clone(), scoped(client, namespace));
    tasks.spawn(async move {
        watch::run(api, hashed, "replicasets", &v.replica_sets, s, |change| v.replica_set_changed(change, None)).await;
    });
    let (v, s, api, config) = (view.clone(), shared.clone(), scoped(client, namespace), all.clone());
    tasks.spawn(async move {
        watch::run(api, config, "services", &v.services, s, |change| v.service_changed(change, None)).await;
    });
    let (v, s, config) = (view.clone(), shared.clone(), all.clone());
    tasks.spawn(async move {
        watch::run(ingresses, config, "ingresses", &v.ingresses, s, |change| v.ingress_changed(change, None)).await;
    });
    let (v, s, api) = (view.clone(), shared.clone(), scoped(client, namespace));
    let (label, config) = (KindLabel { kind: "AnalysisRun".to_owned() }, ours.clone());
    tasks.spawn(async move {
        let changed = |change: &Change<Guarded<AnalysisRun>>| {
            count_malformed(&s, &label, change);
            v.run_changed(change, None);
        };
        watch::run(api, config, "analysisruns", &v.runs, s.clone(), changed).await;
    });
    let (v, s, api) = (view.clone(), shared.clone(), scoped(client, namespace));
    let label = KindLabel { kind: "Experiment".to_owned() };
    tasks.spawn(async move {
        let changed = |change: &Change<Guarded<Experiment>>| {
            count_malformed(&s, &label, change);
            v.experiment_changed(change, None);
        };
        watch::run(api, ours, "experiments", &v.experiments, s.clone(), changed).await;
    });
    let (v, s, api, config) = (view.clone(), shared.clone(), scoped(client, namespace), all.clone());
    let label = KindLabel { kind: "AnalysisTemplate".to_owned() };
    tasks.spawn(async move {
        let changed = |change: &Change<Guarded<AnalysisTemplate>>| {
            count_malformed(&s, &label, change);
            if let Some(meta) = meta_of(change) {
                v.template_changed(&Referenced::Template(Name::of(meta)));
            }
        };
        watch::run(api, config, "analysistemplates", &v.templates, s.clone(), changed).await;
    });
    let (v, s, api) = (view.clone(), shared.clone(), Api::<Guarded<ClusterAnalysisTemplate>>::all(client.clone()));
    let label = KindLabel { kind: "ClusterAnalysisTemplate".to_owned() };
    tasks.spawn(async move {
        let changed = |change: &Change<Guarded<ClusterAnalysisTemplate>>| {
            count_malformed(&s, &label, change);
            if let Some(meta) = meta_of(change) {
                v.template_changed(&Referenced::ClusterTemplate(meta.name.clone().unwrap_or_default()));
            }
        };
        watch::run(api, all, "clusteranalysistemplates", &v.cluster_templates, s.clone(), changed).await;
    });
    tasks
}

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn count_malformed<K>(shared: &watch::Shared, label: &KindLabel, change: &Change<Guarded<K>>) {
    let bad = |object: &Guarded<K>| i64::from(matches!(object, Guarded::Malformed(_)));
    let step = match change {
        Change::None => 0,
        Change::Put { old, new } => bad(new) - old.as_deref().map_or(0, bad),
        Change::Removed(old) => -bad(old),
    };
    if step != 0 {
        shared.metrics.malformed.get_or_create(label).inc_by(step);
    }
}
