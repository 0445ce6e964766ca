//! The cluster's clock.
//!
//! It is a base time plus what tokio's clock has run since. Under tokio's paused clock it is therefore virtual: it
//! stands still while tasks work and jumps when everything waits.

use crds::jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A clock that follows tokio's, real or paused. Cheap to copy; copies agree.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    base: Timestamp,
    started: Instant,
}

impl Clock {
    /// A clock that shows `base` at this moment.
    pub fn starting_at(base: Timestamp) -> Self {
        Self { base, started: Instant::now() }
    }

    /// A clock that shows the machine's time at this moment.
    pub fn real() -> Self {
        Self::starting_at(Timestamp::now())
    }

    /// The present time.
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.started.elapsed()).unwrap_or(SignedDuration::MAX);
        self.base.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// The present time as Kubernetes writes it: RFC 3339, whole seconds, UTC.
    pub(crate) fn stamp(&self) -> String {
        seconds(self.now())
    }
}

/// RFC 3339 with whole seconds.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads an RFC 3339 time.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
