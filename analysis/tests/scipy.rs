//! The statistics against numbers that SciPy computed from textbook distributions: `scipy/generate.py` made `scipy/table.tsv`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use analysis::comparison::harm::{Harm, Tolerance};
use analysis::comparison::safety::Safety;
use analysis::comparison::{Block, Counts, dispersion, kayenta};
use serde::Deserialize;
use serde_json::Value;
use statrs::distribution::{ContinuousCDF as _, Normal};

#[derive(Deserialize)]
struct Evidence {
    blocks: Vec<[f64; 4]>,
    ratio: f64,
    absolute: f64,
}

fn of<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn computed(kind: &str, given: &Value) -> Vec<f64> {
    match kind {
        "normal-quantile" => vec![Normal::standard().inverse_cdf(of(given))],
        "normal-cdf" => vec![Normal::standard().cdf(of(given))],
        "evidence" => {
            let Evidence { blocks, ratio, absolute } = of(given);
            let (mut harm, mut safety) = (Harm::default(), Safety::default());
            for [failed, total, stable_failed, stable_total] in blocks {
                let block = Block::new(Counts::new(failed, total), Counts::new(stable_failed, stable_total));
                harm.add(&block, Tolerance { ratio, absolute }, 1.0);
                safety.add(&block, ratio, 1.0);
            }
            vec![harm.log_ratio(), harm.log_absolute(), safety.log_evidence()]
        }
        "dispersion" => {
            let blocks: Vec<Vec<[f64; 2]>> = of(given);
            let counts =
                |block: Vec<[f64; 2]>| block.into_iter().map(|[failed, total]| Counts::new(failed, total)).collect();
            let blocks: Vec<Vec<Counts>> = blocks.into_iter().map(counts).collect();
            vec![dispersion::between_pods(&blocks, &[1]).unwrap()]
        }
        "common-language-effect" => {
            let [x, y]: [Vec<f64>; 2] = of(given);
            vec![kayenta::common_language_effect(&x, &y)]
        }
        other => panic!("{other} is not known here"),
    }
}

#[test]
fn all_numbers_of_the_table_are_reached() {
    let mut rows = 0;
    for line in include_str!("scipy/table.tsv").lines() {
        let [kind, given, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let expected: Value = serde_json::from_str(expected).unwrap();
        let expected: Vec<f64> = if expected.is_array() { of(&expected) } else { vec![of(&expected)] };
        let found = computed(kind, &serde_json::from_str(given).unwrap());
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            let off = (found - expected).abs() / expected.abs().max(1.0);
            assert!(off < 1e-9, "{kind} of {given}: {found} is not {expected}");
        }
        rows += 1;
    }
    assert_eq!(rows, 148);
}
