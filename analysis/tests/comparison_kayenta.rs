//! Kayenta's judgement against its own verdicts and shifts, and laws that hold for all inputs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use analysis::comparison::kayenta::{self, Class, Direction, Measure, Settings};
use proptest::prelude::*;

fn near(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() < 1e-9, "{what}: {found} is not {expected}");
}

fn kayenta_settings() -> Settings {
    Settings { tolerance: 0.10, confidence: 0.95, ..Settings::default() }
}

const HIGH: [f64; 5] = [20.0, 22.0, 21.0, 25.0, 30.0];
const LOW: [f64; 5] = [1.0, 2.2, 1.1, 2.5, 3.0];
const ONES: [f64; 5] = [1.0; 5];
const ZEROS: [f64; 5] = [0.0; 5];
const FIFTIES: [f64; 5] = [54.9, 54.5, 55.1, 55.6, 57.4];

#[test]
fn kayenta_gives_its_own_verdicts() {
    type Row<'a> = (&'a [f64], &'a [f64], Direction, (f64, f64), Class, Option<[f64; 4]>);
    let rows: &[Row<'_>] = &[
        (
            &HIGH,
            &LOW,
            Direction::Either,
            (1.2, 0.8),
            Class::High,
            Some([17.800_043_852_158_087, 27.799_943_250_944_256, 20.0, 12.040_816_326_530_612]),
        ),
        (&HIGH, &LOW, Direction::Either, (13.0, 1.0), Class::Pass, None),
        (
            &[10.0, 12.2, 10.1, 12.5, 23.0],
            &HIGH,
            Direction::Either,
            (1.0, 0.5),
            Class::Pass,
            Some([-17.799_961_646_216_403, 0.999_947_798_555_028, -10.781_220_198_762_492, 0.574_576_271_186_440_6]),
        ),
        (
            &[2.0, 2.0, 2.0, 2.0, 3.0],
            &[10.0, 20.2, 10.1, 20.5, 30.0],
            Direction::Either,
            (1.0, 1.0),
            Class::Low,
            Some([-27.999_942_062_143_035, -7.999_954_026_272_999, -18.075_099_571_307_39, 0.121_145_374_449_339_22]),
        ),
        (
            &[0.0, 1.0, 1.0, 1.0, 1.0],
            &ONES,
            Direction::Decrease,
            (1.0, 1.0),
            Class::Pass,
            Some([-0.999_940_775_764_473_5, 0.0, 0.0, 0.8]),
        ),
        (
            &[1.0, 1.0, 1.0, 1.0, 10.0],
            &ONES,
            Direction::Either,
            (1.0, 1.0),
            Class::Pass,
            Some([0.0, 8.999_933_372_735_033, 0.0, 2.8]),
        ),
        (&[10.0; 5], &ONES, Direction::Either, (1.0, 1.0), Class::High, Some([9.0, 9.0, 9.0, 10.0])),
        (&[10.0; 5], &ZEROS, Direction::Either, (1.0, 1.0), Class::High, Some([10.0, 10.0, 10.0, f64::NAN])),
        (
            &FIFTIES,
            &ZEROS,
            Direction::Either,
            (1.2, 0.8),
            Class::High,
            Some([54.5, 57.4, 55.100_035_586_281_31, f64::NAN]),
        ),
        (
            &ZEROS,
            &FIFTIES,
            Direction::Either,
            (1.2, 0.8),
            Class::Low,
            Some([-57.4, -54.5, -55.099_964_518_672_15, f64::NAN]),
        ),
        (&ZEROS, &ZEROS, Direction::Either, (1.0, 1.0), Class::Pass, None),
        (&[1.0; 3], &[1.0; 2], Direction::Decrease, (1.0, 1.0), Class::Pass, None),
        (&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 4.0, 3.0, 2.0, 1.0], Direction::Decrease, (1.0, 1.0), Class::Pass, None),
        (&[], &[1.0, 2.0], Direction::Either, (1.0, 1.0), Class::NoData, None),
        (&[f64::NAN], &[1.0, 2.0], Direction::Either, (1.0, 1.0), Class::NoData, None),
    ];
    for (experiment, control, direction, (increase, decrease), class, numbers) in rows {
        let settings = Settings {
            direction: *direction,
            allowed_increase: *increase,
            allowed_decrease: *decrease,
            ..kayenta_settings()
        };
        let verdict = kayenta::judge(experiment, control, &settings);
        assert_eq!(verdict.class, *class, "{experiment:?} against {control:?}: {verdict:?}");
        if let Some([lower, upper, estimate, effect]) = numbers {
            let shift = verdict.shift.unwrap();
            near(shift.lower, *lower, "lower");
            near(shift.upper, *upper, "upper");
            near(shift.estimate, *estimate, "estimate");
            assert!((verdict.effect - effect).abs() < 1e-9 || (verdict.effect.is_nan() && effect.is_nan()));
        }
    }
}

#[test]
fn kayenta_gives_its_own_shifts() {
    type Row<'a> = (&'a [f64], &'a [f64], [f64; 3], Option<f64>);
    let to_ten: Vec<f64> = (1..=10).map(f64::from).collect();
    let halves: Vec<f64> = (0..10).map(|i| 3.5 + f64::from(i)).collect();
    let rows: &[Row<'_>] = &[
        (&HIGH, &LOW, [17.000_075_374_419_41, 28.999_921_735_698_56, 20.0], Some(1.0)),
        (
            &[10.0, 12.2, 10.1, 12.5, 23.0],
            &HIGH,
            [-19.999_922_121_058_37, 2.999_927_766_181_399, -10.781_220_198_762_492],
            Some(0.12),
        ),
        (&to_ten, &halves, [-6.499_993_438_266_217, 1.499_993_438_266_218_8, -2.5], Some(0.28)),
        (
            &[2.0, 2.0, 2.0, 2.0, 3.0],
            &[10.0, 20.2, 10.1, 20.5, 30.0],
            [-28.0, -7.099_966_398_850_739, -18.075_099_571_307_39],
            None,
        ),
    ];
    for (x, y, [lower, upper, estimate], effect) in rows {
        let shift = kayenta::shift(x, y, 0.98).unwrap();
        near(shift.lower, *lower, "lower");
        near(shift.upper, *upper, "upper");
        near(shift.estimate, *estimate, "estimate");
        if let Some(effect) = effect {
            near(kayenta::common_language_effect(x, y), *effect, "effect");
        }
    }
    let shift = kayenta::shift(&[10.0, 20.0, 30.0, 40.0], &[1.0, 2.0, 3.0, 4.0], 0.95).unwrap();
    assert!((shift.lower - 6.0).abs() < 1e-4 && (shift.upper - 39.0).abs() < 1e-4, "{shift:?}");
    assert!((shift.estimate - 22.5).abs() < 1e-4, "{shift:?}");
    assert_eq!(kayenta::shift(&[1.0], &[1.0], 0.98), None);
    assert_eq!(kayenta::shift(&[], &[1.0], 0.98), None);
    let settings = Settings { measure: Measure::CommonLanguage, allowed_increase: 0.5, ..Settings::default() };
    assert_eq!(kayenta::judge(&HIGH, &LOW, &settings).class, Class::High);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Kayenta's judge: no points break it, and samples that do not touch are told apart in both directions.
    #[test]
    fn kayenta_is_total_and_sees_both_directions(
        x in prop::collection::vec(-1e3..1e3_f64, 0..25),
        y in prop::collection::vec(prop_oneof![9 => -1e3..1e3_f64, 1 => any::<f64>()], 0..25),
    ) {
        let _ = kayenta::judge(&x, &y, &Settings::default());
        let higher: Vec<f64> = x.iter().map(|value| value + 3e3).collect();
        if x.len() > 5 {
            let more = Settings { allowed_increase: f64::NEG_INFINITY, ..Settings::default() };
            prop_assert_eq!(kayenta::judge(&higher, &x, &more).class, Class::High);
            let less = Settings { allowed_decrease: f64::INFINITY, ..Settings::default() };
            prop_assert_eq!(kayenta::judge(&x, &higher, &less).class, Class::Low);
        }
    }
}
