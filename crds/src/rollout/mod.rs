//! The Rollout: what to run, how a change reaches users, and what is true now.

mod analysis;
mod blue_green;
mod canary;
mod defaults;
mod spec;
mod status;
mod step;
mod traffic;

pub use analysis::*;
pub use blue_green::*;
pub use canary::*;
pub use defaults::*;
pub use spec::*;
pub use status::*;
pub use step::*;
pub use traffic::*;
