//! Types of the functions of the language: which arguments fit, and what comes out.

use super::Builtin;
use crate::condition::ConditionError;
use crate::condition::types::{list_of, number_type};
use crate::condition::value::Type;

fn error(text: String) -> ConditionError {
    ConditionError::check(text)
}

fn want(function: Builtin, kind: Option<&Type>, fits: impl Fn(&Type) -> bool) -> Result<(), ConditionError> {
    match kind {
        None | Some(Type::Unknown) => Ok(()),
        Some(kind) if fits(kind) => Ok(()),
        Some(kind) => Err(error(format!("invalid argument for {} (type {kind})", function.name()))),
    }
}

/// The type of a call without predicate.
pub(crate) fn builtin(function: Builtin, args: &[Type]) -> Result<Type, ConditionError> {
    use Builtin as B;
    let first = args.first();
    let string = |kind: &Type| *kind == Type::Str;
    let number = |kind: &Type| kind.is_number();
    let integer = |kind: &Type| *kind == Type::Int;
    let array = |kind: &Type| kind.is_array();
    let map = |kind: &Type| *kind == Type::Map;
    let all = |fits: &dyn Fn(&Type) -> bool| args.iter().try_for_each(|kind| want(function, Some(kind), fits));
    Ok(match function {
        B::Len => {
            want(function, first, |kind| array(kind) || map(kind) || string(kind))?;
            Type::Int
        }
        B::Type | B::String | B::ToJson => Type::Str,
        B::Abs => {
            want(function, first, number)?;
            first.map_or(Type::Unknown, number_type)
        }
        B::Ceil | B::Floor | B::Round => {
            want(function, first, number)?;
            Type::Float
        }
        B::Int => {
            want(function, first, |kind| number(kind) || string(kind) || *kind == Type::Duration)?;
            Type::Int
        }
        B::Float => {
            want(function, first, |kind| number(kind) || string(kind))?;
            Type::Float
        }
        B::Max | B::Min | B::Median | B::Mean => {
            all(&|kind| number(kind) || array(kind))?;
            if function == B::Median { Type::Float } else { Type::Unknown }
        }
        B::Trim | B::TrimPrefix | B::TrimSuffix | B::Upper | B::Lower | B::ToBase64 | B::FromBase64 => {
            all(&string)?;
            Type::Str
        }
        B::Replace => {
            args.iter().take(3).try_for_each(|kind| want(function, Some(kind), string))?;
            want(function, args.get(3), integer)?;
            Type::Str
        }
        B::Repeat => {
            want(function, first, string)?;
            want(function, args.get(1), integer)?;
            Type::Str
        }
        B::Split | B::SplitAfter => {
            args.iter().take(2).try_for_each(|kind| want(function, Some(kind), string))?;
            want(function, args.get(2), integer)?;
            list_of(Type::Str)
        }
        B::Join => {
            want(function, first, array)?;
            want(function, args.get(1), string)?;
            Type::Str
        }
        B::IndexOf | B::LastIndexOf => {
            all(&string)?;
            Type::Int
        }
        B::HasPrefix | B::HasSuffix => {
            all(&string)?;
            Type::Bool
        }
        B::FromJson | B::Timezone => {
            want(function, first, string)?;
            Type::Unknown
        }
        B::Now => Type::Time,
        B::Duration => {
            want(function, first, string)?;
            Type::Duration
        }
        B::Date => {
            all(&string)?;
            Type::Time
        }
        B::First | B::Last => {
            want(function, first, array)?;
            Type::Unknown
        }
        B::Get => {
            want(function, first, |kind| array(kind) || map(kind) || *kind == Type::Nil)?;
            Type::Unknown
        }
        B::Take => {
            want(function, first, array)?;
            want(function, args.get(1), integer)?;
            first.map_or(Type::Unknown, |kind| list_of(kind.element()))
        }
        B::Keys | B::Values => {
            want(function, first, map)?;
            list_of(Type::Unknown)
        }
        B::ToPairs => {
            want(function, first, map)?;
            list_of(list_of(Type::Unknown))
        }
        B::FromPairs => {
            want(function, first, array)?;
            Type::Map
        }
        B::Reverse | B::Uniq => {
            want(function, first, array)?;
            first.map_or(Type::Unknown, |kind| list_of(kind.element()))
        }
        B::Sort => {
            want(function, first, array)?;
            want(function, args.get(1), string)?;
            first.map_or(Type::Unknown, |kind| list_of(kind.element()))
        }
        B::Concat | B::Flatten => {
            all(&array)?;
            list_of(Type::Unknown)
        }
        B::BitAnd | B::BitOr | B::BitXor | B::BitNand | B::BitShl | B::BitShr | B::BitUshr | B::BitNot => {
            all(&integer)?;
            Type::Int
        }
        B::All
        | B::NoneOf
        | B::Any
        | B::One
        | B::Filter
        | B::Map
        | B::Count
        | B::Sum
        | B::Find
        | B::FindIndex
        | B::FindLast
        | B::FindLastIndex
        | B::GroupBy
        | B::SortBy
        | B::Reduce => Type::Unknown,
    })
}
