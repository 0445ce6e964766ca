//! Templates and arguments: what run they make, and what is said when they make none.

// Helpers of tests fail by panicking, too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value
)]

use std::collections::BTreeMap;

use analysis::template::{
    ArgValues, RunChoice, TemplateError, Templates, build_run_spec, choose_run, run_name, validate, validate_spec,
};
use crds::{AnalysisRun, AnalysisRunSpec, AnalysisTemplateSpec, Metric, RolloutAnalysis};
use serde_json::{Value, json};

#[derive(Default)]
struct Known {
    namespaced: BTreeMap<String, AnalysisTemplateSpec>,
    cluster: BTreeMap<String, AnalysisTemplateSpec>,
}

impl Templates for Known {
    fn namespaced(&self, name: &str) -> Option<&AnalysisTemplateSpec> {
        self.namespaced.get(name)
    }

    fn cluster(&self, name: &str) -> Option<&AnalysisTemplateSpec> {
        self.cluster.get(name)
    }
}

fn metric(name: &str) -> Value {
    json!({"name": name, "provider": {"prometheus": {"query": "up"}}})
}

fn known(templates: Value) -> Known {
    let mut known = Known::default();
    for (name, spec) in templates.as_object().unwrap() {
        let spec: AnalysisTemplateSpec = serde_json::from_value(spec.clone()).unwrap();
        match name.strip_prefix("cluster/") {
            Some(name) => known.cluster.insert(name.to_owned(), spec),
            None => known.namespaced.insert(name.clone(), spec),
        };
    }
    known
}

fn build(templates: Value, analysis: Value) -> Result<AnalysisRunSpec, String> {
    let analysis: RolloutAnalysis = serde_json::from_value(analysis).unwrap();
    let object = json!({
        "metadata": {"name": "web", "namespace": "shop", "labels": {"region": "eu", "a.b/c": "d"}, "annotations": {"x": "y"}},
        "spec": {"replicas": 3, "list": [{"v": "w"}]},
        "status": {"none": null},
    });
    let values = ArgValues { stable_hash: "aaa", latest_hash: "bbb", object: &object };
    build_run_spec(&analysis, &values, &known(templates)).map_err(|error| error.to_string())
}

fn args(spec: &AnalysisRunSpec) -> Vec<(String, Option<String>)> {
    spec.args.iter().flatten().map(|arg| (arg.name.clone(), arg.value.clone())).collect()
}

#[test]
fn templates_are_taken_together() {
    let templates = json!({
        "one": {"metrics": [metric("a")], "args": [{"name": "service"}], "templates": [{"templateName": "shared", "clusterScope": true}],
                "dryRun": [{"metricName": "a"}]},
        "two": {"metrics": [metric("b")], "args": [{"name": "service", "value": "web"}], "measurementRetention": [{"metricName": "b", "limit": 4}]},
        "cluster/shared": {"metrics": [metric("c")], "templates": [{"templateName": "shared", "clusterScope": true}]},
    });
    let spec = build(
        templates,
        json!({
            "templates": [{"templateName": "one"}, {"templateName": "two"}, {"templateName": "one"}],
            "dryRun": [{"metricName": "b"}, {"metricName": "a"}],
            "measurementRetention": [{"metricName": "*", "limit": 2}],
        }),
    )
    .unwrap();
    let names: Vec<&str> = spec.metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["a", "c", "b"], "in order, each template once");
    assert_eq!(args(&spec), [("service".to_owned(), Some("web".to_owned()))]);
    let dry: Vec<&str> = spec.dry_run.iter().flatten().map(|rule| rule.metric_name.as_str()).collect();
    assert_eq!(dry, ["a", "b"]);
    assert_eq!(spec.measurement_retention.unwrap().len(), 2);
}

#[test]
fn values_of_arguments() {
    let declared: Vec<Value> =
        ["literal", "stable", "latest", "name", "label", "dotted", "replicas", "item", "defaulted"]
            .iter()
            .map(|name| if *name == "defaulted" { json!({"name": name, "value": "d"}) } else { json!({"name": name}) })
            .collect();
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let spec = build(
        json!({"one": {"metrics": [metric("a")], "args": declared}}),
        json!({"templates": [{"templateName": "one"}], "args": [
            {"name": "literal", "value": "v"},
            {"name": "stable", "valueFrom": {"podTemplateHashValue": "Stable"}},
            {"name": "latest", "valueFrom": {"podTemplateHashValue": "Latest"}},
            field("name", "metadata.name"), field("label", "metadata.labels['region']"), field("dotted", "metadata.labels['a.b/c']"),
            field("replicas", "spec.replicas"), field("item", "{.spec.list[0].v}"),
            {"name": "undeclared", "value": "dropped"},
        ]}),
    )
    .unwrap();
    let got: Vec<String> = args(&spec).into_iter().map(|(name, value)| format!("{name}={}", value.unwrap())).collect();
    assert_eq!(
        got,
        [
            "literal=v",
            "stable=aaa",
            "latest=bbb",
            "name=web",
            "label=eu",
            "dotted=d",
            "replicas=3",
            "item=w",
            "defaulted=d"
        ]
    );
}

#[test]
fn a_secret_stays_a_reference() {
    let secret = json!({"name": "token", "valueFrom": {"secretKeyRef": {"name": "prom", "key": "token"}}});
    let spec = build(
        json!({"one": {"metrics": [metric("a")], "args": [secret]}}),
        json!({"templates": [{"templateName": "one"}]}),
    )
    .unwrap();
    let arg = &spec.args.unwrap()[0];
    assert_eq!(arg.value, None);
    assert_eq!(arg.value_from.as_ref().unwrap().secret_key_ref.as_ref().unwrap().key, "token");
}

#[test]
fn what_makes_no_run() {
    let arg = |value: &str| json!([{"name": "x", "value": value}]);
    let of = |name: &str| json!({"templates": [{"templateName": name}]});
    for (templates, analysis, said) in [
        (json!({}), json!({}), "no templates given: name at least one template"),
        (json!({}), of("one"), "AnalysisTemplate 'one' not found"),
        (
            json!({}),
            json!({"templates": [{"templateName": "one", "clusterScope": true}]}),
            "ClusterAnalysisTemplate 'one' not found",
        ),
        (json!({"one": {}}), of("one"), "the templates have no metrics: add at least one metric"),
        (
            json!({"one": {"metrics": [metric("a"), metric("a")]}}),
            of("one"),
            "two metrics have the same name 'a': give each metric its own name",
        ),
        (
            json!({"one": {"metrics": [metric("a")], "args": arg("1"), "templates": [{"templateName": "two"}]}, "two": {"metrics": [metric("b")], "args": arg("2")}}),
            of("one"),
            "Argument `x` specified multiple times with different values: '1', '2'",
        ),
        (json!({"one": {"metrics": [metric("a")], "args": [{"name": "x"}]}}), of("one"), "args.x was not resolved"),
        (
            json!({"one": {"metrics": [metric("a")], "args": [{"name": "x"}]}}),
            json!({"templates": [{"templateName": "one"}], "args": [{"name": "x", "valueFrom": {"fieldRef": {"fieldPath": "status.missing"}}}]}),
            "invalid path status.missing for argument 'x': there is no field missing",
        ),
        (
            json!({"one": {"metrics": [metric("a")], "args": [{"name": "x"}]}}),
            json!({"templates": [{"templateName": "one"}], "args": [{"name": "x", "valueFrom": {"podTemplateHashValue": "Newest"}}]}),
            "argument 'x': podTemplateHashValue is \"Newest\": use Stable or Latest",
        ),
    ] {
        assert_eq!(build(templates, analysis).unwrap_err(), said);
    }
}

#[test]
fn what_is_said_of_a_wrong_metric() {
    let with = |extra: Value| {
        let mut one = metric("m");
        one.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        one
    };
    for (metric, said) in [
        (with(json!({})), vec![]),
        (
            with(
                json!({"successCondition": "result[0] >= 0.95", "failureCondition": "isNaN(result[0])", "count": "{{args.n}}"}),
            ),
            vec![],
        ),
        (with(json!({"count": 3, "interval": "1m", "failureLimit": -1, "consecutiveSuccessLimit": 2})), vec![]),
        (
            with(json!({"successCondition": "result >"})),
            vec!["metric 'm': successCondition: \"result >\" is no condition: unexpected token EOF"],
        ),
        (
            with(json!({"failureCondition": "resutl > 1"})),
            vec!["metric 'm': failureCondition: \"resutl > 1\" is no condition: unknown name resutl"],
        ),
        (
            with(json!({"successCondition": "1"})),
            vec!["metric 'm': successCondition: \"1\" is no condition: expected bool, but got int"],
        ),
        (
            with(json!({"count": 2})),
            vec!["metric 'm': interval: is absent with count 2: interval must be specified when count > 1"],
        ),
        (
            with(json!({"interval": "5 minutes"})),
            vec!["metric 'm': interval: \"5 minutes\" is not a duration: write for example 30s, 5m or 1h"],
        ),
        (with(json!({"initialDelay": "-5s"})), vec!["metric 'm': initialDelay: \"-5s\" is negative"]),
        (with(json!({"failureLimit": "many"})), vec!["metric 'm': failureLimit: \"many\" is not a whole number"]),
        (
            with(json!({"failureLimit": -2})),
            vec!["metric 'm': failureLimit: is -2: it must be at least 0, or -1 to switch it off"],
        ),
        (
            with(json!({"failureLimit": -1})),
            vec![
                "metric 'm': consecutiveSuccessLimit: is 0 while failureLimit is -1: nothing could end the metric; raise one of them",
            ],
        ),
        (
            with(json!({"count": 1, "failureLimit": 2})),
            vec!["metric 'm': failureLimit: is 2, more than count 1: it must be at most count"],
        ),
        (
            with(json!({"count": 1, "inconclusiveLimit": 2})),
            vec!["metric 'm': inconclusiveLimit: is 2, more than count 1: it must be at most count"],
        ),
        (
            with(json!({"consecutiveErrorLimit": -1})),
            vec!["metric 'm': consecutiveErrorLimit: is -1: it must be at least 0"],
        ),
        (
            with(json!({"interval": "1s", "count": 2, "failureLimit": 1, "consecutiveSuccessLimit": 2})),
            vec!["metric 'm': count: is 2: it must be at least failureLimit + consecutiveSuccessLimit = 3"],
        ),
        (with(json!({"provider": {}})), vec!["metric 'm': provider: no provider specified: set exactly one"]),
        (
            with(json!({"provider": {"prometheus": {"query": "up"}, "web": {"url": "http://x"}}})),
            vec!["metric 'm': provider: multiple providers specified (prometheus, web): set exactly one"],
        ),
        (
            with(json!({"provider": {"prometheus": {"query": " "}}})),
            vec!["metric 'm': provider.prometheus.query: is empty: write a PromQL query"],
        ),
        (
            with(
                json!({"provider": {"prometheus": {"query": "up", "rangeQuery": {"start": "now() -", "end": "now()", "step": "1m"}}}}),
            ),
            vec!["metric 'm': provider.prometheus.rangeQuery.start: \"now() -\": unexpected token EOF"],
        ),
    ] {
        let parsed: Metric = serde_json::from_value(metric.clone()).unwrap();
        let found: Vec<String> = validate_spec(&[parsed], &[], &[]).iter().map(TemplateError::to_string).collect();
        assert_eq!(found, said, "{metric}");
    }
}

#[test]
fn rules_must_fit_a_metric() {
    let analysis: RolloutAnalysis = serde_json::from_value(json!({"templates": [{"templateName": "one"}]})).unwrap();
    let templates = known(json!({"one": {
        "metrics": [metric("errors")], "args": [{"name": "open"}],
        "dryRun": [{"metricName": "latency"}, {"metricName": "("}, {"metricName": "err.*"}],
        "measurementRetention": [{"metricName": "*", "limit": 0}],
    }}));
    let found: Vec<String> = validate(&analysis, &templates).iter().map(TemplateError::to_string).collect();
    assert_eq!(
        found,
        [
            "dryRun[0]: metricName \"latency\" matches no metric",
            "dryRun[1]: metricName \"(\" is no regular expression",
            "measurementRetention[0]: limit is 0: it must be at least 1",
            "args.open was not resolved",
        ]
    );
}

#[test]
fn names_of_runs() {
    assert_eq!(run_name("web", "6b7f", 4, None), "web-6b7f-4");
    assert_eq!(run_name("web", "6b7f", 4, Some("2")), "web-6b7f-4-2");
    assert_eq!(run_name("web", "6b7f", 4, Some("pre")), "web-6b7f-4-pre");

    let spec: AnalysisRunSpec = serde_json::from_value(json!({"metrics": [metric("a")]})).unwrap();
    let other: AnalysisRunSpec = serde_json::from_value(json!({"metrics": [metric("b")]})).unwrap();
    let run = |name: &str, owner: &str, spec: &AnalysisRunSpec, phase: &str| -> AnalysisRun {
        let mut run = serde_json::to_value(AnalysisRun::new(name, spec.clone())).unwrap();
        run["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Rollout", "name": "web", "uid": owner}]);
        if !phase.is_empty() {
            run["status"] = json!({"phase": phase});
        }
        serde_json::from_value(run).unwrap()
    };
    for (existing, expected) in [
        (vec![], RunChoice::Create("base".to_owned())),
        (vec![run("base", "u1", &spec, "")], RunChoice::Reuse("base".to_owned())),
        (vec![run("base", "u1", &spec, "Running")], RunChoice::Reuse("base".to_owned())),
        (vec![run("base", "u1", &spec, "Failed")], RunChoice::Create("base.1".to_owned())),
        (vec![run("base", "other", &spec, "Running")], RunChoice::Create("base.1".to_owned())),
        (vec![run("base", "u1", &other, "Running")], RunChoice::Create("base.1".to_owned())),
        (
            vec![run("base", "u1", &spec, "Error"), run("base.1", "u1", &spec, "Running")],
            RunChoice::Reuse("base.1".to_owned()),
        ),
        (
            vec![run("base", "u1", &spec, "Error"), run("base.1", "u1", &spec, "Failed")],
            RunChoice::Create("base.2".to_owned()),
        ),
    ] {
        let by_name = |name: &str| existing.iter().find(|run| run.metadata.name.as_deref() == Some(name));
        assert_eq!(choose_run("base", "u1", &spec, None, &by_name, &|_| false), expected);
    }
    // Completed runs that nobody has written down yet.
    for (existing, superseded, expected) in [
        (vec![run("base", "u1", &spec, "Failed")], None, RunChoice::Reuse("base".to_owned())),
        (vec![run("base", "other", &spec, "Failed")], None, RunChoice::Create("base.1".to_owned())),
        (vec![run("base", "u1", &other, "Successful")], None, RunChoice::Create("base.1".to_owned())),
        (vec![run("base", "u1", &spec, "Inconclusive")], Some("base"), RunChoice::Create("base.1".to_owned())),
        (
            vec![run("base", "u1", &spec, "Inconclusive"), run("base.1", "u1", &spec, "Successful")],
            Some("base"),
            RunChoice::Reuse("base.1".to_owned()),
        ),
        (
            vec![run("base", "u1", &spec, "Inconclusive"), run("base.1", "u1", &spec, "Inconclusive")],
            Some("base.1"),
            RunChoice::Create("base.2".to_owned()),
        ),
        (vec![run("base", "u1", &spec, "Successful")], Some("base-2"), RunChoice::Reuse("base".to_owned())),
    ] {
        let by_name = |name: &str| existing.iter().find(|run| run.metadata.name.as_deref() == Some(name));
        assert_eq!(choose_run("base", "u1", &spec, superseded, &by_name, &|_| true), expected, "{superseded:?}");
    }
}

fn comparison(change: Value, beside: Value) -> Metric {
    let mut comparison = json!({"ratio": {"failed": "bad", "total": "all"}});
    comparison.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let mut metric = json!({"name": "errors", "interval": "10s", "provider": {"comparison": comparison}});
    metric.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
    serde_json::from_value(metric).unwrap()
}

#[test]
fn comparisons_know_the_versions_of_the_rollout() {
    let metric = serde_json::to_value(comparison(json!({}), json!({}))).unwrap();
    let own = serde_json::to_value(comparison(json!({"canary": {"version": "new"}}), json!({}))).unwrap();
    let templates = json!({"a": {"metrics": [metric]}, "b": {"metrics": [own]}});
    let labels = |template: &str| {
        let spec = build(templates.clone(), json!({"templates": [{"templateName": template}]})).unwrap();
        let comparison = spec.metrics[0].provider.comparison.clone().unwrap();
        json!([comparison.canary, comparison.stable])
    };
    let (new, old) = (json!({"rollouts_pod_template_hash": "bbb"}), json!({"rollouts_pod_template_hash": "aaa"}));
    assert_eq!(labels("a"), json!([new, old]));
    assert_eq!(labels("b"), json!([{"version": "new"}, old]));
}

#[test]
fn comparisons_are_checked_field_by_field() {
    let found = |metric: Metric| {
        let all = validate_spec(&[metric], &[], &[]);
        all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(found(comparison(json!({}), json!({}))), "");
    let whole = json!({
        "tolerate": {"ratio": 2, "absolute": 0}, "falseAlarm": 0.05, "promoteOn": "evidenceOfNoHarm",
        "minimumSamples": 0, "maximumDuration": "1h", "block": "30s", "judge": "sequential", "weight": 3,
        "ratio": {"failed": "sum(increase(bad[$block]))", "total": "all{code!=\"{{args.code}}\"}"},
    });
    assert_eq!(found(comparison(whole, json!({}))), "");
    for what in ["histogram", "gauge"] {
        assert_eq!(found(comparison(json!({"ratio": null, what: {"query": "x{a=\"b\"}"}}), json!({}))), "", "{what}");
    }
    for (change, beside, text) in [
        (json!({"ratio": {"failed": "", "total": "all"}}), json!({}), "provider.comparison.ratio.failed: is empty"),
        (json!({"ratio": {"failed": "bad{", "total": "all"}}), json!({}), "ratio.failed: \"bad{\" is no PromQL"),
        (json!({"ratio": {"failed": "bad", "total": "sum(all)"}}), json!({}), "is neither a selector nor has $block"),
        (json!({"ratio": null}), json!({}), "provider.comparison.ratio: is absent"),
        (
            json!({"gauge": {"query": "x"}}),
            json!({}),
            "provider.comparison.gauge: is set, and so are others (ratio, gauge)",
        ),
        (json!({"ratio": null, "gauge": {"query": ""}}), json!({}), "provider.comparison.gauge.query: is empty"),
        (json!({"ratio": null, "histogram": {"query": "sum(x)"}}), json!({}), "histogram.query: \"sum(x)\" is neither"),
        (
            json!({"ratio": null, "histogram": {"query": "x"}, "judge": "kayenta"}),
            json!({}),
            "provider.comparison.judge: is kayenta, which judges a ratio only",
        ),
        (
            json!({"ratio": null, "gauge": {"query": "x"}, "tolerate": {"absolute": 0.1}}),
            json!({}),
            "provider.comparison.tolerate.absolute: is set with a gauge",
        ),
        (json!({"tolerate": {"ratio": 0.5}}), json!({}), "provider.comparison.tolerate.ratio: is 0.5"),
        (json!({"falseAlarm": 0}), json!({}), "provider.comparison.falseAlarm: is 0"),
        (json!({"weight": 0}), json!({}), "provider.comparison.weight: is 0"),
        (json!({"minimumSamples": -1}), json!({}), "provider.comparison.minimumSamples: is -1"),
        (json!({"promoteOn": "luck"}), json!({}), "provider.comparison.promoteOn: is \"luck\""),
        (json!({"judge": "me"}), json!({}), "provider.comparison.judge: is \"me\""),
        (json!({"block": "soon"}), json!({}), "provider.comparison.block: \"soon\" is not a duration"),
        (json!({"canary": {"a-b": "c"}}), json!({}), "provider.comparison.canary: \"a-b\" is not a label"),
        (json!({"canary": {"a": "b"}, "stable": {"a": "b"}}), json!({}), "has the same labels as stable"),
        (json!({}), json!({"successCondition": "true"}), "successCondition: is set with a comparison"),
        (json!({}), json!({"failureLimit": 3}), "failureLimit: is set with a comparison"),
        (json!({}), json!({"interval": null}), "interval: is absent"),
    ] {
        let problems = found(comparison(change.clone(), beside));
        assert!(problems.contains(text), "{change}: {problems}");
    }
}
