//! What stands between operators: literals, names, calls, lists and maps, and what is hung on them (`.a`, `[0]`).

use std::sync::Arc;

use super::super::ConditionError;
use super::super::ast::{Kind, Node, Pointer};
use super::super::functions::{ArgumentKind, Builtin, EnvFunction};
use super::super::grammar::{TERNARY, number, unary};
use super::super::lexer::TokenKind;
use super::Parser;

impl Parser {
    pub(super) fn primary(&mut self) -> Result<Node, ConditionError> {
        let token = self.peek().clone();
        if token.kind == TokenKind::Operator {
            if let Some((op, precedence)) = unary(&token.text) {
                self.at += 1;
                let operand = self.expression(precedence)?;
                let node = self.node(Kind::Unary(op, operand))?;
                return self.postfix(node);
            }
            if self.predicates > 0 && (token.text == "#" || token.text == ".") {
                let node = self.pointer(&token.text)?;
                return self.postfix(node);
            }
            if token.text == "::" {
                self.at += 1;
                if self.peek().kind != TokenKind::Identifier {
                    return Err(self.unexpected());
                }
                let name = self.advance().text;
                let node = self.call(&name, None)?;
                return self.postfix(node);
            }
        }
        let node = match token.kind {
            TokenKind::Bracket if token.text == "(" => {
                self.at += 1;
                let inner = self.sequence(TokenKind::Bracket, ")")?;
                self.expect_bracket(")")?;
                inner
            }
            TokenKind::Bracket if token.text == "[" => self.array()?,
            TokenKind::Bracket if token.text == "{" => self.map()?,
            TokenKind::Identifier => self.identifier()?,
            TokenKind::Number => {
                self.at += 1;
                let kind = number(&token.text)?;
                return self.node(kind);
            }
            TokenKind::String => {
                self.at += 1;
                self.node(Kind::Str(Arc::from(token.text)))?
            }
            TokenKind::Operator | TokenKind::Bracket | TokenKind::Eof => return Err(self.unexpected()),
        };
        self.postfix(node)
    }

    fn pointer(&mut self, text: &str) -> Result<Node, ConditionError> {
        let mut pointer = Pointer::Element;
        if text == "#" {
            self.at += 1;
            if self.peek().kind == TokenKind::Identifier {
                let name = self.advance().text;
                pointer = match name.as_str() {
                    "acc" => Pointer::Accumulator,
                    "index" => Pointer::Index,
                    _ => return Err(ConditionError::syntax(format!("unknown pointer #{name}"))),
                };
            }
        }
        self.node(Kind::Pointer(pointer))
    }

    fn identifier(&mut self) -> Result<Node, ConditionError> {
        let name = self.advance().text;
        match name.as_str() {
            "true" => return self.node(Kind::Bool(true)),
            "false" => return self.node(Kind::Bool(false)),
            "nil" => return self.node(Kind::Nil),
            "$env" => return self.node(Kind::Env),
            _ => {}
        }
        if self.peek().is_bracket("(") {
            return self.call(&name, None);
        }
        self.node(Kind::Name(name))
    }

    /// `name(…)`; `first` is what a pipe puts before the written arguments.
    pub(super) fn call(&mut self, name: &str, first: Option<Node>) -> Result<Node, ConditionError> {
        if let Some(builtin) = Builtin::by_name(name) {
            let mut args = Vec::from_iter(first);
            self.expect_bracket("(")?;
            while !self.peek().is_bracket(")") {
                if !args.is_empty() && self.arguments_started() {
                    self.expect_operator(",")?;
                    if self.peek().is_bracket(")") {
                        break;
                    }
                }
                let arg = match builtin.argument_kind(args.len()) {
                    ArgumentKind::Value => self.expression(TERNARY)?,
                    ArgumentKind::Predicate => self.predicate()?,
                };
                args.push(arg);
            }
            self.expect_bracket(")")?;
            builtin.check_count(args.len()).map_err(ConditionError::syntax)?;
            return self.node(Kind::Builtin(builtin, args));
        }
        let args = self.arguments(first)?;
        match EnvFunction::by_name(name) {
            Some(function) => self.node(Kind::Call(function, args)),
            None => Err(ConditionError::check(format!("unknown name {name}"))),
        }
    }

    /// Whether an argument was already written between the brackets (a piped one is not).
    fn arguments_started(&self) -> bool {
        !self.at.checked_sub(1).and_then(|before| self.tokens.get(before)).is_some_and(|t| t.is_bracket("("))
    }

    fn arguments(&mut self, first: Option<Node>) -> Result<Vec<Node>, ConditionError> {
        let mut args = Vec::from_iter(first);
        self.expect_bracket("(")?;
        let mut more = false;
        while !self.peek().is_bracket(")") {
            if more {
                self.expect_operator(",")?;
                if self.peek().is_bracket(")") {
                    break;
                }
            }
            args.push(self.expression(TERNARY)?);
            more = true;
        }
        self.expect_bracket(")")?;
        Ok(args)
    }

    fn predicate(&mut self) -> Result<Node, ConditionError> {
        self.predicates += 1;
        let node = if self.peek().is_bracket("{") { self.block() } else { self.expression(TERNARY) };
        self.predicates -= 1;
        node
    }

    fn array(&mut self) -> Result<Node, ConditionError> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.peek().is_bracket("]") {
            if !items.is_empty() {
                self.expect_operator(",")?;
                if self.peek().is_bracket("]") {
                    break;
                }
            }
            items.push(self.expression(TERNARY)?);
        }
        self.expect_bracket("]")?;
        self.node(Kind::Array(items))
    }

    fn map(&mut self) -> Result<Node, ConditionError> {
        self.at += 1;
        let mut entries = Vec::new();
        while !self.peek().is_bracket("}") {
            if !entries.is_empty() {
                self.expect_operator(",")?;
                if self.peek().is_bracket("}") {
                    break;
                }
                if self.peek().is_operator(",") {
                    return Err(self.unexpected());
                }
            }
            let key = match self.peek().kind {
                TokenKind::Number | TokenKind::String | TokenKind::Identifier => {
                    let text = self.advance().text;
                    self.node(Kind::Str(Arc::from(text)))?
                }
                TokenKind::Bracket if self.peek().text == "(" => self.expression(TERNARY)?,
                TokenKind::Bracket | TokenKind::Operator | TokenKind::Eof => {
                    return Err(ConditionError::syntax(format!(
                        "a map key must be a quoted string, a number, a identifier, or an expression enclosed in parentheses (unexpected token {})",
                        self.peek()
                    )));
                }
            };
            self.expect_operator(":")?;
            let value = self.expression(TERNARY)?;
            entries.push((key, value));
        }
        self.expect_bracket("}")?;
        self.node(Kind::Map(entries))
    }

    pub(super) fn postfix(&mut self, start: Node) -> Result<Node, ConditionError> {
        let mut node = start;
        let mut optional_seen = false;
        loop {
            let optional = self.peek().is_operator("?.");
            if optional || self.peek().is_operator(".") {
                self.at += 1;
                optional_seen |= optional;
                if optional && self.peek().is_bracket("[") {
                    node = self.subscript(node, true)?;
                    continue;
                }
                let word = self.peek().kind == TokenKind::Identifier
                    || (self.peek().kind == TokenKind::Operator
                        && self.peek().text.chars().all(|c| c.is_ascii_alphabetic()));
                if !word {
                    return Err(ConditionError::syntax("expected name"));
                }
                let name = self.advance().text;
                if self.peek().is_bracket("(") {
                    let args = self.arguments(None)?;
                    node = self.node(Kind::Method { base: node, name, args, optional })?;
                } else {
                    let index = self.node(Kind::Str(Arc::from(name)))?;
                    node = self.node(Kind::Member { base: node, index, optional })?;
                }
            } else if self.peek().is_bracket("[") {
                node = self.subscript(node, false)?;
            } else {
                break;
            }
        }
        if optional_seen { self.node(Kind::Chain(node)) } else { Ok(node) }
    }

    fn subscript(&mut self, base: Node, optional: bool) -> Result<Node, ConditionError> {
        self.at += 1;
        let from = if self.peek().is_operator(":") { None } else { Some(self.expression(TERNARY)?) };
        if self.eat_operator(":") {
            let to = if self.peek().is_bracket("]") { None } else { Some(self.expression(TERNARY)?) };
            self.expect_bracket("]")?;
            return self.node(Kind::Slice { base, from, to });
        }
        self.expect_bracket("]")?;
        match from {
            Some(index) => self.node(Kind::Member { base, index, optional }),
            None => Err(self.unexpected()),
        }
    }
}
