//! Averages of e-values, on the scale of logarithms: an average of e-values is an e-value, whatever they have to do with each other.

/// `ln(mean(exp(logs)))`; nothing known is an e-value of 1.
pub fn log_mean_exp(logs: impl IntoIterator<Item = f64> + Clone) -> f64 {
    let highest = logs.clone().into_iter().fold(f64::NEG_INFINITY, f64::max);
    if !highest.is_finite() {
        return if highest > 0.0 { highest } else { 0.0 };
    }
    let (sum, count) =
        logs.into_iter().fold((0.0, 0.0), |(sum, count), log| (sum + (log - highest).exp(), count + 1.0));
    highest + f64::ln(sum) - f64::ln(count)
}

#[cfg(test)]
mod tests {
    use super::log_mean_exp;

    #[test]
    fn averages_without_overflow() {
        assert!((log_mean_exp([0.0, 3.0_f64.ln()]) - 2.0_f64.ln()).abs() < 1e-12);
        assert!((log_mean_exp([1000.0, 1000.0]) - 1000.0).abs() < 1e-12);
        assert!(log_mean_exp([]).abs() < 1e-12);
    }
}
