//! Traffic routers: *desired routing* in, *writes to the objects a router owns* out, and the weight in force read back.
//!
//! Invariants: nothing here talks to the API server or reads a clock; a plan for objects that already say what is desired is
//! empty; only fields a router owns are ever patched, so that what other people wrote on the same object stays.
#![forbid(unsafe_code)]

pub mod nginx;
pub mod patch;
pub mod words;

use std::collections::BTreeMap;

use crds::Rollout;
use serde_json::Value;

/// A share of the traffic, in units of the router's total (`maxTrafficWeight`, 100 unless the user set another).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(pub u32);

/// One object a router reads or writes, in the Rollout's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// API version, such as `networking.k8s.io/v1`.
    pub api_version: &'static str,
    /// Kind, such as `Ingress`.
    pub kind: &'static str,
    /// Plural resource name, such as `ingresses`.
    pub plural: &'static str,
    /// Object name.
    pub name: String,
}

/// The objects that exist among the references, as raw JSON so that no field is lost.
pub type Objects = BTreeMap<Reference, Value>;

/// Requests with a certain header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRoute {
    /// Name of the route, one of the managed ones.
    pub name: String,
    /// Name of the header.
    pub header: String,
    /// What it must be.
    pub value: HeaderValue,
}

/// What a header must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// Exactly this.
    Exact(String),
    /// It matches this regular expression.
    Regex(String),
}

/// What the traffic should look like.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// The canary's share; the stable version has the rest.
    pub canary: Weight,
    /// The total, `maxTrafficWeight` or 100.
    pub max: Weight,
    /// Requests that go to the canary by a header, whatever the weight.
    pub headers: Vec<HeaderRoute>,
    /// Name of the canary Service.
    pub canary_service: String,
    /// Name of the stable Service.
    pub stable_service: String,
}

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

/// One traffic router of one Rollout.
pub trait Router {
    /// Name as in `rollout_info{traffic_router}`, such as `Nginx`.
    fn name(&self) -> &'static str;
    /// Every object that `in_force` and `plan` look at, existing or not.
    fn references(&self) -> Vec<Reference>;
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
    /// Whether the objects are such that traffic for this stable Service can be routed at all. For telling a person of a
    /// mistake before anything is done.
    ///
    /// # Errors
    /// The first object that is missing or unsuitable.
    fn validate(&self, stable_service: &str, objects: &Objects) -> Result<(), RouterError> {
        let _ = (stable_service, objects);
        Ok(())
    }
}

/// The routers a Rollout asks for, in the order in which they are driven.
pub fn routers(rollout: &Rollout) -> Vec<Box<dyn Router>> {
    nginx::Nginx::from_rollout(rollout).into_iter().map(|router| Box::new(router) as Box<dyn Router>).collect()
}
