//! Numbers as a person reads them.

/// A share as a percentage with as many digits as tell something: `2.1 %`, `0.04 %`, `0 %`.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 {
        return "0 %".to_owned();
    }
    let text = if percent >= 0.1 { format!("{percent:.1}") } else { format!("{percent:.2}") };
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "0.00" { "less than 0.01 %".to_owned() } else { format!("{text} %") }
}

/// A count with commas between thousands: `17,020`.
pub(super) fn number(count: f64) -> String {
    let digits = format!("{:.0}", count.max(0.0));
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with three digits, or all before the point: `151`, `0.0123`, `1,234,567`.
pub(super) fn amount(value: f64) -> String {
    if value.abs() >= 1_000.0 {
        return format!("{}{}", if value < 0.0 { "-" } else { "" }, number(value.abs()));
    }
    let digits = if value == 0.0 { 0.0 } else { 2.0 - value.abs().log10().floor() };
    // Between 0 and 12.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let text = format!("{value:.*}", digits.clamp(0.0, 12.0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A bound of a histogram: `500 ms`, `2.5 s`; as it is where it is no time.
pub(super) fn bound_text(bound: f64, seconds: bool) -> String {
    match (seconds, bound < 1.0) {
        (true, true) => format!("{} ms", amount(bound * 1e3)),
        (true, false) => format!("{} s", amount(bound)),
        (false, _) => amount(bound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let shares = [
            (0.0, "0 %"),
            (0.021, "2.1 %"),
            (0.01, "1 %"),
            (0.0004, "0.04 %"),
            (1e-7, "less than 0.01 %"),
            (1.0, "100 %"),
        ];
        for (share, text) in shares {
            assert_eq!(percent(share), text);
        }
        for (count, text) in
            [(0.0, "0"), (412.3, "412"), (1_000.0, "1,000"), (17_020.0, "17,020"), (1_234_567.0, "1,234,567")]
        {
            assert_eq!(number(count), text);
        }
    }

    #[test]
    fn amounts_and_bounds_read_well() {
        for (value, text) in [
            (0.0, "0"),
            (151.25, "151"),
            (0.012_345, "0.0123"),
            (1_234_567.0, "1,234,567"),
            (2.5, "2.5"),
            (-3.0, "-3"),
            (-1_500.0, "-1,500"),
            (1e-30, "0"),
        ] {
            assert_eq!(amount(value), text);
        }
        for (bound, seconds, text) in
            [(0.5, true, "500 ms"), (0.0025, true, "2.5 ms"), (0.353_553, true, "354 ms"), (10.0, true, "10 s")]
        {
            assert_eq!(bound_text(bound, seconds), text);
        }
        assert_eq!(bound_text(4096.0, false), "4,096");
    }
}
