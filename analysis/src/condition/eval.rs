//! The evaluator: walks the tree on a value, within a [`Budget`].
//!
//! A vector of a provider with one element is its element wherever a number is needed; with several it is an error that
//! says which labels tell the elements apart.

use std::collections::BTreeMap;

use crds::jiff::Zoned;

use super::ast::{BinaryOp, Kind, Node, Pointer};
use super::functions::{self, Budget, Builtin, EnvFunction};
use super::operate::{add, date, fetch, invalid, operate, scalar, unary, zone};
use super::value::{Array, Elem, Key, Value};
use super::{ConditionError, goduration};

type Evaluated = Result<Value, ConditionError>;

/// Runs a checked tree.
pub(super) fn run(root: &Node, result: &Value, now: &Zoned) -> Evaluated {
    let mut evaluator =
        Evaluator { result, now, variables: Vec::new(), scopes: Vec::new(), budget: Budget::new(), cut: false };
    evaluator.node(root)
}

struct Scope {
    element: Value,
    index: i64,
    accumulator: Value,
}

struct Evaluator<'a> {
    result: &'a Value,
    now: &'a Zoned,
    variables: Vec<(&'a str, Value)>,
    scopes: Vec<Scope>,
    budget: Budget,
    /// A `?.` met nil: the rest of its chain is nil.
    cut: bool,
}

fn error(text: impl Into<String>) -> ConditionError {
    ConditionError::run(text)
}

impl<'a> Evaluator<'a> {
    fn node(&mut self, node: &'a Node) -> Evaluated {
        self.budget.steps(1)?;
        match &*node.kind {
            Kind::Nil => Ok(Value::Nil),
            Kind::Bool(b) => Ok(Value::Bool(*b)),
            Kind::Int(i) => Ok(Value::Int(*i)),
            Kind::Float(f) => Ok(Value::Float(*f)),
            Kind::Str(s) => Ok(Value::Str(s.clone())),
            Kind::Name(name) => {
                let variable = self.variables.iter().rev().find(|(known, _)| known == name);
                Ok(variable.map_or_else(|| self.result.clone(), |(_, value)| value.clone()))
            }
            Kind::Env => Value::map(BTreeMap::from([(Key::Str("result".to_owned()), self.result.clone())])),
            Kind::Pointer(pointer) => {
                let Some(scope) = self.scopes.last() else { return Ok(Value::Nil) };
                Ok(match pointer {
                    Pointer::Element => scope.element.clone(),
                    Pointer::Index => Value::Int(scope.index),
                    Pointer::Accumulator => scope.accumulator.clone(),
                })
            }
            Kind::Array(items) => {
                let items = self.all(items)?;
                self.list(items)
            }
            Kind::Map(entries) => {
                let mut map = BTreeMap::new();
                for (key, value) in entries {
                    let key = self.node(key)?;
                    let Value::Str(key) = key else {
                        return Err(error(format!("cannot use {} as type string in map key", key.go_type())));
                    };
                    map.insert(Key::Str(key.to_string()), self.node(value)?);
                }
                let made = Value::map(map)?;
                self.budget.memory(made.size())?;
                Ok(made)
            }
            Kind::Unary(op, operand) => {
                let value = self.node(operand)?;
                unary(*op, &value)
            }
            Kind::Binary(op, left, right) => self.binary(*op, left, right),
            Kind::MatchesConstant(text, regex) => match self.node(text)? {
                Value::Str(text) => {
                    self.budget.steps(text.len() as u64 / 8)?;
                    Ok(Value::Bool(regex.is_match(&text)))
                }
                other => Err(invalid(BinaryOp::Matches, &other, &Value::text(""))),
            },
            Kind::Conditional(condition, then, otherwise) => {
                if self.truth(condition)? {
                    self.node(then)
                } else {
                    self.node(otherwise)
                }
            }
            Kind::Member { base, index, optional } => {
                let base = self.node(base)?;
                if self.cut {
                    return Ok(Value::Nil);
                }
                if *optional && base == Value::Nil {
                    self.cut = true;
                    return Ok(Value::Nil);
                }
                let index = self.node(index)?;
                fetch(&base, &index)
            }
            Kind::Slice { base, from, to } => self.slice(base, from.as_ref(), to.as_ref()),
            Kind::Chain(inner) => {
                // A chain inside an index has its own cut.
                let outer = std::mem::replace(&mut self.cut, false);
                let value = self.node(inner);
                self.cut = outer;
                value
            }
            Kind::Method { base, name, args, optional } => {
                let base = self.node(base)?;
                if self.cut {
                    return Ok(Value::Nil);
                }
                if *optional && base == Value::Nil {
                    self.cut = true;
                    return Ok(Value::Nil);
                }
                let args = self.all(args)?;
                let made = functions::method(&base, name, &args)?;
                self.budget.memory(made.size())?;
                Ok(made)
            }
            Kind::Call(function, args) => {
                let args = self.all(args)?;
                self.env_function(*function, &args)
            }
            Kind::Builtin(function, args) if function.has_predicate() => self.predicate(*function, args),
            Kind::Builtin(function, args) => {
                let args = self.all(args)?;
                self.builtin(*function, &args)
            }
            Kind::Let { name, value, body } => {
                let value = self.node(value)?;
                self.variables.push((name, value));
                let whole = self.node(body);
                self.variables.pop();
                whole
            }
            Kind::Sequence(items) => {
                let mut last = Value::Nil;
                for item in items {
                    last = self.node(item)?;
                }
                Ok(last)
            }
        }
    }

    fn all(&mut self, nodes: &'a [Node]) -> Result<Vec<Value>, ConditionError> {
        nodes.iter().map(|node| self.node(node)).collect()
    }

    fn list(&mut self, items: Vec<Value>) -> Evaluated {
        self.budget.memory(items.len() as u64 + 1)?;
        Value::array(items, Elem::Any)
    }

    fn truth(&mut self, node: &'a Node) -> Result<bool, ConditionError> {
        match self.node(node)? {
            Value::Bool(answer) => Ok(answer),
            other => Err(error(format!("expected bool, but got {}", other.go_type()))),
        }
    }

    fn binary(&mut self, op: BinaryOp, left: &'a Node, right: &'a Node) -> Evaluated {
        match op {
            BinaryOp::And => return Ok(Value::Bool(self.truth(left)? && self.truth(right)?)),
            BinaryOp::Or => return Ok(Value::Bool(self.truth(left)? || self.truth(right)?)),
            BinaryOp::Coalesce => {
                let left = self.node(left)?;
                return if left == Value::Nil { self.node(right) } else { Ok(left) };
            }
            _ => {}
        }
        let (left, right) = (self.node(left)?, self.node(right)?);
        self.budget.steps(left.size().min(right.size()))?;
        match op {
            BinaryOp::In => self.within(&left, &right),
            BinaryOp::Range => self.range(&left, &right),
            BinaryOp::Matches => match (&left, &right) {
                (Value::Str(text), Value::Str(pattern)) => {
                    self.budget.steps(text.len() as u64 / 8 + pattern.len() as u64 * 16)?;
                    Ok(Value::Bool(functions::regex(pattern).map_err(error)?.is_match(text)))
                }
                _ => Err(invalid(op, &left, &right)),
            },
            BinaryOp::Add => {
                let made = add(&left, &right)?;
                self.budget.memory(made.size())?;
                Ok(made)
            }
            _ => operate(op, &left, &right),
        }
    }

    fn within(&mut self, left: &Value, right: &Value) -> Evaluated {
        Ok(Value::Bool(match right {
            Value::Nil => false,
            Value::Array(array) => {
                self.budget.steps(array.items().len() as u64)?;
                let left = scalar(left)?;
                array.items().iter().any(|item| item.equals(&left))
            }
            Value::Map(map) => Key::of(left).is_some_and(|key| map.entries().contains_key(&key)),
            other => return Err(error(format!("operator \"in\" not defined on {}", other.go_type()))),
        }))
    }

    fn range(&mut self, left: &Value, right: &Value) -> Evaluated {
        let (Value::Int(from), Value::Int(to)) = (left, right) else {
            return Err(invalid(BinaryOp::Range, left, right));
        };
        if to < from {
            return Value::array(Vec::new(), Elem::Int);
        }
        self.budget.memory(to.abs_diff(*from).saturating_add(1))?;
        Value::array((*from..=*to).map(Value::Int).collect(), Elem::Int)
    }

    fn slice(&mut self, base: &'a Node, from: Option<&'a Node>, to: Option<&'a Node>) -> Evaluated {
        let base = self.node(base)?;
        if self.cut {
            return Ok(Value::Nil);
        }
        let length = match &base {
            Value::Array(array) => array.items().len(),
            Value::Str(text) => text.len(),
            other => return Err(error(format!("cannot slice {}", other.go_type()))),
        };
        let mut bound = |node: Option<&'a Node>, default: usize| match node.map(|node| self.node(node)).transpose()? {
            None => Ok(default),
            Some(Value::Int(i)) => {
                let length = i64::try_from(length).unwrap_or(i64::MAX);
                let i = if i < 0 { i.saturating_add(length) } else { i };
                Ok(usize::try_from(i.clamp(0, length)).unwrap_or(0))
            }
            Some(other) => Err(error(format!("non-integer slice index {}", other.go_type()))),
        };
        let from = bound(from, 0)?;
        let to = bound(to, length)?.max(from);
        let made = match &base {
            Value::Array(array) => {
                self.budget.memory((to - from) as u64 + 1)?;
                Value::array(array.items().get(from..to).unwrap_or_default().to_vec(), array.elem())?
            }
            Value::Str(text) => {
                // Bounds count bytes, as in Go; a cut character becomes U+FFFD.
                Value::text(String::from_utf8_lossy(text.as_bytes().get(from..to).unwrap_or_default()))
            }
            _ => Value::Nil,
        };
        self.budget.memory(made.size())?;
        Ok(made)
    }

    fn env_function(&mut self, function: EnvFunction, args: &[Value]) -> Evaluated {
        let first = scalar(args.first().unwrap_or(&Value::Nil));
        match function {
            EnvFunction::AsInt => functions::as_int(&first?),
            EnvFunction::AsFloat => functions::as_float(&first?),
            EnvFunction::IsNaN | EnvFunction::IsInf => {
                let first = first?;
                let Some(number) = first.as_number() else {
                    return Err(error(format!(
                        "cannot use {} as argument (type float64) to call {}",
                        first.go_type(),
                        function.name()
                    )));
                };
                Ok(Value::Bool(if function == EnvFunction::IsNaN { number.is_nan() } else { number.is_infinite() }))
            }
            // Users' conditions rely on these two looking at the result, not at their first argument.
            EnvFunction::IsNil => Ok(Value::Bool(*self.result == Value::Nil)),
            EnvFunction::Default => Ok(if *self.result == Value::Nil {
                args.get(1).cloned().unwrap_or(Value::Nil)
            } else {
                self.result.clone()
            }),
        }
    }

    fn builtin(&mut self, function: Builtin, args: &[Value]) -> Evaluated {
        use Builtin as B;
        match function {
            B::Now => Ok(Value::Time(Box::new(self.now.clone()))),
            B::Duration => match args {
                [Value::Str(text)] => goduration::parse_duration(text).map(Value::Duration).map_err(error),
                _ => Err(error("duration takes a string")),
            },
            B::Date => date(args),
            B::Timezone => match args {
                [Value::Str(name)] => zone(name).map(|_| Value::Str(name.clone())),
                _ => Err(error("timezone takes a string")),
            },
            B::Abs | B::Ceil | B::Floor | B::Round | B::Int | B::Float => {
                let args = args.iter().map(scalar).collect::<Result<Vec<_>, _>>()?;
                functions::list::call(function, &args, &mut self.budget)
            }
            B::Trim
            | B::TrimPrefix
            | B::TrimSuffix
            | B::Upper
            | B::Lower
            | B::Split
            | B::SplitAfter
            | B::Replace
            | B::Repeat
            | B::Join
            | B::IndexOf
            | B::LastIndexOf
            | B::HasPrefix
            | B::HasSuffix
            | B::ToJson
            | B::FromJson
            | B::ToBase64
            | B::FromBase64
            | B::String => functions::text::call(function, args, &mut self.budget),
            _ => functions::list::call(function, args, &mut self.budget),
        }
    }

    fn predicate(&mut self, function: Builtin, args: &'a [Node]) -> Evaluated {
        let [array, rest @ ..] = args else {
            return Err(error(format!("not enough arguments to call {}", function.name())));
        };
        let array = match self.node(array)? {
            Value::Array(array) => array,
            other => {
                return Err(error(format!("builtin {} takes only array (got {})", function.name(), other.go_type())));
            }
        };
        let predicate = rest.first();
        let extra = rest.get(1).map(|node| self.node(node)).transpose()?;
        match function {
            Builtin::Reduce => self.reduce(&array, predicate, extra),
            Builtin::SortBy => {
                let descending = functions::list::descending(extra.as_ref())?;
                let keys = self.each(&array, predicate)?;
                let pairs = keys.into_iter().zip(array.items().iter().cloned()).collect();
                Value::array(functions::list::sort_by_keys(pairs, descending)?, array.elem())
            }
            Builtin::Map => {
                let items = self.each(&array, predicate)?;
                self.list(items)
            }
            Builtin::Sum => {
                let mut total = Value::Int(0);
                for item in self.each(&array, predicate)? {
                    total = add(&total, &item)?;
                }
                Ok(total)
            }
            Builtin::GroupBy => {
                let mut groups: BTreeMap<Key, Vec<Value>> = BTreeMap::new();
                for (key, item) in self.each(&array, predicate)?.iter().zip(array.items()) {
                    let key = Key::of(key).ok_or_else(|| error(format!("cannot group by {}", key.go_type())))?;
                    groups.entry(key).or_default().push(item.clone());
                }
                let groups = groups.into_iter().map(|(key, items)| Ok((key, Value::array(items, Elem::Any)?)));
                let made = Value::map(groups.collect::<Result<_, ConditionError>>()?)?;
                self.budget.memory(made.size())?;
                Ok(made)
            }
            _ => self.search(function, &array, predicate),
        }
    }

    fn with_element(
        &mut self,
        predicate: Option<&'a Node>,
        index: usize,
        element: &Value,
        accumulator: Value,
    ) -> Evaluated {
        let Some(predicate) = predicate else { return Ok(element.clone()) };
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        self.scopes.push(Scope { element: element.clone(), index, accumulator });
        let answer = self.node(predicate);
        self.scopes.pop();
        answer
    }

    fn each(&mut self, array: &Array, predicate: Option<&'a Node>) -> Result<Vec<Value>, ConditionError> {
        self.budget.memory(array.items().len() as u64)?;
        let items = array.items().iter().enumerate();
        items.map(|(index, item)| self.with_element(predicate, index, item, Value::Nil)).collect()
    }

    fn holds(&mut self, predicate: Option<&'a Node>, index: usize, item: &Value) -> Result<bool, ConditionError> {
        match self.with_element(predicate, index, item, Value::Nil)? {
            Value::Bool(answer) => Ok(answer),
            other => Err(error(format!("predicate should return boolean (got {})", other.go_type()))),
        }
    }

    /// The functions that ask which elements hold.
    fn search(&mut self, function: Builtin, array: &Array, predicate: Option<&'a Node>) -> Evaluated {
        let backwards = matches!(function, Builtin::FindLast | Builtin::FindLastIndex);
        // After the first answer of this kind the rest does not matter.
        let stop_at = match function {
            Builtin::All => Some(false),
            Builtin::Filter | Builtin::Count | Builtin::One => None,
            _ => Some(true),
        };
        let items = array.items();
        let mut found: Vec<(usize, Value)> = Vec::new();
        let mut stopped = false;
        for step in 0..items.len() {
            let index = if backwards { items.len() - 1 - step } else { step };
            let Some(item) = items.get(index) else { continue };
            let answer = self.holds(predicate, index, item)?;
            if answer {
                self.budget.memory(1)?;
                found.push((index, item.clone()));
            }
            if stop_at == Some(answer) {
                stopped = true;
                break;
            }
        }
        let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
        Ok(match function {
            Builtin::All | Builtin::NoneOf => Value::Bool(!stopped),
            Builtin::Any => Value::Bool(stopped),
            Builtin::One => Value::Bool(count == 1),
            Builtin::Count => Value::Int(count),
            Builtin::Filter => Value::array(found.into_iter().map(|(_, item)| item).collect(), array.elem())?,
            Builtin::FindIndex | Builtin::FindLastIndex => {
                found.first().map_or(Value::Nil, |(index, _)| Value::Int(i64::try_from(*index).unwrap_or(i64::MAX)))
            }
            _ => found.into_iter().next().map_or(Value::Nil, |(_, item)| item),
        })
    }

    fn reduce(&mut self, array: &Array, predicate: Option<&'a Node>, initial: Option<Value>) -> Evaluated {
        let mut items = array.items().iter().enumerate();
        let mut accumulator = match initial {
            Some(value) => value,
            None => match items.next() {
                Some((_, first)) => first.clone(),
                None => return Err(error("cannot reduce an empty array without an initial value")),
            },
        };
        for (index, item) in items {
            accumulator = self.with_element(predicate, index, item, accumulator)?;
        }
        Ok(accumulator)
    }
}
