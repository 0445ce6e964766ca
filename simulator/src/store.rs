//! Direct access to the objects, past HTTP: for seeding, for tests, for simulated components.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::sync::watch;

use crate::api::failure::Failure;
use crate::api::storage::{Object, State, key};
use crate::api::{built_in, delete, meta, write};
use crate::{json, lock};

/// A handle on all objects. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) state: Arc<Mutex<State>>,
}

impl Store {
    /// The object of a kind by apiVersion and kind, for example `("apps/v1", "ReplicaSet")`.
    pub fn get(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Option<Object> {
        let state = lock(&self.state);
        let resource = state.resource_of_kind(api_version, kind)?;
        state.get(&resource.table(), &(namespace.to_owned(), name.to_owned()))
    }

    /// All objects of a kind, or those of one namespace, in order of namespace and name.
    pub fn list(&self, api_version: &str, kind: &str, namespace: Option<&str>) -> Vec<Object> {
        let state = lock(&self.state);
        let Some(resource) = state.resource_of_kind(api_version, kind) else { return Vec::new() };
        state.all(&resource.table(), namespace)
    }

    /// Puts an object in as it is, status and metadata included, creating or replacing it. What is missing (uid,
    /// creationTimestamp, generation, namespace `default`, defaults of the kind) is filled in; nothing is checked but
    /// that the kind is served. Its namespace is made if absent.
    pub fn seed(&self, mut object: Value) -> Result<Object, Failure> {
        let mut state = lock(&self.state);
        let version = json::text(&object, &["apiVersion"]).unwrap_or_default();
        let kind = json::text(&object, &["kind"]).unwrap_or_default();
        let resource = state.resource_of_kind(version, kind).ok_or_else(Failure::no_such_resource)?;
        if resource.namespaced {
            json::default(&mut object, &["metadata", "namespace"], "default");
            namespace(&mut state, json::namespace(&object))?;
        }
        let found = state.get(&resource.table(), &key(&object));
        match (json::text(&object, &["metadata", "uid"]), &found) {
            (Some(_), _) => {}
            (None, Some(old)) => json::carry(old, &mut object, &["metadata", "uid"]),
            (None, None) => {
                let uid = state.uid();
                json::set(&mut object, &["metadata", "uid"], uid);
            }
        }
        json::default(&mut object, &["metadata", "creationTimestamp"], state.clock.stamp());
        if resource.generation {
            json::default(&mut object, &["metadata", "generation"], 1);
        }
        json::remove(&mut object, &["metadata", "managedFields"]);
        match &resource.custom {
            Some(custom) => custom.schema.fill(&mut object),
            None => built_in::fill(&resource, &mut object),
        }
        let object = state.write(&resource.table(), object);
        crate::api::definition::changed(&mut state, &resource, &object);
        Ok(object)
    }

    /// Changes an object as a trusted component does: versions, generation and watchers as usual, no precondition.
    /// Absent objects are left alone.
    pub fn modify(
        &self,
        (api_version, kind): (&str, &str),
        (namespace, name): (&str, &str),
        change: impl FnOnce(&mut Value),
    ) -> Result<Option<Object>, Failure> {
        let mut state = lock(&self.state);
        let resource = state.resource_of_kind(api_version, kind).ok_or_else(Failure::no_such_resource)?;
        let Some(old) = state.get(&resource.table(), &(namespace.to_owned(), name.to_owned())) else { return Ok(None) };
        let mut new = (*old).clone();
        change(&mut new);
        if new == *old {
            return Ok(Some(old));
        }
        let spec = |object: &Value| object.get("spec").cloned();
        if resource.generation && spec(&old) != spec(&new) {
            let generation = json::int(&old, &["metadata", "generation"]).unwrap_or_default();
            json::set(&mut new, &["metadata", "generation"], generation + 1);
        }
        Ok(Some(state.write(&resource.table(), new)))
    }

    /// Deletes an object at once, whatever its finalizers; its dependents follow.
    pub fn remove(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Option<Object> {
        let mut state = lock(&self.state);
        let resource = state.resource_of_kind(api_version, kind)?;
        delete::erase(&mut state, &resource.table(), &(namespace.to_owned(), name.to_owned()))
    }

    /// The version of the latest write.
    pub fn version(&self) -> u64 {
        lock(&self.state).version()
    }

    /// Forgets history: watches and pages from before now get 410 Gone.
    pub fn compact(&self) {
        lock(&self.state).compact();
    }

    /// Wakes whenever an object of the kind changes.
    pub fn subscribe(&self, api_version: &str, kind: &str) -> Option<watch::Receiver<u64>> {
        let mut state = lock(&self.state);
        let resource = state.resource_of_kind(api_version, kind)?;
        Some(state.subscribe(&resource.table()))
    }
}

/// Makes a namespace unless it is there.
pub(crate) fn namespace(state: &mut State, name: &str) -> Result<(), Failure> {
    if state.get("/namespaces", &(String::new(), name.to_owned())).is_some() {
        return Ok(());
    }
    let Some(resource) = state.resource("", "v1", "namespaces") else { return Ok(()) };
    let mut object = serde_json::json!({"metadata": {"name": name}});
    meta::identity(&resource, &mut object);
    built_in::fill(&resource, &mut object);
    write::store_new(state, &resource, None, object, false).map(drop)
}
