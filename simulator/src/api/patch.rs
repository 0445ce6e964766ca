//! The four patch formats.
//!
//! Apply is a merge that remembers, for each field manager, what it applied last, so that what it no longer mentions is
//! removed. It records no managedFields and finds no conflicts between managers.

use crds::json_patch;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::schema::Schema;
use crate::json;

/// A patch format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl Format {
    pub(crate) fn of(media_type: &str, custom: bool) -> Result<Self, Failure> {
        match media_type {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" if !custom => Ok(Self::Strategic),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            _ if custom => Err(Failure::unsupported_media_type(&[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/apply-patch+yaml",
            ])),
            // The refusal of the router in front of the built-in kinds.
            _ => Err(Failure::new(415, "UnsupportedMediaType", "415: Unsupported Media Type")
                .with_details(Value::Object(Map::new()))),
        }
    }
}

/// Applies a JSON patch (RFC 6902).
pub(crate) fn json_patch(object: &mut Value, patch: &Value) -> Result<(), Failure> {
    let patch: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
    if patch.0.len() > 10_000 {
        return Err(Failure::new(
            413,
            "RequestEntityTooLarge",
            format!("The allowed maximum operations in a JSON patch is 10000, got {}", patch.0.len()),
        ));
    }
    json_patch::patch(object, &patch).map_err(|_| Failure::unprocessable_patch())
}

/// The list fields of built-in kinds that merge by key: (field, keys).
const KEYED: &[(&str, &[&str])] = &[
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("env", &["name"]),
    ("volumes", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("imagePullSecrets", &["name"]),
    ("hostAliases", &["ip"]),
    ("topologySpreadConstraints", &["topologyKey"]),
    ("conditions", &["type"]),
    ("ownerReferences", &["uid"]),
    ("podIPs", &["ip"]),
    ("taints", &["key"]),
    ("secrets", &["name"]),
];

/// The list fields of built-in kinds that merge as sets.
const SETS: &[&str] = &["finalizers"];

/// How the elements of a list are told apart.
enum Identity<'a> {
    Atomic,
    Set,
    Keys(Vec<&'a str>),
}

/// How the lists in an object merge.
#[derive(Clone, Copy)]
pub(crate) enum Shape<'a> {
    /// As in the built-in types' patch tags.
    BuiltIn,
    /// As a custom kind's schema says.
    Custom(Option<&'a Schema>),
}

impl<'a> Shape<'a> {
    fn child(self, key: &str) -> Self {
        match self {
            Self::BuiltIn => Self::BuiltIn,
            Self::Custom(schema) => Self::Custom(schema.and_then(|schema| schema.child(key))),
        }
    }

    fn element(self) -> Self {
        match self {
            Self::BuiltIn => Self::BuiltIn,
            Self::Custom(schema) => Self::Custom(schema.and_then(Schema::element)),
        }
    }

    fn identity(self, field: &'a str, items: &[Value]) -> Identity<'a> {
        match self {
            Self::BuiltIn if SETS.contains(&field) => Identity::Set,
            Self::BuiltIn if field == "ports" => ports(items),
            Self::BuiltIn => KEYED
                .iter()
                .find(|(name, _)| *name == field)
                .map_or(Identity::Atomic, |(_, keys)| Identity::Keys(keys.to_vec())),
            Self::Custom(Some(schema)) if schema.is_set() => Identity::Set,
            Self::Custom(Some(schema)) => schema
                .merge_keys()
                .map_or(Identity::Atomic, |keys| Identity::Keys(keys.iter().map(String::as_str).collect())),
            Self::Custom(None) if field == "finalizers" => Identity::Set,
            Self::Custom(None) if field == "ownerReferences" => Identity::Keys(vec!["uid"]),
            Self::Custom(None) => Identity::Atomic,
        }
    }
}

/// A container's ports are told apart by `containerPort`, a Service's by `port`.
fn ports<'a>(items: &[Value]) -> Identity<'a> {
    if items.iter().any(|item| item.get("containerPort").is_some()) {
        Identity::Keys(vec!["containerPort"])
    } else if items.iter().any(|item| item.get("port").is_some()) {
        Identity::Keys(vec!["port"])
    } else {
        Identity::Atomic
    }
}

/// Merges `patch` into `object`, lists by their keys, with the strategic directives (`$patch`, `$retainKeys`,
/// `$deleteFromPrimitiveList/…`, `$setElementOrder/…`).
pub(crate) fn strategic(object: &mut Value, patch: &Value, shape: Shape<'_>) -> Result<(), Failure> {
    merge(object, patch, shape, true)
}

/// Merges an applied configuration: nulls are taken as values of fields that are then dropped.
pub(crate) fn apply(
    object: &mut Value,
    applied: &Value,
    last: Option<&Value>,
    shape: Shape<'_>,
) -> Result<(), Failure> {
    if let Some(last) = last {
        forget(object, last, applied, shape);
    }
    merge(object, applied, shape, false)
}

fn merge(object: &mut Value, patch: &Value, shape: Shape<'_>, directives: bool) -> Result<(), Failure> {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return Ok(());
    };
    if directives {
        match patch.get("$patch").and_then(Value::as_str) {
            Some("replace") => {
                let mut new = patch.clone();
                new.shift_remove("$patch");
                *object = Value::Object(new);
                return Ok(());
            }
            Some("delete") => {
                *object = Value::Object(Map::new());
                return Ok(());
            }
            Some("merge") | None => {}
            Some(other) => {
                return Err(Failure::bad_request(format!("Unknown patch type found: {other}")));
            }
        }
    }
    let target = json::object_mut(object, &[]);
    if directives && let Some(keep) = patch.get("$retainKeys").and_then(Value::as_array) {
        target.retain(|key, _| keep.iter().any(|kept| kept.as_str() == Some(key)));
    }
    for (key, new) in patch {
        if directives && key.starts_with('$') {
            if let Some(field) = key.strip_prefix("$deleteFromPrimitiveList/")
                && let (Some(Value::Array(items)), Some(gone)) = (target.get_mut(field), new.as_array())
            {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        match new {
            Value::Null => {
                target.shift_remove(key);
            }
            Value::Object(_) => {
                let inner = target.entry(key.clone()).or_insert(Value::Null);
                if !inner.is_object() {
                    *inner = Value::Object(Map::new());
                }
                merge(inner, new, shape.child(key), directives)?;
            }
            Value::Array(items) => {
                let old = match target.get(key) {
                    Some(Value::Array(old)) => old.clone(),
                    _ => Vec::new(),
                };
                let merged = merge_list(key, old, items, shape.child(key), directives)?;
                target.insert(key.clone(), Value::Array(merged));
            }
            _ => {
                target.insert(key.clone(), new.clone());
            }
        }
    }
    Ok(())
}

fn merge_list(
    field: &str,
    mut old: Vec<Value>,
    new: &[Value],
    shape: Shape<'_>,
    directives: bool,
) -> Result<Vec<Value>, Failure> {
    let directive = |item: &Value| item.get("$patch").and_then(Value::as_str).map(str::to_owned);
    if directives && new.iter().any(|item| directive(item).as_deref() == Some("replace")) {
        return Ok(new.iter().filter(|item| directive(item).as_deref() != Some("replace")).cloned().collect());
    }
    let probe: Vec<Value> = new.iter().chain(old.iter()).cloned().collect();
    let keys = match shape.identity(field, &probe) {
        Identity::Atomic => return Ok(new.to_vec()),
        Identity::Set => {
            for item in new {
                if !old.contains(item) {
                    old.push(item.clone());
                }
            }
            return Ok(old);
        }
        Identity::Keys(keys) => keys,
    };
    for item in new {
        let place = old.iter().position(|other| same(&keys, item, other));
        let missing = keys.iter().find(|key| item.get(**key).is_none());
        if let (Some(key), true) = (missing, directives) {
            return Err(Failure::new(
                500,
                "InternalError",
                format!("map: {item} does not contain declared merge key: {key}"),
            ));
        }
        if directives && directive(item).as_deref() == Some("delete") {
            if let Some(place) = place {
                old.remove(place);
            }
            continue;
        }
        if let Some(found) = place.and_then(|place| old.get_mut(place)) {
            merge(found, item, shape.element(), directives)?;
        } else {
            let mut fresh = Value::Object(Map::new());
            merge(&mut fresh, item, shape.element(), directives)?;
            // New elements come first, as the real server's strategic merge orders them.
            if directives { old.insert(0, fresh) } else { old.push(fresh) }
        }
    }
    Ok(old)
}

fn same(keys: &[&str], one: &Value, other: &Value) -> bool {
    keys.iter().all(|key| one.get(*key) == other.get(*key))
}

/// Removes from `object` what `last` mentions and `now` does not.
fn forget(object: &mut Value, last: &Value, now: &Value, shape: Shape<'_>) {
    let (Some(target), Some(last)) = (object.as_object_mut(), last.as_object()) else { return };
    for (key, old) in last {
        match (old, now.get(key)) {
            (Value::Object(_), Some(new @ Value::Object(_))) => {
                if let Some(inner) = target.get_mut(key) {
                    forget(inner, old, new, shape.child(key));
                }
            }
            (Value::Array(was), Some(Value::Array(is))) => {
                if let Some(Value::Array(items)) = target.get_mut(key) {
                    forget_elements(key, items, was, is, shape.child(key));
                }
            }
            (_, Some(_)) => {}
            (_, None) => {
                target.shift_remove(key);
            }
        }
    }
}

fn forget_elements(field: &str, items: &mut Vec<Value>, was: &[Value], is: &[Value], shape: Shape<'_>) {
    match shape.identity(field, was) {
        Identity::Atomic => {}
        Identity::Set => items.retain(|item| !was.contains(item) || is.contains(item)),
        Identity::Keys(keys) => {
            items.retain(|item| {
                !was.iter().any(|old| same(&keys, old, item)) || is.iter().any(|new| same(&keys, new, item))
            });
            for old in was {
                let new = is.iter().find(|new| same(&keys, old, new));
                let item = items.iter_mut().find(|item| same(&keys, old, item));
                if let (Some(new), Some(item)) = (new, item) {
                    forget(item, old, new, shape.element());
                }
            }
        }
    }
}
