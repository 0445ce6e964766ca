//! What the comparison must reach: the bars of the specification.

use super::simulate::Row;

/// One bar, for the rows it fits.
pub struct Bar {
    pub world: &'static str,
    pub rps: f64,
    pub effect: f64,
    pub must: Must,
}

#[derive(Debug, Clone, Copy)]
pub enum Must {
    /// Share aborted, at most.
    AtMost(f64),
    /// Share aborted, at least.
    AtLeast(f64),
    /// Median seconds to the abort, at most.
    Within(f64),
}

const fn bar(world: &'static str, rps: f64, effect: f64, must: Must) -> Bar {
    Bar { world, rps, effect, must }
}

pub const BARS: &[Bar] = &[
    bar("independent", 10.0, 1.0, Must::AtMost(0.015)),
    bar("independent", 10.0, 2.0, Must::AtLeast(0.95)),
    bar("independent", 10.0, 5.0, Must::Within(50.0)),
    bar("independent", 10.0, 10.0, Must::Within(30.0)),
    bar("independent", 1.0, 1.0, Must::AtMost(0.015)),
    bar("independent", 1.0, 5.0, Must::Within(420.0)),
    bar("independent", 1.0, 10.0, Must::Within(130.0)),
    bar("independent", 1000.0, 1.0, Must::AtMost(0.015)),
    bar("independent", 1000.0, 2.0, Must::Within(20.0)),
    bar("independent", 1000.0, 5.0, Must::Within(10.0)),
    bar("independent", 1000.0, 10.0, Must::Within(10.0)),
    bar("pod-noise", 10.0, 1.0, Must::AtMost(0.02)),
    bar("pod-noise", 10.0, 2.0, Must::AtLeast(0.65)),
    bar("pod-noise", 10.0, 5.0, Must::Within(100.0)),
    bar("pod-noise", 10.0, 10.0, Must::Within(40.0)),
    bar("bursts", 10.0, 1.0, Must::AtMost(0.02)),
    bar("bursts", 10.0, 5.0, Must::Within(360.0)),
    bar("bursts", 10.0, 10.0, Must::Within(110.0)),
    bar("slow-noise", 10.0, 1.0, Must::AtMost(0.01)),
    bar("slow-noise", 10.0, 2.0, Must::AtLeast(0.45)),
    bar("slow-noise", 10.0, 5.0, Must::Within(180.0)),
    bar("slow-noise", 10.0, 10.0, Must::Within(60.0)),
    bar("very-slow-noise", 10.0, 1.0, Must::AtMost(0.05)),
    bar("very-slow-noise", 10.0, 5.0, Must::AtLeast(0.5)),
    bar("very-slow-noise", 10.0, 10.0, Must::AtLeast(0.8)),
    bar("common-storm", 10.0, 1.0, Must::AtMost(0.01)),
    bar("common-storm", 10.0, 2.0, Must::AtLeast(0.88)),
    bar("common-storm", 10.0, 5.0, Must::Within(70.0)),
    bar("common-storm", 10.0, 10.0, Must::Within(30.0)),
    bar("latency-wobble-10-percent", 10.0, 1.0, Must::AtMost(0.01)),
    bar("latency-wobble-10-percent", 10.0, 1.5, Must::Within(150.0)),
    bar("latency-wobble-10-percent", 10.0, 2.0, Must::Within(40.0)),
    bar("latency-5-percent-1s-slower-wobble-10-percent", 10.0, 1.0, Must::Within(140.0)),
    bar("gauge", 10.0, 1.0, Must::AtMost(0.02)),
    bar("gauge", 10.0, 1.2, Must::AtLeast(0.9)),
    bar("gauge", 10.0, 1.5, Must::Within(240.0)),
];

impl Bar {
    pub fn fits(&self, row: &Row) -> bool {
        row.method == "comparison"
            && row.world == self.world
            && (row.rps - self.rps).abs() < 1e-9
            && (row.effect - self.effect).abs() < 1e-9
    }

    /// Whether a row reaches it; `slack` above 1 forgives that factor, for few releases.
    pub fn holds(&self, row: &Row, slack: f64) -> bool {
        match self.must {
            Must::AtMost(share) => row.aborted <= share * slack,
            Must::AtLeast(share) => row.aborted >= share / slack,
            Must::Within(seconds) => row.median_s.is_some_and(|median| median <= seconds * slack),
        }
    }

    pub fn text(&self) -> String {
        match self.must {
            Must::AtMost(share) => format!("at most {:.1} % aborted", share * 100.0),
            Must::AtLeast(share) => format!("at least {:.0} % aborted", share * 100.0),
            Must::Within(seconds) => format!("within {seconds:.0} s"),
        }
    }
}
