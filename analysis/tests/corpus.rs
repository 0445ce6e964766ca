//! The condition language against the original library: every row of `corpus.tsv`, which `tests/conditions` (Go, expr-lang v1.17.8)
//! makes from inputs and expressions of our own.
//!
//! Values and the question whether there is an error agree in every row but those of [`DIFFERENT`], where we differ on purpose or know
//! that we do. Texts of errors agree as far as [`SAME_TEXTS`] says.

// Helpers of tests fail by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use analysis::condition::{Program, Value};
use crds::jiff::Timestamp;
use serde_json::{Value as Json, json};

/// Expressions in which we differ, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("result[0]", "a place in a map is nil, like any key that is absent, and not an error of its own"),
    ("result[-1]", "the same"),
    ("result.name[0]", "a byte is a number like others; it has no type of its own"),
    ("result.count and true", "the original leaves `and true` out, and the number is no verdict either"),
    ("timezone(\"UTC\")", "a zone is its name"),
];

/// Rows with an error whose text is the same, at least.
const SAME_TEXTS: usize = 200;

fn now() -> Timestamp {
    "2026-03-15T12:30:45Z".parse().unwrap()
}

fn number(text: &str) -> f64 {
    match text {
        "NaN" => f64::NAN,
        "+Inf" => f64::INFINITY,
        text => text.parse().unwrap(),
    }
}

fn input(text: &str) -> Value {
    let (kind, text) = text.split_once(' ').unwrap();
    match kind {
        "float" => Value::Float(number(text)),
        "floats" => Value::floats(serde_json::from_str::<Vec<f64>>(text).unwrap()),
        "json" => Value::from_json(&serde_json::from_str(text).unwrap()).unwrap(),
        other => panic!("{other}"),
    }
}

/// As the generator writes it.
fn plain(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Bool(truth) => json!(truth),
        Value::Int(whole) => json!(whole),
        Value::Float(number) if number.is_nan() => json!({"float": "NaN"}),
        Value::Float(number) if number.is_infinite() => json!({"float": if *number > 0.0 { "+Inf" } else { "-Inf" }}),
        Value::Float(number) => json!(number),
        Value::Str(text) => json!(text.as_ref()),
        Value::Array(array) => array.items().iter().map(plain).collect(),
        Value::Map(map) => {
            let entries = map.entries().iter();
            // Keys of other kinds than text are compared as text, like the generator's.
            entries.map(|(key, value)| (key_text(key), plain(value))).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Time(at) => json!({"time": at.timestamp().to_string()}),
        Value::Duration(nanos) => json!({"duration": nanos}),
    }
}

fn key_text(key: &analysis::condition::Key) -> String {
    use analysis::condition::Key;
    match key {
        Key::Nil => "<nil>".to_owned(),
        Key::Bool(truth) => truth.to_string(),
        Key::Int(whole) => whole.to_string(),
        Key::Float(bits) => f64::from_bits(*bits).to_string(),
        Key::Str(text) => text.clone(),
    }
}

fn same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        #[allow(clippy::float_cmp, reason = "the same operations give the same bits")]
        (Json::Number(one), Json::Number(other)) => one.as_f64() == other.as_f64(),
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| same(one, other)))
        }
        (one, other) => one == other,
    }
}

#[test]
fn every_row_of_the_original_library() {
    let table = include_str!("corpus.tsv");
    let (mut rows, mut texts, mut errors) = (0, 0, 0);
    let mut wrong = Vec::new();
    for line in table.lines() {
        let [given, source, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        rows += 1;
        let value = input(given);
        let got = Program::compile(source, &value.type_of()).and_then(|program| program.run(&value, now()));
        let known = DIFFERENT.iter().any(|(known, _)| *known == source);
        let agrees = match (&got, expected.split_at(1)) {
            (Ok(value), ("=", text)) => same(&plain(value), &serde_json::from_str(text).unwrap()),
            (Err(error), ("!", text)) => {
                errors += 1;
                texts += usize::from(error.to_string() == text);
                if std::env::var_os("TEXTS").is_some() && error.to_string() != text {
                    println!("{source}\t{text}\t{error}");
                }
                true
            }
            _ => false,
        };
        if !agrees && !known {
            let shown = got.map_or_else(|error| format!("!{error}"), |value| format!("={}", plain(&value)));
            wrong.push(format!("{given}\t{source}\n   {expected}\n   {shown}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {rows} rows:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows >= 400 && texts >= SAME_TEXTS, "{texts} of {errors} texts of errors are the same, {rows} rows");
    println!("{rows} rows, {errors} errors, {texts} texts the same");
}
