//! The lint of PromQL: per rule a query that it finds, where, a better one, and a good query that it leaves alone.

// Helpers of tests fail by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use analysis::lint::{Known, lint};
use proptest::prelude::*;

fn known() -> Known {
    Known {
        args: [("service", Some("web")), ("window", None), ("bad", Some("a\"b"))]
            .map(|(name, value)| (name.to_owned(), value.map(str::to_owned)))
            .into(),
        scrape_interval: Duration::from_secs(30),
    }
}

/// (rule, place, query, better query)
const FOUND: &[(&str, &str, &str, Option<&str>)] = &[
    ("PQ001", "1:16", "sum(up{pod=\"a\"}", None),
    ("PQ001", "2:3", "up{pod=\"a\"}\n> ", None),
    ("PQ002", "1:1", "up{pod=\"a\"}[5m]", None),
    ("PQ002", "1:1", "\"text\"", None),
    ("PQ003", "1:6", "rate(a_total{pod=\"a\"}[30s])", Some("rate(a_total{pod=\"a\"}[2m])")),
    (
        "PQ003",
        "1:37",
        "sum by (pod) (sum by (pod)(increase(a_total{pod=\"a\"}[1m])))",
        Some("sum by (pod) (sum by (pod) (increase(a_total{pod=\"a\"}[2m])))"),
    ),
    ("PQ004", "1:1", "rate(sum(a_total{pod=\"a\"})[5m:])", Some("sum(rate(a_total{pod=\"a\"}[5m]))")),
    ("PQ005", "1:6", "rate(memory_bytes{pod=\"a\"}[5m])", None),
    (
        "PQ006",
        "1:25",
        "histogram_quantile(0.9, sum(rate(a_bucket{pod=\"a\"}[5m])))",
        Some("histogram_quantile(0.9, sum by (le) (rate(a_bucket{pod=\"a\"}[5m])))"),
    ),
    (
        "PQ006",
        "1:25",
        "histogram_quantile(0.9, sum by (pod) (rate(a_bucket{pod=\"a\"}[5m])))",
        Some("histogram_quantile(0.9, sum by (pod, le) (rate(a_bucket{pod=\"a\"}[5m])))"),
    ),
    (
        "PQ006",
        "1:25",
        "histogram_quantile(0.9, sum without (le, pod) (rate(a_bucket{pod=\"a\"}[5m])))",
        Some("histogram_quantile(0.9, sum without (pod) (rate(a_bucket{pod=\"a\"}[5m])))"),
    ),
    ("PQ007", "1:1", "avg(histogram_quantile(0.9, sum by (le, pod) (rate(a_bucket{pod=~\"a.+\"}[5m]))))", None),
    ("PQ007", "1:1", "avg(latency{pod=\"a\", quantile=\"0.9\"})", None),
    ("PQ008", "1:33", "sum(rate(a_total{pod=\"a\"}[5m])) / sum(rate(b_total{pod=\"a\"}[5m]))", None),
    ("PQ009", "1:10", "sum(rate(a_total{job=\"web\"}[5m]))", None),
    ("PQ010", "1:1", "irate(a_total{pod=\"a\"}[5m])", Some("rate(a_total{pod=\"a\"}[5m])")),
    ("PQ011", "1:17", "sum(a{pod=\"a\"}) > 5", Some("sum(a{pod=\"a\"}) > bool 5")),
    ("PQ012", "1:1", "up{pod=\"a\", job=~\".*\"}", Some("up{pod=\"a\"}")),
    ("PQ013", "1:25", "sum by (a) (x{pod=\"a\"}) + sum by (b) (y{pod=\"a\"})", None),
    ("PQ014", "1:5", "1 - absent(up{pod=\"a\"})", None),
    ("PQ015", "1:15", "max_over_time(up{pod=\"a\"}[30d:10s])", None),
    ("PQ016", "1:12", "x{pod=\"a\"} / x{pod=\"a\"} offset 1h", None),
    ("PQ017", "1:9", "up{pod=\"{{args.pod}}\"}", None),
    ("PQ017", "1:9", "up{pod=\"{{args.bad}}\"}", None),
];

#[test]
fn every_rule_finds_its_query() {
    let mut wrong = Vec::new();
    for (id, place, query, better) in FOUND {
        let found = lint(query, &known());
        let finding =
            found.iter().find(|finding| finding.id == *id).unwrap_or_else(|| panic!("{id} not in {query}: {found:?}"));
        let got = (finding.at.to_string(), finding.better.as_deref());
        if got != ((*place).to_owned(), *better) {
            wrong.push(format!("{id} {query}: {got:?}"));
        }
        if let Some(better) = better {
            assert!(lint(better, &known()).iter().all(|finding| finding.id != *id), "{id} again in {better}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let rules: std::collections::BTreeSet<&str> = FOUND.iter().map(|(id, ..)| *id).collect();
    assert_eq!(rules.len(), 17);
}

#[test]
fn good_queries_are_left_alone() {
    for query in [
        "sum(rate(http_requests_total{service=\"{{args.service}}\", status=~\"5..\"}[5m])) / clamp_min(sum(rate(http_requests_total{service=\"{{args.service}}\"}[5m])), 0.001)",
        "histogram_quantile(0.95, sum by (le) (rate(http_seconds_bucket{rollouts_pod_template_hash=\"{{args.service}}\"}[{{args.window}}])))",
        "histogram_quantile(0.95, sum(rate(http_seconds{pod=~\"web-.+\"}[5m])))",
        "max by (pod) (container_memory_working_set_bytes{pod=~\"web-.+\"})",
        "avg_over_time(up{pod=\"a\"}[5m])",
        "sum(x{pod=\"a\"}) > bool 5",
        "scalar(sum(x{pod=\"a\"}))",
        "sum by (a) (x{pod=\"a\"}) / on (a) group_left sum by (a, b) (y{pod=\"a\"})",
    ] {
        assert_eq!(lint(query, &known()), [], "{query}");
    }
}

#[test]
fn a_better_query_keeps_its_arguments() {
    let found = lint("irate(a_total{service=\"{{args.service}}\", pod=\"{{ args.service }}\"}[5m])", &known());
    let better = found.iter().find_map(|finding| finding.better.clone());
    let better = better.unwrap();
    assert!(better.starts_with("rate(a_total{") && better.ends_with("}[5m])"), "{better}");
    for kept in ["service=\"{{args.service}}\"", "pod=\"{{ args.service }}\""] {
        assert!(better.contains(kept), "{better}");
    }
}

proptest! {
    /// Whatever stands there, there is an answer.
    #[test]
    fn lint_is_total(query in "[a-z_]{1,6}[ (){}\\[\\]\"=~.*0-9a-z:,+/<>{}-]{0,40}") {
        let _ = lint(&query, &known());
    }

    #[test]
    fn lint_is_total_on_pieces(parts in prop::collection::vec(prop::sample::select(vec![
        "sum", "(", ")", "rate", "a_total", "[5m]", "{", "}", "pod=\"a\"", ",", "/", "by", "le", "histogram_quantile", "0.9", "{{args.x}}", "offset 1h", "[1h:]", ">", "-", "\"",
    ]), 0..20)) {
        let _ = lint(&parts.join(" "), &known());
    }
}
