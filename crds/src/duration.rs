//! Durations as Go writes them: `30s`, `1h5m`, `1.5m`, `250ms`.

use std::time::Duration;

/// Text which is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid duration {text:?}: {problem}; write a number with a unit, such as 30s, 1h5m or 1.5m")]
pub struct InvalidDuration {
    text: String,
    problem: &'static str,
}

/// Nanoseconds of every unit.
const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];

/// Reads a duration which is not negative.
///
/// # Errors
/// The text is empty, negative, has a number without a unit, or an unknown unit.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = |problem| InvalidDuration { text: text.to_owned(), problem };
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.starts_with('-') {
        return Err(invalid("it is negative"));
    }
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid("it is empty"));
    }
    let mut nanoseconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let amount: f64 = number.parse().map_err(|_| invalid("a number is missing"))?;
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        if unit.is_empty() {
            return Err(invalid("the unit is missing"));
        }
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| invalid("the unit is unknown"))?;
        nanoseconds += amount * scale;
        rest = tail;
    }
    Duration::try_from_secs_f64(nanoseconds / 1e9).map_err(|_| invalid("it is too long"))
}

/// Reads a duration, or a plain number of seconds as a pause step allows.
///
/// # Errors
/// As [`parse`].
pub fn parse_or_seconds(text: &str) -> Result<Duration, InvalidDuration> {
    text.parse::<u64>().map_or_else(|_| parse(text), |seconds| Ok(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, milliseconds) in
            [("30s", 30_000), ("1h5m", 3_900_000), ("1.5m", 90_000), ("250ms", 250), ("0", 0), ("1m0.5s", 60_500), ("+2s", 2_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(parse_or_seconds("90"), Ok(Duration::from_secs(90)));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, problem) in
            [("", "it is empty"), ("10", "the unit is missing"), ("10x", "the unit is unknown"), ("-1s", "it is negative"), ("s", "a number is missing")]
        {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(problem) && error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
