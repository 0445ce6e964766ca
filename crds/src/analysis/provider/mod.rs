//! Who can be asked for a measurement, one struct for each provider.

mod http;
mod other;
mod saas;

pub use http::*;
pub use other::*;
pub use saas::*;
