//! The same for latency and for gauges: other worlds, judged by the product's code alone.

use analysis::comparison::evidence::Dispersion;
use analysis::comparison::gauge::Ranks;
use analysis::comparison::harm::Tolerance;
use analysis::comparison::latency::Latency;
use analysis::comparison::{Block, Counts, dispersion, threshold};
use statrs::distribution::{ContinuousCDF as _, Normal};

use super::method::ALPHA;
use super::random::{Random, Slow};
use super::simulate::{LOOKS, Row, Tally, on_two_threads};
use super::world::{BLOCK, STABLE};

/// Bounds of a Go client's default histogram that tell something about the world.
const BOUNDS: [f64; 3] = [0.1, 0.25, 0.5];
/// Requests of a pod in one block.
const REQUESTS: f64 = 100.0;
/// Logarithms of latencies are normal around 100 ms with this deviation.
const SPREAD: f64 = 0.6;
const HISTORY: usize = 720;

/// What is wrong with the canary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slower {
    /// Everything takes so many times as long.
    Times(f64),
    /// So many requests take a second longer.
    Share(f64),
}

pub const SLOWER: [Slower; 7] = [
    Slower::Times(1.0),
    Slower::Times(1.1),
    Slower::Times(1.25),
    Slower::Times(1.5),
    Slower::Times(2.0),
    Slower::Share(0.01),
    Slower::Share(0.05),
];
pub const GAUGES: [f64; 4] = [1.0, 1.1, 1.2, 1.5];

/// Requests slower than each bound, and all.
fn slower(speed: f64, extra: f64, random: &mut Random, normal: &Normal) -> [Counts; 3] {
    let above = |bound: f64| {
        let plain = 1.0 - normal.cdf((bound / (0.1 * speed)).ln() / SPREAD);
        plain * (1.0 - extra) + extra
    };
    let shares = BOUNDS.map(above);
    // Requests fall between the bounds; who is above a bound is above all lower ones.
    let fastest = random.poisson(REQUESTS * (1.0 - shares[0]));
    let middle = random.poisson(REQUESTS * (shares[0] - shares[1]));
    let slow = random.poisson(REQUESTS * (shares[1] - shares[2]));
    let slowest = random.poisson(REQUESTS * shares[2]);
    let total = fastest + middle + slow + slowest;
    [Counts::new(total - fastest, total), Counts::new(slow + slowest, total), Counts::new(slowest, total)]
}

fn latency_release(wobble: f64, memory: f64, number: usize, tallies: &mut [Tally; 7]) {
    let normal = Normal::standard();
    let mut random = Random::new(number as u64 ^ wobble.to_bits());
    let mut noise: [Slow; STABLE + 1] = std::array::from_fn(|_| Slow::new(memory, &mut random));
    let speed = |noise: &mut Slow, random: &mut Random| (wobble * noise.next(random)).exp();
    let mut history: [Vec<[Counts; STABLE]>; 3] = std::array::from_fn(|_| Vec::with_capacity(HISTORY));
    for _ in 0..HISTORY {
        let pods: [[Counts; 3]; STABLE] = std::array::from_fn(|pod| {
            let speed = speed(&mut noise[pod + 1], &mut random);
            slower(speed, 0.0, &mut random, &normal)
        });
        for (bound, history) in history.iter_mut().enumerate() {
            history.push(pods.map(|pod| pod[bound]));
        }
    }
    let known: Vec<(f64, Dispersion)> = BOUNDS
        .into_iter()
        .zip(&history)
        .map(|(bound, history)| {
            let known = dispersion::between_pods(history, &dispersion::SCALES).unwrap_or(2.0);
            (bound, Dispersion::Pods(known))
        })
        .collect();
    for ((effect, tally), salt) in SLOWER.into_iter().zip(tallies).zip(1_u64..) {
        let mut random = Random::new((number as u64) << 8 | salt);
        let mut noise = noise;
        let mut latency = Latency::new(0, known.clone());
        let (times, extra) = match effect {
            Slower::Times(times) => (times, 0.0),
            Slower::Share(share) => (1.0, share),
        };
        let found = (1..=LOOKS).find(|_| {
            let canary = slower(times * speed(&mut noise[0], &mut random), extra, &mut random, &normal);
            let mut stable = [Counts::default(); 3];
            for noise in &mut noise[1..] {
                let pod = slower(speed(noise, &mut random), 0.0, &mut random, &normal);
                stable.iter_mut().zip(pod).for_each(|(sum, counts)| sum.add(counts));
            }
            let blocks: [Block; 3] = std::array::from_fn(|bound| Block::new(canary[bound], stable[bound]));
            latency.add(0, &blocks, Tolerance::LATENCY);
            latency.log_harm() >= threshold(ALPHA)
        });
        tally.add(found);
    }
}

/// Latency with pods whose speed wobbles by that share, forgotten over `memory` blocks.
pub fn latency(wobble: f64, memory: f64, releases: usize) -> Vec<(Slower, Row)> {
    let tallies: [Tally; 7] = on_two_threads(
        releases,
        |number, tallies| latency_release(wobble, memory, number, tallies),
        |all, other| all.iter_mut().zip(other).for_each(|(all, other)| all.join(other)),
    );
    let rows = SLOWER.into_iter().zip(tallies).map(|(slower, tally)| {
        let (aborted, median_s) = tally.outcome(BLOCK);
        let (what, effect) = match slower {
            Slower::Times(times) => ("latency".to_owned(), times),
            Slower::Share(share) => (format!("latency-{}-percent-1s-slower", share * 100.0), 1.0),
        };
        let world = format!("{what}-wobble-{}-percent", wobble * 100.0);
        (slower, Row { world, rps: 10.0, effect, method: "comparison", aborted, median_s })
    });
    rows.collect()
}

/// Six values of a pod make a block of a minute; the deviation of a value is a tenth, forgotten over a minute.
fn gauge_release(number: usize, tallies: &mut [Tally; 4]) {
    const DEVIATION: f64 = 0.1;
    const VALUES: usize = 6;
    for ((effect, tally), salt) in GAUGES.into_iter().zip(tallies).zip(1_u64..) {
        let mut random = Random::new((number as u64) << 8 | salt);
        let mut noise: [Slow; STABLE + 1] = std::array::from_fn(|_| Slow::new(6.0, &mut random));
        let mut ranks = Ranks::default();
        let found = (1..=LOOKS / VALUES).find(|_| {
            let mut means = [0.0; STABLE + 1];
            for _ in 0..VALUES {
                for (mean, noise) in means.iter_mut().zip(&mut noise) {
                    *mean += (1.0 + DEVIATION * noise.next(&mut random)) / 6.0;
                }
            }
            ranks.add(&[effect * means[0] / 1.1], &means[1..]);
            ranks.log_evidence() >= threshold(ALPHA)
        });
        tally.add(found);
    }
}

/// Gauges of four stable pods and one of the canary.
pub fn gauge(releases: usize) -> Vec<Row> {
    let tallies: [Tally; 4] = on_two_threads(releases, gauge_release, |all: &mut [Tally; 4], other| {
        all.iter_mut().zip(other).for_each(|(all, other)| all.join(other));
    });
    let rows = GAUGES.into_iter().zip(tallies).map(|(effect, tally)| {
        let (aborted, median_s) = tally.outcome(60.0);
        Row { world: "gauge".to_owned(), rps: 10.0, effect, method: "comparison", aborted, median_s }
    });
    rows.collect()
}
