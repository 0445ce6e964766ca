//! The API types of the product, and the one version of every Kubernetes crate.
//!
//! All types of `argoproj.io/v1alpha1` are at the root of the crate under the names Argo's API gives them, fields in
//! snake case. Every other crate takes [`kube`], [`k8s_openapi`], [`jiff`], [`schemars`] and [`json_patch`] from here.
//!
//! Invariants: an object which the CRD accepts survives JSON → types → JSON unchanged; absent and empty stay
//! distinct; an object which does not fit never hides the others (see [`Guarded`]).

#![forbid(unsafe_code)]

pub use {jiff, json_patch, k8s_openapi, kube, schemars};

pub mod duration;
pub mod words;

mod analysis;
mod experiment;
mod guarded;
mod raw;
mod replica_set;
mod rollout;
mod schema;
mod selector;
mod vocabulary;

pub use analysis::*;
pub use experiment::*;
pub use guarded::{Guarded, Malformed};
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta, Time};
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
pub use raw::{JobSpec, PodTemplate, RawObject};
pub use replica_set::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
pub use rollout::*;
pub use schema::{definitions, yaml};
pub use selector::{selector_is_set, selector_matches};
pub use vocabulary::*;
