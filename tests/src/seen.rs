//! A release as a person sees it, in one short line: which tags have how many pods, which revision a tag is, what a Service selects.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::k8s_openapi::api::core::v1::{Pod, Service};
use crds::kube::ResourceExt;
use crds::kube::api::DeleteParams;
use crds::{ReplicaSet, Rollout};

use crate::{Release, eventually};

/// How long anything that should happen may take.
const DEADLINE: Duration = Duration::from_mins(1);

fn tag(image: &str) -> String {
    image.rsplit_once(':').map_or(image, |(_, tag)| tag).to_owned()
}

fn tag_of(set: &ReplicaSet) -> String {
    set.template().and_then(|template| Some(tag(template.images().first()?.1))).unwrap_or_default()
}

fn line<K: std::fmt::Display, V: std::fmt::Display>(entries: impl IntoIterator<Item = (K, V)>) -> String {
    let words: Vec<String> = entries.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    words.join(" ")
}

impl Release {
    /// How many pods, those on their way out not counted, each tag has: `v1=3 v2=1`.
    ///
    /// # Panics
    /// They cannot be read.
    pub async fn pods_by_tag(&self) -> String {
        let pods = self.ns.api::<Pod>().list(&self.own()).await.unwrap_or_else(|error| panic!("list Pods: {error}"));
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for pod in pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            let image = pod.spec.as_ref().and_then(|spec| spec.containers.first()?.image.as_deref());
            *counts.entry(tag(image.unwrap_or_default())).or_default() += 1;
        }
        line(counts)
    }

    /// The revision of each tag's ReplicaSet: `v1=1 v2=2`.
    pub async fn revisions(&self) -> String {
        let sets = self.replica_sets().await;
        let revision =
            |set: &ReplicaSet| set.annotations().get(crds::words::REVISION_ANNOTATION).cloned().unwrap_or_default();
        line(sets.values().map(|set| (tag_of(set), revision(set))).collect::<BTreeMap<_, _>>())
    }

    /// The tag that each Service selects: `stable=v1 canary=v2`.
    ///
    /// # Panics
    /// They cannot be read.
    pub async fn services(&self) -> String {
        let sets = self.replica_sets().await;
        let mut selected = Vec::new();
        for role in ["stable", "canary"] {
            let service = self.ns.api::<Service>().get(&format!("{}-{role}", self.name())).await;
            let service = service.unwrap_or_else(|error| panic!("get the Service of {role}: {error}"));
            let selector = service.spec.and_then(|spec| spec.selector).unwrap_or_default();
            let set = selector.get(crds::words::POD_TEMPLATE_HASH_LABEL).and_then(|hash| sets.get(hash));
            selected.push((role, set.map(tag_of).unwrap_or_default()));
        }
        line(selected)
    }

    /// Waits until [`Release::pods_by_tag`] is `wanted`.
    pub async fn pods_are(&self, wanted: &str) {
        self.line_is("pods", wanted, async || self.pods_by_tag().await).await;
    }

    /// Waits until [`Release::revisions`] is `wanted`.
    pub async fn revisions_are(&self, wanted: &str) {
        self.line_is("revisions", wanted, async || self.revisions().await).await;
    }

    /// Waits until [`Release::services`] is `wanted`.
    pub async fn services_are(&self, wanted: &str) {
        self.line_is("Services", wanted, async || self.services().await).await;
    }

    async fn line_is(&self, what: &str, wanted: &str, mut ask: impl AsyncFnMut() -> String) {
        eventually(&format!("{} of {}: {wanted}", what, self.name()), DEADLINE, async || {
            let seen = ask().await;
            if seen == wanted { Ok(()) } else { Err(seen) }
        })
        .await;
    }

    /// Waits until it is paused, at whatever step.
    pub async fn paused(&self) -> Rollout {
        self.until("paused", |status| status.pause_conditions.as_ref().is_some_and(|pauses| !pauses.is_empty())).await
    }

    /// Runs the plugin, which must succeed and say `says`.
    ///
    /// # Panics
    /// It does not.
    pub async fn plugin_says(&self, arguments: &[&str], says: &str) {
        let (code, out, err) = self.plugin(arguments).await;
        assert!(code == 0 && out.contains(says), "{arguments:?} says {says:?}: {code} {out}{err}");
    }

    /// Deletes the Rollout, if it is there still.
    pub async fn delete(&self) {
        let _ = self.rollouts().delete(self.name(), &DeleteParams::default()).await;
    }
}
