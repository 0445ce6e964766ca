//! The form of queries: what is refused and with which words, and above all what is not.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use analysis::promql::{self, check};
use proptest::prelude::*;

/// Queries that some server of the family answers.
const GOOD: &[&str] = &[
    "up",
    "1",
    "-1.5e3 + Inf",
    "\"text\"",
    "vector(1)",
    "time()",
    "up{job=\"api\", code=~'5..', path!~`/x/\\d+`,}",
    "{__name__=~\"http.*\"}",
    "{\"http.requests\", job=\"api\"}",
    "{}",
    "sum(rate(http_requests_total{status!~\"5.*\"}[5m])) / sum(rate(http_requests_total[5m])) > bool 0.95",
    "sum by (le, pod) (rate(x_bucket[2m]))",
    "sum(rate(x[2m])) without (pod)",
    "SUM BY (pod) (up)",
    "histogram_quantile(0.95, sum by (le) (rate(x_bucket{a=\"b\"}[1h30m] offset -5m)))",
    "a / on(pod) group_left(node) b",
    "a * ignoring(pod) group_right b",
    "a and on() b or c unless d",
    "max_over_time(deriv(x[5m])[1h:30s])",
    "max_over_time(x[1h:])",
    "x @ end() offset 1w",
    "x @ 1609746000",
    "(x)",
    "-(-x) ^ 2",
    "quantile(0.9, x) # a comment with ( and \"",
    "a:b:rate5m",
    "topk(3, x)",
    "count_values(\"version\", build_info)",
    "sum(\n  rate(x[5m])\n)",
    "on",
    "by + without",
    "bool",
    "0x1F + 1_000 + .5",
    // Newer Prometheus.
    "rate(x[5m * 2])",
    "rate(x[300])",
    "increase(x[5m] anchored)",
    "x + fill(0) y",
    "limitk(2, x)",
    "rate(x[step()])",
    // MetricsQL.
    "rate(x)",
    "rate(x[1i])",
    "rate(x) keep_metric_names",
    "a default 0",
    "a if b ifnot c",
    "union(a, b,)",
    "(a, b)",
    "{a=\"b\" or c=\"d\"}",
    "{a=\"b\"+\"c\"}",
    "sum(x) by (pod) limit 2",
    "WITH (f(j) = up{job=j}) f(\"a\")",
    "x > 5Mi",
    "foo\\-bar{baz=\"1\"}",
    "1h",
    // Not known before the run.
    "rate(x{service=\"{{args.service}}\"}[{{ args.window }}])",
    "{{args.query}}",
    "sum({{args.metric}}",
];

/// A query and what is said of it.
const BAD: &[(&str, &str)] = &[
    ("sum(rate(x[5m])", "at 1:16: expected an operator, a comma or a closing parenthesis, found the end of the query"),
    ("sum(rate(x[5m])))", "at 1:17: expected an operator or the end of the query, found \")\""),
    ("rate(x[5m)", "at 1:10: expected a closing bracket ], found \")\""),
    ("rate(x[])", "at 1:8: expected a duration such as 5m, found \"]\""),
    ("rate(x[5min])", "at 1:8: expected a number or a duration such as 5m, found \"5min\""),
    ("up{job=api}", "at 1:8: expected a value in quotes, found \"api\""),
    ("up{job=\"api\"", "at 1:13: expected a comma or a closing brace }, found the end of the query"),
    ("up{job}", "at 1:7: expected one of =, !=, =~, !~ and a value in quotes, found \"}\""),
    ("up{job==\"api\"}", "at 1:7: expected one of =, !=, =~, !~ and a value in quotes, found \"==\""),
    ("up{job=\"api}", "at 1:8: expected a closing \", found the end of the query"),
    (
        "sum(rate(bad[5m])) /",
        "at 1:21: expected a metric, a function, a number or an opening parenthesis, found the end of the query",
    ),
    (
        "sum(\n  rate(x[5m]) +\n) / 2",
        "at 3:1: expected a metric, a function, a number or an opening parenthesis, found \")\"",
    ),
    ("a b", "at 1:3: expected an operator or the end of the query, found \"b\""),
    ("sum by pod (x)", "at 1:8: expected an opening parenthesis and the names of labels, found \"pod\""),
    ("sum by (pod) x", "at 1:14: expected an opening parenthesis: what sum is taken of, found \"x\""),
    ("sum by (pod,", "at 1:13: expected the name of a label or a closing parenthesis, found the end of the query"),
    ("a && b", "at 1:3: expected a name, a number or an operator, found \"&\""),
    ("a = 1", "at 1:3: expected an operator or the end of the query, found \"=\""),
    ("$errors", "at 1:1: expected a name, a number or an operator, found \"$\""),
    ("x offset", "at 1:9: expected a time or a duration such as 5m, found the end of the query"),
    ("héé + ", "at 1:7: expected a metric, a function, a number or an opening parenthesis, found the end of the query"),
    (
        "# only a comment",
        "at 1:17: expected a metric, a function, a number or an opening parenthesis, found the end of the query",
    ),
];

#[test]
fn what_a_server_may_read_is_accepted() {
    for query in GOOD {
        if let Err(error) = check(query) {
            panic!("{query:?} is refused: {error}");
        }
    }
}

#[test]
fn what_no_server_reads_is_refused_with_its_place() {
    for (query, says) in BAD {
        assert_eq!(check(query).map_err(|error| error.to_string()), Err((*says).to_owned()), "{query:?}");
    }
}

#[test]
fn depth_is_no_reason_to_refuse() {
    let query = format!("{}x{}", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(check(&query), Ok(()));
}

/// Queries by the grammar.
fn query() -> impl Strategy<Value = String> {
    let selector = ("[a-z_]{1,6}", prop::option::of(("[a-z]{1,4}", "(=|!=|=~|!~)", "[a-z0-9.* ({\\[]{0,5}")));
    let leaf = prop_oneof![
        "[0-9]{1,3}",
        selector.prop_map(|(name, matcher)| match matcher {
            Some((label, operator, value)) => format!("m_{name}{{{label}{operator}\"{value}\"}}"),
            None => format!("m_{name}"),
        }),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), "(\\+|-|\\*|/|>| and | or | unless )", inner.clone())
                .prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
            (inner.clone(), "[1-9][smhd]").prop_map(|(inside, window)| format!("rate(({inside})[{window}:])")),
            (inner.clone(), "(by|without)", "[a-z]{1,4}")
                .prop_map(|(inside, how, label)| format!("sum {how} (l_{label}) ({inside})")),
            prop::collection::vec(inner, 1..3).prop_map(|all| format!("f({})", all.join(", "))),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_gets_an_answer(text in ".{0,60}") {
        let _ = check(&text);
    }

    #[test]
    fn any_signs_get_an_answer(text in "[a-c0-9(){}\\[\\]=~!\"'`,:@#+ \\\\\n.-]{0,60}") {
        let _ = check(&text);
    }

    #[test]
    fn queries_of_the_grammar_are_accepted(query in query()) {
        prop_assert_eq!(check(&query), Ok(()));
    }

    #[test]
    fn a_bracket_too_many_is_refused(query in query(), bracket in "[(){}\\[\\]]") {
        let (after, open) = (format!("{query}{bracket}"), format!("f({query}"));
        prop_assert!(check(&after).is_err(), "{}", after);
        prop_assert!(check(&open).is_err(), "{}", open);
    }
}

#[test]
fn matchers_go_into_every_selector() {
    let labels = [("version".to_owned(), "new \"1\"".to_owned()), ("app".to_owned(), "web".to_owned())];
    let labels = std::collections::BTreeMap::from(labels);
    let put = r#"app="web",version="new \"1\"""#;
    for (query, with) in [
        ("http_requests_total", "http_requests_total{#}"),
        ("errors{code=~\"5..\"}", "errors{#,code=~\"5..\"}"),
        ("errors{}", "errors{#}"),
        ("{__name__=\"x\"}", "{#,__name__=\"x\"}"),
        (
            "sum(increase(a[5m])) + sum(increase(b{c=\"d\"}[5m]))",
            "sum(increase(a{#}[5m])) + sum(increase(b{#,c=\"d\"}[5m]))",
        ),
        ("sum by (pod, code) (rate(a[1m] offset 5m))", "sum by (pod, code) (rate(a{#}[1m] offset 5m))"),
        ("sum(rate(a[1m])) without (pod)", "sum(rate(a{#}[1m])) without (pod)"),
        ("a / on(pod) group_left(node) b", "a{#} / on(pod) group_left(node) b{#}"),
        ("a or on() vector(0)", "a{#} or on() vector(0)"),
        ("a > bool 3 and b unless c", "a{#} > bool 3 and b{#} unless c{#}"),
        ("x{a=\"1\" or b=\"2\"}", "x{#,a=\"1\" or #, b=\"2\"}"),
        ("max_over_time(a[1h:1m]) # { by", "max_over_time(a{#}[1h:1m]) # { by"),
    ] {
        let expected = with.replace('#', put).replace(&format!("{put} {{ by"), "# { by");
        assert_eq!(promql::with_matchers(query, &labels).unwrap(), expected, "{query}");
        promql::check(&expected).unwrap();
    }
    for query in ["", "sum(", "1 + 1", "vector(1)", "a{", "rate({{args.metric}}[1m])"] {
        assert!(promql::with_matchers(query, &labels).is_err(), "{query}");
    }
}

#[test]
fn selectors_are_told_from_other_queries() {
    for query in ["a", " a{b=\"c\"} ", "{__name__=\"a\"}", "a:b"] {
        assert!(promql::is_selector(query), "{query}");
    }
    for query in ["", "sum(a)", "a + b", "a[5m]", "a{b=\"c\"}[5m]", "a{b=\"c\"} + a{b=\"d\"}", "1", "{{args.x}}"] {
        assert!(!promql::is_selector(query), "{query}");
    }
}
