//! Who can be asked for a measurement, one struct for each provider.

mod comparison;
mod http;
mod other;
mod saas;

pub use comparison::*;
pub use http::*;
pub use other::*;
pub use saas::*;
