//! Deletion: preconditions, grace, finalizers, and what happens to dependents.
//!
//! Invariants: an object with finalizers or a running grace period is only marked; the last owner takes its dependents
//! along unless they were orphaned. Collection happens within the request that made it due.

use std::sync::Arc;

use serde_json::{Value, json};

use super::call::{Call, Place};
use super::failure::Failure;
use super::resource::Resource;
use super::storage::{Key, Object, State, key};
use super::{definition, selectors, write};
use crate::{clock, json};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// What happens to the objects an object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// How to delete.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) propagation: Propagation,
    pub(crate) grace: Option<i64>,
    uid: Option<String>,
    version: Option<String>,
    dry_run: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { propagation: Propagation::Background, grace: None, uid: None, version: None, dry_run: false }
    }
}

impl Options {
    /// Options from the query and, when there is one, the body.
    pub(crate) fn read(call: &Call) -> Result<Self, Failure> {
        let body = if call.body.is_empty() {
            Value::Null
        } else {
            call.json().map_err(|error| {
                Failure::bad_request(format!("couldn't get version/kind; json parse error: {error}"))
            })?
        };
        let text = |key: &str| json::text(&body, &[key]).or_else(|| call.param(key)).map(str::to_owned);
        let propagation = match text("propagationPolicy").as_deref() {
            None if call.param("orphanDependents") == Some("true") => Propagation::Orphan,
            None | Some("Background") => Propagation::Background,
            Some("Foreground") => Propagation::Foreground,
            Some("Orphan") => Propagation::Orphan,
            Some(other) => {
                let known = ["Foreground", "Background", "Orphan", "nil"];
                let message = format!(
                    "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: {other:?}: supported values: {}",
                    known.map(|text| format!("{text:?}")).join(", ")
                );
                return Err(Failure::new(422, "Invalid", message).with_details(json!({
                    "group": "meta.k8s.io", "kind": "DeleteOptions",
                    "causes": [{
                        "reason": "FieldValueNotSupported", "field": "propagationPolicy",
                        "message": format!("Unsupported value: {other:?}: supported values: {}",
                            known.map(|text| format!("{text:?}")).join(", ")),
                    }]
                })));
            }
        };
        let grace = json::int(&body, &["gracePeriodSeconds"])
            .or_else(|| call.param("gracePeriodSeconds").and_then(|text| text.parse().ok()));
        Ok(Self {
            propagation,
            grace,
            uid: json::text(&body, &["preconditions", "uid"]).map(str::to_owned),
            version: json::text(&body, &["preconditions", "resourceVersion"]).map(str::to_owned),
            dry_run: call.dry_run() || json::list(&body, &["dryRun"]).iter().any(|text| text == "All"),
        })
    }
}

/// DELETE of one object.
pub(crate) fn one(state: &mut State, call: &Call, resource: &Arc<Resource>, target: &Key) -> Result<Value, Failure> {
    let options = Options::read(call)?;
    let (object, gone) = delete(state, resource, target, &options)?;
    if gone && !resource.returns_deleted {
        let mut details = json!({"name": json::name(&object)});
        if !resource.group.is_empty() {
            json::set(&mut details, &["group"], resource.group.clone());
        }
        json::set(&mut details, &["kind"], resource.plural.clone());
        json::set(&mut details, &["uid"], json::uid(&object));
        return Ok(json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
        }));
    }
    Ok((*object).clone())
}

/// DELETE of a collection; returns what was deleted or marked.
pub(crate) fn many(
    state: &mut State,
    call: &Call,
    resource: &Arc<Resource>,
    place: &Place,
) -> Result<Vec<Object>, Failure> {
    let options = Options::read(call)?;
    let label_text = call.param("labelSelector").unwrap_or_default();
    let labels = selectors::Labels::parse(label_text)?;
    let fields = selectors::Fields::parse(call.param("fieldSelector").unwrap_or_default(), resource)?;
    let mut deleted = Vec::new();
    for object in state.all(&resource.table(), place.namespace.as_deref()) {
        if labels.select(&object) && fields.select(&object) {
            match delete(state, resource, &key(&object), &options) {
                Ok((object, _)) => deleted.push(object),
                Err(failure) if failure.code == 404 => {}
                Err(failure) => return Err(failure),
            }
        }
    }
    Ok(deleted)
}

/// Deletes or marks an object; says whether it is gone.
pub(crate) fn delete(
    state: &mut State,
    resource: &Arc<Resource>,
    target: &Key,
    options: &Options,
) -> Result<(Object, bool), Failure> {
    let table = resource.table();
    let Some(old) = state.get(&table, target) else { return Err(Failure::not_found(resource, &target.1)) };
    let found = json::uid(&old);
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != found) {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({found}). The object might have been deleted and then recreated"
        );
        return Err(Failure::precondition(resource, &target.1, &why));
    }
    let found = json::text(&old, &["metadata", "resourceVersion"]).unwrap_or_default();
    if let Some(wanted) = options.version.as_deref().filter(|wanted| *wanted != found) {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({found}). The object might have been modified"
        );
        return Err(Failure::precondition(resource, &target.1, &why));
    }
    let mut marked = (*old).clone();
    let mut finalizers = json::list(&old, &["metadata", "finalizers"]).to_vec();
    let asked = match options.propagation {
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Orphan => Some(ORPHAN),
        Propagation::Background => None,
    };
    let already = json::at(&old, &["metadata", "deletionTimestamp"]).is_some();
    if let Some(asked) = asked.filter(|asked| !already && !finalizers.iter().any(|found| found == asked)) {
        finalizers.push(Value::from(asked));
        json::set(&mut marked, &["metadata", "finalizers"], finalizers.clone());
    }
    let grace = grace(resource, &old, options);
    let namespace = resource.is("", "namespaces");
    if finalizers.is_empty() && grace == 0 && !namespace {
        if options.dry_run {
            return Ok((old, true));
        }
        let last = erase(state, &table, target).unwrap_or(old);
        return Ok((last, true));
    }
    let lasting = json::int(&old, &["metadata", "deletionGracePeriodSeconds"]);
    if !already || lasting.is_some_and(|lasting| grace < lasting) {
        let until = state.clock.now().saturating_add(crds::jiff::SignedDuration::from_secs(grace));
        let until = until.map_or_else(|_| state.clock.stamp(), clock::seconds);
        json::set(&mut marked, &["metadata", "deletionTimestamp"], until);
        json::set(&mut marked, &["metadata", "deletionGracePeriodSeconds"], grace);
        if let Some(generation) = json::int(&old, &["metadata", "generation"]) {
            json::set(&mut marked, &["metadata", "generation"], generation + 1);
        }
    }
    if namespace {
        json::set(&mut marked, &["status", "phase"], "Terminating");
    }
    if options.dry_run {
        return Ok((Arc::new(marked), false));
    }
    let object = if marked == *old { old } else { state.write(&table, marked) };
    if namespace {
        empty_namespace(state, &target.1);
    }
    finish(state, resource, target);
    Ok((object, false))
}

/// Only pods that have a node and still run are given time to end.
fn grace(resource: &Resource, object: &Value, options: &Options) -> i64 {
    if !resource.is("", "pods") {
        return 0;
    }
    let ended = matches!(json::text(object, &["status", "phase"]), Some("Succeeded" | "Failed"));
    if ended || json::text(object, &["spec", "nodeName"]).is_none() {
        return 0;
    }
    options.grace.or_else(|| json::int(object, &["spec", "terminationGracePeriodSeconds"])).unwrap_or(30).max(0)
}

/// Removes the object from its table, then settles owners and dependents.
pub(crate) fn erase(state: &mut State, table: &str, target: &Key) -> Option<Object> {
    let last = state.erase(table, target)?;
    let uid = json::uid(&last).to_owned();
    state.applied.retain(|(owner, _, _), _| *owner != uid);
    definition::removed(state, table, &last);
    collect(state, &uid);
    for owner in json::list(&last, &["metadata", "ownerReferences"]) {
        if let Some((resource, key)) = owner_place(state, owner, json::namespace(&last)) {
            finish(state, &resource, &key);
        }
    }
    Some(last)
}

fn owner_place(state: &State, owner: &Value, namespace: &str) -> Option<(Arc<Resource>, Key)> {
    let version = json::text(owner, &["apiVersion"])?;
    let resource = state.resource_of_kind(version, json::text(owner, &["kind"])?)?;
    let namespace = if resource.namespaced { namespace } else { "" };
    let key = (namespace.to_owned(), json::text(owner, &["name"])?.to_owned());
    let found = state.get(&resource.table(), &key)?;
    (Some(json::uid(&found)) == json::text(owner, &["uid"])).then_some((resource, key))
}

/// Every object that names `uid` as an owner.
fn dependents(state: &State, uid: &str) -> Vec<(Arc<Resource>, Object)> {
    let found = state.owned_by(uid).into_iter().filter_map(|(table, object)| {
        let (group, plural) = table.split_once('/')?;
        Some((state.resource_in_group(group, plural)?, object))
    });
    found.collect()
}

/// Deletes the objects whose last owner is gone; of the others only the reference is dropped.
fn collect(state: &mut State, uid: &str) {
    for (resource, object) in dependents(state, uid) {
        let owners = json::list(&object, &["metadata", "ownerReferences"]);
        let others: Vec<Value> = owners
            .iter()
            .filter(|owner| {
                json::text(owner, &["uid"]) != Some(uid)
                    && owner_place(state, owner, json::namespace(&object)).is_some()
            })
            .cloned()
            .collect();
        if others.is_empty() {
            // Already being deleted or already gone: both are what is wanted.
            let _ = delete(state, &resource, &key(&object), &Options::default());
        } else {
            keep_owners(state, &resource, &object, others);
        }
    }
}

fn keep_owners(state: &mut State, resource: &Arc<Resource>, object: &Object, owners: Vec<Value>) {
    let mut new = (**object).clone();
    if owners.is_empty() {
        json::remove(&mut new, &["metadata", "ownerReferences"]);
    } else {
        json::set(&mut new, &["metadata", "ownerReferences"], owners);
    }
    // A dependent that refuses the change keeps its owners, as the real collector would retry and leave it.
    let _ = write::replace(state, resource, object, new, None, false);
}

/// Carries a marked object's `orphan` and `foregroundDeletion` finalizers out as far as possible.
fn finish(state: &mut State, resource: &Arc<Resource>, target: &Key) {
    let table = resource.table();
    let Some(object) = state.get(&table, target) else { return };
    if json::at(&object, &["metadata", "deletionTimestamp"]).is_none() {
        return;
    }
    let has = |name: &str| json::list(&object, &["metadata", "finalizers"]).iter().any(|found| found == name);
    let uid = json::uid(&object).to_owned();
    if has(ORPHAN) {
        for (resource, dependent) in dependents(state, &uid) {
            let owners = json::list(&dependent, &["metadata", "ownerReferences"])
                .iter()
                .filter(|owner| json::text(owner, &["uid"]) != Some(&uid))
                .cloned()
                .collect();
            keep_owners(state, &resource, &dependent, owners);
        }
        drop_finalizer(state, resource, target, ORPHAN);
    } else if has(FOREGROUND) {
        for (resource, dependent) in dependents(state, &uid) {
            if json::at(&dependent, &["metadata", "deletionTimestamp"]).is_none() {
                let options = Options { propagation: Propagation::Foreground, ..Options::default() };
                // Gone meanwhile is as good.
                let _ = delete(state, &resource, &key(&dependent), &options);
            }
        }
        let blocked = dependents(state, &uid).iter().any(|(_, dependent)| {
            json::list(dependent, &["metadata", "ownerReferences"]).iter().any(|owner| {
                json::text(owner, &["uid"]) == Some(&uid)
                    && owner.get("blockOwnerDeletion").and_then(Value::as_bool) == Some(true)
            })
        });
        if !blocked {
            drop_finalizer(state, resource, target, FOREGROUND);
        }
    }
}

fn drop_finalizer(state: &mut State, resource: &Arc<Resource>, target: &Key, name: &str) {
    let Some(object) = state.get(&resource.table(), target) else { return };
    let mut new = (*object).clone();
    let left: Vec<Value> =
        json::list(&new, &["metadata", "finalizers"]).iter().filter(|found| *found != name).cloned().collect();
    if left.is_empty() {
        json::remove(&mut new, &["metadata", "finalizers"]);
    } else {
        json::set(&mut new, &["metadata", "finalizers"], left);
    }
    // Refused only if the object changed under this lock, which cannot be.
    let _ = write::replace(state, resource, &object, new, None, false);
}

/// Deletes what is in a namespace, then the namespace when nothing is left.
fn empty_namespace(state: &mut State, namespace: &str) {
    let mut left = false;
    for table in state.table_keys() {
        let Some((group, plural)) = table.split_once('/') else { continue };
        let Some(resource) = state.resource_in_group(group, plural).filter(|found| found.namespaced) else { continue };
        for object in state.all(&table, Some(namespace)) {
            let options = Options { grace: Some(0), ..Options::default() };
            left |= !matches!(delete(state, &resource, &key(&object), &options), Ok((_, true)));
        }
    }
    if !left {
        erase(state, "/namespaces", &(String::new(), namespace.to_owned()));
    }
}
