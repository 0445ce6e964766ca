//! The object tables and their history.
//!
//! Invariants: every write takes the next resource version, one sequence for the whole cluster; a table's history holds
//! its latest changes in order, so that any state not older than the oldest of them can be rebuilt.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use super::failure::Failure;
use super::resource::{self, Resource};
use crate::clock::Clock;
use crate::json;

/// An object as stored. Shared, never changed in place.
pub type Object = Arc<Value>;

/// Namespace (empty for cluster-scoped kinds) and name.
pub(crate) type Key = (String, String);

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

/// One write, as kept in history.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) version: u64,
    pub(crate) change: Change,
    pub(crate) object: Object,
    pub(crate) before: Option<Object>,
}

/// All objects of one kind.
#[derive(Debug)]
pub(crate) struct Table {
    objects: BTreeMap<Key, Object>,
    history: VecDeque<Written>,
    /// Changes up to this version are no longer in `history`.
    forgotten: u64,
    changed: watch::Sender<u64>,
}

impl Default for Table {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), history: VecDeque::new(), forgotten: 0, changed: watch::Sender::new(0) }
    }
}

/// The whole state of the server.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) clock: Clock,
    version: u64,
    tables: HashMap<String, Table>,
    resources: Vec<Arc<Resource>>,
    random: fastrand::Rng,
    history: usize,
    /// Who is owned: tables and keys of the objects that name a uid among their owners.
    owned: HashMap<String, BTreeSet<(String, Key)>>,
    /// What each field manager applied last, by uid, manager and sub-resource.
    pub(crate) applied: HashMap<(String, String, String), Value>,
}

const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl State {
    pub(crate) fn new(clock: Clock, seed: u64, history: usize) -> Self {
        Self {
            clock,
            version: 1,
            tables: HashMap::new(),
            resources: resource::built_in(),
            random: fastrand::Rng::with_seed(seed),
            history,
            owned: HashMap::new(),
            applied: HashMap::new(),
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// A uid in the form of a random UUID, the same in every run with the same seed.
    pub(crate) fn uid(&mut self) -> String {
        let bits = (self.random.u128(..) & !(0xF000_u128 << 64) & !(0xC000_u128 << 48))
            | (0x4000_u128 << 64)
            | (0x8000_u128 << 48);
        let hex = format!("{bits:032x}");
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
    }

    /// The five letters `generateName` adds.
    pub(crate) fn suffix(&mut self) -> String {
        (0..5)
            .filter_map(|_| NAME_LETTERS.get(self.random.usize(..NAME_LETTERS.len())))
            .map(|byte| char::from(*byte))
            .collect()
    }

    pub(crate) fn random(&mut self) -> &mut fastrand::Rng {
        &mut self.random
    }

    /// The kind served at this group, version and plural name.
    pub(crate) fn resource(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.resources.iter().find(|found| found.version == version && found.is(group, plural)).cloned()
    }

    /// The kind an object with this apiVersion and kind belongs to.
    pub(crate) fn resource_of_kind(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        self.resources.iter().find(|found| found.kind == kind && found.api_version() == api_version).cloned()
    }

    /// Any served version of this group's plural or kind.
    pub(crate) fn resource_in_group(&self, group: &str, plural: &str) -> Option<Arc<Resource>> {
        self.resources.iter().find(|found| found.is(group, plural)).cloned()
    }

    pub(crate) fn resources(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    /// Serves `new` in place of what was served under the same group and plural name.
    pub(crate) fn serve(&mut self, group: &str, plural: &str, new: Vec<Arc<Resource>>) {
        self.resources.retain(|old| !old.is(group, plural));
        self.resources.extend(new);
    }

    pub(crate) fn get(&self, table: &str, key: &Key) -> Option<Object> {
        self.tables.get(table)?.objects.get(key).cloned()
    }

    /// All objects, or those of one namespace, in key order.
    pub(crate) fn all(&self, table: &str, namespace: Option<&str>) -> Vec<Object> {
        let Some(table) = self.tables.get(table) else { return Vec::new() };
        match namespace {
            None => table.objects.values().cloned().collect(),
            Some(namespace) => table
                .objects
                .range((Bound::Included((namespace.to_owned(), String::new())), Bound::Unbounded))
                .take_while(|((found, _), _)| found == namespace)
                .map(|(_, object)| Arc::clone(object))
                .collect(),
        }
    }

    /// The objects as they were at `version`.
    pub(crate) fn all_at(&self, table: &str, namespace: Option<&str>, version: u64) -> Result<Vec<Object>, TooOld> {
        let Some(found) = self.tables.get(table) else { return Ok(Vec::new()) };
        if version < found.forgotten {
            return Err(TooOld { oldest: found.forgotten });
        }
        let mut objects = found.objects.clone();
        for written in found.history.iter().rev().take_while(|written| written.version > version) {
            let key = key(&written.object);
            match &written.before {
                Some(before) => objects.insert(key, Arc::clone(before)),
                None => objects.remove(&key),
            };
        }
        Ok(objects
            .into_iter()
            .filter(|((found, _), _)| namespace.is_none_or(|namespace| namespace == found))
            .map(|(_, object)| object)
            .collect())
    }

    /// The changes after `version`.
    pub(crate) fn since(&self, table: &str, version: u64) -> Result<Vec<Written>, TooOld> {
        let Some(found) = self.tables.get(table) else { return Ok(Vec::new()) };
        if version < found.forgotten {
            return Err(TooOld { oldest: found.forgotten });
        }
        let first = found.history.partition_point(|written| written.version <= version);
        Ok(found.history.iter().skip(first).cloned().collect())
    }

    /// Wakes when the table changes.
    pub(crate) fn subscribe(&mut self, table: &str) -> watch::Receiver<u64> {
        self.tables.entry(table.to_owned()).or_default().changed.subscribe()
    }

    /// Writes an object, new or changed, and returns it as stored.
    pub(crate) fn write(&mut self, table: &str, mut object: Value) -> Object {
        self.version += 1;
        json::set(&mut object, &["metadata", "resourceVersion"], self.version.to_string());
        let object = Arc::new(object);
        let entry = self.tables.entry(table.to_owned()).or_default();
        let before = entry.objects.insert(key(&object), Arc::clone(&object));
        if before.as_ref().is_none_or(|before| owners(before) != owners(&object)) {
            if let Some(before) = &before {
                self.disown(table, before);
            }
            for owner in owners(&object) {
                self.owned.entry(owner.to_owned()).or_default().insert((table.to_owned(), key(&object)));
            }
        }
        let change = if before.is_some() { Change::Modified } else { Change::Added };
        self.note(table, change, Arc::clone(&object), before);
        object
    }

    /// Removes an object and returns it as watchers see it: with the version of its removal.
    pub(crate) fn erase(&mut self, table: &str, key: &Key) -> Option<Object> {
        let before = self.tables.get_mut(table)?.objects.remove(key)?;
        self.disown(table, &before);
        self.version += 1;
        let mut last = (*before).clone();
        json::set(&mut last, &["metadata", "resourceVersion"], self.version.to_string());
        let last = Arc::new(last);
        self.note(table, Change::Deleted, Arc::clone(&last), Some(before));
        Some(last)
    }

    fn disown(&mut self, table: &str, object: &Value) {
        for owner in owners(object) {
            if let Some(owned) = self.owned.get_mut(owner) {
                owned.remove(&(table.to_owned(), key(object)));
                if owned.is_empty() {
                    self.owned.remove(owner);
                }
            }
        }
    }

    /// Every object that names `uid` among its owners, with its table, in order of table and key.
    pub(crate) fn owned_by(&self, uid: &str) -> Vec<(String, Object)> {
        let places = self.owned.get(uid).into_iter().flatten();
        places.filter_map(|(table, key)| Some((table.clone(), self.get(table, key)?))).collect()
    }

    fn note(&mut self, table: &str, change: Change, object: Object, before: Option<Object>) {
        let (version, limit) = (self.version, self.history);
        let Some(table) = self.tables.get_mut(table) else { return };
        table.history.push_back(Written { version, change, object, before });
        while table.history.len() > limit {
            if let Some(old) = table.history.pop_front() {
                table.forgotten = old.version;
            }
        }
        table.changed.send_replace(version);
    }

    /// Forgets all history up to now, as etcd's compaction does: older versions are then gone (410).
    pub(crate) fn compact(&mut self) {
        let version = self.version;
        for table in self.tables.values_mut() {
            table.history.clear();
            table.forgotten = version;
        }
    }

    /// The keys of all tables, in order.
    pub(crate) fn table_keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.tables.keys().cloned().collect();
        keys.sort();
        keys
    }
}

fn owners(object: &Value) -> Vec<&str> {
    let owners = json::list(object, &["metadata", "ownerReferences"]);
    owners.iter().filter_map(|owner| json::text(owner, &["uid"])).collect()
}

/// A version older than the history.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TooOld {
    pub(crate) oldest: u64,
}

impl TooOld {
    pub(crate) fn for_watch(self, wanted: u64) -> Failure {
        Failure::expired(format!("too old resource version: {wanted} ({})", self.oldest))
    }
}

pub(crate) fn key(object: &Value) -> Key {
    (json::namespace(object).to_owned(), json::name(object).to_owned())
}
