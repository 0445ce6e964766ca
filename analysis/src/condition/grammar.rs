//! The operators with their precedences, and the forms of numbers.

use super::ConditionError;
use super::ast::{BinaryOp, Kind, UnaryOp};

/// Loosest: also takes ternary, `let` and `if`.
pub(super) const TERNARY: u8 = 0;
const COALESCE: u8 = 200;

pub(super) fn binary(text: &str) -> Option<(BinaryOp, u8)> {
    Some(match text {
        "or" | "||" => (BinaryOp::Or, 10),
        "and" | "&&" => (BinaryOp::And, 15),
        "==" => (BinaryOp::Equal, 20),
        "!=" => (BinaryOp::NotEqual, 20),
        "<" => (BinaryOp::Less, 20),
        ">" => (BinaryOp::Greater, 20),
        ">=" => (BinaryOp::GreaterEqual, 20),
        "<=" => (BinaryOp::LessEqual, 20),
        "in" => (BinaryOp::In, 20),
        "matches" => (BinaryOp::Matches, 20),
        "contains" => (BinaryOp::Contains, 20),
        "startsWith" => (BinaryOp::StartsWith, 20),
        "endsWith" => (BinaryOp::EndsWith, 20),
        ".." => (BinaryOp::Range, 25),
        "+" => (BinaryOp::Add, 30),
        "-" => (BinaryOp::Subtract, 30),
        "*" => (BinaryOp::Multiply, 60),
        "/" => (BinaryOp::Divide, 60),
        "%" => (BinaryOp::Modulo, 60),
        "**" | "^" => (BinaryOp::Power, 100),
        "??" => (BinaryOp::Coalesce, COALESCE),
        _ => return None,
    })
}

pub(super) fn unary(text: &str) -> Option<(UnaryOp, u8)> {
    Some(match text {
        "not" | "!" => (UnaryOp::Not, 50),
        "-" => (UnaryOp::Minus, 90),
        "+" => (UnaryOp::Plus, 90),
        _ => return None,
    })
}

pub(super) fn can_be_negated(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::In | BinaryOp::Matches | BinaryOp::Contains | BinaryOp::StartsWith | BinaryOp::EndsWith)
}

pub(super) fn chains(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Less | BinaryOp::LessEqual | BinaryOp::Greater | BinaryOp::GreaterEqual)
}

/// A number as it is written.
pub(super) fn number(text: &str) -> Result<Kind, ConditionError> {
    let lower = text.to_ascii_lowercase();
    for (prefix, radix, what) in [("0x", 16, "hex"), ("0b", 2, "binary"), ("0o", 8, "octal")] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            return i64::from_str_radix(digits, radix)
                .map(Kind::Int)
                .map_err(|_| ConditionError::syntax(format!("invalid {what} literal: {text}")));
        }
    }
    if lower.contains(['.', 'e']) {
        let number: f64 =
            lower.parse().map_err(|_| ConditionError::syntax(format!("invalid float literal: {text}")))?;
        if number.is_infinite() {
            let problem = format!("invalid float literal: strconv.ParseFloat: parsing \"{text}\": value out of range");
            return Err(ConditionError::syntax(problem));
        }
        return Ok(Kind::Float(number));
    }
    lower.parse().map(Kind::Int).map_err(|_| ConditionError::syntax("integer literal is too large"))
}
