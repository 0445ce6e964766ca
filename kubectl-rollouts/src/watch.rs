//! Following objects as they change.
//!
//! Invariants: a lost watch is taken up again with back-off and never ends the program; the objects of a kind are
//! replaced all at once when a watch begins anew, so that what was deleted meanwhile does not stay.

use std::collections::BTreeMap;

use crds::k8s_openapi::api::core::v1::Pod;
use crds::kube::api::DynamicObject;
use crds::kube::core::ApiResource;
use crds::kube::runtime::watcher::{self, Event};
use crds::kube::runtime::{WatchStreamExt as _, watcher as watch};
use crds::kube::{Api, ResourceExt};
use crds::{AnalysisRun, Experiment, ReplicaSet, Rollout};
use futures::stream::{BoxStream, StreamExt as _};
use serde::de::DeserializeOwned;

use crate::errors::{About, Error};
use crate::picture::{self, Picture};
use crate::session::{self, Session};
use crate::{names, terminal::Terminal};

/// What a watch tells.
pub type Seen = Result<Event<DynamicObject>, watcher::Error>;

/// Watches what this access reaches, for ever.
pub fn events(api: Api<DynamicObject>, config: watcher::Config) -> BoxStream<'static, Seen> {
    watch(api, config).default_backoff().boxed()
}

/// Watches the one Rollout of this name.
pub fn rollout(session: &Session, name: &str) -> BoxStream<'static, Seen> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    events(session.api(&names::rollouts()), config)
}

/// What to tell a person about a watch that fails; it is tried again anyway.
pub fn trouble(error: &watcher::Error, session: &Session, resource: &ApiResource) -> String {
    let qualified = names::qualified(resource);
    let about = About { resource: &qualified, name: "", namespace: &session.namespace, server: &session.server };
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => Error::of_request(error, about).to_string(),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => "the server does not support watching".to_owned(),
    }
}

/// The objects of one kind, kept up to date.
#[derive(Clone, Debug)]
pub struct Kept<K> {
    resource: ApiResource,
    now: BTreeMap<(String, String), K>,
    arriving: BTreeMap<(String, String), K>,
}

impl<K: ResourceExt + DeserializeOwned + Clone> Kept<K> {
    /// Begins with these.
    pub fn new(resource: ApiResource, objects: impl IntoIterator<Item = K>) -> Self {
        let now = objects.into_iter().map(|object| (key(&object), object)).collect();
        Self { resource, now, arriving: BTreeMap::new() }
    }

    /// Takes in what a watch told. Objects which cannot be read are left out.
    pub fn take(&mut self, event: Event<DynamicObject>) {
        match event {
            Event::Init => self.arriving.clear(),
            Event::InitApply(object) => {
                if let Ok(object) = session::read::<K>(&self.resource, object) {
                    self.arriving.insert(key(&object), object);
                }
            }
            Event::InitDone => self.now = std::mem::take(&mut self.arriving),
            Event::Apply(object) => {
                if let Ok(object) = session::read::<K>(&self.resource, object) {
                    self.now.insert(key(&object), object);
                }
            }
            Event::Delete(object) => {
                self.now.remove(&key(&object));
            }
        }
    }

    /// All objects.
    pub fn all(&self) -> Vec<K> {
        self.now.values().cloned().collect()
    }
}

fn key(object: &impl ResourceExt) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

#[derive(Clone, Copy)]
enum Kind {
    Rollout,
    ReplicaSet,
    Pod,
    AnalysisRun,
    Experiment,
}

/// A picture that follows the cluster.
pub struct Following {
    session: Session,
    rollouts: Kept<Rollout>,
    replica_sets: Kept<ReplicaSet>,
    pods: Kept<Pod>,
    analysis_runs: Kept<AnalysisRun>,
    experiments: Kept<Experiment>,
    changes: BoxStream<'static, (Kind, Seen)>,
    trouble: Option<String>,
}

impl Following {
    /// Begins with the picture as it is.
    ///
    /// # Errors
    /// The Rollout cannot be read.
    pub async fn begin(session: &Session, name: &str, terminal: &mut Terminal) -> Result<Self, Error> {
        let first = Picture::read(session, name, terminal).await?;
        let labelled = || watcher::Config::default().labels(crds::words::POD_TEMPLATE_HASH_LABEL);
        let all = watcher::Config::default;
        let of = |kind: Kind, stream: BoxStream<'static, Seen>| stream.map(move |seen| (kind, seen)).boxed();
        let changes = futures::stream::select_all([
            of(Kind::Rollout, rollout(session, name)),
            of(Kind::ReplicaSet, events(session.api(&picture::replica_sets()), labelled())),
            of(Kind::Pod, events(session.api(&picture::pods()), labelled())),
            of(Kind::AnalysisRun, events(session.api(&names::analysis_runs()), all())),
            of(Kind::Experiment, events(session.api(&names::experiments()), all())),
        ]);
        Ok(Self {
            session: session.clone(),
            rollouts: Kept::new(names::rollouts(), [first.rollout]),
            replica_sets: Kept::new(picture::replica_sets(), first.replica_sets),
            pods: Kept::new(picture::pods(), first.pods),
            analysis_runs: Kept::new(names::analysis_runs(), first.analysis_runs),
            experiments: Kept::new(names::experiments(), first.experiments),
            changes: changes.boxed(),
            trouble: None,
        })
    }

    /// The picture now; `None` once the Rollout is gone.
    pub fn picture(&self) -> Option<Picture> {
        Some(Picture {
            rollout: self.rollouts.all().pop()?,
            replica_sets: self.replica_sets.all(),
            pods: self.pods.all(),
            analysis_runs: self.analysis_runs.all(),
            experiments: self.experiments.all(),
        })
    }

    /// Why the picture may be old, while the watch of the Rollout fails.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Waits until something changes.
    pub async fn changed(&mut self) {
        match self.changes.next().await {
            // Watches do not end; if they do there is nothing left to wait for but the caller's other reasons to wake.
            None => std::future::pending().await,
            Some((kind, Ok(event))) => {
                if matches!(kind, Kind::Rollout) {
                    self.trouble = None;
                }
                match kind {
                    Kind::Rollout => self.rollouts.take(event),
                    Kind::ReplicaSet => self.replica_sets.take(event),
                    Kind::Pod => self.pods.take(event),
                    Kind::AnalysisRun => self.analysis_runs.take(event),
                    Kind::Experiment => self.experiments.take(event),
                }
            }
            Some((Kind::Rollout, Err(error))) => {
                self.trouble = Some(trouble(&error, &self.session, &names::rollouts()));
            }
            Some((_, Err(_))) => {}
        }
    }
}
