//! The kubectl plugin: what a person sees of a Rollout, and the verbs with which a person decides.
//!
//! Invariants: a verb writes only the fields that are its meaning, so that it never undoes what the controller or someone
//! else wrote meanwhile; what is shown comes from the objects alone (phases and messages are the controller's); colours
//! and redrawing happen only on a terminal.

#![forbid(unsafe_code)]

pub mod age;
pub mod cli;
pub mod commands;
pub mod connect;
pub mod errors;
pub mod model;
pub mod names;
pub mod picture;
pub mod render;
pub mod session;
pub mod terminal;
pub mod watch;

pub use errors::Error;
pub use session::Session;
pub use terminal::Terminal;
