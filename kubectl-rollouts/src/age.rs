//! Ages as kubectl shows them: two units while they tell something, one when they do not.

use std::fmt;

use crds::jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// A span of time in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age(pub i64);

impl Age {
    /// Time from `start` to `now`.
    pub fn between(start: Timestamp, now: Timestamp) -> Self {
        Self(now.duration_since(start).as_secs())
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let two = |f: &mut fmt::Formatter<'_>, (large, unit): (i64, char), (small, small_unit): (i64, char)| {
            if small == 0 { write!(f, "{large}{unit}") } else { write!(f, "{large}{unit}{small}{small_unit}") }
        };
        match self.0 {
            // Clocks differ a little; more than that is a mistake somewhere.
            ..-1 => f.write_str("<invalid>"),
            -1 => f.write_str("0s"),
            s if s < 2 * MINUTE => write!(f, "{s}s"),
            s if s < 10 * MINUTE => two(f, (s / MINUTE, 'm'), (s % MINUTE, 's')),
            s if s < 3 * HOUR => write!(f, "{}m", s / MINUTE),
            s if s < 8 * HOUR => two(f, (s / HOUR, 'h'), (s % HOUR / MINUTE, 'm')),
            s if s < 2 * DAY => write!(f, "{}h", s / HOUR),
            s if s < 8 * DAY => two(f, (s / DAY, 'd'), (s % DAY / HOUR, 'h')),
            s if s < 2 * YEAR => write!(f, "{}d", s / DAY),
            s if s < 8 * YEAR => two(f, (s / YEAR, 'y'), (s % YEAR / DAY, 'd')),
            s => write!(f, "{}y", s / YEAR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_as_kubectl_shows_them() {
        let table = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (121, "2m1s"),
            (10 * MINUTE - 1, "9m59s"),
            (10 * MINUTE, "10m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 5 * MINUTE + 59, "3h5m"),
            (8 * HOUR - 1, "7h59m"),
            (8 * HOUR, "8h"),
            (2 * DAY - 1, "47h"),
            (2 * DAY, "2d"),
            (3 * DAY + 4 * HOUR, "3d4h"),
            (8 * DAY - 1, "7d23h"),
            (8 * DAY, "8d"),
            (2 * YEAR - 1, "729d"),
            (2 * YEAR, "2y"),
            (2 * YEAR + DAY, "2y1d"),
            (8 * YEAR - 1, "7y364d"),
            (8 * YEAR, "8y"),
            (30 * YEAR, "30y"),
        ];
        for (seconds, expected) in table {
            assert_eq!(Age(seconds).to_string(), expected, "{seconds} s");
        }
    }
}
