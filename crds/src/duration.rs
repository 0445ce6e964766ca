//! Durations as Go writes them: `30s`, `1h5m`, `1.5m`, `100ms`.
//!
//! Every duration field of the API holds this form; the pause step takes a number of seconds as well. Parsing never
//! overflows: what does not fit in 2⁶³ − 1 nanoseconds (about 292 years) is refused, as Go refuses it.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// Nothing is there.
    #[error("duration is empty; write it like 30s, 5m or 1h30m")]
    Empty,
    /// It does not read as numbers and units.
    #[error("\"{text}\" is not a duration: {reason}; write it like 30s, 5m or 1h30m")]
    Malformed {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It is below zero.
    #[error("duration {text} is negative")]
    Negative {
        /// The text or number.
        text: String,
    },
    /// It is more than about 292 years.
    #[error("duration {text} is too long")]
    TooLong {
        /// The text.
        text: String,
    },
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;
const MAX_NANOS: u128 = i64::MAX as u128;

/// Reads a Go duration such as `1h30m`.
///
/// # Errors
///
/// When the text is empty, malformed, negative or too long.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let malformed = |reason| InvalidDuration::Malformed { text: text.to_owned(), reason };
    let too_long = || InvalidDuration::TooLong { text: text.to_owned() };
    if text.is_empty() {
        return Err(InvalidDuration::Empty);
    }
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return Err(malformed("there is no number"));
    }
    let mut total: u128 = 0;
    if rest != "0" {
        while !rest.is_empty() {
            let (whole, after) = digits(rest);
            let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
            if whole.is_empty() && fraction.is_empty() {
                return Err(malformed("a number is missing"));
            }
            let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            let nanos = match unit {
                "" => return Err(malformed("a unit is missing")),
                "ns" => 1,
                "us" | "µs" | "μs" => 1_000,
                "ms" => 1_000_000,
                "s" => NANOS_PER_SECOND,
                "m" => 60 * NANOS_PER_SECOND,
                "h" => 3_600 * NANOS_PER_SECOND,
                _ => return Err(malformed("units are h, m, s, ms, us and ns")),
            };
            let whole = number(whole).ok_or_else(too_long)?;
            total = whole
                .checked_mul(nanos)
                .and_then(|part| part.checked_add(part_of(fraction, nanos)))
                .and_then(|part| total.checked_add(part))
                .filter(|total| *total <= MAX_NANOS)
                .ok_or_else(too_long)?;
            rest = after;
        }
    }
    if negative && total > 0 {
        return Err(InvalidDuration::Negative { text: text.to_owned() });
    }
    u64::try_from(total).map(Duration::from_nanos).map_err(|_| too_long())
}

/// Reads a number of seconds or a Go duration, both as text.
///
/// # Errors
///
/// When it is negative, or neither a whole number nor a duration.
pub fn parse_or_seconds(text: &str) -> Result<Duration, InvalidDuration> {
    text.parse().map_or_else(|_| parse(text), |seconds| from_seconds(seconds, text))
}

/// Reads a pause: a number of seconds (also as text), or a Go duration.
///
/// # Errors
///
/// When it is negative, or text that is neither a whole number nor a duration.
pub fn of(value: &IntOrString) -> Result<Duration, InvalidDuration> {
    match value {
        IntOrString::Int(seconds) => from_seconds(i64::from(*seconds), &seconds.to_string()),
        IntOrString::String(text) => parse_or_seconds(text),
    }
}

fn from_seconds(seconds: i64, text: &str) -> Result<Duration, InvalidDuration> {
    let negative = |_| InvalidDuration::Negative { text: text.to_owned() };
    u64::try_from(seconds).map(Duration::from_secs).map_err(negative)
}

/// Writes a duration as Go does: `1h30m0s`, `1.5s`, `100ms`, `0s`.
pub fn format(duration: Duration) -> String {
    let nanos = duration.subsec_nanos();
    let seconds = duration.as_secs();
    if seconds == 0 {
        return match nanos {
            0 => "0s".to_owned(),
            1..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => decimal(0, nanos, 3, "µs"),
            _ => decimal(0, nanos, 6, "ms"),
        };
    }
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let tail = decimal(rest, nanos, 9, "s");
    match (hours, minutes) {
        (0, 0) => tail,
        (0, _) => format!("{minutes}m{tail}"),
        _ => format!("{hours}h{minutes}m{tail}"),
    }
}

/// `whole` plus `part` in units of 10^-`places`, without trailing zeros.
fn decimal(whole: u64, part: u32, places: usize, unit: &str) -> String {
    let scale = 10_u64.pow(u32::try_from(places).unwrap_or(9));
    let (whole, part) = (whole + u64::from(part) / scale, u64::from(part) % scale);
    let fraction = format!("{part:0places$}");
    match fraction.trim_end_matches('0') {
        "" => format!("{whole}{unit}"),
        fraction => format!("{whole}.{fraction}{unit}"),
    }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// The number; `None` when it is beyond any duration.
fn number(digits: &str) -> Option<u128> {
    if digits.is_empty() { Some(0) } else { digits.parse().ok() }
}

/// The fraction `0.digits` of `unit` nanoseconds, rounded down.
fn part_of(digits: &str, unit: u128) -> u128 {
    // Units have at most 13 digits, so later decimals cannot reach a nanosecond.
    let (mut value, mut scale) = (0_u128, 1_u128);
    for digit in digits.bytes().take(18) {
        value = value * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    value * unit / scale
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_which_go_accepts() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("-0s", 0),
            ("30s", 30_000_000_000),
            ("+5s", 5_000_000_000),
            ("1h5m", 3_900_000_000_000),
            ("1.5m", 90_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("100ms", 100_000_000),
            ("3us", 3_000),
            ("3µs", 3_000),
            ("3μs", 3_000),
            ("7ns", 7),
            ("5s5s", 10_000_000_000),
            ("0.3333333333333333333h", 1_199_999_999_999),
            ("9223372036854775807ns", 9_223_372_036_854_775_807),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn others_say_what_is_wrong() {
        for (text, message) in [
            ("", "duration is empty; write it like 30s, 5m or 1h30m"),
            ("3", "\"3\" is not a duration: a unit is missing; write it like 30s, 5m or 1h30m"),
            ("-", "\"-\" is not a duration: there is no number; write it like 30s, 5m or 1h30m"),
            ("s", "\"s\" is not a duration: a number is missing; write it like 30s, 5m or 1h30m"),
            (".s", "\".s\" is not a duration: a number is missing; write it like 30s, 5m or 1h30m"),
            ("2d", "\"2d\" is not a duration: units are h, m, s, ms, us and ns; write it like 30s, 5m or 1h30m"),
            ("1 s", "\"1 s\" is not a duration: units are h, m, s, ms, us and ns; write it like 30s, 5m or 1h30m"),
            ("-5s", "duration -5s is negative"),
            ("3000000h", "duration 3000000h is too long"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_pause_is_seconds_or_a_duration() {
        let text = |text: &str| of(&IntOrString::String(text.to_owned()));
        assert_eq!(of(&IntOrString::Int(90)), Ok(Duration::from_secs(90)));
        assert_eq!(text("90"), Ok(Duration::from_secs(90)));
        assert_eq!(text("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(of(&IntOrString::Int(-1)), Err(InvalidDuration::Negative { text: "-1".to_owned() }));
        assert!(text("soon").is_err());
    }

    #[test]
    fn written_as_go_writes_it() {
        for text in ["0s", "7ns", "1.5µs", "100ms", "1.5s", "30s", "1m30s", "2h0m0s", "1h5m0.25s"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(nanos in 0..=i64::MAX.unsigned_abs()) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+]?([0-9.]{0,24}(h|m|s|ms|us|µs|ns|é| )?){0,5}") {
            let _ = parse(&text);
            let _ = of(&IntOrString::String(text));
        }
    }
}
