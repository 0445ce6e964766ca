//! The time of one look of the comparison: take in a block, judge, and tell the bound.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use analysis::comparison::bound::Bound;
use analysis::comparison::evidence::Dispersion;
use analysis::comparison::gauge::Gauge;
use analysis::comparison::harm::{Harm, Tolerance};
use analysis::comparison::latency::Latency;
use analysis::comparison::safety::Safety;
use analysis::comparison::{Block, Counts};
use divan::Bencher;

/// The update that a measurement makes for each block: at most 10 µs.
#[divan::bench]
fn one_update(bencher: Bencher<'_, '_>) {
    let (mut harm, mut safety, mut bound) = (Harm::default(), Safety::default(), Bound::default());
    let block = Block::new(Counts::new(1.0, 100.0), Counts::new(3.0, 400.0));
    bencher.bench_local(|| {
        let (clean, _) = divan::black_box(block).clean();
        harm.add(&clean, Tolerance::RATIO, 1.5);
        safety.add(&clean, 1.25, 1.5);
        bound.add(&clean, 1.5);
        (harm.log_evidence(), safety.log_evidence())
    });
}

/// The same for a histogram with eight bounds.
#[divan::bench]
fn one_update_of_latency(bencher: Bencher<'_, '_>) {
    let bounds = (1..=8).map(|bound| (f64::from(bound) / 10.0, Dispersion::Pods(1.5))).collect();
    let mut latency = Latency::new(0, bounds);
    let blocks = [Block::new(Counts::new(10.0, 100.0), Counts::new(30.0, 400.0)); 8];
    bencher.bench_local(|| {
        latency.add(10, &divan::black_box(blocks), Tolerance::LATENCY);
        latency.log_harm()
    });
}

/// The same for a gauge of 20 pods.
#[divan::bench]
fn one_update_of_a_gauge(bencher: Bencher<'_, '_>) {
    let mut gauge = Gauge::new(0);
    let stable: Vec<f64> = (0..20).map(|pod| f64::from(pod % 7) + 100.0).collect();
    bencher.bench_local(|| {
        gauge.add(60, &divan::black_box([105.0, 106.0]), &stable, 1.1);
        gauge.log_harm()
    });
}

/// The bound for the message, once per measurement.
#[divan::bench]
fn the_bound(bencher: Bencher<'_, '_>) {
    let mut bound = Bound::default();
    for look in 0..180_u32 {
        bound.add(&Block::new(Counts::new(2.0, 90.0 + f64::from(look % 20)), Counts::new(3.0, 400.0)), 1.5);
    }
    bencher.bench_local(|| divan::black_box(&bound).lower(0.01));
}

fn main() {
    divan::main();
}
