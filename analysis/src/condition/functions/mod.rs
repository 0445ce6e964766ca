//! The functions of the language: their names, how many arguments they take and which of those is a predicate.
//!
//! To add one: a line in the table below, its type in [`signature`], its meaning in [`text`], [`list`] or `eval.rs`.

pub(super) mod list;
pub(super) mod signature;
pub(super) mod text;

use super::value::Value;
use super::{ConditionError, goduration, gotime};

/// How an argument is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArgumentKind {
    Value,
    Predicate,
}

macro_rules! builtins {
    ($($variant:ident $name:literal $least:literal $most:literal $predicate:literal),* $(,)?) => {
        /// A function of the language itself.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Builtin { $($variant),* }

        impl Builtin {
            pub(super) fn by_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Least and most arguments, and whether the second one is a predicate.
            fn shape(self) -> (usize, usize, bool) {
                match self { $(Self::$variant => ($least, $most, $predicate)),* }
            }
        }
    };
}

builtins! {
    All "all" 2 2 true, NoneOf "none" 2 2 true, Any "any" 2 2 true, One "one" 2 2 true, Filter "filter" 2 2 true,
    Map "map" 2 2 true, Count "count" 1 2 true, Sum "sum" 1 2 true, Find "find" 2 2 true,
    FindIndex "findIndex" 2 2 true, FindLast "findLast" 2 2 true, FindLastIndex "findLastIndex" 2 2 true,
    GroupBy "groupBy" 2 2 true, SortBy "sortBy" 2 3 true, Reduce "reduce" 2 3 true,
    Len "len" 1 1 false, Type "type" 1 1 false, Abs "abs" 1 1 false, Ceil "ceil" 1 1 false, Floor "floor" 1 1 false,
    Round "round" 1 1 false, Int "int" 1 1 false, Float "float" 1 1 false, String "string" 1 1 false,
    Max "max" 1 64 false, Min "min" 1 64 false, Mean "mean" 1 64 false, Median "median" 1 64 false,
    Trim "trim" 1 2 false, TrimPrefix "trimPrefix" 1 2 false, TrimSuffix "trimSuffix" 1 2 false,
    Upper "upper" 1 1 false, Lower "lower" 1 1 false, Split "split" 2 3 false, SplitAfter "splitAfter" 2 3 false,
    Replace "replace" 3 4 false, Repeat "repeat" 2 2 false, Join "join" 1 2 false, IndexOf "indexOf" 2 2 false,
    LastIndexOf "lastIndexOf" 2 2 false, HasPrefix "hasPrefix" 2 2 false, HasSuffix "hasSuffix" 2 2 false,
    ToJson "toJSON" 1 1 false, FromJson "fromJSON" 1 1 false, ToBase64 "toBase64" 1 1 false,
    FromBase64 "fromBase64" 1 1 false, Now "now" 0 0 false, Duration "duration" 1 1 false, Date "date" 1 3 false,
    Timezone "timezone" 1 1 false, First "first" 1 1 false, Last "last" 1 1 false, Get "get" 2 2 false,
    Take "take" 2 2 false, Keys "keys" 1 1 false, Values "values" 1 1 false, ToPairs "toPairs" 1 1 false,
    FromPairs "fromPairs" 1 1 false, Reverse "reverse" 1 1 false, Uniq "uniq" 1 1 false, Concat "concat" 1 64 false,
    Flatten "flatten" 1 1 false, Sort "sort" 1 2 false, BitAnd "bitand" 2 2 false, BitOr "bitor" 2 2 false,
    BitXor "bitxor" 2 2 false, BitNand "bitnand" 2 2 false, BitShl "bitshl" 2 2 false, BitShr "bitshr" 2 2 false,
    BitUshr "bitushr" 2 2 false, BitNot "bitnot" 1 1 false,
}

impl Builtin {
    pub(super) fn argument_kind(self, position: usize) -> ArgumentKind {
        let (_, _, predicate) = self.shape();
        if predicate && position == 1 { ArgumentKind::Predicate } else { ArgumentKind::Value }
    }

    /// Whether the function goes through an array with a predicate.
    pub(super) fn has_predicate(self) -> bool {
        self.shape().2
    }

    pub(super) fn check_count(self, count: usize) -> Result<(), String> {
        let (least, most, _) = self.shape();
        if least == most && count != least {
            return Err(format!("invalid number of arguments (expected {least}, got {count})"));
        }
        if count < least {
            return Err(format!("not enough arguments to call {}", self.name()));
        }
        if count > most {
            return Err(format!("too many arguments to call {}", self.name()));
        }
        Ok(())
    }
}

/// A function that the judgement of metrics adds to the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EnvFunction {
    AsInt,
    AsFloat,
    IsNaN,
    IsInf,
    IsNil,
    Default,
}

impl EnvFunction {
    pub(super) const ALL: [Self; 6] =
        [Self::AsInt, Self::AsFloat, Self::IsNaN, Self::IsInf, Self::IsNil, Self::Default];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AsInt => "asInt",
            Self::AsFloat => "asFloat",
            Self::IsNaN => "isNaN",
            Self::IsInf => "isInf",
            Self::IsNil => "isNil",
            Self::Default => "default",
        }
    }

    pub(super) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }

    pub(super) fn count(self) -> usize {
        match self {
            Self::AsInt | Self::AsFloat | Self::IsNaN | Self::IsInf | Self::IsNil => 1,
            Self::Default => 2,
        }
    }

    /// Functions that a program without a result has (`rangeQuery.start`).
    pub(super) fn without_result(self) -> bool {
        matches!(self, Self::IsNaN | Self::IsInf)
    }
}

/// Work and memory that one run may still use.
#[derive(Debug)]
pub(super) struct Budget {
    steps: u64,
    memory: u64,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { steps: 2_000_000, memory: 4_000_000 }
    }

    pub(super) fn steps(&mut self, used: u64) -> Result<(), ConditionError> {
        match self.steps.checked_sub(used) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(ConditionError::limit("step budget exceeded")),
        }
    }

    /// Takes memory for `parts` of a value (about 32 bytes each), and the work of making them.
    pub(super) fn memory(&mut self, parts: u64) -> Result<(), ConditionError> {
        self.steps(parts)?;
        match self.memory.checked_sub(parts) {
            Some(left) => {
                self.memory = left;
                Ok(())
            }
            None => Err(ConditionError::limit("memory budget exceeded")),
        }
    }
}

/// Compiles a pattern, with a bound on its size.
pub(super) fn regex(pattern: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .dfa_size_limit(1 << 20)
        .build()
        .map_err(|error| format!("error parsing regexp: {}", last_line(&error.to_string())))
}

fn last_line(text: &str) -> String {
    text.lines().next_back().unwrap_or_default().trim().trim_start_matches("error: ").to_owned()
}

/// `asInt(x)`: truncates numbers, reads texts.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn as_int(value: &Value) -> Result<Value, ConditionError> {
    match value {
        Value::Int(i) => Ok(Value::Int(*i)),
        Value::Float(f) => Ok(Value::Int(*f as i64)),
        Value::Str(s) => parse_int(s).map(Value::Int),
        other => Err(ConditionError::run(format!("asInt() not supported on type {}", other.go_type()))),
    }
}

/// `asFloat(x)`: reads texts as well.
#[allow(clippy::cast_precision_loss)]
pub(super) fn as_float(value: &Value) -> Result<Value, ConditionError> {
    match value {
        Value::Int(i) => Ok(Value::Float(*i as f64)),
        Value::Float(f) => Ok(Value::Float(*f)),
        Value::Str(s) => parse_float(s).map(Value::Float),
        other => Err(ConditionError::run(format!("asFloat() not supported on type {}", other.go_type()))),
    }
}

pub(super) fn parse_int(text: &str) -> Result<i64, ConditionError> {
    text.parse().map_err(|error: std::num::ParseIntError| {
        let what = match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        ConditionError::run(format!("strconv.ParseInt: parsing {}: {what}", crate::text::go_quote(text)))
    })
}

pub(super) fn parse_float(text: &str) -> Result<f64, ConditionError> {
    let lower = text.to_ascii_lowercase();
    let word = lower.trim_start_matches(['+', '-']);
    let known =
        word.starts_with(|c: char| c.is_ascii_digit() || c == '.') || matches!(word, "nan" | "inf" | "infinity");
    text.parse().ok().filter(|_| known).ok_or_else(|| {
        ConditionError::run(format!("strconv.ParseFloat: parsing {}: invalid syntax", crate::text::go_quote(text)))
    })
}

/// Methods of times and durations.
#[allow(clippy::cast_precision_loss)]
pub(super) fn method(base: &Value, name: &str, args: &[Value]) -> Result<Value, ConditionError> {
    let unknown = || ConditionError::run(format!("type {} has no method {name}", base.go_type()));
    let number = |n: i64| Ok(Value::Int(n));
    match (base, args) {
        (Value::Duration(d), []) => {
            let d = *d;
            Ok(match name {
                "Nanoseconds" => Value::Int(d),
                "Microseconds" => Value::Int(d / 1_000),
                "Milliseconds" => Value::Int(d / 1_000_000),
                "Seconds" => Value::Float(d as f64 / 1e9),
                "Minutes" => Value::Float(d as f64 / 6e10),
                "Hours" => Value::Float(d as f64 / 3.6e12),
                "Abs" => Value::Duration(d.saturating_abs()),
                "String" => Value::text(goduration::print_duration(d)),
                _ => return Err(unknown()),
            })
        }
        (Value::Time(t), []) => match name {
            "Year" => number(i64::from(t.year())),
            "Month" => number(i64::from(t.month())),
            "Day" => number(i64::from(t.day())),
            "YearDay" => number(i64::from(t.day_of_year())),
            "Weekday" => number(i64::from(t.weekday().to_sunday_zero_offset())),
            "Hour" => number(i64::from(t.hour())),
            "Minute" => number(i64::from(t.minute())),
            "Second" => number(i64::from(t.second())),
            "Nanosecond" => number(i64::from(t.subsec_nanosecond())),
            "Unix" => number(t.timestamp().as_second()),
            "UnixMilli" => number(t.timestamp().as_millisecond()),
            "UTC" => Ok(Value::Time(Box::new(t.with_time_zone(crds::jiff::tz::TimeZone::UTC)))),
            "String" => Ok(Value::text(gotime::print_time(t))),
            _ => Err(unknown()),
        },
        (Value::Time(t), [argument]) => match (name, argument) {
            ("Format", Value::Str(layout)) => Ok(Value::text(gotime::format(t, layout))),
            ("Before", Value::Time(other)) => Ok(Value::Bool(t.timestamp() < other.timestamp())),
            ("After", Value::Time(other)) => Ok(Value::Bool(t.timestamp() > other.timestamp())),
            ("Equal", Value::Time(other)) => Ok(Value::Bool(t.timestamp() == other.timestamp())),
            ("Sub", Value::Time(_)) => super::operate::subtract_times(base, argument),
            ("Add", Value::Duration(d)) => super::operate::shift_time(t, *d),
            _ => Err(unknown()),
        },
        _ => Err(unknown()),
    }
}
