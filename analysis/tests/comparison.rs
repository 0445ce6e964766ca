//! The judgement of our own against numbers made by an independent implementation, and laws that hold for all inputs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use analysis::comparison::bound::Bound;
use analysis::comparison::counts::{Block, Counts};
use analysis::comparison::dispersion::{self, Online, SCALES};
use analysis::comparison::evidence::{Dispersion, PromoteOn, Settings as EvidenceSettings, Verdict};
use analysis::comparison::gauge::{Gauge, Ranks};
use analysis::comparison::harm::{Harm, Tolerance};
use analysis::comparison::latency::{self, Latency};
use analysis::comparison::robust::Robust;
use analysis::comparison::safety::Safety;
use analysis::comparison::threshold;
use proptest::prelude::*;

fn blocks(x_c: &[f64], n_c: &[f64], x_s: &[f64], n_s: &[f64]) -> Vec<Block> {
    (0..x_c.len()).map(|i| Block::new(Counts::new(x_c[i], n_c[i]), Counts::new(x_s[i], n_s[i]))).collect()
}

fn harm(blocks: &[Block], dispersion: f64) -> Harm {
    let mut harm = Harm::default();
    for block in blocks {
        harm.add(block, Tolerance::RATIO, dispersion);
    }
    harm
}

fn safety(blocks: &[Block]) -> f64 {
    let mut safety = Safety::default();
    for block in blocks {
        safety.add(block, 1.25, 1.0);
    }
    safety.log_evidence()
}

fn near(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() < 1e-9, "{what}: {found} is not {expected}");
}

type Case = (&'static str, [&'static [f64]; 4], [f64; 4]);

/// Failed and all requests of the canary, then of the stable version; evidence by ratio, absolute, by ratio with dispersion 2.5, of safety.
const CASES: &[Case] = &[
    (
        "10 against 1",
        [&[10.0], &[100.0], &[1.0], &[400.0]],
        [9.952_256_087_6, 34.073_983_927_2, 3.588_127_879_8, -2.181_549_809_2],
    ),
    (
        "healthy",
        [&[1.0], &[200.0], &[4.0], &[800.0]],
        [-0.937_804_623_3, 0.249_201_351_5, -0.612_318_688_9, -0.169_734_418_6],
    ),
    ("no errors", [&[0.0], &[100.0], &[0.0], &[400.0]], [0.0, -0.506_117_121_5, 0.0, 0.0]),
    (
        "three blocks",
        [&[3.0, 0.0, 5.0], &[100.0, 90.0, 110.0], &[1.0, 2.0, 0.0], &[400.0, 410.0, 390.0]],
        [4.498_826_163_2, 16.529_900_939_2, 1.589_595_625_9, -1.834_540_486_8],
    ),
    (
        "all fail",
        [&[50.0], &[50.0], &[0.0], &[200.0]],
        [68.111_497_087_8, 223.229_067_757_7, 26.154_556_710_5, -5.845_432_243_2],
    ),
    (
        "no canary traffic in block 2",
        [&[2.0, 0.0, 4.0], &[100.0, 0.0, 100.0], &[1.0, 3.0, 1.0], &[400.0, 400.0, 400.0]],
        [3.611_956_213_3, 12.517_504_955_8, 1.296_302_583_6, -1.585_366_081_9],
    ),
    (
        "large",
        [
            &[600.0, 640.0, 610.0],
            &[10_000.0, 10_100.0, 9_900.0],
            &[1_000.0, 1_010.0, 990.0],
            &[40_000.0, 40_400.0, 39_600.0],
        ],
        [244.408_456_048_6, 5_547.485_402_536_3, 96.515_717_547_2, -79.835_588_277_8],
    ),
];

#[test]
fn evidence_is_that_of_the_reference() {
    for (name, [x_c, n_c, x_s, n_s], [ratio, absolute, dispersed, safe]) in CASES {
        let blocks = blocks(x_c, n_c, x_s, n_s);
        let plain = harm(&blocks, 1.0);
        near(plain.log_ratio(), *ratio, name);
        near(plain.log_absolute(), *absolute, name);
        near(harm(&blocks, 2.5).log_ratio(), *dispersed, name);
        near(safety(&blocks), *safe, name);
    }
}

#[test]
fn the_robust_bet_is_that_of_the_reference() {
    for (case, expected) in [(0, 0.826_207_703_6), (3, 0.570_116_264_7)] {
        let (name, [x_c, n_c, x_s, n_s], _) = CASES[case];
        let mut robust = Robust::default();
        for block in &blocks(x_c, n_c, x_s, n_s) {
            robust.add(block, 1.25);
        }
        near(robust.log_evidence(), expected, name);
    }
}

/// Four pods by six blocks of 50 requests.
const PODS: [[f64; 6]; 4] = [
    [1.0, 0.0, 3.0, 0.0, 2.0, 1.0],
    [0.0, 0.0, 1.0, 5.0, 0.0, 1.0],
    [2.0, 1.0, 0.0, 0.0, 0.0, 9.0],
    [0.0, 1.0, 1.0, 1.0, 0.0, 0.0],
];

#[test]
fn dispersion_is_that_of_the_reference() {
    let blocks: Vec<Vec<Counts>> = (0..6).map(|j| PODS.iter().map(|pod| Counts::new(pod[j], 50.0)).collect()).collect();
    let expected = [3.666_666_666_7, 2.0, 3.8, 11.333_333_333_3, 6.0, 19.181_818_181_8];
    // One block has three degrees of freedom, too few for a verdict: three copies have enough and the same quotient.
    for (block, square) in blocks.iter().zip(expected) {
        let thrice = [block.clone(), block.clone(), block.clone()];
        near(dispersion::between_pods(&thrice, &[1]).unwrap(), f64::max(square / 3.0, 1.0), "one block");
    }
    near(dispersion::between_pods(&blocks, &[1, 3]).unwrap(), 2.554_545_454_5, "scales 1 and 3");
    assert_eq!(dispersion::between_pods(&blocks, &[3]), None, "six degrees of freedom are too few");
    assert_eq!(dispersion::between_pods(&blocks[..1], &SCALES), None);
}

#[test]
fn dispersion_over_time_and_on_the_way() {
    let steady = [Counts::new(5.0, 100.0); 40];
    assert_eq!(dispersion::over_time(&steady, &SCALES), Some(1.0));
    let bursts: Vec<Counts> = (0..40).map(|i| Counts::new(if i % 8 == 0 { 40.0 } else { 0.0 }, 100.0)).collect();
    assert!(dispersion::over_time(&bursts, &SCALES).unwrap() > 10.0);
    let mut online = Online::default();
    near(online.estimate(), 2.0, "the prior");
    for counts in &bursts {
        online.add(*counts);
    }
    assert!(online.estimate() > 5.0, "{}", online.estimate());
    let mut calm = Online::default();
    for counts in &steady {
        calm.add(*counts);
    }
    assert!(calm.estimate() < 2.0 && calm.estimate() >= 1.0, "{}", calm.estimate());
}

#[test]
fn the_bound_is_where_the_evidence_ends() {
    // 2.1 % of 4,310 against 0.4 % of 17,020.
    let block = Block::new(Counts::new(90.0, 4_310.0), Counts::new(68.0, 17_020.0));
    let mut bound = Bound::default();
    bound.add(&block, 1.0);
    let lower = bound.lower(0.01).unwrap();
    let exact = |ratio: f64| {
        let mut harm = Harm::default();
        harm.add(&block, Tolerance { ratio, absolute: 0.0 }, 1.0);
        harm.log_ratio()
    };
    assert!((lower - 2.9).abs() < 0.1, "{lower}");
    assert!(exact(lower) >= threshold(0.01), "never too high");
    assert!(exact(lower * 1.011) < threshold(0.01), "at most a percent too low");
    let mut quiet = Bound::default();
    quiet.add(&Block::new(Counts::new(0.0, 100.0), Counts::new(3.0, 400.0)), 1.0);
    assert_eq!(quiet.lower(0.01), None);
}

#[test]
fn latency_averages_over_bounds() {
    let slow = Block::new(Counts::new(30.0, 100.0), Counts::new(20.0, 400.0));
    let fast = Block::new(Counts::new(50.0, 100.0), Counts::new(200.0, 400.0));
    let bounds = |dispersion: fn() -> Dispersion| vec![(0.1, dispersion()), (0.5, dispersion())];
    let alone = |block: Block| {
        let mut harm = Harm::default();
        harm.add(&block, Tolerance::LATENCY, 1.0);
        harm.log_evidence()
    };
    let mut latency = Latency::new(0, bounds(|| Dispersion::Pods(1.0)));
    latency.add(10, &[fast, slow], Tolerance::LATENCY);
    let expected = f64::midpoint(alone(slow).exp(), alone(fast).exp()).ln();
    near(latency.log_harm(), expected, "two bounds");
    near(latency.worst().unwrap().bound, 0.5, "the bound that says most");
    let settings = EvidenceSettings {
        alpha: 0.01,
        tolerance: Tolerance::LATENCY,
        promote_on: PromoteOn::NoEvidenceOfHarm,
        minimum: 100.0,
        maximum: None,
    };
    assert_eq!(latency.verdict(&settings), Verdict::Harm);
    let message = latency.message(&settings, true);
    assert!(
        message.starts_with("canary has 30 % of 100 requests over 500 ms, stable 5 % of 400: at least 2."),
        "{message}"
    );
    assert!(message.ends_with(" times as many (false alarm 1 %)"), "{message}");

    // What was found stays found, and without history nobody is aborted in the first minute.
    let before = latency.log_harm();
    latency.add(
        20,
        &[Block::default(), Block::new(Counts::new(0.0, 900.0), Counts::new(300.0, 900.0))],
        Tolerance::LATENCY,
    );
    near(latency.log_harm(), before, "the highest");
    let mut learning = Latency::new(0, bounds(|| Dispersion::Online(Box::default())));
    learning.add(50, &[fast, slow], Tolerance::LATENCY);
    near(learning.log_harm(), 0.0, "within the first minute");
    learning.add(60, &[fast, slow], Tolerance::LATENCY);
    assert!(learning.log_harm() > 0.0);
}

#[test]
fn bounds_of_a_histogram_are_those_that_tell_something() {
    assert!(latency::is_useful(0.05) && !latency::is_useful(0.001) && !latency::is_useful(0.9));
    let chosen = |bounds: &[(f64, f64)]| latency::choose(bounds);
    assert_eq!(
        chosen(&[(f64::INFINITY, 0.0), (1.0, 0.0), (0.25, 0.06), (0.05, 0.9), (0.1, 0.5), (0.5, 0.004)]),
        [0.1, 0.25, 0.5]
    );
    assert_eq!(chosen(&[(0.5, 0.0), (0.1, 0.001), (0.2, 0.0)]), [0.1], "all is fast: the lowest");
    assert_eq!(chosen(&[(0.1, 1.0), (0.2, 0.9)]), [0.0; 0], "all is slow: none");
    let many: Vec<(f64, f64)> = (1..200_u32).map(|i| (f64::from(i), (-f64::from(i) / 20.0).exp())).collect();
    let four = chosen(&many);
    assert_eq!(four.len(), 4, "{four:?}");
    for (bound, target) in four.iter().zip([0.5, 0.2, 0.05, 0.01]) {
        assert!(((-bound / 20.0).exp() / target - 1.0).abs() < 0.05, "{bound} for {target}");
    }
}

#[test]
fn gauges_bet_on_ranks_and_on_signs() {
    let stable = [100.0, 101.0, 99.0, 102.0];
    let (mut high, mut same, mut two_pods, mut pair) =
        (Ranks::default(), Ranks::default(), Ranks::default(), Ranks::default());
    for _ in 0..10 {
        high.add(&[150.0 / 1.1], &stable);
        same.add(&[105.0 / 1.1], &stable);
        two_pods.add(&[150.0 / 1.1], &stable[..2]);
        pair.add(&[150.0, 0.0], &stable);
    }
    // Ten times the highest rank: the mean of 1.5^10, 2.25^10 and 3^10.
    let expected = ((1.5_f64.powi(10) + 2.25_f64.powi(10) + 3.0_f64.powi(10)) / 3.0).ln();
    near(high.log_evidence(), expected, "always the highest");
    assert!(same.log_evidence() < 0.0);
    assert!(two_pods.log_evidence() > threshold(0.05));
    // One of two pods always the highest, one always the lowest: 1.75 for both.
    let expected = ((1.15_f64.powi(10) + 1.375_f64.powi(10) + 1.6_f64.powi(10)) / 3.0).ln();
    near(pair.log_evidence(), expected, "two pods share the stake");
    let before = high;
    high.add(&[f64::NAN], &stable);
    high.add(&[150.0], &[f64::NAN]);
    high.add(&[], &stable);
    assert_eq!(high, before);
}

#[test]
fn a_gauge_says_what_it_found() {
    let settings = |promote_on| EvidenceSettings {
        alpha: 0.01,
        tolerance: Tolerance::GAUGE,
        promote_on,
        minimum: 5.0,
        maximum: Some(1_200),
    };
    let play = |canary: f64| {
        let mut gauge = Gauge::new(0);
        for block in 1..=10 {
            gauge.add(60 * block, &[canary], &[100.0, 101.0, 99.0, 100.0], 1.1);
        }
        gauge
    };
    let on_nothing = settings(PromoteOn::NoEvidenceOfHarm);
    let high = play(150.0);
    assert_eq!(high.verdict(&on_nothing), Verdict::Harm);
    let found =
        "canary has 150 per pod, stable 100 in the mean of 4 pods: more than 1.1 times as much (false alarm 1 %)";
    assert_eq!(high.message(&on_nothing), found);
    let low = play(100.0);
    assert_eq!(low.verdict(&on_nothing), Verdict::Promote { over: false });
    assert_eq!(low.verdict(&settings(PromoteOn::EvidenceOfNoHarm)), Verdict::Promote { over: true });
    let empty = Gauge::new(0);
    assert!(empty.message(&on_nothing).starts_with("nothing to compare"));
}

fn count() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (0_u32..5_000).prop_map(f64::from),
        1 => any::<f64>(),
        1 => Just(0.0),
    ]
}

fn counts() -> impl Strategy<Value = Counts> {
    (count(), count()).prop_map(|(failed, total)| Counts::new(failed, total))
}

fn any_blocks() -> impl Strategy<Value = Vec<Block>> {
    prop::collection::vec((counts(), counts()).prop_map(|(canary, stable)| Block::new(canary, stable)), 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a server answers, there is a number at the end.
    #[test]
    fn no_input_breaks_the_state(blocks in any_blocks(), dispersion in prop_oneof![any::<f64>(), 1.0..5.0]) {
        let (mut harm, mut safety, mut robust, mut bound) =
            (Harm::default(), Safety::default(), Robust::default(), Bound::default());
        let mut online = Online::default();
        let mut stable = Vec::new();
        for block in &blocks {
            let (clean, _) = block.clean();
            prop_assert_eq!(clean.clean(), (clean, false));
            harm.add(&clean, Tolerance::RATIO, dispersion);
            safety.add(&clean, 1.25, dispersion);
            robust.add(&clean, 1.25);
            bound.add(&clean, dispersion);
            online.add(clean.stable);
            stable.push(vec![clean.stable, clean.canary]);
        }
        prop_assert!(!harm.log_evidence().is_nan());
        prop_assert!(!safety.log_evidence().is_nan());
        prop_assert!(!robust.log_evidence().is_nan());
        prop_assert!(bound.lower(0.01).is_none_or(|lower| lower > 0.0));
        prop_assert!(online.estimate() >= 1.0);
        prop_assert!(dispersion::between_pods(&stable, &SCALES).is_none_or(|phi| phi >= 1.0));
    }

    /// One more failure of the canary in place of one of the stable version is never evidence for the canary.
    #[test]
    fn more_failures_are_more_evidence(failed in 0_u32..50, other in 1_u32..50, n_c in 50_u32..5_000, n_s in 50_u32..5_000) {
        let of = |canary: u32, stable: u32| {
            let block = Block::new(
                Counts::new(f64::from(canary), f64::from(n_c)),
                Counts::new(f64::from(stable), f64::from(n_s)),
            );
            let mut robust = Robust::default();
            robust.add(&block, 1.25);
            let mut bound = Bound::default();
            bound.add(&block, 1.0);
            (harm(&[block], 1.0), safety(&[block]), robust.log_evidence(), bound.lower(0.05).unwrap_or(0.0))
        };
        let (less, more) = (of(failed, other), of(failed + 1, other - 1));
        prop_assert!(more.0.log_evidence() >= less.0.log_evidence());
        prop_assert!(more.1 <= less.1);
        prop_assert!(more.2 >= less.2);
        prop_assert!(more.3 >= less.3 * 0.999_999);
    }

    /// The state survives being written down.
    #[test]
    fn states_are_read_back_as_written(blocks in any_blocks()) {
        let (mut harm, mut bound, mut online) = (Harm::default(), Bound::default(), Online::default());
        for block in &blocks {
            let (clean, _) = block.clean();
            harm.add(&clean, Tolerance::RATIO, 1.5);
            bound.add(&clean, 1.5);
            online.add(clean.stable);
        }
        let text = serde_json::to_string(&(&harm, &bound, &online)).unwrap();
        let (harm2, bound2, online2): (Harm, Bound, Online) = serde_json::from_str(&text).unwrap();
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(1.0);
        prop_assert!(close(harm2.log_evidence(), harm.log_evidence()));
        prop_assert!(close(bound2.log_evidence(2.0), bound.log_evidence(2.0)));
        prop_assert!(close(online2.estimate(), online.estimate()));
    }

    /// Latency and gauges: whatever a server answers, the state is read back as it was written and there is a message.
    #[test]
    fn no_answer_breaks_latency_or_gauges(
        blocks in prop::collection::vec(prop::collection::vec((counts(), counts()), 0..4), 0..12),
        pods in prop::collection::vec((prop::collection::vec(count(), 0..4), prop::collection::vec(count(), 0..6)), 0..12),
    ) {
        let online = || Dispersion::Online(Box::default());
        let mut latency = Latency::new(0, vec![(0.1, online()), (0.5, Dispersion::Pods(1.5)), (1.0, online())]);
        let mut gauge = Gauge::new(0);
        let settings = EvidenceSettings {
            alpha: 0.01,
            tolerance: Tolerance::LATENCY,
            promote_on: PromoteOn::EvidenceOfNoHarm,
            minimum: 5.0,
            maximum: Some(60),
        };
        for (end, blocks) in (10..).step_by(10).zip(&blocks) {
            let blocks: Vec<Block> = blocks.iter().map(|(canary, stable)| Block::new(*canary, *stable)).collect();
            latency.add(end, &blocks, Tolerance::LATENCY);
        }
        for (end, (canary, stable)) in (10..).step_by(10).zip(&pods) {
            gauge.add(end, canary, stable, 1.1);
        }
        prop_assert!(!latency.log_harm().is_nan() && !latency.log_safety().is_nan());
        prop_assert!(!gauge.log_harm().is_nan() && !gauge.log_safety().is_nan());
        let text = serde_json::to_string(&(&latency, &gauge)).unwrap();
        let (latency2, gauge2): (Latency, Gauge) = serde_json::from_str(&text).unwrap();
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(1.0);
        prop_assert!(close(latency2.log_harm(), latency.log_harm()) && close(gauge2.log_harm(), gauge.log_harm()));
        prop_assert_eq!(latency2.verdict(&settings), latency.verdict(&settings));
        prop_assert_eq!(gauge2.verdict(&settings), gauge.verdict(&settings));
        prop_assert!(!latency.message(&settings, true).is_empty() && !gauge.message(&settings).is_empty());
    }

    /// A canary pod that is one of the pods: whichever it is, the mean of what the bet pays is 1.
    #[test]
    fn ranks_pay_one_in_the_mean(values in prop::collection::vec(-1e3..1e3_f64, 2..9)) {
        let mut payoffs = 0.0;
        for at in 0..values.len() {
            let mut stable = values.clone();
            let canary = stable.remove(at);
            let mut ranks = Ranks::default();
            ranks.add(&[canary], &stable);
            payoffs += ranks.log_evidence().exp();
        }
        let pods = f64::from(u32::try_from(values.len()).unwrap());
        // Of fewer than three stable pods only the sign is bet on, which is below one in the mean where more are below the mean than above.
        prop_assert!(values.len() < 4 || (payoffs / pods - 1.0).abs() < 1e-9, "{}", payoffs / pods);
    }
}
