//! Text the way Go writes it, because users' eyes, scripts and dashboards know those forms.

use std::fmt::Write as _;

/// Quotes like Go's `strconv.Quote`.
pub(crate) fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c if c.is_control() => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A number like Go's `strconv.FormatFloat(x, 'f', -1, 64)`: shortest digits, never an exponent.
pub(crate) fn go_float(x: f64) -> String {
    if x.is_nan() {
        "NaN".to_owned()
    } else if x.is_infinite() {
        if x > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        format!("{x}")
    }
}

/// A number like Go's `%v`: shortest digits, with an exponent when that is below −4 or at least 6.
pub(crate) fn go_float_short(x: f64) -> String {
    if !x.is_finite() || x == 0.0 {
        return go_float(x);
    }
    let scientific = format!("{x:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(e) if !(-4..6).contains(&e) => {
            let sign = if e < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", e.unsigned_abs())
        }
        _ => go_float(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_in_go() {
        for (x, fixed, short) in [
            (0.0, "0", "0"),
            (1.0, "1", "1"),
            (0.1, "0.1", "0.1"),
            (1e21, "1000000000000000000000", "1e+21"),
            (0.000_01, "0.00001", "1e-05"),
            (20_000_000.5, "20000000.5", "2.00000005e+07"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NAN, "NaN", "NaN"),
        ] {
            assert_eq!(go_float(x), fixed);
            assert_eq!(go_float_short(x), short);
        }
    }

    #[test]
    fn quotes_look_as_in_go() {
        assert_eq!(go_quote("a\"b\\c\n\u{1}"), r#""a\"b\\c\n\x01""#);
    }
}
