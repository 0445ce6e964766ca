//! A moment of a cluster that another controller drove, made again on a real API server: the same objects, with the uids that this server gives
//! and with every time moved so that the moment is now.
//!
//! Pods and the ReplicaSets of Deployments are not made: the real controllers make them, and [`Captured::restore`] waits until all are as ready
//! as they were.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use crds::jiff::{SignedDuration, Timestamp};
use crds::k8s_openapi::api::apps::v1::Deployment;
use crds::k8s_openapi::api::core::v1::{Pod, Service};
use crds::k8s_openapi::api::networking::v1::Ingress;
use crds::kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use crds::kube::core::{GroupVersionKind, NamespaceResourceScope, TypeMeta};
use crds::kube::discovery::pinned_kind;
use crds::kube::{Resource, ResourceExt};
use crds::{AnalysisRun, ReplicaSet, Rollout};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{Namespace, wait_for};

/// How long the pods may take.
const SETTLED: Duration = Duration::from_secs(30);

/// A Deployment's history limit until its generation is as it was.
const FIRST_HISTORY_LIMIT: i64 = 99;

/// When something is scaled down lies in the future of the moment.
const DEADLINE_ANNOTATION: &str = "scale-down-deadline";

/// The objects of one moment, in the order in which they are made.
pub struct Captured(Vec<Value>);

impl Captured {
    /// From a YAML text of many documents.
    ///
    /// # Panics
    /// It is not YAML.
    pub fn parse(text: &str) -> Self {
        let objects = serde_saphyr::from_multiple::<Value>(text);
        Self(objects.unwrap_or_else(|error| panic!("parse the captured objects: {error}")))
    }

    /// Makes everything in `ns` and waits until the ReplicaSets' pods are as ready as they were.
    ///
    /// # Panics
    /// The API server refuses an object, or the pods do not become ready.
    pub async fn restore(&self, ns: &Namespace) {
        let mut last = None;
        self.0.iter().for_each(|object| latest(object, &mut last));
        let now = Timestamp::now().as_second();
        let shift = SignedDuration::from_secs(now - last.map_or(now, Timestamp::as_second));
        let mut uids = BTreeMap::new();
        for captured in self.0.iter().filter(|object| !made_by_others(object)) {
            let mut object = captured.clone();
            shift_times(&mut object, shift);
            let made = create(ns, &mut object, &uids).await;
            uids.insert(text(captured, "/metadata/uid").to_owned(), made.metadata.uid.clone().unwrap_or_default());
            match text(captured, "/kind") {
                "Rollout" => write_status(ns, &made, &object).await,
                "Deployment" => raise_generation(ns, &made, captured).await,
                _ => {}
            }
        }
        for object in self.0.iter().filter(|object| !made_by_others(object)) {
            match text(object, "/kind") {
                "ReplicaSet" => settled(ns, object).await,
                "Deployment" => deployed(ns, object).await,
                _ => {}
            }
        }
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn made_by_others(object: &Value) -> bool {
    text(object, "/kind") == "Pod" || text(object, "/metadata/ownerReferences/0/kind") == "Deployment"
}

fn latest(value: &Value, last: &mut Option<Timestamp>) {
    match value {
        Value::String(text) => *last = (*last).max(text.parse().ok()),
        Value::Array(items) => items.iter().for_each(|item| latest(item, last)),
        Value::Object(map) => {
            map.iter().filter(|(key, _)| *key != DEADLINE_ANNOTATION).for_each(|(_, item)| latest(item, last));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn shift_times(value: &mut Value, shift: SignedDuration) {
    match value {
        Value::String(text) => {
            if let Some(moved) = text.parse::<Timestamp>().ok().and_then(|time| time.checked_add(shift).ok()) {
                *text = moved.to_string();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shift_times(item, shift)),
        Value::Object(map) => map.values_mut().for_each(|item| shift_times(item, shift)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Makes one object; `uids` gives this server's uid for the captured one of each owner.
async fn create(ns: &Namespace, object: &mut Value, uids: &BTreeMap<String, String>) -> DynamicObject {
    let described = format!("{} {}", text(object, "/kind"), text(object, "/metadata/name"));
    let types = TypeMeta::deserialize(&*object).unwrap_or_else(|error| panic!("{described}: {error}"));
    if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        for given_by_the_server in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"] {
            metadata.remove(given_by_the_server);
        }
        metadata.insert("namespace".into(), ns.name().into());
        let owners = metadata.get_mut("ownerReferences").and_then(Value::as_array_mut);
        for owner in owners.into_iter().flatten() {
            let now = uids.get(text(owner, "/uid")).unwrap_or_else(|| panic!("{described} comes before its owner"));
            if let Some(owner) = owner.as_object_mut() {
                owner.insert("uid".into(), now.as_str().into());
            }
        }
    }
    if let Some(spec) = object.pointer_mut("/spec").and_then(Value::as_object_mut).filter(|_| types.kind == "Service") {
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
    }
    if let Some(spec) =
        object.pointer_mut("/spec").and_then(Value::as_object_mut).filter(|_| types.kind == "Deployment")
    {
        // Changed to what it was when the generation is raised.
        spec.insert("revisionHistoryLimit".into(), FIRST_HISTORY_LIMIT.into());
    }
    let mut posted: DynamicObject =
        serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{described}: {error}"));
    // Runs have their status in the object itself; for all others it is a sub-resource, written by who owns it.
    if types.kind != "AnalysisRun"
        && let Some(data) = posted.data.as_object_mut()
    {
        data.remove("status");
    }
    let kind = GroupVersionKind::try_from(&types).unwrap_or_else(|error| panic!("{described}: {error}"));
    let found = pinned_kind(ns.client(), &kind).await;
    let (resource, _) = found.unwrap_or_else(|error| panic!("find the kind of {described}: {error}"));
    let api: Api<DynamicObject> = Api::namespaced_with(ns.client().clone(), ns.name(), &resource);
    let made = api.create(&PostParams::default(), &posted).await;
    made.unwrap_or_else(|error| panic!("create {described}: {error}"))
}

/// Writes the captured status; it had seen the newest generation, so it has seen the one that the object has here.
async fn write_status(ns: &Namespace, made: &DynamicObject, captured: &Value) {
    let mut status = captured.get("status").cloned().unwrap_or_default();
    if let Some(status) = status.as_object_mut() {
        let generation = made.metadata.generation.unwrap_or_default();
        status.insert("observedGeneration".into(), generation.to_string().into());
    }
    let patch = Patch::Merge(json!({ "status": status }));
    let written = ns.api::<Rollout>().patch_status(&made.name_any(), &PatchParams::default(), &patch).await;
    written.unwrap_or_else(|error| panic!("write the captured status: {error}"));
}

/// Changes the spec and back until the object is of the captured generation, which others have noted.
async fn raise_generation(ns: &Namespace, made: &DynamicObject, captured: &Value) {
    let wanted = captured.pointer("/metadata/generation").and_then(Value::as_i64);
    let limit = captured.pointer("/spec/revisionHistoryLimit").and_then(Value::as_i64).unwrap_or(10);
    let missing = wanted.unwrap_or(1) - made.metadata.generation.unwrap_or(1);
    // The last change gives the captured value again.
    for left in (0..missing).rev() {
        let changed = if left == 0 { limit } else { limit + left };
        let patch = Patch::Merge(json!({ "spec": { "revisionHistoryLimit": changed } }));
        let written = ns.api::<Deployment>().patch(&made.name_any(), &PatchParams::default(), &patch).await;
        written.unwrap_or_else(|error| panic!("change the Deployment: {error}"));
    }
}

/// Waits until the Deployment's controller has seen it.
async fn deployed(ns: &Namespace, captured: &Value) {
    let name = text(captured, "/metadata/name");
    wait_for(&ns.api::<Deployment>(), name, "seen by its controller", SETTLED, |deployment| {
        let seen = deployment.status.as_ref().and_then(|status| status.observed_generation);
        seen.is_some() && seen == deployment.metadata.generation
    })
    .await;
}

/// Waits until a ReplicaSet has as many pods, and as many available ones, as in the moment.
async fn settled(ns: &Namespace, captured: &Value) {
    let name = text(captured, "/metadata/name");
    let number = |field: &str| captured.pointer(field).and_then(Value::as_i64).unwrap_or(0);
    let wanted = (number("/status/replicas"), number("/status/availableReplicas"));
    wait_for(&ns.api::<ReplicaSet>(), name, &format!("{wanted:?} pods and available ones"), SETTLED, |set| {
        let status = set.status.clone().unwrap_or_default();
        let seen = (i64::from(status.replicas), i64::from(status.available_replicas.unwrap_or(0)));
        seen == wanted && status.observed_generation == set.metadata.generation
    })
    .await;
}

/// What must not move while a controller takes over: for each object what people and controllers want of it, who owns it, and that it is the
/// same object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture(BTreeMap<String, Value>);

impl Picture {
    /// Of everything in `ns` that a release consists of.
    ///
    /// # Panics
    /// It cannot be read.
    pub async fn of(ns: &Namespace) -> Self {
        let mut seen = BTreeMap::new();
        add::<Rollout>(ns, &mut seen, |object| {
            let mut kept = kept(&object);
            kept.insert("status".into(), object.get("status").cloned().unwrap_or_default());
            kept.into()
        })
        .await;
        add::<ReplicaSet>(ns, &mut seen, |object| kept(&object).into()).await;
        add::<Deployment>(ns, &mut seen, |object| kept(&object).into()).await;
        add::<Service>(ns, &mut seen, |object| kept(&object).into()).await;
        add::<Ingress>(ns, &mut seen, |object| kept(&object).into()).await;
        for kind in ["VirtualService", "DestinationRule"] {
            let gvk = GroupVersionKind::gvk("networking.istio.io", "v1", kind);
            let api: Api<DynamicObject> =
                Api::namespaced_with(ns.client().clone(), ns.name(), &ApiResource::from_gvk(&gvk));
            // A cluster may be without them.
            for object in api.list(&ListParams::default()).await.into_iter().flatten() {
                let name = format!("{kind}/{}", object.name_any());
                seen.insert(name, kept(&serde_json::to_value(object).unwrap_or_default()).into());
            }
        }
        add::<AnalysisRun>(ns, &mut seen, |object| {
            let mut kept = kept(&object);
            kept.insert("measured".into(), object.pointer("/status/metricResults").cloned().unwrap_or_default());
            kept.into()
        })
        .await;
        add::<Pod>(ns, &mut seen, |object| json!({ "uid": text(&object, "/metadata/uid") })).await;
        Self(seen)
    }

    /// What was there before and is lost or different in `after`, and what is new.
    pub fn moved(&self, after: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (name, before) in &self.0 {
            match after.0.get(name) {
                Some(after) => lost(before, after, name, &mut found),
                None => found.push(format!("{name} is gone")),
            }
        }
        found.extend(after.0.keys().filter(|name| !self.0.contains_key(*name)).map(|name| format!("{name} is new")));
        found
    }
}

async fn add<K>(ns: &Namespace, seen: &mut BTreeMap<String, Value>, picture: impl Fn(Value) -> Value)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
{
    let list = ns.api::<K>().list(&ListParams::default()).await;
    for object in list.unwrap_or_else(|error| panic!("list {}: {error}", K::plural(&()))) {
        let name = format!("{}/{}", K::kind(&()), object.name_any());
        seen.insert(name, picture(serde_json::to_value(object).unwrap_or_default()));
    }
}

fn kept(object: &Value) -> Map<String, Value> {
    let kept = [
        ("uid", "/metadata/uid"),
        ("labels", "/metadata/labels"),
        ("annotations", "/metadata/annotations"),
        ("owners", "/metadata/ownerReferences"),
        ("spec", "/spec"),
    ];
    kept.into_iter().map(|(name, at)| (name.into(), object.pointer(at).cloned().unwrap_or_default())).collect()
}

/// Every field of `before` is in `after` with the same value; more measurements of a run are not a loss, and count for nothing here.
fn lost(before: &Value, after: &Value, path: &str, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                let counter = path.contains("/measured") && value.is_number();
                if !counter {
                    lost(value, after.get(key).unwrap_or(&Value::Null), &format!("{path}/{key}"), found);
                }
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for (index, value) in before.iter().enumerate() {
                lost(value, after.get(index).unwrap_or(&Value::Null), &format!("{path}/{index}"), found);
            }
        }
        (before, after) if before != after => found.push(format!("{path}: {before} → {after}")),
        _ => {}
    }
}
