//! Routers' objects of kinds that a cluster may not have: those of Istio and of the Gateway API.
//!
//! Invariants
//! - A kind is watched from the moment at which a first Rollout names an object of it; until then it costs nothing.
//! - A kind the API server does not know stops only those who need it, is looked for again, and whoever waits for it is woken when it is
//!   there. Of the versions that are served the most stable one is used.
//! - Only objects that are named, or of which somebody selects by labels in their namespace, are kept. Who names one that was not named
//!   before reads it once; the watch says what happens to it from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crds::kube::api::{Api, ApiResource, DynamicObject, ListParams};
use crds::kube::discovery::{self, Scope};
use crds::kube::error::DiscoveryError;
use crds::kube::runtime::watcher;
use crds::kube::{Client, Error};
use crds::{ObjectMeta, Rollout};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use traffic::{Objects, Reference, Selected};

use super::references::Referenced;
use super::store::{Change, Name, Store};
use super::{Key, View, watch};
use crate::queue::BackOff;

/// How often a kind that is missing is looked for.
const LOOK: BackOff = BackOff { first: Duration::from_secs(2), longest: Duration::from_secs(30) };
/// The plural names of the kinds.
const KINDS: [&str; 6] = ["virtualservices", "destinationrules", "httproutes", "grpcroutes", "tcproutes", "tlsroutes"];

/// What is known of one kind.
#[derive(Debug, Default)]
struct Known {
    objects: Store<DynamicObject>,
    served: Mutex<Served>,
}

/// How a kind is read and written.
#[derive(Debug, Default)]
enum Served {
    /// Nobody asked yet.
    #[default]
    Unknown,
    /// The API server does not know it.
    Nowhere,
    /// Like this.
    As(ApiResource),
}

/// What is known of routers' objects.
#[derive(Debug)]
pub struct Routes {
    kinds: BTreeMap<&'static str, Known>,
    wanted: UnboundedSender<Reference>,
    waiting: Mutex<Option<UnboundedReceiver<Reference>>>,
    watched: Mutex<BTreeSet<&'static str>>,
    /// What was listed for which Rollout: kind and namespace.
    listed: Mutex<BTreeSet<(Name, &'static str, String)>>,
}

impl Default for Routes {
    fn default() -> Self {
        let (wanted, waiting) = unbounded_channel();
        Self {
            kinds: KINDS.into_iter().map(|plural| (plural, Known::default())).collect(),
            wanted,
            waiting: Mutex::new(Some(waiting)),
            watched: Mutex::default(),
            listed: Mutex::default(),
        }
    }
}

impl Routes {
    /// How a kind is read and written, when the API server knows it.
    pub fn resource(&self, plural: &str) -> Option<ApiResource> {
        match &*lock(&self.kinds.get(plural)?.served) {
            Served::As(resource) => Some(resource.clone()),
            Served::Unknown | Served::Nowhere => None,
        }
    }

    fn unserved(&self, plural: &str) -> bool {
        self.kinds.get(plural).is_some_and(|known| matches!(*lock(&known.served), Served::Nowhere))
    }

    /// From now on the kind of this object is watched.
    fn want(&self, reference: &Reference) {
        if lock(&self.watched).insert(reference.plural) {
            // Without a receiver the controller is stopping.
            let _ = self.wanted.send(reference.clone());
        }
    }

    /// What a Rollout names now: what it selects no more is not kept for it, so it has to be listed when it is selected again.
    pub(super) fn named_by(&self, rollout: &Name, references: &BTreeSet<Referenced>) {
        lock(&self.listed).retain(|(name, plural, namespace)| {
            name != rollout || references.contains(&Referenced::Routes(plural, namespace.clone()))
        });
    }

    /// What is known of a kind; when the API server does not know it, that is noted.
    fn known(&self, reference: &Reference, unserved: &mut BTreeSet<&'static str>) -> Option<&Known> {
        if self.unserved(reference.plural) {
            unserved.insert(reference.kind);
        }
        self.kinds.get(reference.plural)
    }

    /// Adds the objects that have the labels.
    pub(super) fn observe_selected(
        &self,
        namespace: &str,
        selected: impl Iterator<Item = Selected>,
        objects: &mut Objects,
        unserved: &mut BTreeSet<&'static str>,
    ) {
        for Selected { like, selector } in selected {
            let Some(known) = self.known(&like, unserved) else { continue };
            let namespace = place(namespace, &like).namespace;
            for object in known.objects.in_namespace(&namespace) {
                let empty = BTreeMap::new();
                if crds::selector_matches(&selector, object.metadata.labels.as_ref().unwrap_or(&empty))
                    && let Ok(value) = serde_json::to_value(&*object)
                {
                    let name = object.metadata.name.clone().unwrap_or_default();
                    objects.insert(Reference { name, ..like.clone() }, value);
                }
            }
        }
    }

    /// Adds the objects there are among the references, and the kinds that the API server does not know.
    pub(super) fn observe(
        &self,
        namespace: &str,
        references: impl Iterator<Item = Reference>,
        objects: &mut Objects,
        unserved: &mut BTreeSet<&'static str>,
    ) {
        for reference in references {
            let Some(known) = self.known(&reference, unserved) else { continue };
            if let Some(object) = known.objects.get(&place(namespace, &reference))
                && let Ok(object) = serde_json::to_value(&*object)
            {
                objects.insert(reference, object);
            }
        }
    }

    fn put(&self, plural: &str, mut object: DynamicObject) -> Change<DynamicObject> {
        watch::strip_meta(&mut object.metadata);
        self.kinds.get(plural).map_or(Change::None, |known| known.objects.put(object))
    }

    /// How a kind is served, as it is known or as the API server says.
    async fn find(&self, client: &Client, reference: &Reference) -> Result<Option<ApiResource>, Error> {
        match self.resource(reference.plural) {
            Some(resource) => Ok(Some(resource)),
            None => self.look(client, reference).await,
        }
    }

    /// Asks the API server how a kind is served and keeps the answer.
    async fn look(&self, client: &Client, reference: &Reference) -> Result<Option<ApiResource>, Error> {
        let found = served(client, reference).await?;
        if let Some(known) = self.kinds.get(reference.plural) {
            *lock(&known.served) = found.clone().map_or(Served::Nowhere, Served::As);
        }
        Ok(found)
    }
}

/// What a Rollout's routers look at: what is selected by labels, with the kind and namespace of each, and what is named.
fn named(rollout: &Rollout) -> (Vec<Reference>, Vec<Reference>) {
    let routers = traffic::routers(rollout);
    let selected = routers.iter().flat_map(|router| router.selected()).map(|selected| selected.like).collect();
    (selected, routers.iter().flat_map(|router| router.references()).collect())
}

/// Where an object of a Rollout of this namespace is.
pub fn place(namespace: &str, reference: &Reference) -> Name {
    Name::new(reference.namespace.clone().unwrap_or_else(|| namespace.to_owned()), reference.name.clone())
}

/// The kind in the most stable version that the API server has.
async fn served(client: &Client, reference: &Reference) -> Result<Option<ApiResource>, Error> {
    let group = reference.api_version.split('/').next().unwrap_or_default();
    match discovery::group(client, group).await {
        Ok(group) => {
            let found = group.recommended_kind(reference.kind);
            Ok(found.filter(|(_, about)| about.scope == Scope::Namespaced).map(|(resource, _)| resource))
        }
        Err(Error::Discovery(DiscoveryError::MissingApiGroup(_) | DiscoveryError::MissingKind(_))) => Ok(None),
        Err(Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

/// Starts the watch of each kind when it is first wanted, until it is told to stop.
pub async fn run(view: Arc<View>, client: Client, namespace: Option<String>, shared: watch::Shared) {
    let Some(mut wanted) = lock(&view.routes.waiting).take() else { return };
    let mut watches = JoinSet::new();
    loop {
        let reference = tokio::select! {
            () = shared.stop.cancelled() => break,
            reference = wanted.recv() => reference,
        };
        let Some(reference) = reference else { break };
        watches.spawn(follow(view.clone(), client.clone(), namespace.clone(), shared.clone(), reference));
    }
    watches.shutdown().await;
}

/// Waits until the API server knows the kind, and watches it.
async fn follow(
    view: Arc<View>,
    client: Client,
    namespace: Option<String>,
    shared: watch::Shared,
    reference: Reference,
) {
    let plural = reference.plural;
    let mut tries = 0_u32;
    let resource = loop {
        match view.routes.look(&client, &reference).await {
            Ok(Some(resource)) => break resource,
            Ok(None) => tracing::debug!(kind = plural, "the API server does not know this kind"),
            Err(error) => tracing::warn!(kind = plural, %error, "cannot ask for this kind"),
        }
        tries = tries.saturating_add(1);
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(LOOK.delay(tries)) => {}
        }
    };
    if tries > 0 {
        tracing::info!(kind = plural, version = resource.api_version, "the API server knows this kind now");
        view.wake_all();
    }
    let api: Api<DynamicObject> = match &namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let Some(known) = view.routes.kinds.get(plural) else { return };
    let changed = |change: &Change<DynamicObject>| {
        if let Some(meta) = super::meta_of(change)
            && !view.route_changed(plural, meta, None)
        {
            known.objects.forget(&Name::of(meta));
        }
    };
    watch::run(api, watcher::Config::default(), plural, &known.objects, shared, changed).await;
}

impl View {
    /// Takes in a router's object that was read or written. Wakes whoever names it, except `by`.
    pub fn take_route(&self, plural: &str, object: DynamicObject, by: Option<&Key>) {
        if plural == "ingresses" {
            self.take_ingress(object, by);
        } else if let Some(plural) = KINDS.into_iter().find(|known| *known == plural)
            && let Some(meta) = super::meta_of(&self.routes.put(plural, object))
        {
            self.route_changed(plural, meta, by);
        }
    }

    /// Whether somebody names it.
    fn route_changed(&self, plural: &'static str, meta: &ObjectMeta, by: Option<&Key>) -> bool {
        let name = Name::of(meta);
        let all = Referenced::Routes(plural, name.namespace.clone());
        let named = [Referenced::Route(plural, name), all];
        for referenced in &named {
            self.wake_naming(referenced, by);
        }
        named.iter().any(|referenced| !self.index.naming(referenced).is_empty())
    }

    /// Reads what a Rollout's routers need and the picture does not have; that it does not exist is no failure.
    ///
    /// # Errors
    /// What could not be read, in words.
    pub async fn read_routes(&self, client: &Client, rollout: &Rollout) -> Result<(), String> {
        let namespace = rollout.metadata.namespace.as_deref().unwrap_or_default();
        let (selected, references) = named(rollout);
        for like in selected {
            self.list_routes(client, rollout, &like).await?;
        }
        for reference in references {
            let Some(known) = self.routes.kinds.get(reference.plural) else { continue };
            self.routes.want(&reference);
            let place = place(namespace, &reference);
            if known.objects.get(&place).is_some() || self.routes.unserved(reference.plural) {
                continue;
            }
            let told = |error: Error| format!("{} \"{place}\": {error}", reference.kind);
            let Some(resource) = self.routes.find(client, &reference).await.map_err(told)? else { continue };
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &place.namespace, &resource);
            match api.get_opt(&place.name).await {
                Ok(Some(object)) => {
                    self.take_route(reference.plural, object, Some(&Key::Rollout(Name::of(&rollout.metadata))));
                }
                Ok(None) => {}
                // It is told as one that does not exist; why is in the log.
                Err(Error::Api(status)) if status.code == 403 => {
                    tracing::warn!(kind = reference.plural, object = %place, "{}", status.message);
                }
                Err(error) => return Err(told(error)),
            }
        }
        Ok(())
    }

    /// Reads all objects of a kind in a namespace once, for a Rollout that selects among them; the watch says what happens to them then.
    async fn list_routes(&self, client: &Client, rollout: &Rollout, like: &Reference) -> Result<(), String> {
        let rollout = Name::of(&rollout.metadata);
        let place = place(&rollout.namespace, like);
        self.routes.want(like);
        let entry = (rollout.clone(), like.plural, place.namespace.clone());
        if lock(&self.routes.listed).contains(&entry) || self.routes.unserved(like.plural) {
            return Ok(());
        }
        let told = |error: Error| format!("{} of namespace {}: {error}", like.kind, place.namespace);
        let Some(resource) = self.routes.find(client, like).await.map_err(told)? else { return Ok(()) };
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &place.namespace, &resource);
        for object in api.list(&ListParams::default()).await.map_err(told)? {
            self.take_route(like.plural, object, Some(&Key::Rollout(rollout.clone())));
        }
        lock(&self.routes.listed).insert(entry);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_selected_again_is_listed_again() {
        let routes = Routes::default();
        let (web, cart) = (Name::new("shop", "web"), Name::new("shop", "cart"));
        let entry = |rollout: &Name| (rollout.clone(), "httproutes", "shop".to_owned());
        lock(&routes.listed).extend([entry(&web), entry(&cart)]);
        let selects = BTreeSet::from([Referenced::Routes("httproutes", "shop".to_owned())]);
        routes.named_by(&web, &selects);
        assert!(lock(&routes.listed).contains(&entry(&web)), "it still selects them");
        routes.named_by(&web, &BTreeSet::new());
        assert_eq!(*lock(&routes.listed), BTreeSet::from([entry(&cart)]));
    }
}
