//! Kubernetes quantities by value: `1`, `1000m` and `1.0` are the same amount.

use serde_json::Value;

/// Digits after the point which are kept; Kubernetes rounds at the same place.
const SCALE: i32 = 9;

/// The amount in billionths; `None` when the text is not a quantity or is too large to be compared by value.
fn billionths(text: &str) -> Option<i128> {
    let end = text.find(|symbol: char| !matches!(symbol, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (factor, exponent) = suffix_value(suffix)?;
    let exponent = exponent.checked_add(SCALE)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let amount = digits.checked_mul(factor)?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    let amount = if exponent >= 0 {
        amount.checked_mul(power)?
    } else {
        // Kubernetes rounds up what is finer than its finest unit.
        amount.checked_add(power.checked_sub(1)?)?.checked_div(power)?
    };
    Some(if negative { -amount } else { amount })
}

/// A suffix as a factor and a power of ten.
fn suffix_value(suffix: &str) -> Option<(i128, i32)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        other => (1, other.strip_prefix(['e', 'E'])?.parse().ok()?),
    })
}

/// One spelling for each amount. What is not a quantity stays as it is.
pub fn normalise(value: &mut Value) {
    let text = match &*value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return,
    };
    if let Some(amount) = billionths(&text) {
        *value = Value::String(format!("{amount}n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_amounts_have_one_spelling() {
        let equal = [
            ("1", "1000m"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("1.0", "1"),
            ("1Gi", "1024Mi"),
            ("1.5Gi", "1536Mi"),
            ("1e3", "1k"),
            ("2E", "2e18"),
            ("+1", "1"),
            ("-1", "-1000m"),
            ("100u", "0.1m"),
        ];
        for (left, right) in equal {
            assert_eq!(billionths(left), billionths(right), "{left} and {right}");
            assert!(billionths(left).is_some(), "{left}");
        }
        assert_ne!(billionths("1G"), billionths("1Gi"));
        assert_ne!(billionths("1"), billionths("1m"));
    }

    #[test]
    fn what_is_not_a_quantity_is_left_alone() {
        for text in [
            "",
            "Gi",
            "1 Gi",
            "one",
            "1e",
            "1Xi",
            "1e99999999999",
            "99999999999999999999999999999999999999999",
            "1-2",
            ".",
        ] {
            let mut value = Value::from(text);
            normalise(&mut value);
            assert_eq!(value, Value::from(text));
        }
    }
}
