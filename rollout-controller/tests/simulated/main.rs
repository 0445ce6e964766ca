//! The real controller, or parts of it, on the simulated cluster in virtual time.
// Helpers fail like the tests that call them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::needless_pass_by_value)]

mod analysis_run;
mod events;
mod harness;
mod istio;
mod job;
mod lease;
mod lifecycle;
mod malformed;
mod messages;
mod restart;
mod series;
mod services;
mod settle;
mod slow_provider;
mod workload;
