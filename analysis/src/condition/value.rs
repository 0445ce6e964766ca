//! Values a condition works on, and their types.
//!
//! Invariants: a value is never nested deeper than [`MAX_VALUE_DEPTH`] (so dropping and comparing cannot exhaust the
//! stack); an array of a provider knows the labels of its elements, any other array has none.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crds::jiff::Zoned;

use super::ConditionError;
use super::{goduration, gotime};
use crate::text::{go_float, go_float_short, go_quote};

/// Deepest nesting of arrays and maps.
const MAX_VALUE_DEPTH: u32 = 130;
/// Most parts of one value, counted as if nothing were shared: bounds the work of printing and comparing it.
const MAX_VALUE_SIZE: u64 = 1_000_000;

/// Labels of one series.
pub type Labels = BTreeMap<String, String>;

/// Any value of the language.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Nil,
    /// Truth value.
    Bool(bool),
    /// Whole number.
    Int(i64),
    /// Floating-point number.
    Float(f64),
    /// Text.
    Str(Arc<str>),
    /// List.
    Array(Arc<Array>),
    /// Map.
    Map(Arc<Map>),
    /// Point in time, with its zone.
    Time(Box<Zoned>),
    /// Length of time in nanoseconds.
    Duration(i64),
}

/// What the elements of an array are known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elem {
    /// Anything.
    Any,
    /// Whole numbers.
    Int,
    /// Floating-point numbers.
    Float,
    /// Texts.
    Str,
}

/// A list with its static element kind.
#[derive(Debug, Clone)]
pub struct Array {
    items: Vec<Value>,
    elem: Elem,
    /// Labels of each element, when the array is an instant vector of a provider.
    labels: Option<Vec<Labels>>,
    depth: u32,
    size: u64,
}

impl PartialEq for Array {
    fn eq(&self, other: &Self) -> bool {
        self.items.len() == other.items.len() && self.items.iter().zip(&other.items).all(|(a, b)| a.equals(b))
    }
}

impl Array {
    /// The elements.
    pub fn items(&self) -> &[Value] {
        &self.items
    }

    /// The labels of the elements, if this is a vector of a provider.
    pub fn labels(&self) -> Option<&[Labels]> {
        self.labels.as_deref()
    }

    /// The element kind.
    pub fn elem(&self) -> Elem {
        self.elem
    }
}

/// A map; the keys are in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    entries: BTreeMap<Key, Value>,
    depth: u32,
    size: u64,
}

impl Map {
    /// The entries.
    pub fn entries(&self) -> &BTreeMap<Key, Value> {
        &self.entries
    }

    /// The value under a text key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(&Key::Str(key.to_owned()))
    }
}

/// Key of a map. Maps from outside have text keys; `groupBy` makes others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Nil.
    Nil,
    /// Truth value.
    Bool(bool),
    /// Whole number.
    Int(i64),
    /// Bits of a floating-point number, so that keys have a total order.
    Float(u64),
    /// Text.
    Str(String),
}

impl Key {
    pub(super) fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Nil => Self::Nil,
            Value::Bool(b) => Self::Bool(*b),
            Value::Int(i) => Self::Int(*i),
            Value::Float(f) => Self::Float(f.to_bits()),
            Value::Str(s) => Self::Str(s.to_string()),
            Value::Array(_) | Value::Map(_) | Value::Time(_) | Value::Duration(_) => return None,
        })
    }

    pub(super) fn value(&self) -> Value {
        match self {
            Self::Nil => Value::Nil,
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(i) => Value::Int(*i),
            Self::Float(bits) => Value::Float(f64::from_bits(*bits)),
            Self::Str(s) => Value::Str(Arc::from(s.as_str())),
        }
    }
}

impl Value {
    /// A text.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Str(Arc::from(text.as_ref()))
    }

    /// A vector of a provider: each number with its labels.
    pub fn vector(samples: impl IntoIterator<Item = (Labels, f64)>) -> Self {
        let (labels, items): (Vec<Labels>, Vec<Self>) =
            samples.into_iter().map(|(labels, x)| (labels, Self::Float(x))).unzip();
        let size = items.len() as u64 + 1;
        Self::Array(Arc::new(Array { items, elem: Elem::Float, labels: Some(labels), depth: 1, size }))
    }

    /// A plain list of numbers.
    pub fn floats(numbers: impl IntoIterator<Item = f64>) -> Self {
        let items: Vec<Self> = numbers.into_iter().map(Self::Float).collect();
        let size = items.len() as u64 + 1;
        Self::Array(Arc::new(Array { items, elem: Elem::Float, labels: None, depth: 1, size }))
    }

    pub(super) fn array(items: Vec<Self>, elem: Elem) -> Result<Self, ConditionError> {
        let (depth, size) = Self::extent(items.iter())?;
        Ok(Self::Array(Arc::new(Array { items, elem, labels: None, depth, size })))
    }

    /// A list of anything.
    pub(crate) fn list(items: Vec<Self>) -> Result<Self, ConditionError> {
        Self::array(items, Elem::Any)
    }

    /// A map with these names.
    pub(crate) fn object<const N: usize>(entries: [(&str, Self); N]) -> Result<Self, ConditionError> {
        Self::map(entries.into_iter().map(|(name, value)| (Key::Str(name.to_owned()), value)).collect())
    }

    pub(super) fn map(entries: BTreeMap<Key, Self>) -> Result<Self, ConditionError> {
        let (depth, size) = Self::extent(entries.values())?;
        Ok(Self::Map(Arc::new(Map { entries, depth, size })))
    }

    fn extent<'a>(parts: impl Iterator<Item = &'a Self>) -> Result<(u32, u64), ConditionError> {
        let (mut depth, mut size) = (0, 1u64);
        for part in parts {
            depth = depth.max(part.depth());
            size = size.saturating_add(part.size());
        }
        if depth >= MAX_VALUE_DEPTH || size > MAX_VALUE_SIZE {
            return Err(ConditionError::limit("memory budget exceeded"));
        }
        Ok((depth + 1, size))
    }

    /// How many parts the value has, counted as if nothing were shared.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Array(array) => array.size,
            Self::Map(map) => map.size,
            Self::Str(text) => text.len() as u64 / 32 + 1,
            Self::Nil | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Time(_) | Self::Duration(_) => 1,
        }
    }

    fn depth(&self) -> u32 {
        match self {
            Self::Array(array) => array.depth,
            Self::Map(map) => map.depth,
            Self::Nil
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Str(_)
            | Self::Time(_)
            | Self::Duration(_) => 0,
        }
    }

    /// From JSON, as a decoder without a schema reads it: every number is a floating-point number.
    pub fn from_json(json: &serde_json::Value) -> Result<Self, ConditionError> {
        Ok(match json {
            serde_json::Value::Null => Self::Nil,
            serde_json::Value::Bool(b) => Self::Bool(*b),
            serde_json::Value::Number(n) => Self::Float(n.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(s) => Self::text(s),
            serde_json::Value::Array(items) => {
                Self::array(items.iter().map(Self::from_json).collect::<Result<_, _>>()?, Elem::Any)?
            }
            serde_json::Value::Object(entries) => Self::map(
                entries
                    .iter()
                    .map(|(key, value)| Ok((Key::Str(key.clone()), Self::from_json(value)?)))
                    .collect::<Result<_, ConditionError>>()?,
            )?,
        })
    }

    pub(super) fn to_json(&self) -> Result<serde_json::Value, ConditionError> {
        Ok(match self {
            Self::Nil => serde_json::Value::Null,
            Self::Bool(b) => (*b).into(),
            Self::Int(i) => (*i).into(),
            Self::Float(f) if f.is_finite() => {
                #[allow(clippy::cast_possible_truncation)]
                let whole = *f as i64;
                #[allow(clippy::cast_precision_loss)]
                let exact = whole as f64;
                // Go writes whole numbers without a fraction.
                if exact.to_bits() == f.to_bits() && f.abs() < 1e15 { whole.into() } else { (*f).into() }
            }
            Self::Float(f) => return Err(ConditionError::run(format!("json: unsupported value: {}", go_float(*f)))),
            Self::Str(s) => s.to_string().into(),
            Self::Array(array) => array.items.iter().map(Self::to_json).collect::<Result<Vec<_>, _>>()?.into(),
            Self::Map(map) => {
                let mut out = serde_json::Map::new();
                for (key, value) in &map.entries {
                    out.insert(key.value().print(), value.to_json()?);
                }
                out.into()
            }
            Self::Time(t) => gotime::rfc3339(t).into(),
            Self::Duration(d) => (*d).into(),
        })
    }

    /// The value as Go writes it in JSON: keys in order, whole numbers without a fraction.
    pub(crate) fn json_text(&self) -> Result<String, ConditionError> {
        let text = serde_json::to_string(&self.to_json()?).map_err(|error| ConditionError::run(error.to_string()))?;
        Ok(text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"))
    }

    /// The type of this very value, which a condition is checked against.
    pub fn type_of(&self) -> Type {
        match self {
            Self::Nil => Type::Nil,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Float(_) => Type::Float,
            Self::Str(_) => Type::Str,
            Self::Array(array) if array.labels.is_some() => Type::Vector,
            Self::Array(array) => Type::Array(Box::new(match array.elem {
                Elem::Any => Type::Unknown,
                Elem::Int => Type::Int,
                Elem::Float => Type::Float,
                Elem::Str => Type::Str,
            })),
            Self::Map(_) => Type::Map,
            Self::Time(_) => Type::Time,
            Self::Duration(_) => Type::Duration,
        }
    }

    /// The type as Go names it at run time.
    pub(super) fn go_type(&self) -> String {
        match self {
            Self::Nil => "<nil>".to_owned(),
            other => other.type_of().to_string(),
        }
    }

    /// Whether a provider gave nothing: no value or an empty list.
    pub fn is_nil_or_empty(&self) -> bool {
        match self {
            Self::Nil => true,
            Self::Array(array) => array.items.is_empty(),
            Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Str(_)
            | Self::Map(_)
            | Self::Time(_)
            | Self::Duration(_) => false,
        }
    }

    /// Equality of the language: numbers by value, whatever their kind.
    #[allow(clippy::float_cmp, clippy::match_same_arms)]
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => {
                a.entries.len() == b.entries.len()
                    && a.entries.iter().all(|(key, value)| b.entries.get(key).is_some_and(|other| value.equals(other)))
            }
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Time(a), Self::Time(b)) => a.timestamp() == b.timestamp(),
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Nil, Self::Nil) => true,
            _ => matches!((self.as_number(), other.as_number()), (Some(a), Some(b)) if a == b),
        }
    }

    /// Order of the language, where it has one; `None` as well for NaN.
    #[allow(clippy::match_same_arms)]
    pub(super) fn order(&self, other: &Self) -> Result<Option<Ordering>, ()> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Ok(Some(a.cmp(b))),
            (Self::Str(a), Self::Str(b)) => Ok(Some(a.cmp(b))),
            (Self::Time(a), Self::Time(b)) => Ok(Some(a.timestamp().cmp(&b.timestamp()))),
            (Self::Duration(a), Self::Duration(b)) => Ok(Some(a.cmp(b))),
            _ => match (self.as_number(), other.as_number()) {
                (Some(a), Some(b)) => Ok(a.partial_cmp(&b)),
                _ => Err(()),
            },
        }
    }

    #[allow(clippy::cast_precision_loss)]
    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Int(i) => Some(*i as f64),
            Self::Float(f) => Some(*f),
            Self::Nil
            | Self::Bool(_)
            | Self::Str(_)
            | Self::Array(_)
            | Self::Map(_)
            | Self::Time(_)
            | Self::Duration(_) => None,
        }
    }

    /// The value as Go's `%v` prints it.
    pub fn print(&self) -> String {
        match self {
            Self::Nil => "<nil>".to_owned(),
            Self::Bool(b) => b.to_string(),
            Self::Int(i) => i.to_string(),
            Self::Float(f) => go_float_short(*f),
            Self::Str(s) => s.to_string(),
            Self::Array(array) => {
                let items: Vec<String> = array.items.iter().map(Self::print).collect();
                format!("[{}]", items.join(" "))
            }
            Self::Map(map) => {
                let mut out = String::from("map[");
                for (i, (key, value)) in map.entries.iter().enumerate() {
                    let blank = if i > 0 { " " } else { "" };
                    let _ = write!(out, "{blank}{}:{}", key.value().print(), value.print());
                }
                out.push(']');
                out
            }
            Self::Time(t) => gotime::print_time(t),
            Self::Duration(d) => goduration::print_duration(*d),
        }
    }

    /// The value as a measurement stores it: numbers without exponent, lists as `[0.1,0.2]`.
    pub fn stored(&self) -> String {
        match self {
            Self::Float(f) => go_float(*f),
            Self::Array(array) => {
                let items: Vec<String> = array
                    .items
                    .iter()
                    .map(|item| if let Self::Str(s) = item { go_quote(s) } else { item.stored() })
                    .collect();
                format!("[{}]", items.join(","))
            }
            Self::Nil
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Str(_)
            | Self::Map(_)
            | Self::Time(_)
            | Self::Duration(_) => self.print(),
        }
    }
}

/// What is known of a value before the condition runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Anything; checked at run time.
    Unknown,
    /// No value.
    Nil,
    /// Truth value.
    Bool,
    /// Whole number.
    Int,
    /// Floating-point number.
    Float,
    /// Text.
    Str,
    /// List.
    Array(Box<Type>),
    /// Instant vector of a provider: a list of numbers, and a number when it has one element.
    Vector,
    /// Map.
    Map,
    /// Point in time.
    Time,
    /// Length of time.
    Duration,
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => f.write_str("interface {}"),
            Self::Nil => f.write_str("nil"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Float => f.write_str("float64"),
            Self::Str => f.write_str("string"),
            Self::Array(elem) => write!(f, "[]{elem}"),
            Self::Vector => f.write_str("[]float64"),
            Self::Map => f.write_str("map[string]interface {}"),
            Self::Time => f.write_str("time.Time"),
            Self::Duration => f.write_str("time.Duration"),
        }
    }
}
