//! Many releases: who aborts how many of them, and when.

use std::sync::atomic::{AtomicUsize, Ordering};

use analysis::comparison::{Block, Counts, dispersion};

use super::method::{Comparison, Kayenta, Limit, Method};
use super::random::Random;
use super::world::{BLOCK, Pods, STABLE, World};

/// Half an hour of release.
pub const LOOKS: usize = 180;
/// Two hours before it.
const HISTORY: usize = 720;
/// How many times as often the canary fails.
pub const EFFECTS: [f64; 5] = [1.0, 1.25, 2.0, 5.0, 10.0];
/// Names of the methods, as in [`methods`].
pub const METHODS: [&str; 5] = ["comparison", "argo-0", "argo-3", "flagger", "kayenta"];
/// Kayenta's judge takes a thousand times as long as the others: it sees every tenth release.
const KAYENTA_SHARE: usize = 10;

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub world: String,
    pub rps: f64,
    pub effect: f64,
    pub method: &'static str,
    /// Share of the releases.
    pub aborted: f64,
    /// Median time to the abort, when at least half are aborted.
    pub median_s: Option<f64>,
}

/// What became of many releases.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    releases: u32,
    aborted: Vec<u16>,
}

impl Tally {
    pub fn add(&mut self, aborted_at: Option<usize>) {
        self.releases += 1;
        self.aborted.extend(aborted_at.and_then(|look| u16::try_from(look).ok()));
    }

    pub fn join(&mut self, other: Self) {
        self.releases += other.releases;
        self.aborted.extend(other.aborted);
    }

    /// Share that was aborted, and the median time over all releases.
    pub fn outcome(mut self, seconds: f64) -> (f64, Option<f64>) {
        self.aborted.sort_unstable();
        let aborted =
            f64::from(u32::try_from(self.aborted.len()).unwrap_or(u32::MAX)) / f64::from(self.releases.max(1));
        let half = usize::try_from(self.releases.div_ceil(2)).unwrap_or(usize::MAX);
        let median = half.checked_sub(1).and_then(|at| self.aborted.get(at));
        (aborted, median.map(|look| seconds * f64::from(*look)))
    }
}

fn methods(dispersion: f64, with_kayenta: bool) -> Vec<Box<dyn Method>> {
    let mut all: Vec<Box<dyn Method>> = vec![
        Box::new(Comparison::new(dispersion)),
        Box::new(Limit::argo(0)),
        Box::new(Limit::argo(3)),
        Box::new(Limit::flagger()),
    ];
    if with_kayenta {
        all.push(Box::new(Kayenta::default()));
    }
    all
}

fn seed(parts: [u64; 3]) -> u64 {
    parts.into_iter().fold(0x9e37_79b9_7f4a_7c15, |seed, part| {
        (seed ^ part).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(31).wrapping_mul(0xc4ce_b9fe_1a85_ec53)
    })
}

/// One release with each effect; by effect and method the look at which it was aborted, counted from 1.
fn release(world: World, rps: f64, number: usize, tallies: &mut [[Tally; 5]; 5]) {
    let mut random = Random::new(seed([world as u64, rps.to_bits(), number as u64]));
    let mut pods = Pods::new(world, rps, &mut random);
    let history: Vec<[Counts; STABLE]> = (0..HISTORY).map(|_| pods.history(&mut random)).collect();
    let dispersion = dispersion::between_pods(&history, &dispersion::SCALES).unwrap_or(2.0);
    for (effect, tallies) in EFFECTS.into_iter().zip(tallies) {
        let mut random = Random::new(seed([effect.to_bits(), rps.to_bits(), number as u64]));
        let mut pods = pods.clone();
        let mut judges = methods(dispersion, number.is_multiple_of(KAYENTA_SHARE));
        let mut aborted = vec![None; judges.len()];
        for look in 1..=LOOKS {
            let [canary, stable @ ..] = pods.block(effect, &mut random);
            let mut all = Counts::default();
            for pod in stable {
                all.add(pod);
            }
            let block = Block::new(canary, all);
            for (judge, at) in judges.iter_mut().zip(&mut aborted) {
                if at.is_none() && judge.aborts(&block) {
                    *at = Some(look);
                }
            }
            if aborted.iter().all(Option::is_some) {
                break;
            }
        }
        for (tally, at) in tallies.iter_mut().zip(aborted) {
            tally.add(at);
        }
    }
}

/// Runs `one` for each number on two threads, and joins what they counted.
pub fn on_two_threads<T: Default + Send>(
    releases: usize,
    one: impl Fn(usize, &mut T) + Sync,
    join: impl Fn(&mut T, T),
) -> T {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut counted = T::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= releases {
                return counted;
            }
            one(number, &mut counted);
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut counted = work();
        join(&mut counted, other.join().unwrap());
        counted
    })
}

/// All effects and methods of one world.
pub fn rows(world: World, rps: f64, releases: usize) -> Vec<Row> {
    let tallies: [[Tally; 5]; 5] = on_two_threads(
        releases,
        |number, tallies| release(world, rps, number, tallies),
        |all, other| {
            for (all, other) in all.iter_mut().flatten().zip(other.into_iter().flatten()) {
                all.join(other);
            }
        },
    );
    let mut rows = Vec::new();
    for (effect, tallies) in EFFECTS.into_iter().zip(tallies) {
        for (method, tally) in METHODS.into_iter().zip(tallies) {
            let (aborted, median_s) = tally.outcome(BLOCK);
            rows.push(Row { world: world.name().to_owned(), rps, effect, method, aborted, median_s });
        }
    }
    rows
}
