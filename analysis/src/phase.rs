//! How a measurement, a metric or a run stands.

use std::fmt;
use std::str::FromStr;

/// The phase of a measurement, a metric or a whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not begun.
    Pending,
    /// Begun, no verdict yet.
    Running,
    /// The evidence is good.
    Successful,
    /// The evidence is bad.
    Failed,
    /// No verdict was possible: a wrong query, a wrong condition.
    Error,
    /// Neither good nor bad: a person must look.
    Inconclusive,
}

/// A word that is no phase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a phase: use Pending, Running, Successful, Failed, Error or Inconclusive")]
pub struct UnknownPhase(pub String);

impl Phase {
    /// The word used in statuses and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Successful => "Successful",
            Self::Failed => "Failed",
            Self::Error => "Error",
            Self::Inconclusive => "Inconclusive",
        }
    }

    /// Whether nothing will change any more.
    pub const fn is_completed(self) -> bool {
        match self {
            Self::Successful | Self::Failed | Self::Error | Self::Inconclusive => true,
            Self::Pending | Self::Running => false,
        }
    }

    /// How bad it is: Successful < Running < Pending < Inconclusive < Error < Failed.
    pub const fn severity(self) -> u8 {
        match self {
            Self::Successful => 0,
            Self::Running => 1,
            Self::Pending => 2,
            Self::Inconclusive => 3,
            Self::Error => 4,
            Self::Failed => 5,
        }
    }

    /// The worse of two phases.
    #[must_use]
    pub const fn worst(self, other: Self) -> Self {
        if other.severity() > self.severity() { other } else { self }
    }

    /// Reads a status field: absent, empty or unknown means not begun.
    pub fn of_status(text: Option<&str>) -> Self {
        text.and_then(|t| t.parse().ok()).unwrap_or(Self::Pending)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Phase {
    type Err = UnknownPhase;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Pending, Self::Running, Self::Successful, Self::Failed, Self::Error, Self::Inconclusive]
            .into_iter()
            .find(|phase| phase.as_str() == text)
            .ok_or_else(|| UnknownPhase(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::Phase::{self, Error, Failed, Inconclusive, Pending, Running, Successful};

    #[test]
    fn words_round_trip_and_order() {
        let order = [Successful, Running, Pending, Inconclusive, Error, Failed];
        for (i, a) in order.into_iter().enumerate() {
            assert_eq!(a.as_str().parse(), Ok(a));
            for b in order.into_iter().skip(i) {
                assert_eq!(a.worst(b), b);
                assert_eq!(b.worst(a), b);
            }
        }
        assert!("successful".parse::<Phase>().is_err());
    }
}
