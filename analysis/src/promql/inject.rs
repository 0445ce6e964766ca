//! Adds label matchers to every selector of a query: so one query tells of one version.
//!
//! The text stays as it was written; matchers are put in. What is a selector is told from the tokens: a name that is no function, keyword or
//! label, or braces.
//!
//! Invariants: pure; a query that has no form is refused; the answer has the form of a query.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::lexer::{self, Kind, Token};
use super::{Place, QueryError, Stop, check};
use crate::text::go_quote;

/// Names that are numbers or operators where an operand may stand.
const NO_METRIC: &[&str] = &[
    "inf",
    "nan",
    "and",
    "or",
    "unless",
    "atan2",
    "default",
    "if",
    "ifnot",
    "bool",
    "offset",
    "limit",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "by",
    "without",
    "keep_metric_names",
    "anchored",
    "smoothed",
    "fill",
    "fill_left",
    "fill_right",
];
/// What is followed by names of labels in parentheses.
const LABELS_FOLLOW: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];

fn refusal(query: &str, offset: usize, expected: &str) -> QueryError {
    let found = query.get(offset..).and_then(|rest| rest.split_whitespace().next()).unwrap_or("the end of the query");
    QueryError { at: Place::of(query, offset), expected: expected.to_owned(), found: format!("\"{found}\"") }
}

fn is_sign(token: Option<&Token<'_>>, sign: &str) -> bool {
    matches!(token.map(|token| &token.kind), Some(Kind::Sign(found)) if *found == sign)
}

/// What is put into braces that have `inside` already.
fn matchers(labels: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        let _ = write!(text, "{}{name}={}", if text.is_empty() { "" } else { "," }, go_quote(value));
    }
    text
}

/// The query with `labels` required in each of its selectors.
///
/// # Errors
/// When the text is no query, or none in which selectors can be told.
pub fn with_matchers(query: &str, labels: &BTreeMap<String, String>) -> Result<String, QueryError> {
    check(query)?;
    let tokens = lexer::tokens(query).map_err(|stop| match stop {
        Stop::Wrong { offset, expected, found } => QueryError { at: Place::of(query, offset), expected, found },
        Stop::Doubt => refusal(query, 0, "a query whose arguments are filled in"),
    })?;
    let wanted = matchers(labels);
    // Where what is put in, from front to back.
    let mut inserts: Vec<(usize, String)> = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let next = tokens.get(at + 1);
        match &token.kind {
            Kind::Sign("{") => {
                let (end, alternatives) = braces(&tokens, at);
                for start in std::iter::once(at).chain(alternatives) {
                    let empty = is_sign(tokens.get(start + 1), "}");
                    let comma = if empty { "" } else { "," };
                    let place = tokens.get(start).map_or(query.len(), |one| one.offset + length(&one.kind));
                    // After `or` a blank keeps the words apart.
                    let blank = if start == at { "" } else { " " };
                    inserts.push((place, format!("{blank}{wanted}{comma}")));
                }
                at = end;
            }
            Kind::Sign("[") => at = closing(&tokens, at, "[", "]"),
            Kind::Name(name)
                if LABELS_FOLLOW.iter().any(|word| name.eq_ignore_ascii_case(word)) && is_sign(next, "(") =>
            {
                at = closing(&tokens, at + 1, "(", ")");
            }
            Kind::Name(name) => {
                let grouped = matches!(next.map(|next| &next.kind), Some(Kind::Name(word)) if word.eq_ignore_ascii_case("by") || word.eq_ignore_ascii_case("without"))
                    && is_sign(tokens.get(at + 2), "(");
                let keyword = NO_METRIC.iter().any(|word| name.eq_ignore_ascii_case(word));
                if !keyword && !grouped && !is_sign(next, "(") && !is_sign(next, "{") {
                    inserts.push((token.offset + name.len(), format!("{{{wanted}}}")));
                }
            }
            Kind::Number(_) | Kind::Text(_) | Kind::Sign(_) => {}
        }
        at += 1;
    }
    if inserts.is_empty() {
        return Err(refusal(query, 0, "a selector such as http_requests_total{job=\"web\"}"));
    }
    let mut out = String::with_capacity(query.len() + inserts.len() * wanted.len());
    let mut from = 0;
    for (place, text) in inserts {
        out.push_str(query.get(from..place).unwrap_or_default());
        out.push_str(&text);
        from = place;
    }
    out.push_str(query.get(from..).unwrap_or_default());
    Ok(out)
}

fn length(kind: &Kind<'_>) -> usize {
    match kind {
        Kind::Name(text) | Kind::Number(text) | Kind::Text(text) => text.len(),
        Kind::Sign(sign) => sign.len(),
    }
}

/// The token that closes the braces, and each `or` in them, after which another set of matchers begins.
fn braces(tokens: &[Token<'_>], open: usize) -> (usize, Vec<usize>) {
    let end = closing(tokens, open, "{", "}");
    let inside = tokens.iter().enumerate().take(end).skip(open + 1);
    let alternatives = inside
        .filter(|(at, token)| {
            let before = at.checked_sub(1).and_then(|at| tokens.get(at));
            matches!(token.kind, Kind::Name(word) if word.eq_ignore_ascii_case("or"))
                && matches!(before.map(|token| &token.kind), Some(Kind::Text(_)))
        })
        .map(|(at, _)| at);
    (end, alternatives.collect())
}

fn closing(tokens: &[Token<'_>], open: usize, opens: &str, closes: &str) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Sign(sign) if sign == opens => depth += 1,
            Kind::Sign(sign) if sign == closes => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            Kind::Sign(_) | Kind::Name(_) | Kind::Number(_) | Kind::Text(_) => {}
        }
    }
    tokens.len()
}

/// Whether the query is one selector and nothing else, so that it can be put into `increase(…[10s])`.
pub fn is_selector(query: &str) -> bool {
    let Ok(tokens) = lexer::tokens(query) else { return false };
    let braces_from = usize::from(matches!(tokens.first().map(|token| &token.kind), Some(Kind::Name(_))));
    match tokens.len() {
        0 => false,
        1 => braces_from == 1,
        many => is_sign(tokens.get(braces_from), "{") && closing(&tokens, braces_from, "{", "}") == many - 1,
    }
}
