//! The controller: watches fill the view, workers settle what was woken, `apply` writes.
//!
//! [`run::run`] is the whole of it; the binary, the tests and the demo call it with a client, a clock and a token that
//! stops it. See each module for its invariants.
#![forbid(unsafe_code)]

pub mod apply;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod events;
pub mod health;
mod jobs;
pub mod lease;
pub mod machine;
pub mod measure;
pub mod metrics;
pub mod process;
pub mod queue;
pub mod run;
pub mod telemetry;
pub mod view;
pub mod words;
