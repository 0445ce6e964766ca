//! What is counted in one block of time: failed and all requests of both versions.
//!
//! Invariants: after [`Block::clean`] every number is finite, none is negative, and nobody failed more requests than it had. What had to be
//! put right is told, because it means that a query is wrong or a counter was reset.

use serde::{Deserialize, Serialize};

/// More requests than any block holds; beyond it numbers are no counts.
const MOST: f64 = 1e15;
/// Less than this is no request at all.
const LEAST: f64 = 1e-9;

/// Requests of one version in one block. Real numbers: a server extrapolates to the edges of a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that failed (or were slow).
    pub failed: f64,
    /// All requests.
    pub total: f64,
}

/// Both versions in the same block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// The new version.
    pub canary: Counts,
    /// The version that it is compared with.
    pub stable: Counts,
}

impl Counts {
    /// Of these numbers.
    pub const fn new(failed: f64, total: f64) -> Self {
        Self { failed, total }
    }

    /// The counts with what cannot be clamped, and whether there was such a thing.
    pub fn clean(self) -> (Self, bool) {
        let total = if self.total.is_finite() { self.total.clamp(0.0, MOST) } else { 0.0 };
        let failed = if self.failed.is_finite() { self.failed.clamp(0.0, total) } else { 0.0 };
        let some = |count: f64| if count < LEAST { 0.0 } else { count };
        let clean = Self { failed: some(failed), total: some(total) };
        (clean, clean != self)
    }

    /// The share that failed; none of nothing.
    pub fn share(self) -> f64 {
        if self.total > 0.0 { self.failed / self.total } else { 0.0 }
    }

    /// Takes in the counts of another block.
    pub fn add(&mut self, other: Self) {
        self.failed += other.failed;
        self.total += other.total;
    }
}

impl Block {
    /// `x_c` of `n_c` failed of the canary, `x_s` of `n_s` of the stable version.
    pub const fn new(canary: Counts, stable: Counts) -> Self {
        Self { canary, stable }
    }

    /// The block with what cannot be clamped, and whether there was such a thing.
    pub fn clean(self) -> (Self, bool) {
        let (canary, first) = self.canary.clean();
        let (stable, second) = self.stable.clean();
        (Self { canary, stable }, first || second)
    }

    /// Failures of both versions.
    pub fn failures(&self) -> f64 {
        self.canary.failed + self.stable.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_put_right_and_told() {
        for (failed, total, clean) in [
            (5.0, 3.0, (3.0, 3.0)),
            (-1.0, 3.0, (0.0, 3.0)),
            (f64::NAN, 3.0, (0.0, 3.0)),
            (1.0, f64::NAN, (0.0, 0.0)),
            (f64::INFINITY, 3.0, (0.0, 3.0)),
            (1.0, f64::INFINITY, (0.0, 0.0)),
            (1.0, -2.0, (0.0, 0.0)),
        ] {
            assert_eq!(
                Counts::new(failed, total).clean(),
                (Counts::new(clean.0, clean.1), true),
                "{failed} of {total}"
            );
        }
        assert_eq!(Counts::new(1.0, 3.0).clean(), (Counts::new(1.0, 3.0), false));
    }
}
