//! Structural schemas of custom kinds: pruning, defaulting and validation, with the texts of the real API server.
//!
//! Invariant: after [`Schema::prune`] and [`Schema::fill`], validating twice gives the same errors in the same order.

use indexmap::IndexMap;
use regex::Regex;
use serde_json::{Map, Value};

use super::failure::FieldError;
use crate::json;

/// One node of an OpenAPI v3 structural schema.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schema {
    kind: String,
    format: String,
    nullable: bool,
    properties: IndexMap<String, Schema>,
    additional: Option<Box<Schema>>,
    additional_any: bool,
    items: Option<Box<Schema>>,
    required: Vec<String>,
    allowed: Vec<Value>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    exclusive_minimum: bool,
    exclusive_maximum: bool,
    min_length: Option<u64>,
    max_length: Option<u64>,
    min_items: Option<u64>,
    max_items: Option<u64>,
    min_properties: Option<u64>,
    max_properties: Option<u64>,
    pattern: Option<(String, Option<Regex>)>,
    default: Option<Value>,
    preserves: bool,
    embedded: bool,
    int_or_string: bool,
    list_type: String,
    list_keys: Vec<String>,
    one_of: Vec<Schema>,
    any_of: Vec<Schema>,
    all_of: Vec<Schema>,
    not: Option<Box<Schema>>,
    /// It or a part of it has CEL rules. Only [`UNCHANGED`] is evaluated here.
    ruled: bool,
    /// The message with which a change is refused.
    unchanged: Option<String>,
}

/// The CEL rule of fields that may not change.
const UNCHANGED: &str = "self == oldSelf";

fn ruled(raw: &Value) -> bool {
    match raw {
        Value::Object(map) => map.contains_key("x-kubernetes-validations") || map.values().any(ruled),
        Value::Array(items) => items.iter().any(ruled),
        _ => false,
    }
}

fn schemas(raw: &Value, key: &str) -> Vec<Schema> {
    json::list(raw, &[key]).iter().map(Schema::read).collect()
}

impl Schema {
    /// Reads an `openAPIV3Schema`. What it does not know it ignores.
    pub(crate) fn read(raw: &Value) -> Self {
        let text = |key: &str| json::text(raw, &[key]).unwrap_or_default().to_owned();
        let flag = |key: &str| raw.get(key).and_then(Value::as_bool) == Some(true);
        let count = |key: &str| raw.get(key).and_then(Value::as_u64);
        let boxed = |key: &str| raw.get(key).filter(|found| found.is_object()).map(|found| Box::new(Self::read(found)));
        let texts =
            |key: &str| json::list(raw, &[key]).iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
        Self {
            kind: text("type"),
            format: text("format"),
            nullable: flag("nullable"),
            properties: json::object(raw, &["properties"])
                .map(|map| map.iter().map(|(key, schema)| (key.clone(), Self::read(schema))).collect())
                .unwrap_or_default(),
            additional: boxed("additionalProperties"),
            additional_any: flag("additionalProperties"),
            items: boxed("items"),
            required: texts("required"),
            allowed: json::list(raw, &["enum"]).to_vec(),
            minimum: raw.get("minimum").and_then(Value::as_f64),
            maximum: raw.get("maximum").and_then(Value::as_f64),
            exclusive_minimum: flag("exclusiveMinimum"),
            exclusive_maximum: flag("exclusiveMaximum"),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            pattern: json::text(raw, &["pattern"]).map(|text| (text.to_owned(), Regex::new(text).ok())),
            default: raw.get("default").cloned(),
            preserves: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            list_type: text("x-kubernetes-list-type"),
            list_keys: texts("x-kubernetes-list-map-keys"),
            one_of: schemas(raw, "oneOf"),
            any_of: schemas(raw, "anyOf"),
            all_of: schemas(raw, "allOf"),
            not: boxed("not"),
            ruled: ruled(raw),
            unchanged: json::list(raw, &["x-kubernetes-validations"])
                .iter()
                .find(|rule| json::text(rule, &["rule"]) == Some(UNCHANGED))
                .map(|rule| json::text(rule, &["message"]).unwrap_or("failed rule: self == oldSelf").to_owned()),
        }
    }

    /// The keys by which the list at `path` (field names; list levels are transparent) is merged, if it is a map list.
    pub(crate) fn child(&self, key: &str) -> Option<&Schema> {
        self.properties.get(key).or(self.additional.as_deref())
    }

    pub(crate) fn element(&self) -> Option<&Schema> {
        self.items.as_deref()
    }

    pub(crate) fn merge_keys(&self) -> Option<&[String]> {
        (self.list_type == "map").then_some(self.list_keys.as_slice())
    }

    pub(crate) fn is_set(&self) -> bool {
        self.list_type == "set"
    }

    /// Drops unknown fields of a whole object; reports their paths.
    pub(crate) fn prune_object(&self, value: &mut Value, unknown: &mut Vec<String>) {
        self.prune(value, "", true, unknown);
    }

    fn prune(&self, value: &mut Value, path: &str, resource: bool, unknown: &mut Vec<String>) {
        match value {
            Value::Object(map) => self.prune_map(map, path, resource || self.embedded, unknown),
            Value::Array(items) => {
                let Some(schema) = self.element() else { return };
                for (index, item) in items.iter_mut().enumerate() {
                    schema.prune(item, &format!("{path}[{index}]"), false, unknown);
                }
            }
            _ => {}
        }
    }

    fn prune_map(&self, map: &mut Map<String, Value>, path: &str, resource: bool, unknown: &mut Vec<String>) {
        let under = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let open = self.preserves || self.additional_any;
        let implied = |key: &str| resource && matches!(key, "apiVersion" | "kind" | "metadata");
        let mut dropped = Vec::new();
        for (key, inner) in map.iter_mut() {
            match self.child(key) {
                _ if implied(key) => {}
                Some(schema) => schema.prune(inner, &under(key), false, unknown),
                None if open => {}
                None => dropped.push(key.clone()),
            }
        }
        for key in dropped {
            map.shift_remove(&key);
            unknown.push(under(&key));
        }
    }

    /// Drops nulls where null is not allowed, then writes defaults.
    pub(crate) fn fill(&self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                let null = |schema: Option<&Schema>, inner: &Value| {
                    inner.is_null() && schema.is_some_and(|schema| !schema.nullable && !schema.preserves)
                };
                map.retain(|key, inner| !null(self.child(key), inner));
                for (key, schema) in &self.properties {
                    if let Some(default) = &schema.default
                        && !map.contains_key(key)
                    {
                        map.insert(key.clone(), default.clone());
                    }
                }
                for (key, inner) in map.iter_mut() {
                    if let Some(schema) = self.child(key) {
                        schema.fill(inner);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = self.element() {
                    for item in items {
                        schema.fill(item);
                    }
                }
            }
            _ => {}
        }
    }

    /// Everything that is wrong with a whole object.
    pub(crate) fn check(&self, value: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        self.validate(value, "", &mut errors);
        self.check_lists(value, "", &mut errors);
        let blocking = |error: &FieldError| !matches!(error.reason, "FieldValueInvalid" | "FieldValueDuplicate");
        if self.ruled && errors.iter().any(blocking) {
            let why = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
            errors.push(FieldError::invalid("<nil>", &Value::Null, why));
        }
        errors
    }

    /// What may not change and did.
    pub(crate) fn check_change(&self, old: &Value, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        self.compare(old, new, "", &mut errors);
        errors
    }

    fn compare(&self, old: &Value, new: &Value, path: &str, errors: &mut Vec<FieldError>) {
        if old == new || !self.ruled {
            return;
        }
        if let Some(why) = &self.unchanged {
            errors.push(FieldError::rule_broken(path, why));
        }
        for (key, schema) in &self.properties {
            if let (Some(old), Some(new)) = (old.get(key), new.get(key)) {
                let under = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                schema.compare(old, new, &under, errors);
            }
        }
    }

    fn accepts(&self, value: &Value) -> bool {
        let mut errors = Vec::new();
        self.validate(value, "", &mut errors);
        errors.is_empty()
    }

    fn validate(&self, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
        let shown = if path.is_empty() { "<nil>" } else { path };
        if value.is_null() && (self.nullable || self.preserves) {
            return;
        }
        if !self.right_type(value) {
            let kind = if self.int_or_string { "integer,string" } else { &self.kind };
            let found = type_name(value);
            let fraction = self.kind == "integer" && found == "number";
            let (kind, found) = match self.format.as_str() {
                format @ ("int32" | "int64") if fraction => (format, "float64"),
                _ => (kind, found),
            };
            let place = if path.is_empty() { String::new() } else { format!("{path} in body ") };
            let why = format!("{place}must be of type {kind}: \"{found}\"");
            errors.push(FieldError::wrong_type(shown, &Value::from(found), &why));
            if fraction {
                let format =
                    if self.format.is_empty() { "(default format)".to_owned() } else { format!("with format {kind}") };
                let why = format!("Checked value must be of type integer {format} in {path}");
                errors.push(FieldError::invalid("<nil>", &Value::from(""), &why));
            }
            self.validate_allowed(value, shown, errors);
            return;
        }
        self.validate_allowed(value, shown, errors);
        match value {
            Value::Number(_) => self.validate_number(value, path, errors),
            Value::String(text) => self.validate_text(value, text, path, errors),
            Value::Array(items) => self.validate_list(value, items, path, errors),
            Value::Object(map) => self.validate_map(value, map, path, errors),
            Value::Null | Value::Bool(_) => {}
        }
        self.validate_logic(value, path, errors);
    }

    fn validate_allowed(&self, value: &Value, shown: &str, errors: &mut Vec<FieldError>) {
        if !self.allowed.is_empty() && !self.allowed.contains(value) {
            errors.push(FieldError::unsupported(shown, value, &self.allowed));
        }
    }

    fn right_type(&self, value: &Value) -> bool {
        if self.int_or_string {
            return value.is_string() || is_integer(value);
        }
        match self.kind.as_str() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => is_integer(value),
            "number" => value.is_number(),
            _ => true,
        }
    }

    fn validate_number(&self, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
        let number = value.as_f64().unwrap_or_default();
        let mut wrong = |why: String| {
            errors.push(FieldError::invalid(path, value, &format!("{path} in body {why}")));
        };
        if self.format == "int32" && value.as_i64().is_none_or(|number| i32::try_from(number).is_err()) {
            wrong("must be of type int32: \"number\"".to_owned());
        }
        if let Some(least) = self.minimum {
            if self.exclusive_minimum && number <= least {
                wrong(format!("should be greater than {least}"));
            } else if number < least {
                wrong(format!("should be greater than or equal to {least}"));
            }
        }
        if let Some(most) = self.maximum {
            if self.exclusive_maximum && number >= most {
                wrong(format!("should be less than {most}"));
            } else if number > most {
                wrong(format!("should be less than or equal to {most}"));
            }
        }
    }

    fn validate_text(&self, value: &Value, text: &str, path: &str, errors: &mut Vec<FieldError>) {
        let length = text.chars().count() as u64;
        if let Some(most) = self.max_length.filter(|most| length > *most) {
            errors.push(FieldError::too_long(path, most));
        }
        if let Some(least) = self.min_length.filter(|least| length < *least) {
            let why = format!("{path} in body should be at least {least} chars long");
            errors.push(FieldError::invalid(path, value, &why));
        }
        if let Some((pattern, Some(regex))) = &self.pattern
            && !regex.is_match(text)
        {
            let why = format!("{path} in body should match '{pattern}'");
            errors.push(FieldError::invalid(path, value, &why));
        }
    }

    fn validate_list(&self, value: &Value, items: &[Value], path: &str, errors: &mut Vec<FieldError>) {
        let length = items.len() as u64;
        if let Some(schema) = self.element() {
            for (index, item) in items.iter().enumerate() {
                schema.validate(item, &format!("{path}[{index}]"), errors);
            }
        }
        if let Some(least) = self.min_items.filter(|least| length < *least) {
            let why = format!("{path} in body should have at least {least} items");
            errors.push(FieldError::invalid(path, value, &why));
        }
        if let Some(most) = self.max_items.filter(|most| length > *most) {
            errors.push(FieldError::too_many(path, items.len(), most));
        }
    }

    fn validate_map(&self, value: &Value, map: &Map<String, Value>, path: &str, errors: &mut Vec<FieldError>) {
        let under = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let length = map.len() as u64;
        if let Some(least) = self.min_properties.filter(|least| length < *least) {
            let why = format!("{path} in body should have at least {least} properties");
            errors.push(FieldError::invalid(path, value, &why));
        }
        if let Some(most) = self.max_properties.filter(|most| length > *most) {
            errors.push(FieldError::too_many(path, map.len(), most));
        }
        for key in &self.required {
            if !map.contains_key(key) {
                errors.push(FieldError::required(under(key), ""));
            }
        }
        for (key, inner) in map {
            let implied =
                (path.is_empty() || self.embedded) && matches!(key.as_str(), "apiVersion" | "kind" | "metadata");
            if let Some(schema) = self.child(key).filter(|_| !implied) {
                schema.validate(inner, &under(key), errors);
            }
        }
    }

    fn validate_logic(&self, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
        let shown = if path.is_empty() { "<nil>" } else { path };
        let mut wrong = |why: &str| {
            let why = format!("{path} in body {why}");
            let value = if value.is_object() || value.is_array() { Value::from("") } else { value.clone() };
            errors.push(FieldError::invalid(shown, &value, why.trim_start()));
        };
        let matches = |schemas: &[Schema]| schemas.iter().filter(|schema| schema.accepts(value)).count();
        if !self.any_of.is_empty() && !self.int_or_string && matches(&self.any_of) == 0 {
            wrong("must validate at least one schema (anyOf)");
        }
        if !self.one_of.is_empty() && matches(&self.one_of) != 1 {
            wrong(if matches(&self.one_of) == 0 {
                "must validate one and only one schema (oneOf). Found none valid"
            } else {
                "must validate one and only one schema (oneOf). Found 2 valid alternatives"
            });
        }
        if !self.all_of.is_empty() && matches(&self.all_of) != self.all_of.len() {
            wrong("must validate all the schemas (allOf)");
        }
        if self.not.as_ref().is_some_and(|schema| schema.accepts(value)) {
            wrong("must not validate the schema (not)");
        }
    }

    /// Lists that are sets or maps hold no element twice.
    fn check_lists(&self, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
        match value {
            Value::Object(map) => {
                for (key, inner) in map {
                    let under = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    if let Some(schema) = self.child(key) {
                        schema.check_lists(inner, &under, errors);
                    }
                }
            }
            Value::Array(items) => {
                let mut seen: Vec<Value> = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let under = format!("{path}[{index}]");
                    let identity = match self.list_type.as_str() {
                        "set" => Some(item.clone()),
                        "map" => Some(Value::Object(
                            self.list_keys
                                .iter()
                                .filter_map(|key| Some((key.clone(), item.get(key)?.clone())))
                                .collect(),
                        )),
                        _ => None,
                    };
                    if let Some(identity) = identity {
                        if seen.contains(&identity) {
                            errors.push(FieldError::duplicate(&under, &identity));
                        }
                        seen.push(identity);
                    }
                    if let Some(schema) = self.element() {
                        schema.check_lists(item, &under, errors);
                    }
                }
            }
            _ => {}
        }
    }
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_integer(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
