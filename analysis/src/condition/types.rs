//! The type checker: what is wrong with a condition whatever the value is, is said before it runs.
//!
//! Types come from the actual result, so the same text may fit one result and not another. `Unknown` fits everywhere and
//! is checked at run time.

use super::ConditionError;
use super::ast::{BinaryOp, Kind, Node, Pointer, UnaryOp};
use super::functions::{Builtin, EnvFunction, signature};
use super::value::Type;

/// Checks the tree; `result` is absent in programs that see no result. Gives the type of the whole.
pub(super) fn check(root: &Node, result: Option<&Type>) -> Result<Type, ConditionError> {
    Checker { result, variables: Vec::new(), predicates: Vec::new() }.node(root)
}

struct Predicate {
    element: Type,
    accumulator: Option<Type>,
}

struct Checker<'a> {
    result: Option<&'a Type>,
    variables: Vec<(String, Type)>,
    predicates: Vec<Predicate>,
}

type Checked = Result<Type, ConditionError>;

fn error(text: String) -> ConditionError {
    ConditionError::check(text)
}

impl Type {
    pub(super) fn is_number(&self) -> bool {
        // A vector stands for its element when it has only one.
        matches!(self, Self::Int | Self::Float | Self::Vector)
    }

    pub(super) fn is_array(&self) -> bool {
        matches!(self, Self::Array(_) | Self::Vector)
    }

    fn is_open(&self) -> bool {
        *self == Self::Unknown
    }

    pub(super) fn element(&self) -> Self {
        match self {
            Self::Array(element) => (**element).clone(),
            Self::Vector => Self::Float,
            _ => Self::Unknown,
        }
    }

    /// Whether both may be `wanted`, of which at least the known ones are.
    fn both(a: &Self, b: &Self, wanted: fn(&Self) -> bool) -> bool {
        (wanted(a) || a.is_open()) && (wanted(b) || b.is_open())
    }

    fn join(a: Self, b: &Self) -> Self {
        if a == *b { a } else { Self::Unknown }
    }
}

pub(super) fn list_of(element: Type) -> Type {
    Type::Array(Box::new(element))
}

impl Checker<'_> {
    fn node(&mut self, node: &Node) -> Checked {
        match &*node.kind {
            Kind::Nil => Ok(Type::Nil),
            Kind::Bool(_) => Ok(Type::Bool),
            Kind::Int(_) => Ok(Type::Int),
            Kind::Float(_) => Ok(Type::Float),
            Kind::Str(_) => Ok(Type::Str),
            Kind::Name(name) => self.name(name),
            Kind::Env => Ok(Type::Map),
            Kind::Pointer(pointer) => self.pointer(*pointer),
            Kind::Array(items) => {
                let mut element: Option<Type> = None;
                for item in items {
                    let kind = self.node(item)?;
                    element = Some(match element {
                        None => kind,
                        Some(so_far) => Type::join(so_far, &kind),
                    });
                }
                Ok(list_of(element.unwrap_or(Type::Unknown)))
            }
            Kind::Map(entries) => {
                for (key, value) in entries {
                    self.node(key)?;
                    self.node(value)?;
                }
                Ok(Type::Map)
            }
            Kind::Unary(op, operand) => self.unary(*op, operand),
            Kind::Binary(op, left, right) => {
                let (left, right) = (self.node(left)?, self.node(right)?);
                binary(*op, &left, &right)
            }
            Kind::MatchesConstant(text, _) => {
                let text = self.node(text)?;
                binary(BinaryOp::Matches, &text, &Type::Str)
            }
            Kind::Conditional(condition, then, otherwise) => {
                let condition = self.node(condition)?;
                if !matches!(condition, Type::Bool | Type::Unknown) {
                    return Err(error(format!("non-bool expression (type {condition}) used as condition")));
                }
                let (then, otherwise) = (self.node(then)?, self.node(otherwise)?);
                Ok(match (then, otherwise) {
                    (Type::Nil, other) | (other, Type::Nil) if other != Type::Nil => Type::Unknown,
                    (then, otherwise) => Type::join(then, &otherwise),
                })
            }
            Kind::Member { base, index, .. } => {
                let base = self.node(base)?;
                let kind = self.node(index)?;
                member(&base, &kind, &index.kind)
            }
            Kind::Slice { base, from, to } => {
                let base = self.node(base)?;
                if !(base.is_array() || matches!(base, Type::Str | Type::Unknown)) {
                    return Err(error(format!("cannot slice {base}")));
                }
                for bound in from.iter().chain(to) {
                    let kind = self.node(bound)?;
                    if !matches!(kind, Type::Int | Type::Unknown) {
                        return Err(error(format!("non-integer slice index {kind}")));
                    }
                }
                Ok(if base == Type::Vector { list_of(Type::Float) } else { base })
            }
            Kind::Chain(inner) => {
                self.node(inner)?;
                Ok(Type::Unknown)
            }
            Kind::Method { base, name, args, .. } => self.method(base, name, args),
            Kind::Call(function, args) => self.env_function(*function, args),
            Kind::Builtin(function, args) if function.has_predicate() => self.predicate_function(*function, args),
            Kind::Builtin(function, args) => {
                let types = args.iter().map(|arg| self.node(arg)).collect::<Result<Vec<_>, _>>()?;
                signature::builtin(*function, &types)
            }
            Kind::Let { name, value, body } => self.variable(name, value, body),
            Kind::Sequence(items) => {
                let mut last = Type::Nil;
                for item in items {
                    last = self.node(item)?;
                }
                Ok(last)
            }
        }
    }

    fn name(&self, name: &str) -> Checked {
        if let Some((_, kind)) = self.variables.iter().rev().find(|(known, _)| known == name) {
            return Ok(kind.clone());
        }
        match self.result {
            Some(result) if name == "result" => Ok(result.clone()),
            _ => Err(error(format!("unknown name {name}"))),
        }
    }

    fn pointer(&self, pointer: Pointer) -> Checked {
        let Some(scope) = self.predicates.last() else {
            return Err(error("cannot use pointer accessor outside predicate".to_owned()));
        };
        match pointer {
            Pointer::Element => Ok(scope.element.clone()),
            Pointer::Index => Ok(Type::Int),
            Pointer::Accumulator => scope.accumulator.clone().ok_or_else(|| error("unknown pointer #acc".to_owned())),
        }
    }

    fn variable(&mut self, name: &str, value: &Node, body: &Node) -> Checked {
        if name == "result" || EnvFunction::by_name(name).is_some() {
            return Err(error(format!("cannot redeclare {name}")));
        }
        if Builtin::by_name(name).is_some() {
            return Err(error(format!("cannot redeclare builtin {name}")));
        }
        if self.variables.iter().any(|(known, _)| known == name) {
            return Err(error(format!("cannot redeclare variable {name}")));
        }
        let kind = self.node(value)?;
        self.variables.push((name.to_owned(), kind));
        let whole = self.node(body);
        self.variables.pop();
        whole
    }

    fn unary(&mut self, op: UnaryOp, operand: &Node) -> Checked {
        let kind = self.node(operand)?;
        let (symbol, fits, gives) = match op {
            UnaryOp::Not => ("!", kind == Type::Bool, Type::Bool),
            UnaryOp::Minus => ("-", kind.is_number() || kind == Type::Duration, number_type(&kind)),
            UnaryOp::Plus => ("+", kind.is_number(), number_type(&kind)),
        };
        if fits || kind.is_open() {
            Ok(if kind.is_open() && op != UnaryOp::Not { Type::Unknown } else { gives })
        } else {
            Err(error(format!("invalid operation: {symbol} (mismatched type {kind})")))
        }
    }

    fn method(&mut self, base: &Node, name: &str, args: &[Node]) -> Checked {
        let base = self.node(base)?;
        for arg in args {
            self.node(arg)?;
        }
        match base {
            Type::Time | Type::Duration | Type::Unknown => Ok(Type::Unknown),
            Type::Map => Err(error(format!("{name} is a value of the map, not a function: leave out the ()"))),
            other => Err(error(format!("type {other} has no method {name}"))),
        }
    }

    fn env_function(&mut self, function: EnvFunction, args: &[Node]) -> Checked {
        if self.result.is_none() && !function.without_result() {
            return Err(error(format!("unknown name {}", function.name())));
        }
        let types = args.iter().map(|arg| self.node(arg)).collect::<Result<Vec<_>, _>>()?;
        if types.len() < function.count() {
            return Err(error(format!("not enough arguments to call {}", function.name())));
        }
        if types.len() > function.count() {
            return Err(error(format!("too many arguments to call {}", function.name())));
        }
        match function {
            EnvFunction::AsInt => Ok(Type::Int),
            EnvFunction::AsFloat => Ok(Type::Float),
            EnvFunction::IsNaN | EnvFunction::IsInf => match types.first() {
                Some(Type::Float | Type::Int | Type::Vector | Type::Unknown) | None => Ok(Type::Bool),
                Some(other) => {
                    Err(error(format!("cannot use {other} as argument (type float64) to call {}", function.name())))
                }
            },
            EnvFunction::IsNil => Ok(Type::Bool),
            EnvFunction::Default => Ok(Type::Unknown),
        }
    }

    fn predicate_function(&mut self, function: Builtin, args: &[Node]) -> Checked {
        let [array, rest @ ..] = args else {
            return Err(error(format!("not enough arguments to call {}", function.name())));
        };
        let array = self.node(array)?;
        if !(array.is_array() || array.is_open()) {
            return Err(error(format!("builtin {} takes only array (got {array})", function.name())));
        }
        let element = array.element();
        let accumulator = match (function, rest.get(1)) {
            (Builtin::Reduce, Some(initial)) => {
                self.node(initial)?;
                // The accumulator changes its type on the way.
                Some(Type::Unknown)
            }
            (Builtin::Reduce, None) => Some(Type::Unknown),
            (_, Some(extra)) => {
                self.node(extra)?;
                None
            }
            (_, None) => None,
        };
        let answer = match rest.first() {
            Some(predicate) => {
                self.predicates.push(Predicate { element: element.clone(), accumulator });
                let answer = self.node(predicate);
                self.predicates.pop();
                Some(answer?)
            }
            None => None,
        };
        let wants_bool = matches!(
            function,
            Builtin::All
                | Builtin::NoneOf
                | Builtin::Any
                | Builtin::One
                | Builtin::Filter
                | Builtin::Count
                | Builtin::Find
                | Builtin::FindIndex
                | Builtin::FindLast
                | Builtin::FindLastIndex
        );
        if wants_bool && !matches!(answer, None | Some(Type::Bool | Type::Unknown)) {
            let got = answer.unwrap_or(Type::Unknown);
            return Err(error(format!("predicate should return boolean (got {got})")));
        }
        if function == Builtin::Count && answer.is_none() && !matches!(element, Type::Bool | Type::Unknown) {
            return Err(error(format!("count without predicate needs an array of bool (got {array})")));
        }
        Ok(match function {
            Builtin::All | Builtin::NoneOf | Builtin::Any | Builtin::One => Type::Bool,
            Builtin::Count => Type::Int,
            Builtin::FindIndex | Builtin::FindLastIndex | Builtin::Find | Builtin::FindLast | Builtin::Reduce => {
                Type::Unknown
            }
            Builtin::GroupBy => Type::Map,
            Builtin::Sum => match answer.unwrap_or(element) {
                kind @ (Type::Int | Type::Float) => kind,
                _ => Type::Unknown,
            },
            Builtin::Map => list_of(answer.unwrap_or(Type::Unknown)),
            _ => list_of(element),
        })
    }
}

pub(super) fn number_type(kind: &Type) -> Type {
    if *kind == Type::Vector { Type::Float } else { kind.clone() }
}

fn binary(op: BinaryOp, left: &Type, right: &Type) -> Checked {
    let mismatch = || Err(error(format!("invalid operation: {} (mismatched types {left} and {right})", op.symbol())));
    let is_string = |kind: &Type| *kind == Type::Str;
    let open = left.is_open() || right.is_open();
    let numbers = Type::both(left, right, Type::is_number);
    let both_int = *left == Type::Int && *right == Type::Int;
    let arithmetic = || {
        if open {
            Ok(Type::Unknown)
        } else if both_int {
            Ok(Type::Int)
        } else {
            Ok(Type::Float)
        }
    };
    match op {
        BinaryOp::Equal | BinaryOp::NotEqual => {
            let same = left == right
                || numbers
                || open
                || *left == Type::Nil
                || *right == Type::Nil
                || (left.is_array() && right.is_array());
            if same { Ok(Type::Bool) } else { mismatch() }
        }
        BinaryOp::Or | BinaryOp::And => {
            if Type::both(left, right, |kind| *kind == Type::Bool) {
                Ok(Type::Bool)
            } else {
                mismatch()
            }
        }
        BinaryOp::Less | BinaryOp::LessEqual | BinaryOp::Greater | BinaryOp::GreaterEqual => {
            let fits = numbers
                || Type::both(left, right, is_string)
                || Type::both(left, right, |kind| *kind == Type::Time)
                || Type::both(left, right, |kind| *kind == Type::Duration);
            if fits { Ok(Type::Bool) } else { mismatch() }
        }
        BinaryOp::In => match right {
            Type::Map => {
                if matches!(left, Type::Str | Type::Unknown | Type::Nil) {
                    Ok(Type::Bool)
                } else {
                    Err(error(format!("cannot use {left} as type string in map key")))
                }
            }
            Type::Array(_) | Type::Vector => {
                let element = right.element();
                let fits = element.is_open()
                    || left.is_open()
                    || element == *left
                    || (element.is_number() && left.is_number())
                    || *left == Type::Nil
                    || (element.is_array() && left.is_array());
                if fits { Ok(Type::Bool) } else { Err(error(format!("cannot use {left} as type {element} in array"))) }
            }
            Type::Unknown => Ok(Type::Bool),
            Type::Nil if left.is_open() => Ok(Type::Bool),
            _ => mismatch(),
        },
        BinaryOp::Matches | BinaryOp::Contains | BinaryOp::StartsWith | BinaryOp::EndsWith => {
            if Type::both(left, right, is_string) { Ok(Type::Bool) } else { mismatch() }
        }
        BinaryOp::Range => {
            if Type::both(left, right, |kind| *kind == Type::Int) {
                Ok(list_of(Type::Int))
            } else {
                mismatch()
            }
        }
        BinaryOp::Add => match (left, right) {
            _ if numbers => arithmetic(),
            (Type::Time, Type::Duration) | (Type::Duration, Type::Time) => Ok(Type::Time),
            (Type::Duration, Type::Duration) => Ok(Type::Duration),
            _ if Type::both(left, right, is_string) => Ok(if open { Type::Unknown } else { Type::Str }),
            (Type::Time | Type::Duration, Type::Unknown) | (Type::Unknown, Type::Time | Type::Duration) => {
                Ok(Type::Unknown)
            }
            _ => mismatch(),
        },
        BinaryOp::Subtract => match (left, right) {
            _ if numbers => arithmetic(),
            (Type::Time, Type::Time) | (Type::Duration, Type::Duration) => Ok(Type::Duration),
            (Type::Time, Type::Duration) => Ok(Type::Time),
            (Type::Time | Type::Duration, Type::Unknown) | (Type::Unknown, Type::Time | Type::Duration) => {
                Ok(Type::Unknown)
            }
            _ => mismatch(),
        },
        BinaryOp::Multiply => match (left, right) {
            _ if numbers => arithmetic(),
            (Type::Duration, other) | (other, Type::Duration) if other.is_number() || other.is_open() => {
                Ok(Type::Duration)
            }
            _ => mismatch(),
        },
        BinaryOp::Divide | BinaryOp::Power => {
            if numbers {
                Ok(Type::Float)
            } else {
                mismatch()
            }
        }
        BinaryOp::Modulo => {
            if Type::both(left, right, |kind| *kind == Type::Int) {
                Ok(Type::Int)
            } else {
                mismatch()
            }
        }
        BinaryOp::Coalesce => Ok(match (left, right) {
            (Type::Nil, other) | (other, Type::Nil) => other.clone(),
            (left, right) => Type::join(left.clone(), right),
        }),
    }
}

fn member(base: &Type, index: &Type, name: &Kind) -> Checked {
    match base {
        Type::Unknown | Type::Nil => Ok(Type::Unknown),
        Type::Map => match index {
            // `groupBy` makes maps whose keys are no texts.
            Type::Str | Type::Unknown | Type::Int | Type::Float | Type::Bool | Type::Nil => Ok(Type::Unknown),
            other => Err(error(format!("cannot use {other} to get an element from {base}"))),
        },
        Type::Array(_) | Type::Vector => match index {
            Type::Int | Type::Unknown => Ok(base.element()),
            other => Err(error(format!("array elements can only be selected using an integer (got {other})"))),
        },
        other => match name {
            Kind::Str(name) => Err(error(format!("type {other} has no field {name}"))),
            _ => Err(error(format!("type {other}[{index}] is undefined"))),
        },
    }
}
