//! Text of a condition → tokens.
//!
//! Invariants: never panics; every token keeps the text it was made of, so that the parser can name it in an error the
//! way users of the language know it (`unexpected token Number("10.0")`).

use super::ConditionError;

/// What kind of word a token is; the names appear in error texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Identifier,
    Number,
    String,
    Operator,
    Bracket,
    Eof,
}

/// One word of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: TokenKind,
    pub text: String,
}

impl Token {
    pub(super) fn is(&self, kind: TokenKind, text: &str) -> bool {
        self.kind == kind && self.text == text
    }

    pub(super) fn is_operator(&self, text: &str) -> bool {
        self.is(TokenKind::Operator, text)
    }

    pub(super) fn is_bracket(&self, text: &str) -> bool {
        self.is(TokenKind::Bracket, text)
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            TokenKind::Identifier => "Identifier",
            TokenKind::Number => "Number",
            TokenKind::String => "String",
            TokenKind::Operator => "Operator",
            TokenKind::Bracket => "Bracket",
            TokenKind::Eof => return f.write_str("EOF"),
        };
        write!(f, "{kind}({})", crate::text::go_quote(&self.text))
    }
}

/// Words that are operators, not names.
const WORD_OPERATORS: [&str; 11] =
    ["in", "or", "and", "not", "matches", "contains", "startsWith", "endsWith", "let", "if", "else"];

/// Cuts `source` into tokens; the last one is always [`TokenKind::Eof`].
pub(super) fn lex(source: &str) -> Result<Vec<Token>, ConditionError> {
    let mut lexer = Lexer { chars: source.chars().collect(), at: 0, tokens: Vec::new() };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn peek(&self) -> Option<char> {
        self.ahead(0)
    }

    fn ahead(&self, n: usize) -> Option<char> {
        self.chars.get(self.at.saturating_add(n)).copied()
    }

    fn push(&mut self, kind: TokenKind, text: impl Into<String>) {
        self.tokens.push(Token { kind, text: text.into() });
    }

    fn run(&mut self) -> Result<(), ConditionError> {
        while let Some(c) = self.peek() {
            match c {
                c if c.is_whitespace() => self.at += 1,
                '\'' | '"' => self.string(c)?,
                '`' => self.raw_string()?,
                '0'..='9' => self.number()?,
                '/' if self.ahead(1) == Some('/') => self.line_comment(),
                '/' if self.ahead(1) == Some('*') => self.block_comment()?,
                '(' | ')' | '[' | ']' | '{' | '}' => {
                    self.at += 1;
                    self.push(TokenKind::Bracket, c);
                }
                '.' if self.ahead(1).is_some_and(|d| d.is_ascii_digit()) => self.number()?,
                c if c == '_' || c == '$' || c.is_alphabetic() => self.word(),
                _ => self.symbol(c)?,
            }
        }
        self.push(TokenKind::Eof, "");
        Ok(())
    }

    fn symbol(&mut self, c: char) -> Result<(), ConditionError> {
        let two: Option<&'static str> = match (c, self.ahead(1)) {
            ('.', Some('.')) => Some(".."),
            ('?', Some('.')) => Some("?."),
            ('?', Some('?')) => Some("??"),
            (':', Some(':')) => Some("::"),
            ('*', Some('*')) => Some("**"),
            ('&', Some('&')) => Some("&&"),
            ('|', Some('|')) => Some("||"),
            ('=', Some('=')) => Some("=="),
            ('!', Some('=')) => Some("!="),
            ('<', Some('=')) => Some("<="),
            ('>', Some('=')) => Some(">="),
            _ => None,
        };
        if let Some(two) = two {
            self.at += 2;
            self.push(TokenKind::Operator, two);
            return Ok(());
        }
        if matches!(
            c,
            '#' | ',' | ';' | ':' | '%' | '+' | '-' | '^' | '*' | '/' | '|' | '!' | '<' | '>' | '?' | '.' | '=' | '&'
        ) {
            self.at += 1;
            self.push(TokenKind::Operator, c);
            return Ok(());
        }
        Err(ConditionError::syntax(format!("unrecognized character: U+{:04X} '{c}'", u32::from(c))))
    }

    fn word(&mut self) {
        let start = self.at;
        while self.peek().is_some_and(|c| c == '_' || c == '$' || c.is_alphanumeric()) {
            self.at += 1;
        }
        let text: String = self.since(start);
        let kind = if WORD_OPERATORS.contains(&text.as_str()) { TokenKind::Operator } else { TokenKind::Identifier };
        self.push(kind, text);
    }

    fn since(&self, start: usize) -> String {
        self.chars.get(start..self.at).unwrap_or_default().iter().collect()
    }

    fn digits(&mut self, allowed: fn(char) -> bool) {
        while self.peek().is_some_and(|c| c == '_' || allowed(c)) {
            self.at += 1;
        }
    }

    fn number(&mut self) -> Result<(), ConditionError> {
        let start = self.at;
        let radix: Option<fn(char) -> bool> = match (self.peek(), self.ahead(1)) {
            (Some('0'), Some('x' | 'X')) => Some(|c: char| c.is_ascii_hexdigit()),
            (Some('0'), Some('o' | 'O')) => Some(|c: char| ('0'..='7').contains(&c)),
            (Some('0'), Some('b' | 'B')) => Some(|c: char| c == '0' || c == '1'),
            _ => None,
        };
        if let Some(allowed) = radix {
            self.at += 2;
            self.digits(allowed);
        } else {
            self.digits(|c| c.is_ascii_digit());
            // `1..3` is a range, not the number `1.` followed by `.3`.
            if self.peek() == Some('.') && self.ahead(1) != Some('.') {
                self.at += 1;
                self.digits(|c| c.is_ascii_digit());
            }
            if matches!(self.peek(), Some('e' | 'E')) {
                self.at += 1;
                if matches!(self.peek(), Some('+' | '-')) {
                    self.at += 1;
                }
                self.digits(|c| c.is_ascii_digit());
            }
        }
        if self.peek().is_some_and(|c| c == '_' || c.is_alphanumeric()) {
            self.at += 1;
            return Err(ConditionError::syntax(format!(
                "bad number syntax: {}",
                crate::text::go_quote(&self.since(start))
            )));
        }
        let text = self.since(start).replace('_', "");
        self.push(TokenKind::Number, text);
        Ok(())
    }

    fn line_comment(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.at += 1;
        }
    }

    fn block_comment(&mut self) -> Result<(), ConditionError> {
        self.at += 2;
        loop {
            match (self.peek(), self.ahead(1)) {
                (Some('*'), Some('/')) => {
                    self.at += 2;
                    return Ok(());
                }
                (Some(_), _) => self.at += 1,
                (None, _) => return Err(ConditionError::syntax("unclosed comment")),
            }
        }
    }

    fn raw_string(&mut self) -> Result<(), ConditionError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match (self.peek(), self.ahead(1)) {
                // A doubled back-quote stands for one.
                (Some('`'), Some('`')) => {
                    text.push('`');
                    self.at += 2;
                }
                (Some('`'), _) => {
                    self.at += 1;
                    self.push(TokenKind::String, text);
                    return Ok(());
                }
                (Some(c), _) => {
                    text.push(c);
                    self.at += 1;
                }
                (None, _) => return Err(ConditionError::syntax("literal not terminated")),
            }
        }
    }

    fn string(&mut self, quote: char) -> Result<(), ConditionError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(c) = self.peek() else { return Err(ConditionError::syntax("literal not terminated")) };
            self.at += 1;
            match c {
                c if c == quote => break,
                '\n' => return Err(ConditionError::syntax("literal not terminated")),
                '\\' => text.push(self.escape()?),
                c => text.push(c),
            }
        }
        self.push(TokenKind::String, text);
        Ok(())
    }

    fn escape(&mut self) -> Result<char, ConditionError> {
        let Some(c) = self.peek() else { return Err(ConditionError::syntax("literal not terminated")) };
        self.at += 1;
        let plain = match c {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' | '\'' | '"' | '`' | '?' => c,
            'x' | 'X' => return self.code_point(2, 16),
            'u' if self.peek() == Some('{') => return self.braced_code_point(),
            'u' => return self.code_point(4, 16),
            'U' => return self.code_point(8, 16),
            '0'..='3' => {
                self.at -= 1;
                return self.code_point(3, 8);
            }
            _ => return Err(ConditionError::syntax("unable to unescape string")),
        };
        Ok(plain)
    }

    fn code_point(&mut self, digits: usize, radix: u32) -> Result<char, ConditionError> {
        let mut code = 0u32;
        for _ in 0..digits {
            let digit = self.peek().and_then(|c| c.to_digit(radix));
            let Some(digit) = digit else { return Err(ConditionError::syntax("unable to unescape string")) };
            code = code.wrapping_mul(radix).wrapping_add(digit);
            self.at += 1;
        }
        char::from_u32(code).ok_or_else(|| ConditionError::syntax("unable to unescape string"))
    }

    fn braced_code_point(&mut self) -> Result<char, ConditionError> {
        self.at += 1;
        let mut code = 0u32;
        let mut count = 0;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) {
            code = code.wrapping_mul(16).wrapping_add(digit);
            count += 1;
            self.at += 1;
        }
        if count == 0 || count > 6 || self.peek() != Some('}') {
            return Err(ConditionError::syntax("unable to unescape string"));
        }
        self.at += 1;
        char::from_u32(code).ok_or_else(|| ConditionError::syntax("unable to unescape string"))
    }
}
