//! The Experiment: several versions run side by side, and are analysed.

mod defaults;
mod types;

pub use types::*;
