//! One kind of objects as last seen: by name and by the uid of the owner.
//!
//! Invariants
//! - An object never goes back in time: what has an older resourceVersion than what is stored is ignored, whether it comes
//!   from a watch or from the answer to one of our own writes.
//! - After a full list, what was not in it is gone, unless it was stored from an answer meanwhile.
//! - Objects are shared, never changed in place.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crds::ObjectMeta;
use crds::kube::Resource;
use indexmap::IndexMap;

/// Namespace and name; the namespace of cluster-wide kinds is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Name {
    /// A name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The name of an object.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// Deleted objects whose late events are still recognized.
const TOMBSTONES: usize = 512;

#[derive(Debug)]
struct Entry<K> {
    object: Arc<K>,
    version: Option<u64>,
    epoch: u64,
}

#[derive(Debug)]
struct Inner<K> {
    objects: BTreeMap<Name, Entry<K>>,
    by_owner: HashMap<String, BTreeSet<Name>>,
    /// Names of objects without a controlling owner, by namespace.
    uncontrolled: HashMap<String, BTreeSet<Name>>,
    gone: IndexMap<Name, u64>,
    epoch: u64,
}

/// What an object that came in has changed.
#[derive(Debug)]
pub enum Change<K> {
    /// Nothing: it was known, or older than what is known.
    None,
    /// It is new or different.
    Put {
        /// As it was before.
        old: Option<Arc<K>>,
        /// As it is now.
        new: Arc<K>,
    },
    /// It is gone.
    Removed(Arc<K>),
}

/// See the module.
#[derive(Debug)]
pub struct Store<K>(RwLock<Inner<K>>);

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self(RwLock::new(Inner {
            objects: BTreeMap::new(),
            by_owner: HashMap::new(),
            uncontrolled: HashMap::new(),
            gone: IndexMap::new(),
            epoch: 0,
        }))
    }
}

impl<K: Resource> Store<K> {
    /// The object of that name.
    pub fn get(&self, name: &Name) -> Option<Arc<K>> {
        self.read().objects.get(name).map(|entry| entry.object.clone())
    }

    /// The objects that the object with this uid owns, by name.
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<K>> {
        let inner = self.read();
        let names = inner.by_owner.get(uid);
        names
            .into_iter()
            .flatten()
            .filter_map(|name| inner.objects.get(name))
            .map(|entry| entry.object.clone())
            .collect()
    }

    /// The objects of a namespace that nothing controls, by name. They are few, however many objects the namespace has.
    pub fn uncontrolled(&self, namespace: &str) -> Vec<Arc<K>> {
        let inner = self.read();
        let names = inner.uncontrolled.get(namespace).into_iter().flatten();
        names.filter_map(|name| inner.objects.get(name)).map(|entry| entry.object.clone()).collect()
    }

    /// The objects of a namespace, by name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let inner = self.read();
        let from = Name::new(namespace, "");
        let of = inner.objects.range(from..).take_while(|(name, _)| name.namespace == namespace);
        of.map(|(_, entry)| entry.object.clone()).collect()
    }

    /// All objects.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.read().objects.values().map(|entry| entry.object.clone()).collect()
    }

    /// Takes in an object from a watch or an answer.
    pub fn put(&self, object: K) -> Change<K> {
        let mut inner = self.write();
        let name = Name::of(object.meta());
        let version = version(object.meta());
        if let (Some(version), Some(gone)) = (version, inner.gone.get(&name))
            && version <= *gone
        {
            return Change::None;
        }
        let epoch = inner.epoch;
        if let Some(entry) = inner.objects.get_mut(&name)
            && let (Some(known), Some(new)) = (entry.version, version)
            && new <= known
        {
            entry.epoch = epoch;
            return Change::None;
        }
        let new = Arc::new(object);
        let old =
            inner.objects.insert(name.clone(), Entry { object: new.clone(), version, epoch }).map(|entry| entry.object);
        if let Some(old) = &old {
            inner.unlink(&name, old.meta());
        }
        inner.link(&name, new.meta());
        Change::Put { old, new }
    }

    /// The object is gone, as a watch or the answer to a deletion says.
    pub fn remove(&self, meta: &ObjectMeta) -> Change<K> {
        let mut inner = self.write();
        let name = Name::of(meta);
        let deleted_at = version(meta);
        let Some(entry) = inner.objects.get(&name) else { return Change::None };
        if let (Some(known), Some(deleted_at)) = (entry.version, deleted_at)
            && deleted_at < known
        {
            return Change::None;
        }
        let buried = deleted_at.max(entry.version);
        inner.drop_object(&name, buried)
    }

    /// The object need not be kept; nothing is said about whether it exists.
    pub fn forget(&self, name: &Name) {
        drop(self.write().drop_object(name, None));
    }

    /// A full list begins.
    pub fn begin_list(&self) {
        let mut inner = self.write();
        inner.epoch += 1;
    }

    /// The list is complete: returns what is gone.
    pub fn end_list(&self) -> Vec<Arc<K>> {
        let mut inner = self.write();
        let epoch = inner.epoch;
        let missing: Vec<Name> =
            inner.objects.iter().filter(|(_, entry)| entry.epoch < epoch).map(|(name, _)| name.clone()).collect();
        let removed = missing.iter().filter_map(|name| match inner.drop_object(name, None) {
            Change::Removed(object) => Some(object),
            Change::None | Change::Put { .. } => None,
        });
        removed.collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner<K>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner<K>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Resource> Inner<K> {
    fn drop_object(&mut self, name: &Name, buried: Option<u64>) -> Change<K> {
        let Some(entry) = self.objects.remove(name) else { return Change::None };
        self.unlink(name, entry.object.meta());
        if let Some(version) = buried {
            self.gone.shift_remove(name);
            self.gone.insert(name.clone(), version);
            while self.gone.len() > TOMBSTONES {
                self.gone.shift_remove_index(0);
            }
        }
        Change::Removed(entry.object)
    }

    fn link(&mut self, name: &Name, meta: &ObjectMeta) {
        for owner in meta.owner_references.iter().flatten() {
            self.by_owner.entry(owner.uid.clone()).or_default().insert(name.clone());
        }
        if !is_controlled(meta) {
            self.uncontrolled.entry(name.namespace.clone()).or_default().insert(name.clone());
        }
    }

    fn unlink(&mut self, name: &Name, meta: &ObjectMeta) {
        if let Some(names) = self.uncontrolled.get_mut(&name.namespace) {
            names.remove(name);
            if names.is_empty() {
                self.uncontrolled.remove(&name.namespace);
            }
        }
        for owner in meta.owner_references.iter().flatten() {
            if let Some(names) = self.by_owner.get_mut(&owner.uid) {
                names.remove(name);
                if names.is_empty() {
                    self.by_owner.remove(&owner.uid);
                }
            }
        }
    }
}

fn is_controlled(meta: &ObjectMeta) -> bool {
    meta.owner_references.iter().flatten().any(|owner| owner.controller == Some(true))
}

/// Versions of one kind are comparable numbers; `None` when the server does not keep to that.
fn version(meta: &ObjectMeta) -> Option<u64> {
    meta.resource_version.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use crds::k8s_openapi::api::core::v1::Service;
    use serde_json::json;

    use super::*;

    fn service(name: &str, version: u32, owner: &str) -> Service {
        serde_json::from_value(json!({
            "metadata": { "namespace": "shop", "name": name, "resourceVersion": version.to_string(),
                "ownerReferences": [{ "apiVersion": "v1", "kind": "X", "name": "x", "uid": owner }] }
        }))
        .unwrap()
    }

    #[test]
    fn an_object_never_goes_back_in_time() {
        let store = Store::default();
        assert!(matches!(store.put(service("a", 5, "u")), Change::Put { old: None, .. }));
        assert!(matches!(store.put(service("a", 4, "v")), Change::None));
        assert!(matches!(store.put(service("a", 5, "v")), Change::None));
        assert_eq!(store.owned_by("u").len(), 1);
        assert!(matches!(store.put(service("a", 10, "v")), Change::Put { old: Some(_), .. }), "numbers, not text");
        assert!(store.owned_by("u").is_empty());
        assert!(matches!(store.remove(&service("a", 9, "v").metadata), Change::None), "deletion of an earlier object");
        assert!(matches!(store.remove(&service("a", 12, "v").metadata), Change::Removed(_)));
        assert!(matches!(store.put(service("a", 11, "v")), Change::None), "a late event does not bring it back");
        assert!(matches!(store.put(service("a", 13, "v")), Change::Put { .. }));
    }

    #[test]
    fn an_object_is_uncontrolled_until_somebody_controls_it() {
        let store = Store::default();
        let names =
            || store.uncontrolled("shop").iter().map(|one: &Arc<Service>| one.meta().name.clone()).collect::<Vec<_>>();
        store.put(service("a", 1, "u"));
        assert_eq!(names(), [Some("a".to_owned())], "an owner need not control");
        let mut controlled = service("a", 2, "u");
        controlled.metadata.owner_references.as_mut().unwrap()[0].controller = Some(true);
        store.put(controlled.clone());
        assert!(names().is_empty());
        store.put(service("a", 3, "u"));
        store.remove(&service("a", 4, "u").metadata);
        assert!(names().is_empty());
    }

    #[test]
    fn a_list_removes_what_is_missing_but_not_what_we_just_wrote() {
        let store = Store::default();
        store.put(service("a", 1, "u"));
        store.put(service("b", 2, "u"));
        store.begin_list();
        store.put(service("ours", 9, "u"));
        store.put(service("b", 2, "u"));
        let gone = store.end_list();
        assert_eq!(gone.len(), 1);
        assert_eq!(store.owned_by("u").len(), 2);
        assert!(store.get(&Name::new("shop", "ours")).is_some());
        assert_eq!(store.in_namespace("shop").len(), 2);
        assert!(store.in_namespace("sho").is_empty());
    }
}
