//! Tokens → tree: a precedence-climbing (Pratt) parser.
//!
//! Precedence from loose to tight: `|`, `or`, `and`, comparison and `in`/`matches`/…, `..`, `+ -`, `not`, `* / %`,
//! unary sign, `** ^` (to the right), `??`. Ternary, `let` and `if` stand outside all of them.
//! What stands between the operators is in [`operand`].
//!
//! Invariants: recursion is counted and bounded, so no text can exhaust the stack; no node count above [`MAX_NODES`].

mod operand;

use super::ConditionError;
use super::ast::{BinaryOp, Kind, MAX_DEPTH, Node, UnaryOp};
use super::functions;
use super::grammar::{TERNARY, binary, can_be_negated, chains};
use super::lexer::{Token, TokenKind, lex};

/// Longest text that is accepted, in bytes.
const MAX_SOURCE: usize = 64 * 1024;
/// Most nodes of one condition.
const MAX_NODES: usize = 10_000;

/// Parses the whole of `source`.
pub(super) fn parse(source: &str) -> Result<Node, ConditionError> {
    if source.len() > MAX_SOURCE {
        return Err(ConditionError::syntax(format!("expression is longer than {MAX_SOURCE} bytes")));
    }
    let tokens = lex(source)?;
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
        predicates: 0,
        nodes: 0,
        end: Token { kind: TokenKind::Eof, text: String::new() },
    };
    let node = parser.sequence(TokenKind::Eof, "")?;
    if parser.peek().kind == TokenKind::Eof { Ok(node) } else { Err(parser.unexpected()) }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// Recursion so far.
    depth: u32,
    /// Predicates we are inside of.
    predicates: u32,
    nodes: usize,
    end: Token,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&self.end)
    }

    fn peek_next(&self) -> &Token {
        self.tokens.get(self.at + 1).unwrap_or(&self.end)
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn eat_operator(&mut self, text: &str) -> bool {
        let found = self.peek().is_operator(text);
        self.at += usize::from(found);
        found
    }

    fn eat_bracket(&mut self, text: &str) -> bool {
        let found = self.peek().is_bracket(text);
        self.at += usize::from(found);
        found
    }

    fn unexpected(&self) -> ConditionError {
        ConditionError::syntax(format!("unexpected token {}", self.peek()))
    }

    fn expect_operator(&mut self, text: &str) -> Result<(), ConditionError> {
        if self.eat_operator(text) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn expect_bracket(&mut self, text: &str) -> Result<(), ConditionError> {
        if self.eat_bracket(text) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn node(&mut self, kind: Kind) -> Result<Node, ConditionError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(ConditionError::syntax(format!("expression has more than {MAX_NODES} parts")));
        }
        Node::new(kind)
    }

    /// Expressions separated by `;`, up to (not including) the closing token.
    fn sequence(&mut self, close: TokenKind, text: &str) -> Result<Node, ConditionError> {
        let first = self.expression(TERNARY)?;
        if !self.peek().is_operator(";") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.eat_operator(";") {
            if self.peek().is(close, text) {
                break;
            }
            items.push(self.expression(TERNARY)?);
        }
        self.node(Kind::Sequence(items))
    }

    fn expression(&mut self, least: u8) -> Result<Node, ConditionError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ConditionError::syntax(format!("expression is nested more than {MAX_DEPTH} levels deep")));
        }
        let node = self.expression_inner(least);
        self.depth -= 1;
        node
    }

    fn expression_inner(&mut self, least: u8) -> Result<Node, ConditionError> {
        if least == TERNARY {
            if self.peek().is_operator("let") {
                return self.variable();
            }
            if self.peek().is_operator("if") {
                return self.if_else();
            }
        }
        let mut left = self.primary()?;
        let mut previous: Option<BinaryOp> = None;
        while self.peek().kind == TokenKind::Operator {
            if self.peek().text == "|" {
                if least > 0 {
                    break;
                }
                self.at += 1;
                left = self.pipe(left)?;
                continue;
            }
            let negated = self.peek().text == "not";
            let operator = if negated { self.peek_next() } else { self.peek() };
            if operator.kind != TokenKind::Operator {
                if negated {
                    self.at += 1;
                    return Err(self.unexpected());
                }
                break;
            }
            let Some((op, precedence)) = binary(&operator.text) else {
                if negated {
                    self.at += 1;
                    return Err(self.unexpected());
                }
                break;
            };
            if negated && !can_be_negated(op) {
                self.at += 1;
                return Err(self.unexpected());
            }
            if precedence < least {
                break;
            }
            if previous == Some(BinaryOp::Coalesce) && op != BinaryOp::Coalesce {
                return Err(ConditionError::syntax(format!(
                    "Operator ({}) and coalesce expressions (??) cannot be mixed. Wrap either by parentheses.",
                    op.symbol()
                )));
            }
            self.at += if negated { 2 } else { 1 };
            left = self.right_side(left, op, precedence, negated)?;
            previous = Some(op);
        }
        if least == TERNARY { self.ternary(left) } else { Ok(left) }
    }

    fn right_side(&mut self, left: Node, op: BinaryOp, precedence: u8, negated: bool) -> Result<Node, ConditionError> {
        // Only exponentiation associates to the right.
        let least = if op == BinaryOp::Power { precedence } else { precedence + 1 };
        let right = self.expression(least)?;
        if chains(op) {
            return self.comparison_chain(left, op, right);
        }
        let node = match (op, &*right.kind) {
            (BinaryOp::Matches, Kind::Str(pattern)) => {
                let regex = functions::regex(pattern).map_err(ConditionError::syntax)?;
                self.node(Kind::MatchesConstant(left, regex))?
            }
            _ => self.node(Kind::Binary(op, left, right))?,
        };
        if negated { self.node(Kind::Unary(UnaryOp::Not, node)) } else { Ok(node) }
    }

    /// `1 < x < 3` means `1 < x and x < 3`.
    fn comparison_chain(&mut self, left: Node, op: BinaryOp, right: Node) -> Result<Node, ConditionError> {
        let mut middle = right.clone();
        let mut whole = self.node(Kind::Binary(op, left, right))?;
        loop {
            if self.peek().kind != TokenKind::Operator {
                return Ok(whole);
            }
            let Some((next, precedence)) = binary(&self.peek().text).filter(|(next, _)| chains(*next)) else {
                return Ok(whole);
            };
            self.at += 1;
            let right = self.expression(precedence + 1)?;
            let link = self.node(Kind::Binary(next, middle, right.clone()))?;
            whole = self.node(Kind::Binary(BinaryOp::And, whole, link))?;
            middle = right;
        }
    }

    fn ternary(&mut self, condition: Node) -> Result<Node, ConditionError> {
        let mut condition = condition;
        while self.eat_operator("?") {
            // `a ?: b` gives `a` itself when it holds.
            if self.eat_operator(":") {
                let otherwise = self.expression(TERNARY)?;
                condition = self.node(Kind::Conditional(condition.clone(), condition, otherwise))?;
                continue;
            }
            let then = self.expression(TERNARY)?;
            self.expect_operator(":")?;
            let otherwise = self.expression(TERNARY)?;
            condition = self.node(Kind::Conditional(condition, then, otherwise))?;
        }
        Ok(condition)
    }

    fn variable(&mut self) -> Result<Node, ConditionError> {
        self.at += 1;
        if self.peek().kind != TokenKind::Identifier {
            return Err(self.unexpected());
        }
        let name = self.advance().text;
        self.expect_operator("=")?;
        let value = self.expression(TERNARY)?;
        self.expect_operator(";")?;
        let body = self.sequence(TokenKind::Eof, "")?;
        self.node(Kind::Let { name, value, body })
    }

    fn if_else(&mut self) -> Result<Node, ConditionError> {
        self.at += 1;
        let condition = self.expression(TERNARY)?;
        let then = self.block()?;
        self.expect_operator("else")?;
        let otherwise = if self.peek().is_operator("if") { self.expression(TERNARY)? } else { self.block()? };
        self.node(Kind::Conditional(condition, then, otherwise))
    }

    fn block(&mut self) -> Result<Node, ConditionError> {
        self.expect_bracket("{")?;
        let node = self.sequence(TokenKind::Bracket, "}")?;
        self.expect_bracket("}")?;
        Ok(node)
    }

    fn pipe(&mut self, input: Node) -> Result<Node, ConditionError> {
        let named = self.peek().kind == TokenKind::Identifier && self.peek_next().is_bracket("(");
        if !named {
            return Err(self.unexpected());
        }
        let name = self.advance().text;
        let call = self.call(&name, Some(input))?;
        self.postfix(call)
    }
}
