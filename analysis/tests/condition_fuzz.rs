//! The condition language under fire: no text is fatal, whatever it is.

// Helpers of tests fail by panicking, too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value
)]

use analysis::condition::{Labels, Program, Type, Value};
use crds::jiff::Timestamp;
use proptest::prelude::*;
fn now() -> Timestamp {
    "2024-03-15T12:30:45.5Z".parse().unwrap()
}

fn run(source: &str, result: &Value) -> Result<Value, String> {
    Program::compile(source, &result.type_of())
        .and_then(|program| program.run(result, now()))
        .map_err(|error| error.to_string())
}

fn vector(numbers: &[f64]) -> Value {
    Value::vector(numbers.iter().enumerate().map(|(i, x)| {
        (Labels::from([("job".to_owned(), "web".to_owned()), ("pod".to_owned(), format!("web-{i}"))]), *x)
    }))
}

fn json(text: &str) -> Value {
    Value::from_json(&serde_json::from_str(text).unwrap()).unwrap()
}

#[test]
fn deep_and_long_texts_are_refused_not_fatal() {
    for source in [
        "(".repeat(60_000),
        "[".repeat(60_000),
        "!".repeat(60_000),
        "1".to_owned() + &"+1".repeat(20_000),
        "a".to_owned() + &"?.b".repeat(20_000),
        "1 ? ".repeat(10_000),
        "let a=1;".repeat(5_000),
        "-".repeat(300) + "1",
        "x".repeat(100_000),
        format!("reduce(1..100000, [#acc]) == {}", "nil"),
        format!("{}true", "let b=[1,1];len(map(1..1000,[b,b]))>0 and ".repeat(100)),
    ] {
        // Only that it comes back matters; most of these are errors.
        let _ = run(&source, &Value::Float(1.0));
    }
}

fn results() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        "[a-z0-9.]{0,8}".prop_map(Value::text),
        prop::collection::vec(any::<f64>(), 0..4).prop_map(|v| vector(&v)),
        prop::collection::vec(any::<f64>(), 0..4).prop_map(Value::floats),
        Just(json(r#"{"a": {"b": [1, 2, {"c": null}]}, "s": "text", "t": true}"#)),
        Just(json(r#"[1, "x", null, [2], {"a": 1}]"#)),
    ]
}

/// Texts made of the words of the language: far more of them parse than of arbitrary texts.
fn sources() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("result".to_owned()),
        Just("#".to_owned()),
        Just("#acc".to_owned()),
        Just("nil".to_owned()),
        Just("\"text\"".to_owned()),
        Just("[1, 2.5]".to_owned()),
        Just("{a: 1}".to_owned()),
        Just("now()".to_owned()),
        Just("duration(\"1h\")".to_owned()),
        any::<i64>().prop_map(|i| i.unsigned_abs().to_string()),
        (0u32..1000).prop_map(|i| format!("{i}.5")),
        Just("-9223372036854775807".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let binary = prop::sample::select(vec![
            "+",
            "-",
            "*",
            "/",
            "%",
            "**",
            "==",
            "!=",
            "<",
            "<=",
            ">",
            ">=",
            "and",
            "or",
            "in",
            "not in",
            "??",
            "..",
            "contains",
            "matches",
            "startsWith",
            "endsWith",
            "|",
        ]);
        let functions = prop::sample::select(vec![
            "len",
            "all",
            "any",
            "one",
            "none",
            "filter",
            "map",
            "count",
            "sum",
            "mean",
            "median",
            "min",
            "max",
            "find",
            "findIndex",
            "findLast",
            "groupBy",
            "sortBy",
            "reduce",
            "first",
            "last",
            "sort",
            "keys",
            "values",
            "toPairs",
            "fromPairs",
            "reverse",
            "uniq",
            "concat",
            "flatten",
            "take",
            "get",
            "abs",
            "ceil",
            "floor",
            "round",
            "int",
            "float",
            "string",
            "type",
            "trim",
            "upper",
            "split",
            "join",
            "replace",
            "repeat",
            "indexOf",
            "toJSON",
            "fromJSON",
            "toBase64",
            "date",
            "duration",
            "bitshl",
            "bitshr",
            "bitushr",
            "bitnot",
            "asInt",
            "asFloat",
            "isNaN",
            "isInf",
            "isNil",
            "default",
        ]);
        prop_oneof![
            (inner.clone(), binary, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (functions, prop::collection::vec(inner.clone(), 0..3))
                .prop_map(|(f, args)| format!("{f}({})", args.join(", "))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}:]")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            inner.clone().prop_map(|a| format!("(-{a})")),
            inner.clone().prop_map(|a| format!("(not {a})")),
            inner.clone().prop_map(|a| format!("({a})?.b.c")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("(let v = {a}; [v, {b}])")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(source in "\\PC{0,60}", result in results()) {
        let _ = run(&source, &result);
        let _ = run(&source, &Value::Nil);
    }

    #[test]
    fn words_in_any_order_never_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "result", "(", ")", "[", "]", "{", "}", "#", ".", "?.", "?", ":", ";", ",", "|", "let", "if", "else", "x", "=", "not", "in",
            "and", "-", "!", "..", "1", "1.5", "\"s\"", "all", "map", "len", "reduce", "==", "<", "??", "**", "matches", "::", "$env", "nil", "true",
        ]), 0..25),
        result in results(),
    ) {
        let _ = run(&words.join(" "), &result);
    }

    #[test]
    fn generated_expressions_never_panic_and_are_deterministic(source in sources(), result in results()) {
        let first = run(&source, &result).map(|value| value.print());
        let again = run(&source, &result).map(|value| value.print());
        prop_assert_eq!(first, again);
        // A type is a promise: what compiles for an unknown type at all may also be run.
        let _ = Program::compile(&source, &Type::Unknown).map(|program| program.run(&result, now()));
    }

    #[test]
    fn a_threshold_means_what_it_says(x in any::<f64>(), limit in -1e6f64..1e6) {
        let answer = run(&format!("result < {limit:?}"), &vector(&[x]));
        prop_assert_eq!(answer, Ok(Value::Bool(x < limit)));
    }
}
