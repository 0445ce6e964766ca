//! Judgement of releases: the condition language, the AnalysisRun machine and the metric providers.
//!
//! Invariants: the machine and the templates are pure; only providers do I/O; nothing here talks to
//! Kubernetes.

pub mod condition;
mod phase;
mod text;

pub use phase::{Phase, UnknownPhase};
