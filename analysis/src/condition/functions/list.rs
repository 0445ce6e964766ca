//! Functions on lists, maps and numbers.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{Budget, Builtin};
use crate::condition::ConditionError;
use crate::condition::value::{Elem, Key, Value};

fn mismatch(function: Builtin, args: &[Value]) -> ConditionError {
    let types: Vec<String> = args.iter().map(Value::go_type).collect();
    ConditionError::run(format!("cannot use {} as argument to call {}", types.join(", "), function.name()))
}

/// All numbers in the arguments, going into lists.
fn numbers(function: Builtin, args: &[Value], out: &mut Vec<Value>) -> Result<(), ConditionError> {
    for arg in args {
        match arg {
            Value::Int(_) | Value::Float(_) => out.push(arg.clone()),
            Value::Array(items) => numbers(function, items.items(), out)?,
            other => {
                return Err(ConditionError::run(format!(
                    "invalid argument for {} (type {})",
                    function.name(),
                    other.go_type()
                )));
            }
        }
    }
    Ok(())
}

fn extreme(function: Builtin, args: &[Value], wanted: Ordering) -> Result<Value, ConditionError> {
    let mut all = Vec::new();
    numbers(function, args, &mut all)?;
    let mut best: Option<Value> = None;
    for value in all {
        let better = match &best {
            None => true,
            Some(so_far) => value.order(so_far).ok().flatten() == Some(wanted),
        };
        if better {
            best = Some(value);
        }
    }
    // Of nothing, for example of an empty list.
    Ok(best.unwrap_or(Value::Nil))
}

/// Sorts by keys; unlike kinds do not compare.
pub(crate) fn sort_by_keys(mut pairs: Vec<(Value, Value)>, descending: bool) -> Result<Vec<Value>, ConditionError> {
    if let Some((first, _)) = pairs.first() {
        for (key, _) in &pairs {
            if first.order(key).is_err() {
                return Err(ConditionError::run(format!("cannot sort {} and {}", first.go_type(), key.go_type())));
            }
        }
    }
    pairs.sort_by(|(a, _), (b, _)| {
        // NaN stands below every number, so that the order is total.
        let order = a.order(b).ok().flatten().unwrap_or_else(|| {
            let nan = |v: &Value| v.as_number().is_some_and(f64::is_nan);
            nan(b).cmp(&nan(a))
        });
        if descending { order.reverse() } else { order }
    });
    Ok(pairs.into_iter().map(|(_, value)| value).collect())
}

/// The direction of a sort.
pub(crate) fn descending(order: Option<&Value>) -> Result<bool, ConditionError> {
    match order {
        None => Ok(false),
        Some(Value::Str(text)) if &**text == "asc" => Ok(false),
        Some(Value::Str(text)) if &**text == "desc" => Ok(true),
        Some(other) => Err(ConditionError::run(format!("invalid order {}, expected asc or desc", other.print()))),
    }
}

fn round(function: Builtin, value: &Value) -> Option<Value> {
    let float = value.as_number()?;
    Some(Value::Float(match function {
        Builtin::Ceil => float.ceil(),
        Builtin::Floor => float.floor(),
        _ => float.round(),
    }))
}

fn bits(function: Builtin, a: i64, b: i64) -> Result<Value, ConditionError> {
    let shift = || {
        u32::try_from(b)
            .map_err(|_| ConditionError::run(format!("invalid operation: negative shift count {b} (type int)")))
    };
    Ok(Value::Int(match function {
        Builtin::BitAnd => a & b,
        Builtin::BitOr => a | b,
        Builtin::BitXor => a ^ b,
        Builtin::BitNand => a & !b,
        Builtin::BitShl => a.checked_shl(shift()?).unwrap_or(0),
        Builtin::BitShr => a >> shift()?.min(63),
        _ => a.cast_unsigned().checked_shr(shift()?).unwrap_or(0).cast_signed(),
    }))
}

fn flatten(items: &[Value], out: &mut Vec<Value>) {
    for item in items {
        match item {
            Value::Array(inner) => flatten(inner.items(), out),
            other => out.push(other.clone()),
        }
    }
}

fn size(count: usize) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float",
        Value::Str(_) => "string",
        Value::Array(_) => "array",
        Value::Map(_) => "map",
        Value::Time(_) => "time.Time",
        Value::Duration(_) => "time.Duration",
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub(crate) fn call(function: Builtin, args: &[Value], budget: &mut Budget) -> Result<Value, ConditionError> {
    use Builtin as B;
    for arg in args {
        budget.steps(arg.size())?;
    }
    let made = match (function, args) {
        (B::Len, [Value::Str(s)]) => size(s.chars().count()),
        (B::Len, [Value::Array(items)]) => size(items.items().len()),
        (B::Len, [Value::Map(map)]) => size(map.entries().len()),
        (B::Len, [other]) => {
            return Err(ConditionError::run(format!("invalid argument for len (type {})", other.go_type())));
        }
        (B::Type, [value]) => Value::text(type_name(value)),
        (B::Abs, [Value::Int(i)]) => {
            Value::Int(i.checked_abs().ok_or_else(|| ConditionError::run("integer overflow in abs"))?)
        }
        (B::Abs, [Value::Float(f)]) => Value::Float(f.abs()),
        (B::Ceil | B::Floor | B::Round, [value]) => round(function, value).ok_or_else(|| mismatch(function, args))?,
        (B::Int, [Value::Int(i)]) => Value::Int(*i),
        (B::Int, [Value::Float(f)]) => Value::Int(*f as i64),
        (B::Int, [Value::Duration(d)]) => Value::Int(*d),
        (B::Int, [Value::Str(s)]) => {
            Value::Int(super::parse_int(s).map_err(|_| ConditionError::run(format!("invalid operation: int({s})")))?)
        }
        (B::Float, [Value::Int(i)]) => Value::Float(*i as f64),
        (B::Float, [Value::Float(f)]) => Value::Float(*f),
        (B::Float, [Value::Str(s)]) => Value::Float(
            super::parse_float(s).map_err(|_| ConditionError::run(format!("invalid operation: float({s})")))?,
        ),
        (B::Int | B::Float, [other]) => {
            return Err(ConditionError::run(format!("invalid operation: {}({})", function.name(), other.go_type())));
        }
        (B::Max, _) => extreme(function, args, Ordering::Greater)?,
        (B::Min, _) => extreme(function, args, Ordering::Less)?,
        (B::Sum, _) => {
            let mut all = Vec::new();
            numbers(function, args, &mut all)?;
            let mut total = Value::Int(0);
            for value in &all {
                total = super::super::operate::add(&total, value)?;
            }
            total
        }
        (B::Mean | B::Median, _) => {
            let mut all = Vec::new();
            numbers(function, args, &mut all)?;
            let mut floats: Vec<f64> = all.iter().filter_map(Value::as_number).collect();
            let count = floats.len();
            if count == 0 {
                return Ok(if function == B::Mean { Value::Int(0) } else { Value::Float(0.0) });
            }
            if function == B::Mean {
                Value::Float(floats.iter().sum::<f64>() / count as f64)
            } else {
                floats.sort_by(f64::total_cmp);
                let upper = floats.get(count / 2).copied().unwrap_or_default();
                let lower = floats.get((count - 1) / 2).copied().unwrap_or_default();
                Value::Float(f64::midpoint(lower, upper))
            }
        }
        (B::First, [Value::Array(items)]) => items.items().first().cloned().unwrap_or(Value::Nil),
        (B::Last, [Value::Array(items)]) => items.items().last().cloned().unwrap_or(Value::Nil),
        (B::Get, [base, index]) => super::super::operate::fetch(base, index).unwrap_or(Value::Nil),
        (B::Take, [Value::Array(items), Value::Int(n)]) => {
            let count = usize::try_from(*n)
                .map_err(|_| ConditionError::run(format!("cannot take {n} elements")))?
                .min(items.items().len());
            Value::array(items.items().get(..count).unwrap_or_default().to_vec(), items.elem())?
        }
        (B::Keys, [Value::Map(map)]) => Value::array(map.entries().keys().map(Key::value).collect(), Elem::Any)?,
        (B::Values, [Value::Map(map)]) => Value::array(map.entries().values().cloned().collect(), Elem::Any)?,
        (B::ToPairs, [Value::Map(map)]) => {
            let pairs =
                map.entries().iter().map(|(key, value)| Value::array(vec![key.value(), value.clone()], Elem::Any));
            Value::array(pairs.collect::<Result<_, _>>()?, Elem::Any)?
        }
        (B::FromPairs, [Value::Array(pairs)]) => {
            let mut entries = BTreeMap::new();
            for pair in pairs.items() {
                let Value::Array(pair) = pair else { return Err(mismatch(function, args)) };
                let [key, value] = pair.items() else {
                    return Err(ConditionError::run(format!("invalid pair {}", Value::Array(pair.clone()).print())));
                };
                let key = Key::of(key)
                    .ok_or_else(|| ConditionError::run(format!("cannot use {} as map key", key.go_type())))?;
                entries.insert(key, value.clone());
            }
            Value::map(entries)?
        }
        (B::Reverse, [Value::Array(items)]) => {
            Value::array(items.items().iter().rev().cloned().collect(), items.elem())?
        }
        (B::Uniq, [Value::Array(items)]) => {
            let mut kept: Vec<Value> = Vec::new();
            for item in items.items() {
                let cost = kept.len() as u64 * item.size();
                budget.steps(cost)?;
                if !kept.iter().any(|other| other.equals(item)) {
                    kept.push(item.clone());
                }
            }
            Value::array(kept, items.elem())?
        }
        (B::Concat, lists) => {
            let mut all = Vec::new();
            for arg in lists {
                let Value::Array(items) = arg else { return Err(mismatch(function, args)) };
                all.extend_from_slice(items.items());
            }
            Value::array(all, Elem::Any)?
        }
        (B::Flatten, [Value::Array(items)]) => {
            let mut all = Vec::new();
            flatten(items.items(), &mut all);
            Value::array(all, Elem::Any)?
        }
        (B::Sort, [Value::Array(items), rest @ ..]) => {
            let pairs = items.items().iter().map(|item| (item.clone(), item.clone())).collect();
            Value::array(sort_by_keys(pairs, descending(rest.first())?)?, items.elem())?
        }
        (B::BitNot, [Value::Int(a)]) => Value::Int(!a),
        (
            B::BitAnd | B::BitOr | B::BitXor | B::BitNand | B::BitShl | B::BitShr | B::BitUshr,
            [Value::Int(a), Value::Int(b)],
        ) => bits(function, *a, *b)?,
        _ => return Err(mismatch(function, args)),
    };
    budget.memory(made.size())?;
    Ok(made)
}
