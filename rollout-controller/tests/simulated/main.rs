//! The real controller, or parts of it, on the simulated cluster in virtual time.

mod analysis_run;
mod events;
mod harness;
mod lease;
mod lifecycle;
mod malformed;
