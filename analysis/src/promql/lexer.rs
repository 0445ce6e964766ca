//! From text to tokens.
//!
//! Invariants: every token knows where it begins; what stands in quotes is never looked into, so a `{{args.x}}` there is text.

use super::Stop;

/// One word or sign.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind<'a> {
    /// A name: of a metric, a label, a function or a keyword.
    Name(&'a str),
    /// A number or a duration.
    Number(&'a str),
    /// A text in quotes.
    Text(&'a str),
    /// An operator, a bracket, a comma.
    Sign(&'static str),
}

#[derive(Debug, Clone)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) offset: usize,
}

/// Longest first.
const SIGNS: &[&str] = &[
    "==", "!=", ">=", "<=", "=~", "!~", ">", "<", "=", "+", "-", "*", "/", "%", "^", "(", ")", "{", "}", "[", "]", ",",
    "@",
];

pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, Stop> {
    let mut found = Vec::new();
    let mut offset = 0;
    while let Some(rest) = text.get(offset..)
        && let Some(first) = rest.chars().next()
    {
        if first.is_whitespace() {
            offset += first.len_utf8();
            continue;
        }
        if first == '#' {
            offset += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        if rest.starts_with("{{") {
            return Err(Stop::Doubt);
        }
        let (kind, length) = token(first, rest).map_err(|(expected, found)| Stop::wrong(offset, expected, found))?;
        found.push(Token { kind, offset });
        offset += length;
    }
    Ok(found)
}

fn token(first: char, rest: &str) -> Result<(Kind<'_>, usize), (String, String)> {
    if matches!(first, '"' | '\'' | '`') {
        let length =
            quoted(first, rest).ok_or_else(|| (format!("a closing {first}"), "the end of the query".to_owned()))?;
        return Ok((Kind::Text(head(rest, length)), length));
    }
    let second = rest.chars().nth(1);
    if first.is_ascii_digit() || (first == '.' && second.is_some_and(|next| next.is_ascii_digit())) {
        let length = number_length(rest);
        let number = head(rest, length);
        if !is_number(number) && !is_duration(number) {
            return Err(("a number or a duration such as 5m".to_owned(), format!("\"{number}\"")));
        }
        return Ok((Kind::Number(number), length));
    }
    if is_name(first) || first == '\\' {
        let length = name_length(rest);
        return Ok((Kind::Name(head(rest, length)), length));
    }
    match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        Some(sign) => Ok((Kind::Sign(sign), sign.len())),
        None => Err(("a name, a number or an operator".to_owned(), format!("\"{first}\""))),
    }
}

fn head(text: &str, length: usize) -> &str {
    text.get(..length).unwrap_or(text)
}

fn is_name(letter: char) -> bool {
    letter.is_alphabetic() || matches!(letter, '_' | ':')
}

/// Letters of names, and whatever is escaped, as some servers allow.
fn name_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices() {
        if escaped {
            escaped = false;
        } else if letter == '\\' {
            escaped = true;
        } else if !(is_name(letter) || letter.is_numeric() || letter == '.') {
            return at;
        }
    }
    rest.len()
}

fn number_length(rest: &str) -> usize {
    let mut before = ' ';
    for (at, letter) in rest.char_indices() {
        let hex = rest.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
        let sign = matches!(letter, '+' | '-') && matches!(before, 'e' | 'E') && !hex;
        if !(letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_') || sign) {
            return at;
        }
        before = letter;
    }
    rest.len()
}

/// Length with both quotes; nothing when it is not closed.
fn quoted(quote: char, rest: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if letter == '\\' && quote != '`' {
            escaped = true;
        } else if letter == quote {
            return Some(at + quote.len_utf8());
        }
    }
    None
}

fn is_number(text: &str) -> bool {
    let text = text.replace('_', "").to_ascii_lowercase();
    if let Some(digits) = ["0x", "0b", "0o"].iter().find_map(|prefix| text.strip_prefix(prefix)) {
        return !digits.is_empty()
            && digits.chars().all(|digit| digit.is_ascii_hexdigit() || digit == '.' || digit == 'p');
    }
    // Servers of this family know sizes, too: 2Ki, 1.5MB.
    let sizes = ["kib", "mib", "gib", "tib", "ki", "mi", "gi", "ti", "kb", "mb", "gb", "tb", "k", "m", "g", "t", ""];
    sizes.iter().any(|size| text.strip_suffix(size).is_some_and(|number| number.parse::<f64>().is_ok()))
}

/// `1h30m`, also with fractions and `i`, the step.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !(letter.is_ascii_digit() || letter == '.')).unwrap_or(0);
        let Some((number, after)) = rest.split_at_checked(digits) else { return false };
        let Some(unit) = ["ms", "s", "m", "h", "d", "w", "y", "i"].iter().find(|unit| after.starts_with(**unit)) else {
            return false;
        };
        if number.parse::<f64>().is_err() {
            return false;
        }
        rest = after.get(unit.len()..).unwrap_or_default();
    }
    true
}
