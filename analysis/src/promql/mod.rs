//! The form of a PromQL query, checked before anything is asked.
//!
//! A query is refused only when no server of this family could read it: brackets that do not match, an operator without its right
//! side, a label value without quotes. Names of functions, types of results and the extensions of other servers (MetricsQL's `WITH`,
//! `default`, `keep_metric_names`, windows left out) are theirs to judge, for what is refused here stops a release.
//!
//! Invariants: pure; total on every input; whatever stands for something unknown (`{{args.x}}`) is accepted.

mod inject;
mod lexer;
mod parser;

use std::fmt;

pub use inject::{is_selector, with_matchers};
pub(crate) use lexer::{Kind, Token};

/// Where and why a text is no query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at {at}: expected {expected}, found {found}")]
pub struct QueryError {
    /// The place of what was found.
    pub at: Place,
    /// What would be right there.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

/// A place in a text, counted from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Place {
    /// The place of the byte `offset`.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl QueryError {
    /// The byte of the query at which it is.
    pub(crate) fn offset(&self, query: &str) -> usize {
        let lines = query.split_inclusive('\n').take(self.at.line.saturating_sub(1));
        let before: usize = lines.map(str::len).sum();
        let line = query.get(before..).unwrap_or_default();
        let within = line.char_indices().nth(self.at.column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
        before + within
    }
}

/// The tokens of a query; none of one that has no such form.
pub(crate) fn tokens(query: &str) -> Vec<Token<'_>> {
    lexer::tokens(query).unwrap_or_default()
}

/// Why reading stopped.
enum Stop {
    /// Nobody could read on.
    Wrong { offset: usize, expected: String, found: String },
    /// Somebody might.
    Doubt,
}

impl Stop {
    fn wrong(offset: usize, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Wrong { offset, expected: expected.into(), found: found.into() }
    }
}

/// Checks the form of a query.
///
/// # Errors
/// The first place at which no server could read on.
pub fn check(query: &str) -> Result<(), QueryError> {
    match lexer::tokens(query).and_then(|tokens| parser::query(&tokens, query.len())) {
        Ok(()) | Err(Stop::Doubt) => Ok(()),
        Err(Stop::Wrong { offset, expected, found }) => {
            Err(QueryError { at: Place::of(query, offset), expected, found })
        }
    }
}
