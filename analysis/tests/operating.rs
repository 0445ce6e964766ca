//! A small version of `cargo xtask bench analysis`, with wide margins: the bars of the specification hold in every world.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    // The full bench uses all of it.
    dead_code
)]

#[path = "../benches/operating/bars.rs"]
mod bars;
#[path = "../benches/operating/method.rs"]
mod method;
#[path = "../benches/operating/other.rs"]
mod other;
#[path = "../benches/operating/random.rs"]
mod random;
#[path = "../benches/operating/simulate.rs"]
mod simulate;
#[path = "../benches/operating/world.rs"]
mod world;

use simulate::Row;
use world::World;

/// Few, because tests are not optimised: a share is then known to about 2 %.
const RELEASES: usize = 150;

fn check(rows: &[Row], bars: usize) {
    let mut checked = 0;
    for bar in bars::BARS {
        for row in rows.iter().filter(|row| bar.fits(row)) {
            checked += 1;
            let forgiven = match bar.must {
                // 150 releases: up to 4 % by chance where 1 % is meant.
                bars::Must::AtMost(share) => row.aborted <= share + 0.04,
                bars::Must::AtLeast(_) | bars::Must::Within(_) => bar.holds(row, 1.35),
            };
            assert!(forgiven, "{} ×{}: {}, is {row:?}", bar.world, bar.effect, bar.text());
        }
    }
    assert_eq!(checked, bars, "bars that were looked at");
}

#[test]
fn worlds_of_failures() {
    for (world, bars) in World::ALL.into_iter().zip([4, 4, 3, 4, 3, 4]) {
        check(&simulate::rows(world, 10.0, RELEASES), bars);
    }
}

#[test]
fn latency_and_gauges() {
    let rows: Vec<Row> = other::latency(0.1, 6.0, RELEASES).into_iter().map(|(_, row)| row).collect();
    check(&rows, 4);
    check(&other::gauge(4 * RELEASES), 3);
}

#[test]
fn a_threshold_aborts_healthy_releases_where_the_comparison_does_not() {
    let rows = simulate::rows(World::Independent, 10.0, RELEASES);
    let aborted = |method: &str| rows.iter().find(|row| row.method == method && row.effect < 1.01).unwrap().aborted;
    assert!(aborted("argo-0") > 0.6 && aborted("comparison") < 0.05, "{rows:?}");
}
