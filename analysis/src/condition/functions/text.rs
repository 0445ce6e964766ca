//! Functions on texts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Budget, Builtin};
use crate::condition::ConditionError;
use crate::condition::value::{Elem, Value};

fn mismatch(function: Builtin, args: &[Value]) -> ConditionError {
    let types: Vec<String> = args.iter().map(Value::go_type).collect();
    ConditionError::run(format!("cannot use {} as arguments to call {}", types.join(", "), function.name()))
}

fn list(parts: Vec<&str>, budget: &mut Budget) -> Result<Value, ConditionError> {
    budget.memory(parts.len() as u64)?;
    Value::array(parts.into_iter().map(Value::text).collect(), Elem::Str)
}

/// How many parts `split` gives: all for a negative number.
fn limit(n: i64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn split<'a>(text: &'a str, by: &str, parts: usize, keep: bool) -> Vec<&'a str> {
    if parts == 0 {
        return Vec::new();
    }
    let mut out: Vec<&str> = Vec::new();
    let mut rest = text;
    while out.len() + 1 < parts {
        // An empty separator cuts after each character.
        let cut = if by.is_empty() {
            rest.chars().next().map(char::len_utf8).filter(|n| *n < rest.len()).map(|n| (n, n))
        } else {
            rest.find(by).map(|at| (at, at + by.len()))
        };
        let Some((end, next)) = cut else { break };
        out.push(rest.get(..if keep { next } else { end }).unwrap_or_default());
        rest = rest.get(next..).unwrap_or_default();
    }
    if !(by.is_empty() && text.is_empty()) {
        out.push(rest);
    }
    out
}

/// Position in bytes, as Go counts.
fn position(found: Option<usize>) -> Value {
    Value::Int(found.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1))
}

pub(crate) fn call(function: Builtin, args: &[Value], budget: &mut Budget) -> Result<Value, ConditionError> {
    use Builtin as B;
    for arg in args {
        budget.steps(arg.size())?;
    }
    let made = match (function, args) {
        (B::Trim, [Value::Str(s)]) => Value::text(s.trim()),
        (B::Trim, [Value::Str(s), Value::Str(set)]) => Value::text(s.trim_matches(|c| set.contains(c))),
        (B::TrimPrefix, [Value::Str(s), rest @ ..]) => match rest {
            [] => Value::text(s.strip_prefix(' ').unwrap_or(s)),
            [Value::Str(prefix)] => Value::text(s.strip_prefix(&**prefix).unwrap_or(s)),
            _ => return Err(mismatch(function, args)),
        },
        (B::TrimSuffix, [Value::Str(s), rest @ ..]) => match rest {
            [] => Value::text(s.strip_suffix(' ').unwrap_or(s)),
            [Value::Str(suffix)] => Value::text(s.strip_suffix(&**suffix).unwrap_or(s)),
            _ => return Err(mismatch(function, args)),
        },
        (B::Upper, [Value::Str(s)]) => Value::text(s.to_uppercase()),
        (B::Lower, [Value::Str(s)]) => Value::text(s.to_lowercase()),
        (B::Split, [Value::Str(s), Value::Str(by)]) => return list(split(s, by, usize::MAX, false), budget),
        (B::Split, [Value::Str(s), Value::Str(by), Value::Int(n)]) => {
            return list(split(s, by, limit(*n), false), budget);
        }
        (B::SplitAfter, [Value::Str(s), Value::Str(by)]) => return list(split(s, by, usize::MAX, true), budget),
        (B::SplitAfter, [Value::Str(s), Value::Str(by), Value::Int(n)]) => {
            return list(split(s, by, limit(*n), true), budget);
        }
        (B::Replace, [Value::Str(s), Value::Str(from), Value::Str(to), rest @ ..]) => {
            let times = match rest {
                [] => usize::MAX,
                [Value::Int(n)] => limit(*n),
                _ => return Err(mismatch(function, args)),
            };
            let found = if from.is_empty() { s.chars().count() + 1 } else { s.matches(&**from).count() };
            let length = s.len() as u64 + (found.min(times) as u64).saturating_mul(to.len() as u64);
            budget.memory(length / 32 + 1)?;
            Value::text(s.replacen(&**from, to, times))
        }
        (B::Repeat, [Value::Str(s), Value::Int(n)]) => {
            let times = usize::try_from(*n).map_err(|_| ConditionError::run("strings: negative Repeat count"))?;
            budget.memory((s.len() as u64).saturating_mul(times as u64) / 32 + 1)?;
            Value::text(s.repeat(times))
        }
        (B::Join, [Value::Array(items), rest @ ..]) => {
            let by = match rest {
                [] => "",
                [Value::Str(by)] => by,
                _ => return Err(mismatch(function, args)),
            };
            let mut parts: Vec<&str> = Vec::new();
            let mut length = 0u64;
            for item in items.items() {
                let Value::Str(part) = item else { return Err(mismatch(function, args)) };
                length += part.len() as u64 + by.len() as u64;
                parts.push(part);
            }
            budget.memory(length / 32 + 1)?;
            Value::text(parts.join(by))
        }
        (B::IndexOf, [Value::Str(s), Value::Str(part)]) => position(s.find(&**part)),
        (B::LastIndexOf, [Value::Str(s), Value::Str(part)]) => position(s.rfind(&**part)),
        (B::HasPrefix, [Value::Str(s), Value::Str(part)]) => Value::Bool(s.starts_with(&**part)),
        (B::HasSuffix, [Value::Str(s), Value::Str(part)]) => Value::Bool(s.ends_with(&**part)),
        (B::ToBase64, [Value::Str(s)]) => Value::text(STANDARD.encode(s.as_bytes())),
        (B::FromBase64, [Value::Str(s)]) => {
            let bytes = STANDARD
                .decode(s.as_bytes())
                .map_err(|error| ConditionError::run(format!("illegal base64 data: {error}")))?;
            Value::text(String::from_utf8_lossy(&bytes))
        }
        (B::FromJson, [Value::Str(s)]) => {
            let json: serde_json::Value =
                serde_json::from_str(s).map_err(|error| ConditionError::run(format!("invalid JSON: {error}")))?;
            Value::from_json(&json)?
        }
        (B::ToJson, [value]) => {
            let json = serde_json::to_string_pretty(&value.to_json()?);
            Value::text(json.map_err(|error| ConditionError::run(format!("json: {error}")))?)
        }
        (B::String, [value]) => Value::text(value.print()),
        _ => return Err(mismatch(function, args)),
    };
    budget.memory(made.size())?;
    Ok(made)
}
