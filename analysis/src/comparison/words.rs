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
}
