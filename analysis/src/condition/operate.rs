//! Operators on values, and access to their parts. All are total: what does not fit is an error.

use std::collections::BTreeSet;

use crds::jiff::{SignedDuration, Zoned, tz::TimeZone};

use super::ast::{BinaryOp, UnaryOp};
use super::value::{Key, Value};
use super::{ConditionError, gotime};

type Evaluated = Result<Value, ConditionError>;

fn error(text: impl Into<String>) -> ConditionError {
    ConditionError::run(text)
}

/// The number that a vector stands for.
pub(super) fn scalar(value: &Value) -> Result<Value, ConditionError> {
    let Value::Array(array) = value else { return Ok(value.clone()) };
    let Some(labels) = array.labels() else { return Ok(value.clone()) };
    match array.items() {
        [only] => Ok(only.clone()),
        [] => Err(error("the query gave no element where a number is needed")),
        many => {
            let differing: BTreeSet<&str> = labels
                .iter()
                .flat_map(|one| one.keys())
                .filter(|key| labels.iter().any(|other| other.get(*key) != labels.first().and_then(|l| l.get(*key))))
                .map(String::as_str)
                .collect();
            let names = differing.into_iter().take(8).collect::<Vec<_>>().join(", ");
            let by = if names.is_empty() { "no label".to_owned() } else { format!("label(s) {names}") };
            Err(error(format!(
                "the query gave {} elements where one number is needed; they differ in {by}: aggregate them in the \
                 query, for example sum(…) or max(…), or say which one (result[0]) or all (all(result, # < 1))",
                many.len()
            )))
        }
    }
}

pub(super) fn invalid(op: BinaryOp, left: &Value, right: &Value) -> ConditionError {
    error(format!("invalid operation: {} {} {}", left.go_type(), op.symbol(), right.go_type()))
}

pub(super) fn unary(op: UnaryOp, value: &Value) -> Evaluated {
    match (op, scalar(value)?) {
        (UnaryOp::Not, Value::Bool(b)) => Ok(Value::Bool(!b)),
        (UnaryOp::Minus, Value::Int(i)) => Ok(Value::Int(i.wrapping_neg())),
        (UnaryOp::Minus, Value::Float(f)) => Ok(Value::Float(-f)),
        (UnaryOp::Minus, Value::Duration(d)) => Ok(Value::Duration(d.wrapping_neg())),
        (UnaryOp::Plus, number @ (Value::Int(_) | Value::Float(_))) => Ok(number),
        (op, other) => {
            let symbol = match op {
                UnaryOp::Not => "!",
                UnaryOp::Minus => "-",
                UnaryOp::Plus => "+",
            };
            Err(error(format!("invalid operation: {symbol} {}", other.go_type())))
        }
    }
}

/// `left + right`.
pub(super) fn add(left: &Value, right: &Value) -> Evaluated {
    match (left, right) {
        (Value::Str(a), Value::Str(b)) => Ok(Value::text(format!("{a}{b}"))),
        _ => operate(BinaryOp::Add, left, right),
    }
}

/// Both are arrays, so a comparison is of lists, not of numbers.
fn lists(left: &Value, right: &Value) -> bool {
    matches!((left, right), (Value::Array(_), Value::Array(_) | Value::Nil) | (Value::Nil, Value::Array(_)))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub(super) fn operate(op: BinaryOp, left: &Value, right: &Value) -> Evaluated {
    if matches!(op, BinaryOp::Equal | BinaryOp::NotEqual) {
        let same = if lists(left, right) { left.equals(right) } else { scalar(left)?.equals(&scalar(right)?) };
        return Ok(Value::Bool(same == (op == BinaryOp::Equal)));
    }
    let (left, right) = (&scalar(left)?, &scalar(right)?);
    let wrong = || invalid(op, left, right);
    Ok(match op {
        BinaryOp::Less | BinaryOp::LessEqual | BinaryOp::Greater | BinaryOp::GreaterEqual => {
            let order = left.order(right).map_err(|()| wrong())?;
            Value::Bool(order.is_some_and(|order| match op {
                BinaryOp::Less => order.is_lt(),
                BinaryOp::LessEqual => order.is_le(),
                BinaryOp::Greater => order.is_gt(),
                _ => order.is_ge(),
            }))
        }
        BinaryOp::Contains | BinaryOp::StartsWith | BinaryOp::EndsWith => match (left, right) {
            (Value::Str(text), Value::Str(part)) => Value::Bool(match op {
                BinaryOp::Contains => text.contains(&**part),
                BinaryOp::StartsWith => text.starts_with(&**part),
                _ => text.ends_with(&**part),
            }),
            _ => return Err(wrong()),
        },
        BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply => match (left, right) {
            (Value::Int(a), Value::Int(b)) => Value::Int(match op {
                BinaryOp::Add => a.wrapping_add(*b),
                BinaryOp::Subtract => a.wrapping_sub(*b),
                _ => a.wrapping_mul(*b),
            }),
            (Value::Time(at), Value::Duration(d)) if op == BinaryOp::Add => return shift_time(at, *d),
            (Value::Duration(d), Value::Time(at)) if op == BinaryOp::Add => return shift_time(at, *d),
            (Value::Time(at), Value::Duration(d)) if op == BinaryOp::Subtract => {
                return shift_time(at, d.saturating_neg());
            }
            (Value::Time(_), Value::Time(_)) if op == BinaryOp::Subtract => return subtract_times(left, right),
            (Value::Duration(a), Value::Duration(b)) if op == BinaryOp::Add => Value::Duration(a.wrapping_add(*b)),
            (Value::Duration(a), Value::Duration(b)) if op == BinaryOp::Subtract => Value::Duration(a.wrapping_sub(*b)),
            (Value::Duration(d), number) | (number, Value::Duration(d)) if op == BinaryOp::Multiply => match number {
                Value::Int(n) => Value::Duration(d.wrapping_mul(*n)),
                Value::Float(f) => Value::Duration((*d as f64 * f) as i64),
                _ => return Err(wrong()),
            },
            _ => match (left.as_number(), right.as_number()) {
                (Some(a), Some(b)) => Value::Float(match op {
                    BinaryOp::Add => a + b,
                    BinaryOp::Subtract => a - b,
                    _ => a * b,
                }),
                _ => return Err(wrong()),
            },
        },
        BinaryOp::Divide | BinaryOp::Power => match (left.as_number(), right.as_number()) {
            (Some(a), Some(b)) => Value::Float(if op == BinaryOp::Divide { a / b } else { a.powf(b) }),
            _ => return Err(wrong()),
        },
        BinaryOp::Modulo => match (left, right) {
            (Value::Int(_), Value::Int(0)) => return Err(error("integer divide by zero")),
            (Value::Int(a), Value::Int(b)) => Value::Int(a.wrapping_rem(*b)),
            _ => return Err(wrong()),
        },
        BinaryOp::Or
        | BinaryOp::And
        | BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::In
        | BinaryOp::Matches
        | BinaryOp::Range
        | BinaryOp::Coalesce => return Err(wrong()),
    })
}

/// `base[index]` or `base.index`.
pub(super) fn fetch(base: &Value, index: &Value) -> Evaluated {
    match (base, index) {
        (Value::Array(array), Value::Int(i)) => {
            let length = i64::try_from(array.items().len()).unwrap_or(i64::MAX);
            let at = if *i < 0 { i.saturating_add(length) } else { *i };
            usize::try_from(at)
                .ok()
                .and_then(|at| array.items().get(at))
                .cloned()
                .ok_or_else(|| error(format!("index out of range: {i} (array length is {length})")))
        }
        // A text is bytes, as in Go; a place outside of it is an error.
        (Value::Str(text), Value::Int(i)) => {
            let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
            let at = if *i < 0 { i.saturating_add(length) } else { *i };
            let byte = usize::try_from(at).ok().and_then(|at| text.as_bytes().get(at));
            byte.map(|byte| Value::Int(i64::from(*byte)))
                .ok_or_else(|| error(format!("index out of range: {i} (array length is {length})")))
        }
        (Value::Map(map), key) => {
            // A key that is absent is nil.
            Ok(Key::of(key).and_then(|key| map.entries().get(&key)).cloned().unwrap_or(Value::Nil))
        }
        _ => Err(error(format!("cannot fetch {} from {}", index.print(), base.go_type()))),
    }
}

/// A time moved by nanoseconds.
pub(super) fn shift_time(at: &Zoned, nanos: i64) -> Evaluated {
    at.checked_add(SignedDuration::from_nanos(nanos))
        .map(|at| Value::Time(Box::new(at)))
        .map_err(|_| error("time out of range"))
}

/// The duration between two times; as long as a duration can be, when they are further apart.
pub(super) fn subtract_times(left: &Value, right: &Value) -> Evaluated {
    let (Value::Time(a), Value::Time(b)) = (left, right) else { return Err(invalid(BinaryOp::Subtract, left, right)) };
    let nanos = a.timestamp().duration_since(b.timestamp()).as_nanos();
    let clamped = nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    Ok(Value::Duration(i64::try_from(clamped).unwrap_or(i64::MAX)))
}

pub(super) fn zone(name: &str) -> Result<TimeZone, ConditionError> {
    match name {
        "" | "UTC" | "Local" => Ok(TimeZone::UTC),
        name => TimeZone::get(name).map_err(|_| error(format!("unknown time zone {name}"))),
    }
}

pub(super) fn date(args: &[Value]) -> Evaluated {
    let made = match args {
        [Value::Str(text)] => gotime::parse_any(text, &TimeZone::UTC),
        [Value::Str(text), Value::Str(layout)] => gotime::parse(layout, text, &TimeZone::UTC),
        [Value::Str(text), Value::Str(layout), Value::Str(name)] => gotime::parse(layout, text, &zone(name)?),
        _ => return Err(error("date takes strings: a text, a layout, a time zone")),
    };
    made.map(|at| Value::Time(Box::new(at))).map_err(error)
}
