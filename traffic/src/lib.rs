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

/// What the traffic should look like.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// The canary's share; the stable version has the rest.
    pub canary: Weight,
    /// The total, `maxTrafficWeight` or 100.
    pub max: Weight,
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
