//! The false-alarm budget of a run, shared by its metrics: any one of them may abort, so their chances add up.

/// The part of each metric, by weight; the parts add up to `alpha`. Weights that are no positive numbers get nothing.
pub fn shares(alpha: f64, weights: &[f64]) -> Vec<f64> {
    let positive = |weight: &f64| if weight.is_finite() { weight.max(0.0) } else { 0.0 };
    let whole: f64 = weights.iter().map(positive).sum();
    weights.iter().map(|weight| if whole > 0.0 { alpha * positive(weight) / whole } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn parts_add_up() {
        assert_eq!(shares(0.01, &[1.0]), [0.01]);
        let parts = shares(0.01, &[3.0, 1.0, f64::NAN, -1.0]);
        assert!((parts.iter().sum::<f64>() - 0.01).abs() < 1e-15);
        assert!((parts[0] - 0.0075).abs() < 1e-15);
        assert!(parts[2].abs() < 1e-15 && parts[3].abs() < 1e-15);
    }
}
