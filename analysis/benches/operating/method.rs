//! Who judges: our comparison by the code of the product, and how others would judge the same data.

use analysis::comparison::harm::{Harm, Tolerance};
use analysis::comparison::kayenta::{self, Class, Direction, Settings};
use analysis::comparison::{Block, Counts, threshold};

/// Chance of a false alarm in all tables.
pub const ALPHA: f64 = 0.05;
/// Blocks of a minute.
const MINUTE: usize = 6;

/// Someone who looks at each block and may abort.
pub trait Method {
    fn aborts(&mut self, block: &Block) -> bool;
}

/// The product's.
pub struct Comparison {
    harm: Harm,
    dispersion: f64,
}

impl Comparison {
    pub fn new(dispersion: f64) -> Self {
        Self { harm: Harm::default(), dispersion }
    }
}

impl Method for Comparison {
    fn aborts(&mut self, block: &Block) -> bool {
        self.harm.add(&block.clean().0, Tolerance::RATIO, self.dispersion);
        self.harm.log_evidence() >= threshold(ALPHA)
    }
}

/// Joins blocks to minutes.
#[derive(Default)]
struct Minutes {
    blocks: usize,
    canary: Counts,
    stable: Counts,
}

impl Minutes {
    fn add(&mut self, block: &Block) -> Option<(Counts, Counts)> {
        self.canary.add(block.canary);
        self.stable.add(block.stable);
        self.blocks += 1;
        if self.blocks < MINUTE {
            return None;
        }
        let whole = std::mem::take(self);
        Some((whole.canary, whole.stable))
    }
}

/// Less than 1 % of the canary's requests may fail in each minute; so many minutes may be worse.
pub struct Limit {
    minutes: Minutes,
    tolerated: u32,
}

impl Limit {
    /// As in a template for Argo Rollouts, with its `failureLimit`.
    pub fn argo(failure_limit: u32) -> Self {
        Self { minutes: Minutes::default(), tolerated: failure_limit }
    }

    /// As in a Canary for Flagger: `threshold: 5` aborts at the fifth failed check.
    pub fn flagger() -> Self {
        Self::argo(4)
    }
}

impl Method for Limit {
    fn aborts(&mut self, block: &Block) -> bool {
        let Some((canary, _)) = self.minutes.add(block) else { return false };
        if canary.share() < 0.01 {
            return false;
        }
        if self.tolerated == 0 {
            return true;
        }
        self.tolerated -= 1;
        false
    }
}

/// Kayenta's judge on the failure rates of all minutes so far, every five minutes.
#[derive(Default)]
pub struct Kayenta {
    minutes: Minutes,
    canary: Vec<f64>,
    stable: Vec<f64>,
}

impl Method for Kayenta {
    fn aborts(&mut self, block: &Block) -> bool {
        let Some((canary, stable)) = self.minutes.add(block) else { return false };
        self.canary.push(canary.share());
        self.stable.push(stable.share());
        let settings = Settings { direction: Direction::Increase, ..Settings::default() };
        self.canary.len().is_multiple_of(5)
            && kayenta::judge(&self.canary, &self.stable, &settings).class == Class::High
    }
}
