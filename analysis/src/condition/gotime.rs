//! Times in the notation of Go, which conditions use (`date(text, "2006-01-02 15:04:05", zone)`).

use std::fmt::Write as _;

use crds::jiff::Zoned;
use crds::jiff::civil::{Date, DateTime, Time as CivilTime};
use crds::jiff::tz::{Offset, TimeZone};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Layouts that `date(text)` tries in turn.
const DEFAULT_LAYOUTS: [&str; 9] = [
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    "2006-01-02T15:04:05Z07:00",
    "02 Jan 06 15:04 MST",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 MST",
    "02 Jan 06 15:04 -0700",
    "Mon, 02 Jan 2006 15:04:05 -0700",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    YearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    Zone {
        z: bool,
        colon: bool,
        minutes: bool,
    },
    /// Digits of a fraction and whether they are optional (`.999`).
    Fraction {
        digits: usize,
        optional: bool,
        separator: char,
    },
}

/// Longest first where one is a prefix of another.
const PARTS: [(&str, Part); 29] = [
    ("January", Part::LongMonth),
    ("Jan", Part::Month),
    ("Monday", Part::LongWeekday),
    ("Mon", Part::Weekday),
    ("MST", Part::ZoneName),
    ("2006", Part::LongYear),
    ("002", Part::YearDay),
    ("01", Part::ZeroMonth),
    ("02", Part::ZeroDay),
    ("03", Part::ZeroHour12),
    ("04", Part::ZeroMinute),
    ("05", Part::ZeroSecond),
    ("06", Part::Year),
    ("15", Part::Hour),
    ("PM", Part::UpperPm),
    ("pm", Part::LowerPm),
    ("-07:00", Part::Zone { z: false, colon: true, minutes: true }),
    ("-0700", Part::Zone { z: false, colon: false, minutes: true }),
    ("-07", Part::Zone { z: false, colon: false, minutes: false }),
    ("Z07:00", Part::Zone { z: true, colon: true, minutes: true }),
    ("Z0700", Part::Zone { z: true, colon: false, minutes: true }),
    ("Z07", Part::Zone { z: true, colon: false, minutes: false }),
    ("_2006", Part::LongYear),
    ("_2", Part::UnderDay),
    ("1", Part::NumMonth),
    ("2", Part::Day),
    ("3", Part::Hour12),
    ("4", Part::Minute),
    ("5", Part::Second),
];

enum Chunk<'a> {
    Text(&'a str),
    Part(Part),
}

fn chunks(layout: &str) -> Vec<Chunk<'_>> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < layout.len() {
        let rest = layout.get(at..).unwrap_or_default();
        let found = fraction(layout, at).or_else(|| {
            PARTS.iter().find(|(text, _)| rest.starts_with(text)).and_then(|(text, part)| {
                // `Jan` inside a longer lower-case word is text.
                let tail = rest.get(text.len()..).and_then(|t| t.chars().next());
                let word = matches!(part, Part::Month | Part::Weekday) && tail.is_some_and(|c| c.is_ascii_lowercase());
                (!word).then_some((text.len(), *part))
            })
        });
        if let Some((length, part)) = found {
            if start < at {
                out.push(Chunk::Text(layout.get(start..at).unwrap_or_default()));
            }
            // `_2006` is a literal underscore and a year.
            if rest.starts_with("_2006") {
                out.push(Chunk::Text("_"));
            }
            out.push(Chunk::Part(part));
            at += length;
            start = at;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    if start < layout.len() {
        out.push(Chunk::Text(layout.get(start..).unwrap_or_default()));
    }
    out
}

fn fraction(layout: &str, at: usize) -> Option<(usize, Part)> {
    let rest = layout.get(at..)?;
    let separator = rest.chars().next().filter(|c| matches!(c, '.' | ','))?;
    let digit = rest.chars().nth(1).filter(|c| matches!(c, '0' | '9'))?;
    let digits = rest.chars().skip(1).take_while(|c| *c == digit).count();
    let after = rest.chars().nth(1 + digits);
    if after.is_some_and(|c| c.is_ascii_digit()) {
        return None;
    }
    Some((1 + digits, Part::Fraction { digits, optional: digit == '9', separator }))
}

/// Reads `text` by a Go `layout`; `zone` is used when the text has no offset of its own.
pub(super) fn parse(layout: &str, text: &str, zone: &TimeZone) -> Result<Zoned, String> {
    Reader::default().read(layout, text, zone).ok_or_else(|| {
        let (text, layout) = (crate::text::go_quote(text), crate::text::go_quote(layout));
        format!("parsing time {text} as {layout}: cannot parse {text} as {layout}")
    })
}

/// Reads `text` by any of the layouts that `date(text)` knows.
pub(super) fn parse_any(text: &str, zone: &TimeZone) -> Result<Zoned, String> {
    DEFAULT_LAYOUTS
        .iter()
        .find_map(|layout| parse(layout, text, zone).ok())
        .ok_or_else(|| format!("invalid date {text}"))
}

#[derive(Default)]
struct Reader {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    year_day: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    pm: Option<bool>,
    offset: Option<i32>,
    utc: bool,
}

fn take<'a>(text: &mut &'a str, least: usize, most: usize) -> Option<&'a str> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return None;
    }
    let (digits, rest) = text.split_at_checked(count)?;
    *text = rest;
    Some(digits)
}

fn skip(text: &mut &str, length: usize) -> Option<()> {
    *text = text.get(length..)?;
    Some(())
}

fn name(text: &mut &str, names: &[&str], short: bool) -> Option<i8> {
    for (number, name) in (1i8..).zip(names) {
        let name = if short { name.get(..3).unwrap_or(name) } else { name };
        if text.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name)) {
            skip(text, name.len())?;
            return Some(number);
        }
    }
    None
}

impl Reader {
    fn read(mut self, layout: &str, text: &str, zone: &TimeZone) -> Option<Zoned> {
        let mut rest = text;
        for chunk in chunks(layout) {
            match chunk {
                Chunk::Text(literal) => rest = rest.strip_prefix(literal)?,
                Chunk::Part(part) => self.part(part, &mut rest)?,
            }
        }
        rest.is_empty().then_some(())?;
        self.finish(zone)
    }

    fn part(&mut self, part: Part, rest: &mut &str) -> Option<()> {
        match part {
            Part::LongMonth => self.month = Some(name(rest, &MONTHS, false)?),
            Part::Month => self.month = Some(name(rest, &MONTHS, true)?),
            Part::NumMonth => self.month = Some(take(rest, 1, 2)?.parse().ok()?),
            Part::ZeroMonth => self.month = Some(take(rest, 2, 2)?.parse().ok()?),
            Part::LongWeekday => name(rest, &DAYS, false).map(drop)?,
            Part::Weekday => name(rest, &DAYS, true).map(drop)?,
            Part::Day => self.day = Some(take(rest, 1, 2)?.parse().ok()?),
            Part::UnderDay => {
                *rest = rest.strip_prefix(' ').unwrap_or(rest);
                self.day = Some(take(rest, 1, 2)?.parse().ok()?);
            }
            Part::ZeroDay => self.day = Some(take(rest, 2, 2)?.parse().ok()?),
            Part::YearDay => self.year_day = Some(take(rest, 3, 3)?.parse().ok()?),
            Part::Hour | Part::ZeroHour12 => self.hour = take(rest, 2, 2)?.parse().ok()?,
            Part::Hour12 => self.hour = take(rest, 1, 2)?.parse().ok()?,
            Part::Minute => self.minute = take(rest, 1, 2)?.parse().ok()?,
            Part::ZeroMinute => self.minute = take(rest, 2, 2)?.parse().ok()?,
            Part::Second => self.seconds(rest, 1)?,
            Part::ZeroSecond => self.seconds(rest, 2)?,
            Part::LongYear => self.year = Some(take(rest, 4, 4)?.parse().ok()?),
            Part::Year => {
                let short: i16 = take(rest, 2, 2)?.parse().ok()?;
                self.year = Some(if short >= 69 { 1900 + short } else { 2000 + short });
            }
            Part::UpperPm | Part::LowerPm => {
                let half = rest.get(..2)?;
                self.pm = Some(match half {
                    "PM" | "pm" => true,
                    "AM" | "am" => false,
                    _ => return None,
                });
                skip(rest, 2)?;
            }
            Part::ZoneName => {
                let length = rest.bytes().take_while(u8::is_ascii_uppercase).count();
                if length < 3 {
                    return None;
                }
                self.utc = rest.get(..length) == Some("UTC") || rest.get(..length) == Some("GMT");
                skip(rest, length)?;
            }
            Part::Zone { z, colon, minutes } => self.zone(rest, z, colon, minutes)?,
            Part::Fraction { digits, optional, separator } => {
                let Some(after) = rest.strip_prefix(separator) else { return optional.then_some(()) };
                *rest = after;
                let found = take(rest, if optional { 1 } else { digits }, if optional { 9 } else { digits.min(9) })?;
                self.nanos = format!("{found:0<9}").parse().ok()?;
            }
        }
        Some(())
    }

    fn seconds(&mut self, rest: &mut &str, least: usize) -> Option<()> {
        self.second = take(rest, least, 2)?.parse().ok()?;
        // Go takes a fraction after the seconds even when the layout has none.
        if let Some(after) = rest.strip_prefix('.').filter(|after| after.starts_with(|c: char| c.is_ascii_digit())) {
            *rest = after;
            let found = take(rest, 1, 9)?;
            self.nanos = format!("{found:0<9}").parse().ok()?;
        }
        Some(())
    }

    fn zone(&mut self, rest: &mut &str, z: bool, colon: bool, minutes: bool) -> Option<()> {
        if z && rest.starts_with('Z') {
            self.offset = Some(0);
            return skip(rest, 1);
        }
        let sign = match rest.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        skip(rest, 1)?;
        let hours: i32 = take(rest, 2, 2)?.parse().ok()?;
        let mut seconds = hours * 3600;
        if minutes {
            if colon {
                *rest = rest.strip_prefix(':')?;
            }
            seconds += take(rest, 2, 2)?.parse::<i32>().ok()? * 60;
        }
        self.offset = Some(sign * seconds);
        Some(())
    }

    fn finish(self, zone: &TimeZone) -> Option<Zoned> {
        let hour = match self.pm {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        // Go's year 0 is the default of a text without one; jiff knows it as well.
        let year = self.year.unwrap_or(0);
        let date = match self.year_day {
            Some(day) if day >= 1 => {
                let first = Date::new(year, 1, 1).ok()?;
                first.checked_add(crds::jiff::Span::new().try_days(i64::from(day) - 1).ok()?).ok()?
            }
            _ => Date::new(year, self.month.unwrap_or(1), self.day.unwrap_or(1)).ok()?,
        };
        let time = CivilTime::new(hour, self.minute, self.second, self.nanos).ok()?;
        let at = DateTime::from_parts(date, time);
        let zone = match self.offset {
            Some(0) => TimeZone::UTC,
            Some(seconds) => TimeZone::fixed(Offset::from_seconds(seconds).ok()?),
            None if self.utc => TimeZone::UTC,
            None => zone.clone(),
        };
        at.to_zoned(zone).ok()
    }
}

/// Writes a time by a Go `layout`.
pub(super) fn format(at: &Zoned, layout: &str) -> String {
    let mut out = String::new();
    for chunk in chunks(layout) {
        match chunk {
            Chunk::Text(text) => out.push_str(text),
            Chunk::Part(part) => write_part(&mut out, at, part),
        }
    }
    out
}

fn named(names: &'static [&'static str], number: i8, short: bool) -> &'static str {
    let name = usize::try_from(number).ok().and_then(|n| names.get(n)).copied().unwrap_or_default();
    if short { name.get(..3).unwrap_or(name) } else { name }
}

fn write_part(out: &mut String, at: &Zoned, part: Part) {
    let hour12 = if at.hour() % 12 == 0 { 12 } else { at.hour() % 12 };
    // Writing to a String cannot fail.
    let _ = match part {
        Part::LongMonth => write!(out, "{}", named(&MONTHS, at.month() - 1, false)),
        Part::Month => write!(out, "{}", named(&MONTHS, at.month() - 1, true)),
        Part::NumMonth => write!(out, "{}", at.month()),
        Part::ZeroMonth => write!(out, "{:02}", at.month()),
        Part::LongWeekday => write!(out, "{}", named(&DAYS, at.weekday().to_sunday_zero_offset(), false)),
        Part::Weekday => write!(out, "{}", named(&DAYS, at.weekday().to_sunday_zero_offset(), true)),
        Part::Day => write!(out, "{}", at.day()),
        Part::UnderDay => write!(out, "{:2}", at.day()),
        Part::ZeroDay => write!(out, "{:02}", at.day()),
        Part::YearDay => write!(out, "{:03}", at.day_of_year()),
        Part::Hour => write!(out, "{:02}", at.hour()),
        Part::Hour12 => write!(out, "{hour12}"),
        Part::ZeroHour12 => write!(out, "{hour12:02}"),
        Part::Minute => write!(out, "{}", at.minute()),
        Part::ZeroMinute => write!(out, "{:02}", at.minute()),
        Part::Second => write!(out, "{}", at.second()),
        Part::ZeroSecond => write!(out, "{:02}", at.second()),
        Part::LongYear => write!(out, "{:04}", at.year()),
        Part::Year => write!(out, "{:02}", at.year().rem_euclid(100)),
        Part::UpperPm => write!(out, "{}", if at.hour() >= 12 { "PM" } else { "AM" }),
        Part::LowerPm => write!(out, "{}", if at.hour() >= 12 { "pm" } else { "am" }),
        Part::ZoneName => write!(out, "{}", at.strftime("%Z")),
        Part::Zone { z, colon, minutes } => {
            let seconds = at.offset().seconds();
            if z && seconds == 0 {
                write!(out, "Z")
            } else {
                let sign = if seconds < 0 { '-' } else { '+' };
                let (hours, rest) = (seconds.abs() / 3600, seconds.abs() % 3600 / 60);
                match (minutes, colon) {
                    (true, true) => write!(out, "{sign}{hours:02}:{rest:02}"),
                    (true, false) => write!(out, "{sign}{hours:02}{rest:02}"),
                    (false, _) => write!(out, "{sign}{hours:02}"),
                }
            }
        }
        Part::Fraction { digits, optional, separator } => {
            let all = format!("{:09}", at.subsec_nanosecond());
            let cut = all.get(..digits.min(9)).unwrap_or(&all);
            let cut = if optional { cut.trim_end_matches('0') } else { cut };
            if cut.is_empty() { Ok(()) } else { write!(out, "{separator}{cut}") }
        }
    };
}

/// RFC 3339 with as many digits of a second as needed.
pub(super) fn rfc3339(at: &Zoned) -> String {
    format(at, "2006-01-02T15:04:05.999999999Z07:00")
}

/// A time as Go prints it.
pub(super) fn print_time(at: &Zoned) -> String {
    format(at, "2006-01-02 15:04:05.999999999 -0700 MST")
}
