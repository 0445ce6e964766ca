//! Durations in the notation of Go: `1h30m`, `-1.5s`, `250ms`.

const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a Go duration (`1h30m`, `-1.5s`) as nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let quoted = crate::text::go_quote(text);
    let invalid = || format!("time: invalid duration {quoted}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let whole_len = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at_checked(whole_len).ok_or_else(invalid)?;
        let (fraction, after) = match after.strip_prefix('.') {
            Some(tail) => {
                let len = tail.bytes().take_while(u8::is_ascii_digit).count();
                tail.split_at_checked(len).ok_or_else(invalid)?
            }
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_len = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_len).ok_or_else(invalid)?;
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {quoted}"));
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("time: unknown unit {} in duration {quoted}", crate::text::go_quote(unit)));
        };
        let scale = i128::from(*scale);
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let digits = fraction.get(..fraction.len().min(18)).unwrap_or_default();
        let fraction: i128 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| invalid())? };
        let power = 10i128.pow(u32::try_from(digits.len()).unwrap_or(0));
        total = whole
            .checked_mul(scale)
            .and_then(|ns| ns.checked_add(fraction * scale / power))
            .and_then(|ns| ns.checked_add(total))
            .filter(|ns| *ns <= i128::from(i64::MAX))
            .ok_or_else(invalid)?;
        rest = after;
    }
    let total = if negative { -total } else { total };
    i64::try_from(total).map_err(|_| invalid())
}

/// Writes nanoseconds as Go prints a duration (`1h30m0s`, `1.5s`, `2ms`).
pub(crate) fn print_duration(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let all = nanos.unsigned_abs();
    let decimal = |value: u64, scale: u64| {
        let fraction = value % scale;
        let width = scale.checked_ilog10().unwrap_or(0) as usize;
        let text = format!("{fraction:0width$}");
        let text = text.trim_end_matches('0');
        if fraction == 0 { (value / scale).to_string() } else { format!("{}.{text}", value / scale) }
    };
    let body = if all < 1_000 {
        format!("{all}ns")
    } else if all < 1_000_000 {
        format!("{}µs", decimal(all, 1_000))
    } else if all < 1_000_000_000 {
        format!("{}ms", decimal(all, 1_000_000))
    } else {
        let minutes = all / 60_000_000_000;
        let seconds = decimal(all % 60_000_000_000, 1_000_000_000);
        match (minutes / 60, minutes % 60) {
            (0, 0) => format!("{seconds}s"),
            (0, m) => format!("{m}m{seconds}s"),
            (h, m) => format!("{h}h{m}m{seconds}s"),
        }
    };
    format!("{sign}{body}")
}
