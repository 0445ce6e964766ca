//! Releases at random, at scale: random specs, random happenings, and the laws at every state on the way.
//!
//! `cargo test` plays the same seeds every time. With `SOAK_MINUTES` new seeds are played for that long (`cargo xtask soak`); a violation
//! is told with its seed and the smallest plan that still shows it. `SOAK_SEED` plays one seed again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod check;
mod plan;
#[path = "../world/mod.rs"]
mod world;

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use check::Outcome;
use plan::Plan;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Seeds that every test run plays.
const FIXED: u64 = 800;
/// Attempts to make a plan smaller.
const SMALLER: usize = 400;
/// Violations after which it stops looking for more.
const ENOUGH: usize = 5;

thread_local! {
    /// Why the plan at hand failed, as the panic told it.
    static WHY: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What was played.
#[derive(Default)]
struct Played {
    simulated: AtomicU64,
    refused: AtomicU64,
}

/// Why a plan breaks a law; nothing when it does not.
fn verdict(plan: &Plan, played: Option<&Played>) -> Option<String> {
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| check::play(plan)));
    if let Some(played) = played {
        let refused = matches!(outcome, Ok(Outcome::Refused));
        let counter = if refused { &played.refused } else { &played.simulated };
        counter.fetch_add(1, Ordering::Relaxed);
    }
    outcome.is_err().then(|| WHY.with(RefCell::take))
}

/// Plays the plan of a seed; a violation with the smallest plan that was found for it.
fn play(seed: u64, played: &Played) -> Option<String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut tree = plan::plans().new_tree(&mut runner).unwrap();
    let mut why = verdict(&tree.current(), Some(played))?;
    let mut smallest = tree.current();
    let mut open = tree.simplify();
    for _ in 0..SMALLER {
        if !open {
            break;
        }
        let plan = tree.current();
        open = match verdict(&plan, None) {
            Some(again) => {
                (why, smallest) = (again, plan);
                tree.simplify()
            }
            None => tree.complicate(),
        };
    }
    Some(format!("seed {seed}: {why}\n{smallest:#?}"))
}

/// Plays seeds on all processors until `seeds` are through or the time is over.
fn soak(first: u64, seeds: u64, end: Option<Instant>) -> (Played, Vec<String>) {
    panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("a panic without words").to_owned();
        let place = info.location().map(|place| format!(" [{}:{}]", place.file(), place.line())).unwrap_or_default();
        WHY.with(|why| *why.borrow_mut() = text + &place);
    }));
    let (played, next) = (Played::default(), AtomicU64::new(first));
    let violations = std::sync::Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let over = seed >= first.saturating_add(seeds) || end.is_some_and(|end| Instant::now() >= end);
            if over || violations.lock().unwrap().len() >= ENOUGH {
                return;
            }
            if let Some(violation) = play(seed, &played) {
                violations.lock().unwrap().push(violation);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    drop(panic::take_hook());
    (played, violations.into_inner().unwrap())
}

#[test]
fn the_laws_hold_for_releases_at_random() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let (first, seeds, end) = match (number("SOAK_SEED"), number("SOAK_MINUTES")) {
        (Some(seed), _) => (seed, 1, None),
        (None, Some(minutes)) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            (now.as_secs() << 20, u64::MAX, Some(Instant::now() + Duration::from_secs(minutes * 60)))
        }
        (None, None) => (0, FIXED, None),
    };
    let (played, violations) = soak(first, seeds, end);
    for violation in &violations {
        println!("{violation}\n");
    }
    let (simulated, refused) = (played.simulated.into_inner(), played.refused.into_inner());
    println!("soak: {simulated} rollouts simulated, {} violations ({refused} specs refused)", violations.len());
    assert!(violations.is_empty(), "{} violations", violations.len());
    assert!(seeds == 1 || simulated > refused, "most specs are refused: nothing is tested");
}
