//! Analyses: templates, the metrics in them, and runs.

mod cluster_template;
mod defaults;
mod metric;
mod provider;
mod run;
mod template;

pub use cluster_template::*;
pub use metric::*;
pub use provider::*;
pub use run::*;
pub use template::*;
