//! The only place that writes to Kubernetes.
//!
//! Invariants
//! - Immediately before each write the lease is asked; without it nothing is written.
//! - Each write has preconditions (uid, and the resourceVersion where it depends on the rest of the object), a timeout and
//!   one of four outcomes, which is counted.
//! - Existing objects are changed by merge patches only, never replaced: fields that we do not know survive.

pub mod merge;
mod outcome;
pub mod pod;
mod pod_metadata;
pub mod routing;

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crds::ObjectMeta;
use crds::kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use crds::kube::core::NamespaceResourceScope;
use crds::kube::{Client, Error, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use outcome::Outcome;

use crate::lease::Leadership;
use crate::metrics::{Metrics, WriteLabels};
use crate::words;

/// Time for one write.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes, when it may. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    leadership: Leadership,
    metrics: Arc<Metrics>,
}

impl Debug for Writer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Writer").field("leadership", &self.leadership).finish_non_exhaustive()
    }
}

impl Writer {
    /// A writer that writes while `leadership` holds.
    pub fn new(client: Client, leadership: Leadership, metrics: Arc<Metrics>) -> Self {
        Self { client, leadership, metrics }
    }

    /// The API of a namespaced kind.
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The client, for reads on demand and for kinds without types.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Creates an object.
    pub async fn create<K>(&self, api: &Api<K>, kind: &str, object: &K) -> Outcome<K>
    where
        K: Clone + Debug + Serialize + DeserializeOwned,
    {
        let params = PostParams { field_manager: Some(words::FIELD_MANAGER.to_owned()), ..PostParams::default() };
        self.write("create", kind, api.create(&params, object)).await
    }

    /// Patches the main resource.
    pub async fn patch<K>(&self, api: &Api<K>, kind: &str, name: &str, patch: &Value) -> Outcome<K>
    where
        K: Clone + Debug + DeserializeOwned,
    {
        self.write("patch", kind, api.patch(name, &params(), &Patch::Merge(patch))).await
    }

    /// Patches the status sub-resource.
    pub async fn patch_status<K>(&self, api: &Api<K>, kind: &str, name: &str, patch: &Value) -> Outcome<K>
    where
        K: Clone + Debug + DeserializeOwned,
    {
        self.write("patch_status", kind, api.patch_status(name, &params(), &Patch::Merge(patch))).await
    }

    /// Deletes exactly the object with this uid. That it is gone already counts as done.
    pub async fn delete<K>(&self, api: &Api<K>, kind: &str, name: &str, uid: &str) -> Outcome<()>
    where
        K: Clone + Debug + DeserializeOwned,
    {
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        let deletion = async {
            match api.delete(name, &params).await {
                Ok(_) => Ok(()),
                Err(Error::Api(status)) if status.code == 404 => Ok(()),
                Err(error) => Err(error),
            }
        };
        self.write("delete", kind, deletion).await
    }

    async fn write<T>(
        &self,
        verb: &'static str,
        kind: &str,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Outcome<T> {
        let outcome = if self.leadership.holds() {
            match tokio::time::timeout(TIMEOUT, request).await {
                Ok(answer) => Outcome::from_answer(verb, kind, answer),
                Err(_) => {
                    Outcome::Unavailable(format!("failed to {verb} {kind}: no answer within {} s", TIMEOUT.as_secs()))
                }
            }
        } else {
            Outcome::Unavailable(format!("failed to {verb} {kind}: this process is not the leader"))
        };
        let labels = WriteLabels { verb, kind: kind.to_owned(), outcome: outcome.word() };
        self.metrics.writes.get_or_create(&labels).inc();
        tracing::debug!(verb, kind, outcome = outcome.word(), "wrote");
        outcome
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(words::FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// A name for messages: `ReplicaSet "web-1"`.
pub fn called(kind: &str, meta: &ObjectMeta) -> String {
    format!("{kind} \"{}\"", meta.name.as_deref().unwrap_or_default())
}
