//! The condition language of `successCondition` and `failureCondition`: the grammar of expr-lang v1.17.
//!
//! A text is compiled once against the type of the result ([`Program::compile`]) and run on the value. Invariants: no
//! text and no value makes it panic; steps, memory and depth are bounded; the same program on the same value at the
//! same time gives the same answer.

mod ast;
mod eval;
mod functions;
pub(crate) mod goduration;
mod gotime;
mod grammar;
mod lexer;
mod operate;
mod parser;
mod types;
mod value;
mod verdict;

use crds::jiff::{Timestamp, Zoned, tz::TimeZone};

pub use value::{Array, Elem, Key, Labels, Map, Type, Value};
pub use verdict::{EvalError, evaluate_result};

/// Why a condition gave no answer. The text is what users of the language know, without prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// The text is not in the language.
    #[error("{0}")]
    Syntax(String),
    /// The text does not fit the type of the result.
    #[error("{0}")]
    Check(String),
    /// The value does not fit the condition.
    #[error("{0}")]
    Run(String),
    /// A bound of steps, memory or depth was reached.
    #[error("{0}")]
    Limit(String),
}

impl ConditionError {
    fn syntax(text: impl Into<String>) -> Self {
        Self::Syntax(text.into())
    }

    fn check(text: impl Into<String>) -> Self {
        Self::Check(text.into())
    }

    fn run(text: impl Into<String>) -> Self {
        Self::Run(text.into())
    }

    fn limit(text: impl Into<String>) -> Self {
        Self::Limit(text.into())
    }
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Program {
    root: ast::Node,
    kind: Type,
}

impl Program {
    /// Compiles `source` for a result of type `result`.
    pub fn compile(source: &str, result: &Type) -> Result<Self, ConditionError> {
        let root = parser::parse(source)?;
        let kind = types::check(&root, Some(result))?;
        Ok(Self { root, kind })
    }

    /// Compiles a condition: like [`Self::compile`], and the answer must be a truth value.
    pub fn compile_condition(source: &str, result: &Type) -> Result<Self, ConditionError> {
        let program = Self::compile(source, result)?;
        match &program.kind {
            Type::Bool | Type::Unknown => Ok(program),
            other => Err(ConditionError::check(format!("expected bool, but got {other}"))),
        }
    }

    /// Compiles an expression that gives a point in time and sees no result (`now() - duration("1h")`).
    pub fn compile_time(source: &str) -> Result<Self, ConditionError> {
        let root = parser::parse(source)?;
        let kind = types::check(&root, None)?;
        match kind {
            Type::Time | Type::Unknown => Ok(Self { root, kind }),
            other => Err(ConditionError::check(format!("expected time.Time, but got {other}"))),
        }
    }

    /// Runs the program on `result`; `now` is what `now()` answers.
    pub fn run(&self, result: &Value, now: Timestamp) -> Result<Value, ConditionError> {
        eval::run(&self.root, result, &now.to_zoned(TimeZone::UTC))
    }

    /// Runs a condition.
    pub fn run_condition(&self, result: &Value, now: Timestamp) -> Result<bool, ConditionError> {
        match self.run(result, now)? {
            Value::Bool(answer) => Ok(answer),
            other => Err(ConditionError::run(format!("expected bool, but got {}", other.go_type()))),
        }
    }

    /// Runs an expression of [`Self::compile_time`].
    pub fn run_time(&self, now: Timestamp) -> Result<Timestamp, ConditionError> {
        match self.run(&Value::Nil, now)? {
            Value::Time(at) => Ok(Zoned::timestamp(&at)),
            other => Err(ConditionError::run(format!("expected time.Time, but got {}", other.go_type()))),
        }
    }
}
