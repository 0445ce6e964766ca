//! The tree of `promql-parser`, which has no places, with the places found again by walking the tokens in the order of the text.

use promql_parser::parser::{Call, Expr, FunctionArgs};

use crate::promql::{Kind, tokens};

/// An expression and where it begins; for an operator with two sides, where the operator stands.
pub(super) struct Node<'e> {
    pub(super) expr: &'e Expr,
    pub(super) at: usize,
    pub(super) parts: Vec<Node<'e>>,
}

struct Cursor<'t> {
    tokens: Vec<(Kind<'t>, usize)>,
    next: usize,
}

impl Cursor<'_> {
    /// The next token that fits; when there is none, where the walk stands.
    fn find(&mut self, fits: impl Fn(&Kind<'_>) -> bool) -> usize {
        let rest = self.tokens.get(self.next..).unwrap_or_default();
        if let Some(ahead) = rest.iter().position(|(kind, _)| fits(kind)) {
            self.next += ahead + 1;
        }
        self.tokens.get(self.next.saturating_sub(1)).map_or(0, |(_, at)| *at)
    }

    fn word(&mut self, word: &str) -> usize {
        self.find(|kind| match kind {
            Kind::Name(name) => name.eq_ignore_ascii_case(word),
            Kind::Sign(sign) => *sign == word,
            Kind::Number(_) | Kind::Text(_) => false,
        })
    }
}

/// The tree of a query that was read from this text.
pub(super) fn build<'e>(expr: &'e Expr, text: &str) -> Node<'e> {
    let tokens = tokens(text).into_iter().map(|token| (token.kind, token.offset)).collect();
    node(expr, &mut Cursor { tokens, next: 0 })
}

fn node<'e>(expr: &'e Expr, cursor: &mut Cursor<'_>) -> Node<'e> {
    let (at, parts) = match expr {
        Expr::Aggregate(aggregate) => {
            let at = cursor.word(&aggregate.op.to_string());
            let parts = aggregate.param.iter().chain([&aggregate.expr]);
            (at, parts.map(|part| node(part, cursor)).collect())
        }
        Expr::Unary(unary) => (cursor.word("-"), vec![node(&unary.expr, cursor)]),
        Expr::Binary(binary) => {
            let left = node(&binary.lhs, cursor);
            let at = cursor.word(&binary.op.to_string());
            (at, vec![left, node(&binary.rhs, cursor)])
        }
        Expr::Paren(paren) => (cursor.word("("), vec![node(&paren.expr, cursor)]),
        Expr::Subquery(subquery) => {
            let inner = node(&subquery.expr, cursor);
            (inner.at, vec![inner])
        }
        Expr::Call(call) => {
            let at = cursor.word(call.func.name);
            (at, call.args.args.iter().map(|part| node(part, cursor)).collect())
        }
        Expr::VectorSelector(selector) => (cursor.word(selector.name.as_deref().unwrap_or("{")), Vec::new()),
        Expr::MatrixSelector(selector) => (cursor.word(selector.vs.name.as_deref().unwrap_or("{")), Vec::new()),
        Expr::NumberLiteral(_) => (cursor.find(|kind| matches!(kind, Kind::Number(_))), Vec::new()),
        Expr::StringLiteral(_) => (cursor.find(|kind| matches!(kind, Kind::Text(_))), Vec::new()),
        Expr::Extension(_) => (0, Vec::new()),
    };
    Node { expr, at, parts }
}

/// Without the parentheses around it.
pub(super) fn bare<'t, 'e>(node: &'t Node<'e>) -> &'t Node<'e> {
    match (node.expr, node.parts.as_slice()) {
        (Expr::Paren(_), [inner]) => bare(inner),
        _ => node,
    }
}

/// The same tree with another part; parts are told apart by where they are.
pub(super) fn replaced(whole: &Expr, part: &Expr, by: &Expr) -> Expr {
    if std::ptr::eq(whole, part) {
        return by.clone();
    }
    let inner = |inner: &Expr| Box::new(replaced(inner, part, by));
    match whole {
        Expr::Aggregate(old) => {
            let mut new = old.clone();
            new.expr = inner(&old.expr);
            new.param = old.param.as_deref().map(inner);
            Expr::Aggregate(new)
        }
        Expr::Unary(old) => {
            let mut new = old.clone();
            new.expr = inner(&old.expr);
            Expr::Unary(new)
        }
        Expr::Binary(old) => {
            let mut new = old.clone();
            new.lhs = inner(&old.lhs);
            new.rhs = inner(&old.rhs);
            Expr::Binary(new)
        }
        Expr::Paren(old) => {
            let mut new = old.clone();
            new.expr = inner(&old.expr);
            Expr::Paren(new)
        }
        Expr::Subquery(old) => {
            let mut new = old.clone();
            new.expr = inner(&old.expr);
            Expr::Subquery(new)
        }
        Expr::Call(old) => {
            let args = old.args.args.iter().map(|arg| inner(arg)).collect();
            Expr::Call(Call { func: old.func.clone(), args: FunctionArgs { args } })
        }
        Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::Extension(_) => whole.clone(),
    }
}
