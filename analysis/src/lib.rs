//! Judgement of releases: the condition language, the AnalysisRun machine and the metric providers.
//!
//! Invariants: the machine ([`run::decide`]) and the templates are pure; only [`provider`] does I/O; nothing here talks to
//! Kubernetes.

pub mod comparison;
pub mod condition;
pub mod lint;
mod phase;
pub mod promql;
pub mod provider;
pub mod run;
pub mod template;
mod text;
pub mod words;

pub use phase::{Phase, UnknownPhase};
