//! The condition language, by table: what holds, what does not, and what users read when a condition is wrong.

// Helpers of tests fail by panicking, too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value
)]

use analysis::Phase;
use analysis::condition::{Labels, Program, Value, evaluate_result};
use crds::jiff::Timestamp;

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

/// Each of these is an expression that must be true by itself.
const TRUE: &str = r#"
1 + 2 * 3 == 7
(1 + 2) * 3 == 9
2 ** 3 ** 2 == 512
-2 ** 2 == -4
2 ^ 3 == 8.0
7 % 3 == 1
7 / 2 == 3.5
1_000 == 1000
0x1F == 31 and 0b101 == 5 and 0o17 == 15
.5 == 0.5 && 1e3 == 1000
not false and true
not (true and false)
!true == false
not true == false
1 < 2 and 2 <= 2 and 3 > 2 and 3 >= 3 and 1 != 2
1 < 2 < 3
not (1 < 3 < 2)
true or 1 / 0 > 0
"a" + 'b' == `ab`
"a" < "b"
"\u0041\x42\n" == "AB\n"
"foobar" contains "oba"
"foobar" startsWith "foo" and "foobar" endsWith "bar"
"foobar" matches "^fo+b"
"foobar" not matches "^b"
"foobar" not contains "x"
2 in [1, 2, 3]
4 not in [1, 2, 3]
"a" in {"a": 1}
"b" not in {a: 1}
nil == nil
(nil ?? 1) == 1
(nil ?? 5) + 1 == 6
true ? 1 == 1 : false
(false ? 1 : 2) == 2
1..3 == [1, 2, 3]
len(1..10) == 10
len(3..1) == 0
[1, 2, 3][0] == 1 and [1, 2, 3][-1] == 3
[1, 2, 3, 4][1:3] == [2, 3]
[1, 2, 3][:2] == [1, 2] and [1, 2, 3][1:] == [2, 3]
"hello"[1:3] == "el"
{a: {b: 2}}.a.b == 2
{a: {b: 2}}["a"]["b"] == 2
{a: nil}.a?.b == nil
{a: nil}?.a?.b.c.d == nil
{a: 1}.b == nil
{"in": 1}.in == 1
{(1 > 0 ? "x" : "y"): 3}.x == 3
all([1, 2, 3], # > 0)
all([1, 2, 3], {# > 0})
all([], false)
any([1, 2], # == 2) and not any([], true)
none([1, 2], # == 3)
one([1, 2, 2], # == 1)
not one([1, 2, 2], # == 2)
filter(1..6, # % 2 == 0) == [2, 4, 6]
map(1..3, # * #) == [1, 4, 9]
map(["a", "b"], #index) == [0, 1]
count([1, 2, 3], # > 1) == 2
count([true, false, true]) == 2
find([1, 2, 3], # > 1) == 2 and findLast([1, 2, 3], # > 1) == 3
find([1], # > 1) == nil
findIndex([1, 2, 3], # > 1) == 1 and findLastIndex([1, 2, 3], # < 3) == 1
findIndex([1], # > 1) == nil
map([{v: 1}, {v: 2}], .v) == [1, 2]
map([{v: {w: 1}}], {.v.w}) == [1]
all([[1, 2], [3]], all(#, # > 0))
sum([1, 2, 3]) == 6 and sum([1.5, 1.5]) == 3
sum([{v: 1}, {v: 2}], .v) == 3
mean([1, 2, 3]) == 2 and median([3, 1, 2]) == 2 and median([1, 2, 3, 4]) == 2.5
max(1, 5, 3) == 5 and min([4, 2]) == 2 and max([1], 7) == 7
reduce(1..4, #acc + #) == 10
reduce(1..4, #acc * #, 2) == 48
reduce([], #acc + #, 0) == 0
sortBy([{v: 2}, {v: 1}], .v)[0].v == 1
sortBy([{v: 2}, {v: 3}], .v, "desc")[0].v == 3
sort([3, 1, 2]) == [1, 2, 3] and sort([1, 2], "desc") == [2, 1]
groupBy([1, 2, 3], # % 2)[1] == [1, 3]
first([1, 2]) == 1 and last([1, 2]) == 2 and first([]) == nil
take([1, 2, 3], 2) == [1, 2] and reverse([1, 2]) == [2, 1]
uniq([1, 1, 2]) == [1, 2] and concat([1], [2]) == [1, 2] and flatten([1, [2, [3]]]) == [1, 2, 3]
keys({a: 1}) == ["a"] and values({a: 1}) == [1]
toPairs({a: 1}) == [["a", 1]] and fromPairs([["a", 1]]) == {a: 1}
get({a: 1}, "a") == 1 and get({a: 1}, "b") == nil and get([1], 5) == nil
abs(-5) == 5 and ceil(1.2) == 2 and floor(-1.2) == -2 and round(2.5) == 3 and round(-2.5) == -3
int("42") == 42 and int(1.9) == 1 and float("1.5") == 1.5 and string(1.5) == "1.5"
string([1, 2]) == "[1 2]" and string(nil) == "<nil>" and string(1000000.0) == "1e+06"
type(1) == "int" and type(1.0) == "float" and type("") == "string" and type([]) == "array" and type({}) == "map"
type(nil) == "nil" and type(true) == "bool"
trim("  a ") == "a" and trim("__a_", "_") == "a" and trimPrefix("ab", "a") == "b" and trimSuffix("ab", "b") == "a"
upper("a") == "A" and lower("A") == "a" and repeat("ab", 2) == "abab"
split("a,b,c", ",") == ["a", "b", "c"] and split("a,b,c", ",", 2) == ["a", "b,c"]
splitAfter("a,b", ",") == ["a,", "b"] and split("abc", "") == ["a", "b", "c"]
join(["a", "b"], "-") == "a-b" and join(["a", "b"]) == "ab"
replace("aXbX", "X", "-") == "a-b-" and replace("aXbX", "X", "-", 1) == "a-bX"
indexOf("abc", "c") == 2 and lastIndexOf("abab", "ab") == 2 and indexOf("a", "x") == -1
hasPrefix("abc", "ab") and hasSuffix("abc", "bc")
fromJSON('{"a": [1, 2.5]}').a[1] == 2.5 and toJSON(1) == "1"
fromBase64(toBase64("hi")) == "hi"
bitand(6, 3) == 2 and bitor(4, 1) == 5 and bitxor(5, 1) == 4 and bitnand(7, 2) == 5 and bitnot(0) == -1
bitshl(1, 3) == 8 and bitshr(-8, 1) == -4 and bitushr(8, 1) == 4
[3, 1] | sort() | first() == 1
"A,B" | lower() | split(",") == ["a", "b"]
let x = 2; x * x == 4
let x = 1; let y = x + 1; y == 2
(let x = 3; x) == 3
if 1 > 2 { false } else { true }
if 1 > 2 { false } else if 2 > 1 { true } else { false }
(1; 2; 3) == 3
map(1..2, let d = # * 2; d + 1) == [3, 5]
true /* yes */ // always
::len([1]) == 1
now() - duration("1h") < now()
now().Year() == 2024 and now().Month() == 3 and now().Unix() == 1710505845
duration("1h30m").Minutes() == 90 and duration("1.5s").Milliseconds() == 1500 and duration("-2ms") < duration("0")
string(duration("90m")) == "1h30m0s" and string(duration("1500us")) == "1.5ms"
duration("1m") * 2 == duration("2m") and duration("1m") + duration("1s") == duration("61s")
date("2023-08-14") < now()
date("2023-08-14 10:00:00", "2006-01-02 15:04:05", "UTC") - duration("1h") == date("2023-08-14T09:00:00Z")
date("2023-08-14 00:00:00", "2006-01-02 15:04:05", "Europe/Zurich") == date("2023-08-13T22:00:00Z")
date("14 Aug 2023 3:04PM", "2 Jan 2006 3:04PM").Hour() == 15
date("Mon, 14 Aug 2023 10:00:00 GMT").Weekday() == 1
(date("2023-08-14") - date("2023-08-13")).Hours() == 24
now().Format("2006-01-02T15:04:05.000Z07:00") == "2024-03-15T12:30:45.500Z"
now().Format("Mon Jan _2 3:04PM") == "Fri Mar 15 12:30PM"
asInt(1.9) == 1 and asInt("12") == 12 and asFloat("1.5") == 1.5 and asFloat(2) == 2.0
isNaN(asFloat("NaN")) and isInf(asFloat("+Inf")) and isInf(-asFloat("Inf")) and not isNaN(1.0)
asFloat("NaN") != asFloat("NaN")
"result" in $env and $env["result"] == true and $env.result
"#;

#[test]
fn what_is_true() {
    let mut wrong = Vec::new();
    for line in TRUE.lines().filter(|line| !line.trim().is_empty()) {
        let answer = run(line, &Value::Bool(true));
        if answer != Ok(Value::Bool(true)) {
            wrong.push(format!("{line}\n    {answer:?}"));
        }
    }
    assert!(wrong.is_empty(), "these are not true:\n{}", wrong.join("\n"));
}

#[test]
fn what_is_refused_and_how_it_is_said() {
    let number = Value::Float(1.0);
    let table: &[(&str, Value, &str)] = &[
        ("invalidVariable > 1", number.clone(), "unknown name invalidVariable"),
        ("unknownCall(1)", number.clone(), "unknown name unknownCall"),
        ("result == \"a\"", number.clone(), "invalid operation: == (mismatched types float64 and string)"),
        ("result == true", number.clone(), "invalid operation: == (mismatched types float64 and bool)"),
        ("result and true", number.clone(), "invalid operation: and (mismatched types float64 and bool)"),
        ("result > nil", number.clone(), "invalid operation: > (mismatched types float64 and nil)"),
        ("result % 2 == 0", number.clone(), "invalid operation: % (mismatched types float64 and int)"),
        ("!result", number.clone(), "invalid operation: ! (mismatched type float64)"),
        ("result.foo", number.clone(), "type float64 has no field foo"),
        ("result[0]", number.clone(), "type float64[int] is undefined"),
        ("result.foo()", Value::Bool(true), "type bool has no method foo"),
        ("all(result, # > 1)", number.clone(), "builtin all takes only array (got float64)"),
        ("all([1], # + 1)", number.clone(), "predicate should return boolean (got int)"),
        ("# > 1", number.clone(), "unexpected token Operator(\"#\")"),
        ("isNaN([1.0])", number.clone(), "cannot use []float64 as argument (type float64) to call isNaN"),
        ("asInt(\"1.1\") == 1", number.clone(), "strconv.ParseInt: parsing \"1.1\": invalid syntax"),
        ("asFloat(\"NotANum\") == 1", number.clone(), "strconv.ParseFloat: parsing \"NotANum\": invalid syntax"),
        ("asInt() == 1", number.clone(), "not enough arguments to call asInt"),
        ("len() == 1", number.clone(), "invalid number of arguments (expected 1, got 0)"),
        ("result >", number.clone(), "unexpected token EOF"),
        ("result 10.000000", number.clone(), "unexpected token Number(\"10.000000\")"),
        ("(result", number.clone(), "unexpected token EOF"),
        ("result > 1)", number.clone(), "unexpected token Bracket(\")\")"),
        ("'abc", number.clone(), "literal not terminated"),
        ("result @ 1", number.clone(), "unrecognized character: U+0040 '@'"),
        ("1a == 1", number.clone(), "bad number syntax: \"1a\""),
        ("99999999999999999999 > 1", number.clone(), "integer literal is too large"),
        ("\"a\" matches \"(\"", number.clone(), "error parsing regexp: unclosed group"),
        ("5 % 0 == 1", number.clone(), "integer divide by zero"),
        ("[1][5] == 1", number.clone(), "index out of range: 5 (array length is 1)"),
        ("let len = 1; true", number.clone(), "cannot redeclare builtin len"),
        ("let result = 1; true", number.clone(), "cannot redeclare result"),
        ("1 ? true : false", number.clone(), "non-bool expression (type int) used as condition"),
        ("result.a.b > 1", json(r#"{"a": 1}"#), "cannot fetch b from float64"),
        ("result.a > 1", json(r#"{"a": "x"}"#), "invalid operation: string > int"),
        ("result.x.y > 1", json(r#"{"a": 1}"#), "cannot fetch y from <nil>"),
        ("result[0] < 1", json(r#"["a"]"#), "invalid operation: string < int"),
        ("duration(\"1x\") > duration(\"1s\")", number.clone(), "time: unknown unit \"x\" in duration \"1x\""),
        ("result < 1", Value::floats([1.0]), "invalid operation: < (mismatched types []float64 and int)"),
        ("len(repeat(\"a\", 1000000000)) > 1", number.clone(), "memory budget exceeded"),
        ("len(1..100000000) > 1", number.clone(), "memory budget exceeded"),
        ("all(1..2000, all(1..2000, true))", number, "step budget exceeded"),
    ];
    for (source, result, expected) in table {
        let answer = run(source, result);
        let said = answer.as_ref().err().map(String::as_str);
        let fits =
            said.is_some_and(|said| said == *expected || (*expected).contains("budget") && said.contains("budget"));
        assert!(fits, "{source}\n  expected: {expected}\n  got:      {answer:?}");
    }
}

#[test]
fn a_vector_of_one_is_a_number_and_of_several_says_how_they_differ() {
    for source in [
        "result < 0.01",
        "result[0] < 0.01",
        "result * 100 < 1",
        "!isNaN(result) && result < 1",
        "0.005 == result",
        "asFloat(result) < 1",
    ] {
        assert_eq!(run(source, &vector(&[0.005])), Ok(Value::Bool(true)), "{source}");
    }
    assert_eq!(
        run("all(result, # < 1) and len(result) == 2 and 0.5 in result", &vector(&[0.5, 0.1])),
        Ok(Value::Bool(true))
    );
    let said = run("result < 0.01", &vector(&[0.5, 0.1])).unwrap_err();
    assert!(said.contains("2 elements") && said.contains("label(s) pod:") && said.contains("sum("), "{said}");
    assert!(!said.contains("job"), "a label that is equal everywhere is no help: {said}");
}

#[test]
fn the_verdict_on_a_measurement() {
    use Phase::{Failed, Inconclusive, Successful};
    let one = Value::Float(1.0);
    for (success, failure, expected) in [
        ("", "", Successful),
        ("result == 1", "", Successful),
        ("result == 2", "", Failed),
        ("", "result == 1", Failed),
        ("", "result == 2", Successful),
        ("result == 1", "result == 1", Failed),
        ("result == 2", "result == 1", Failed),
        ("result == 2", "result == 2", Inconclusive),
        ("result == 1", "result == 2", Successful),
    ] {
        assert_eq!(evaluate_result(&one, success, failure, now()), Ok(expected), "{success:?} / {failure:?}");
    }
    for (value, success, failure, expected) in [
        (
            Value::Nil,
            "result[0] >= 0.95",
            "",
            "could not evaluate successCondition \"result[0] >= 0.95\": metric result is nil or empty: no data returned from the metric provider",
        ),
        (
            vector(&[]),
            "result < 0.95",
            "",
            "could not evaluate successCondition \"result < 0.95\": metric result is nil or empty: no data returned from the metric provider",
        ),
        (
            vector(&[]),
            "",
            "result[0] > 1",
            "could not evaluate failureCondition \"result[0] > 1\": metric result is nil or empty: no data returned from the metric provider",
        ),
        (one.clone(), "1", "", "could not evaluate successCondition \"1\": expected bool, but got int"),
        (one, "bad", "also bad", "could not evaluate successCondition \"bad\": unknown name bad"),
    ] {
        assert_eq!(evaluate_result(&value, success, failure, now()).unwrap_err().to_string(), expected);
    }
    assert_eq!(
        evaluate_result(&vector(&[]), "len(result) == 0", "", now()),
        Ok(Successful),
        "an empty answer can be good"
    );
}

#[test]
fn is_nil_and_default_look_at_the_result() {
    for (source, result, expected) in [
        ("isNil(result)", Value::Nil, true),
        ("isNil(result)", Value::Float(0.0), false),
        ("isNil(1)", Value::Nil, true),
        ("default(result, 7) == 7", Value::Nil, true),
        ("default(result, 7) == 1", Value::Float(1.0), true),
        ("default(nil, 7) == 1", Value::Float(1.0), true),
        ("isNil(result)", Value::Bool(false), false),
    ] {
        assert_eq!(run(source, &result), Ok(Value::Bool(expected)), "{source} on {result:?}");
    }
}

#[test]
fn times_of_range_queries_see_no_result() {
    let hour = Program::compile_time("now() - duration(\"1h\")").unwrap().run_time(now()).unwrap();
    assert_eq!(hour, "2024-03-15T11:30:45.5Z".parse().unwrap());
    let said = Program::compile_time("result").unwrap_err().to_string();
    assert_eq!(said, "unknown name result");
    assert_eq!(Program::compile_time("1").unwrap_err().to_string(), "expected time.Time, but got int");
}
