//! Traffic routers: *desired routing* in, *writes to the objects a router owns* out, and the weight in force read back.
//!
//! Invariants: nothing here talks to the API server or reads a clock; a plan for objects that already say what is desired is
//! empty; only fields a router owns are ever patched, so that what other people wrote on the same object stays.
#![forbid(unsafe_code)]

pub mod gateway;
pub mod istio;
pub mod nginx;
mod object;
pub mod patch;
mod routing;
mod services;
mod shares;
pub mod words;

use std::collections::BTreeMap;

use crds::{LabelSelector, Rollout};
use serde_json::Value;

pub use routing::{Additional, HeaderRoute, HeaderValue, MirrorRoute, Routing, Weight};
pub use services::{Services, services, services_of};

/// One object a router reads or writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// API version, such as `networking.k8s.io/v1`; where a cluster may serve another version of the group, the newest.
    pub api_version: &'static str,
    /// Kind, such as `Ingress`.
    pub kind: &'static str,
    /// Plural resource name, such as `ingresses`.
    pub plural: &'static str,
    /// Namespace; `None` for the Rollout's.
    pub namespace: Option<String>,
    /// Object name.
    pub name: String,
}

/// Objects that are found by their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Selected {
    /// Kind and namespace; the name is empty.
    pub like: Reference,
    /// Their labels.
    pub selector: LabelSelector,
}

/// The objects that exist among the references and the selected ones, as raw JSON so that no field is lost.
pub type Objects = BTreeMap<Reference, Value>;

/// A write that carries a plan out. Apply them in order; each is safe to repeat.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Create this object.
    Create {
        /// What is created.
        reference: Reference,
        /// The whole object, with owner reference.
        object: Value,
        /// Event reason and message for people.
        event: (&'static str, String),
    },
    /// JSON merge patch of an existing object.
    Patch {
        /// What is patched.
        reference: Reference,
        /// Precondition: the uid the plan was made for.
        uid: String,
        /// Only the fields that differ.
        patch: Value,
        /// Event reason and message for people.
        event: (&'static str, String),
    },
    /// Delete an object the router made.
    Delete {
        /// What is deleted.
        reference: Reference,
        /// Precondition.
        uid: String,
    },
}

/// Why a router cannot do what is desired. Lowercase fragments which read well after "failed to route traffic: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouterError {
    /// A referenced object does not exist.
    #[error("{kind} \"{name}\" not found")]
    Missing {
        /// Kind of the missing object.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A referenced object does not fit.
    #[error("{kind} \"{name}\": {problem}")]
    Unsuitable {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}

/// Deletes what routers of this Rollout once made and none of them uses any more: a canary Ingress whose stable Ingress was taken out of
/// the list would send its last share of the requests to the canary for ever.
pub fn leftovers(rollout: &Rollout, objects: &Objects) -> Vec<Write> {
    let owner = rollout.metadata.uid.as_deref();
    let ours: Vec<_> = objects.iter().filter(|(_, object)| nginx::is_canary_of(object, owner)).collect();
    if ours.is_empty() {
        return Vec::new();
    }
    let used: Vec<Reference> = routers(rollout).iter().flat_map(|router| router.references()).collect();
    ours.into_iter()
        .filter(|(reference, _)| !used.contains(reference))
        .map(|(reference, object)| Write::Delete {
            reference: reference.clone(),
            uid: object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned(),
        })
        .collect()
}

/// What not every router can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Send requests with certain headers to the canary.
    HeaderRoutes,
    /// Copy requests to the canary.
    MirrorRoutes,
    /// Two Services that swap roles.
    PingPong,
    /// Shares for the versions of an Experiment.
    ExperimentWeights,
    /// Weights out of another total than 100.
    MaxTrafficWeight,
}

/// The versions, by pod-template hash, that a router's own pointers lead to; `None` for one that leads to every pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// Behind the canary's share.
    pub canary: Option<String>,
    /// Behind the rest.
    pub stable: Option<String>,
}

/// Whether requests go where the objects say; of several answers the greatest counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verified {
    /// Nothing can be known: what is written counts.
    Unknown,
    /// They do.
    Yes,
    /// Not yet.
    NotYet,
    /// Somebody refuses to, and why.
    No(String),
}

/// One traffic router of one Rollout.
pub trait Router {
    /// Name as in `rollout_info{traffic_router}`, such as `Nginx`.
    fn name(&self) -> &'static str;
    /// The field of `trafficRouting` that asks for it, such as `nginx`.
    fn field(&self) -> &'static str;
    /// Every object that `in_force`, `versions` and `plan` look at, existing or not.
    fn references(&self) -> Vec<Reference>;
    /// Objects that it looks at as well, which are found by their labels.
    fn selected(&self) -> Vec<Selected> {
        Vec::new()
    }
    /// Whether it can do this for this Rollout.
    ///
    /// # Errors
    /// Why not, as a sentence for a person.
    fn can(&self, feature: Feature) -> Result<(), &'static str>;
    /// The canary's share as the objects say now; `None` while nothing routes to the canary by weight.
    ///
    /// # Errors
    /// A referenced object that the user must provide is missing or unsuitable.
    fn in_force(&self, objects: &Objects) -> Result<Option<Weight>, RouterError>;
    /// The writes that bring the objects to the desired routing; empty when they are there.
    ///
    /// # Errors
    /// A referenced object that the user must provide is missing or unsuitable.
    fn plan(&self, desired: &Routing, objects: &Objects) -> Result<Vec<Write>, RouterError>;
    /// Whether the data plane has taken in what the objects say.
    fn verified(&self, objects: &Objects) -> Verified {
        let _ = objects;
        Verified::Unknown
    }
    /// Where the router tells versions apart itself and not by Services: which ones it leads to now.
    fn versions(&self, objects: &Objects) -> Option<Versions> {
        let _ = objects;
        None
    }
    /// The write that leads its own pointers to these versions; a version that is not given stays.
    ///
    /// # Errors
    /// A referenced object that the user must provide is missing or unsuitable.
    fn point(&self, to: &Versions, objects: &Objects) -> Result<Option<Write>, RouterError> {
        let _ = (to, objects);
        Ok(None)
    }
    /// Whether the objects are such that traffic for these Services can be routed at all. For telling a person of a
    /// mistake before anything is done. `additional` are Services of Experiments, which may stand in routes as well.
    ///
    /// # Errors
    /// The first object that is missing or unsuitable.
    fn validate(&self, services: &Services, additional: &[String], objects: &Objects) -> Result<(), RouterError> {
        let _ = (services, additional, objects);
        Ok(())
    }
}

/// The routers a Rollout asks for, in the order in which they are driven.
pub fn routers(rollout: &Rollout) -> Vec<Box<dyn Router>> {
    let istio = istio::Istio::from_rollout(rollout).map(|router| Box::new(router) as Box<dyn Router>);
    let nginx = nginx::Nginx::from_rollout(rollout).map(|router| Box::new(router) as Box<dyn Router>);
    let gateway = gateway::Gateway::from_rollout(rollout).map(|router| Box::new(router) as Box<dyn Router>);
    istio.into_iter().chain(nginx).chain(gateway).collect()
}
