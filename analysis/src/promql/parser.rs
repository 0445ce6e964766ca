//! From tokens to yes or no, by recursive descent. Precedence does not matter to the form, so operators are read in a row.
//!
//! Invariants: every loop and every call takes a token or stops; the depth is limited, beyond it there is doubt.

use super::Stop;
use super::lexer::{Kind, Token};

/// Nesting that a person's query never reaches.
const DEPTH: usize = 100;

const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<="];
/// Set operators and those of other servers.
const WORDS: &[&str] = &["and", "or", "unless", "atan2", "default", "if", "ifnot"];
/// Between an operator and its right side.
const MATCHING: &[&str] = &["on", "ignoring", "group_left", "group_right", "fill", "fill_left", "fill_right"];
const MATCHERS: &[&str] = &["=", "!=", "=~", "!~"];
/// After a whole operand, without anything that belongs to them.
const MARKS: &[&str] = &["keep_metric_names", "anchored", "smoothed"];

type Read<T = ()> = Result<T, Stop>;

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    next: usize,
    end: usize,
    depth: usize,
}

/// The whole query; `end` is the length of its text.
pub(super) fn query(tokens: &[Token<'_>], end: usize) -> Read {
    let mut parser = Parser { tokens, next: 0, end, depth: 0 };
    parser.expression()?;
    match parser.peek() {
        None => Ok(()),
        Some(_) => Err(parser.wrong("an operator or the end of the query")),
    }
}

fn describe(kind: &Kind<'_>) -> String {
    match kind {
        Kind::Name(text) | Kind::Number(text) => format!("\"{text}\""),
        Kind::Text(text) => (*text).to_owned(),
        Kind::Sign(sign) => format!("\"{sign}\""),
    }
}

fn is_word(name: &str, words: &[&str]) -> bool {
    words.iter().any(|word| name.eq_ignore_ascii_case(word))
}

impl<'a> Parser<'a> {
    fn at(&self, ahead: usize) -> Option<&'a Kind<'a>> {
        self.tokens.get(self.next + ahead).map(|token| &token.kind)
    }

    fn peek(&self) -> Option<&'a Kind<'a>> {
        self.at(0)
    }

    fn wrong(&self, expected: impl Into<String>) -> Stop {
        let offset = self.tokens.get(self.next).map_or(self.end, |token| token.offset);
        let found = self.peek().map_or_else(|| "the end of the query".to_owned(), describe);
        Stop::wrong(offset, expected, found)
    }

    fn sees(&self, sign: &str) -> bool {
        self.peek().is_some_and(|kind| matches!(kind, Kind::Sign(found) if *found == sign))
    }

    fn takes(&mut self, sign: &str) -> bool {
        let there = self.sees(sign);
        self.next += usize::from(there);
        there
    }

    fn sees_word(&self, words: &[&str]) -> bool {
        matches!(self.peek(), Some(Kind::Name(name)) if is_word(name, words))
    }

    fn takes_word(&mut self, words: &[&str]) -> bool {
        let there = self.sees_word(words);
        self.next += usize::from(there);
        there
    }

    fn takes_one_of(&mut self, signs: &[&str]) -> bool {
        let there = matches!(self.peek(), Some(Kind::Sign(found)) if signs.contains(found));
        self.next += usize::from(there);
        there
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth >= DEPTH {
            return Err(Stop::Doubt);
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn expression(&mut self) -> Read {
        self.operand()?;
        while self.takes_one_of(ARITHMETIC) || self.takes_word(WORDS) {
            self.takes_word(&["bool"]);
            while self.sees_word(MATCHING) && self.is_matching() {
                self.next += 1;
                if self.sees("(") {
                    self.labels()?;
                }
            }
            self.operand()?;
        }
        Ok(())
    }

    /// Whether the word says how sides match, and is no metric of that name.
    fn is_matching(&self) -> bool {
        let grouping = self.sees_word(&["group_left", "group_right"]);
        grouping || matches!(self.at(1), Some(Kind::Sign("(")))
    }

    fn operand(&mut self) -> Read {
        while self.takes_one_of(&["+", "-"]) {}
        match self.peek() {
            Some(Kind::Sign("(")) => self.arguments()?,
            Some(Kind::Sign("{")) => self.matchers()?,
            Some(Kind::Number(_) | Kind::Text(_)) => self.next += 1,
            Some(Kind::Name(name)) => {
                self.next += 1;
                self.named(name)?;
            }
            Some(Kind::Sign(_)) | None => {
                return Err(self.wrong("a metric, a function, a number or an opening parenthesis"));
            }
        }
        self.attached()
    }

    /// What follows a name: the labels of a metric, the arguments of a function, the grouping of an aggregation.
    fn named(&mut self, name: &str) -> Read {
        if is_word(name, &["with"]) && self.sees("(") {
            // Templates of MetricsQL: names may stand where texts stand otherwise.
            return Err(Stop::Doubt);
        }
        if self.sees("{") {
            return self.matchers();
        }
        if self.sees_word(&["by", "without"]) {
            self.next += 1;
            self.labels()?;
            if !self.sees("(") {
                return Err(self.wrong(format!("an opening parenthesis: what {name} is taken of")));
            }
        }
        if !self.sees("(") {
            return Ok(());
        }
        self.arguments()?;
        if self.takes_word(&["by", "without"]) {
            self.labels()?;
        }
        Ok(())
    }

    /// Windows, offsets and marks.
    fn attached(&mut self) -> Read {
        loop {
            if self.sees("[") {
                self.window()?;
            } else if self.takes("@") || self.takes_word(&["offset"]) {
                self.moment()?;
            } else if self.takes_word(&["limit"]) {
                if !matches!(self.peek(), Some(Kind::Number(_))) {
                    return Err(self.wrong("a number"));
                }
                self.next += 1;
            } else if !self.takes_word(MARKS) {
                return Ok(());
            }
        }
    }

    /// After `@` and `offset`: a number, a duration, `end()`, or something in parentheses.
    fn moment(&mut self) -> Read {
        while self.takes_one_of(&["+", "-"]) {}
        match self.peek() {
            Some(Kind::Number(_)) => self.next += 1,
            Some(Kind::Sign("(")) => self.arguments()?,
            Some(Kind::Name(_)) if matches!(self.at(1), Some(Kind::Sign("("))) => {
                self.next += 1;
                self.arguments()?;
            }
            // A metric, as MetricsQL allows.
            Some(Kind::Name(_)) => return Err(Stop::Doubt),
            Some(Kind::Sign(_) | Kind::Text(_)) | None => return Err(self.wrong("a time or a duration such as 5m")),
        }
        Ok(())
    }

    /// `[5m]`, `[1h:1m]`, `[1h:]`, and durations that are calculated.
    fn window(&mut self) -> Read {
        self.next += 1;
        let mut empty = true;
        let mut open = 0_usize;
        loop {
            match self.peek() {
                Some(Kind::Sign("]")) if !empty && open == 0 => {
                    self.next += 1;
                    return Ok(());
                }
                Some(Kind::Sign("(")) => open += 1,
                Some(Kind::Sign(")")) if open > 0 => open -= 1,
                Some(Kind::Number(_) | Kind::Name(_) | Kind::Sign("," | "+" | "-" | "*" | "/" | "%" | "^")) => {}
                _ if empty => return Err(self.wrong("a duration such as 5m")),
                _ if open > 0 => return Err(self.wrong("a closing parenthesis")),
                _ => return Err(self.wrong("a closing bracket ]")),
            }
            empty = false;
            self.next += 1;
        }
    }

    /// Expressions in parentheses.
    fn arguments(&mut self) -> Read {
        self.next += 1;
        loop {
            if self.takes(")") {
                return Ok(());
            }
            self.deeper(Self::expression)?;
            if !self.takes(",") && !self.sees(")") {
                return Err(self.wrong("an operator, a comma or a closing parenthesis"));
            }
        }
    }

    /// Names of labels in parentheses.
    fn labels(&mut self) -> Read {
        if !self.takes("(") {
            return Err(self.wrong("an opening parenthesis and the names of labels"));
        }
        loop {
            if self.takes(")") {
                return Ok(());
            }
            match self.peek() {
                Some(Kind::Name(_) | Kind::Text(_) | Kind::Number(_) | Kind::Sign("*" | "-" | "+")) => self.next += 1,
                _ => return Err(self.wrong("the name of a label or a closing parenthesis")),
            }
            if !self.takes(",") && !self.sees(")") && !matches!(self.peek(), Some(Kind::Number(_))) {
                return Err(self.wrong("a comma or a closing parenthesis"));
            }
        }
    }

    /// `{job="api", code=~"5.."}`; a text alone is the name of a metric.
    fn matchers(&mut self) -> Read {
        self.next += 1;
        loop {
            if self.takes("}") {
                return Ok(());
            }
            let named = match self.peek() {
                Some(Kind::Name(_)) => true,
                Some(Kind::Text(_)) => false,
                _ => return Err(self.wrong("the name of a label or a closing brace }")),
            };
            self.next += 1;
            if self.takes_one_of(MATCHERS) {
                self.value()?;
            } else if named {
                return Err(self.wrong("one of =, !=, =~, !~ and a value in quotes"));
            }
            if !self.takes(",") && !self.takes_word(&["or"]) && !self.sees("}") {
                return Err(self.wrong("a comma or a closing brace }"));
            }
        }
    }

    fn value(&mut self) -> Read {
        loop {
            match self.peek() {
                Some(Kind::Text(_)) => self.next += 1,
                _ => return Err(self.wrong("a value in quotes")),
            }
            if !self.takes("+") {
                return Ok(());
            }
        }
    }
}
