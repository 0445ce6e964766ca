//! Random JSON documents which a structural schema accepts.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// The schema of a definition's only version.
pub fn schema_of(definition: &Value) -> &Value {
    definition.pointer("/spec/versions/0/schema/openAPIV3Schema").expect("a schema")
}

/// The definition of a kind.
pub fn definition(kind: &str) -> Value {
    let of_kind = |definition: &Value| definition.pointer("/spec/names/kind") == Some(&json!(kind));
    crds::definitions().into_iter().find(of_kind).expect("a definition of the kind")
}

/// Whole objects of a kind, apiVersion, kind and metadata included.
pub fn objects(kind: &'static str) -> BoxedStrategy<Value> {
    let definition = definition(kind);
    let strategy = accepted(schema_of(&definition));
    strategy
        .prop_map(move |mut object| {
            object["apiVersion"] = json!("argoproj.io/v1alpha1");
            object["kind"] = json!(kind);
            object["metadata"] = json!({ "name": "web", "labels": { "app": "web" }, "generation": 3 });
            object
        })
        .boxed()
}

/// Documents which the schema accepts.
pub fn accepted(schema: &Value) -> BoxedStrategy<Value> {
    if schema["x-kubernetes-int-or-string"] == json!(true) {
        return prop_oneof![any::<i32>().prop_map(Value::from), text()].boxed();
    }
    if let Some(words) = schema["enum"].as_array() {
        return prop::sample::select(words.clone()).boxed();
    }
    match schema["type"].as_str() {
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        Some("integer") => integer(schema),
        // Quarters are written as they are read.
        Some("number") => (-4_000..4_000_i32).prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)).boxed(),
        Some("string") if schema["format"] == json!("date-time") => time(),
        Some("string") => text(),
        Some("array") => vec(accepted(&schema["items"]), 0..3).prop_map(Value::from).boxed(),
        Some("object") => object(schema),
        other => panic!("the strategy does not know the type {other:?} in {schema}"),
    }
}

fn object(schema: &Value) -> BoxedStrategy<Value> {
    if schema["x-kubernetes-preserve-unknown-fields"] == json!(true) {
        return btree_map("[a-zA-Z/.]{1,8}", anything(), 0..4).prop_map(into_object).boxed();
    }
    if schema["additionalProperties"].is_object() {
        return btree_map(".{0,6}", accepted(&schema["additionalProperties"]), 0..3).prop_map(into_object).boxed();
    }
    let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.contains(&json!(name)));
    let fields: Vec<_> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            let value = accepted(schema);
            let value =
                if required(name) { value.prop_map(Some).boxed() } else { prop::option::weighted(0.6, value).boxed() };
            (Just(name.clone()), value)
        })
        .collect();
    fields
        .prop_map(|fields| fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect::<Map<_, _>>())
        .prop_map(Value::Object)
        .boxed()
}

fn into_object(fields: std::collections::BTreeMap<String, Value>) -> Value {
    Value::Object(fields.into_iter().collect())
}

fn integer(schema: &Value) -> BoxedStrategy<Value> {
    let (least, most) = match schema["format"].as_str() {
        Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
        Some("int64") => (i64::MIN, i64::MAX),
        other => panic!("an integer of unknown size {other:?} in {schema}"),
    };
    let least = schema["minimum"].as_i64().unwrap_or(least);
    let most = schema["maximum"].as_i64().unwrap_or(most);
    (least..=most).prop_map(Value::from).boxed()
}

/// In the form in which Kubernetes stores times.
fn time() -> BoxedStrategy<Value> {
    (0_i64..253_402_300_799)
        .prop_map(|second| crds::jiff::Timestamp::from_second(second).expect("in range"))
        .prop_map(|time| Value::from(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()))
        .boxed()
}

fn text() -> BoxedStrategy<Value> {
    ".{0,12}".prop_map(Value::from).boxed()
}

/// Any JSON. Fractions are such that every JSON reader reads the same number.
fn anything() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 64.0)),
        text(),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map(".{0,6}", inner, 0..3).prop_map(into_object),
        ]
    })
    .boxed()
}

/// The path of every field which the schema names; `*` stands for any entry of a list or a map.
pub fn field_paths(schema: &Value) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        paths.push(vec![name.clone()]);
        paths.extend(field_paths(property).into_iter().map(|rest| [vec![name.clone()], rest].concat()));
    }
    for inner in ["items", "additionalProperties"].iter().filter_map(|inner| schema.get(inner)) {
        paths.extend(field_paths(inner).into_iter().map(|rest| [vec!["*".to_owned()], rest].concat()));
    }
    paths
}

/// Whether the document has a field at the path.
pub fn has(document: &Value, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return true;
    };
    match document {
        Value::Array(items) if first == "*" => items.iter().any(|item| has(item, rest)),
        Value::Object(fields) if first == "*" => fields.values().any(|value| has(value, rest)),
        Value::Object(fields) => fields.get(first).is_some_and(|value| has(value, rest)),
        _ => false,
    }
}
