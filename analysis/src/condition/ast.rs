//! The tree a condition is parsed into.
//!
//! Invariant: a node knows how deep its tree is, and no tree is deeper than [`MAX_DEPTH`]; so walking one recursively
//! cannot exhaust the stack, whatever the text was.

use std::sync::Arc;

use super::ConditionError;
use super::functions::Builtin;

/// Deepest tree that is accepted. Real conditions have fewer than ten levels.
pub(super) const MAX_DEPTH: u32 = 120;

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub kind: Box<Kind>,
    depth: u32,
}

impl Node {
    /// Wraps `kind`, refusing trees that are too deep.
    pub(super) fn new(kind: Kind) -> Result<Self, ConditionError> {
        let depth = kind.children().map(|child| child.depth).max().unwrap_or(0) + 1;
        if depth > MAX_DEPTH {
            return Err(ConditionError::syntax(format!("expression is nested more than {MAX_DEPTH} levels deep")));
        }
        Ok(Self { kind: Box::new(kind), depth })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnaryOp {
    Not,
    Minus,
    Plus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BinaryOp {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Range,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Coalesce,
}

impl BinaryOp {
    /// How the operator is named in error texts.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::In => "in",
            Self::Matches => "matches",
            Self::Contains => "contains",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::Range => "..",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Power => "**",
            Self::Coalesce => "??",
        }
    }
}

/// What `#…` stands for inside a predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pointer {
    Element,
    Index,
    Accumulator,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Arc<str>),
    /// A variable: `result` or one made by `let`.
    Name(String),
    /// `$env`, all variables.
    Env,
    Pointer(Pointer),
    Array(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Unary(UnaryOp, Node),
    Binary(BinaryOp, Node, Node),
    /// `text matches "constant"`, compiled once.
    MatchesConstant(Node, regex::Regex),
    Conditional(Node, Node, Node),
    /// `base.name`, `base[index]`; `optional` is `?.`.
    Member {
        base: Node,
        index: Node,
        optional: bool,
    },
    Slice {
        base: Node,
        from: Option<Node>,
        to: Option<Node>,
    },
    /// The whole chain that a `?.` inside may cut short.
    Chain(Node),
    Method {
        base: Node,
        name: String,
        args: Vec<Node>,
        optional: bool,
    },
    /// A function of the environment (`asInt` …), by name.
    Call(super::functions::EnvFunction, Vec<Node>),
    Builtin(Builtin, Vec<Node>),
    Let {
        name: String,
        value: Node,
        body: Node,
    },
    Sequence(Vec<Node>),
}

impl Kind {
    fn children(&self) -> Box<dyn Iterator<Item = &Node> + '_> {
        use std::iter::{empty, once};
        match self {
            Self::Nil
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Str(_)
            | Self::Name(_)
            | Self::Env
            | Self::Pointer(_) => Box::new(empty()),
            Self::Array(items) | Self::Call(_, items) | Self::Builtin(_, items) | Self::Sequence(items) => {
                Box::new(items.iter())
            }
            Self::Map(entries) => Box::new(entries.iter().flat_map(|(key, value)| [key, value])),
            Self::Unary(_, one) | Self::Chain(one) | Self::MatchesConstant(one, _) => Box::new(once(one)),
            Self::Binary(_, a, b) => Box::new([a, b].into_iter()),
            Self::Conditional(a, b, c) => Box::new([a, b, c].into_iter()),
            Self::Member { base, index, .. } => Box::new([base, index].into_iter()),
            Self::Slice { base, from, to } => Box::new(once(base).chain(from).chain(to)),
            Self::Method { base, args, .. } => Box::new(once(base).chain(args)),
            Self::Let { value, body, .. } => Box::new([value, body].into_iter()),
        }
    }
}
