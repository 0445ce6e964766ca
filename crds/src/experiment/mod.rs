//! The Experiment: several versions run side by side, and are analysed.

mod types;

pub use types::*;
