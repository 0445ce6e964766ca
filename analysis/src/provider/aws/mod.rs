//! What asking AWS takes: credentials, and the signature of a request.

pub(super) mod credentials;
pub(super) mod profile;
pub(super) mod sigv4;
