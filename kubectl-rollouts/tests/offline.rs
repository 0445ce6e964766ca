//! `eval` and `lint` on files: without a cluster.

// Lints for outside data do not apply to the objects a test makes.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Exit code, output and complaints of the program, without any kubeconfig.
fn run(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_kubectl-rollouts"));
    program.args(arguments).env_clear().env("HOME", "/nonexistent");
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_condition_is_tried_on_a_value() {
    for (arguments, code, out, err) in [
        (
            &["eval", "result[0] < 0.01", "--value", "[0.001]"][..],
            0,
            "result:  [0.001] (list)\nsuccess: result[0] < 0.01 = true\nverdict: Successful\n",
            "",
        ),
        (
            &["eval", "result < 0.01", "--value", "0.5"],
            2,
            "result:  0.5 (number)\nsuccess: result < 0.01 = false\nverdict: Failed\n",
            "Error: the condition is not met: Failed\n",
        ),
        (
            &[
                "eval",
                "result.ok",
                "--failure-condition",
                "result.code > 499",
                "--value",
                "{\"ok\": false, \"code\": 404}",
            ],
            3,
            "result:  map[code:404 ok:false] (map)\nsuccess: result.ok = false\nfailure: result.code > 499 = false\nverdict: Inconclusive\n",
            "Error: the condition is not met: Inconclusive\n",
        ),
        (
            &["eval", "isNaN(result)", "--value", "NaN"],
            0,
            "result:  NaN (number)\nsuccess: isNaN(result) = true\nverdict: Successful\n",
            "",
        ),
        (
            &["eval", "result", "--value", "0.5"],
            1,
            "result:  0.5 (number)\nsuccess: result = 0.5\nverdict: Error\n",
            "Error: could not evaluate successCondition \"result\": expected bool, but got float64\n",
        ),
        (
            &["eval", "result[0] < 1", "--value", "[]"],
            1,
            "result:  [] (list)\nverdict: Error\n",
            "Error: could not evaluate successCondition \"result[0] < 1\": metric result is nil or empty: no data returned from the metric provider\n",
        ),
        (
            &["eval", "result == nil", "--value", "healthy"],
            1,
            "",
            "Error: the value is no JSON (expected value at line 1 column 1); a text needs quotes: '\"healthy\"'\n",
        ),
    ] {
        assert_eq!(run(arguments, ""), (code, out.to_owned(), err.to_owned()), "{arguments:?}");
    }
}

#[test]
fn a_value_may_come_from_a_file_or_the_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answer.json");
    std::fs::write(&file, "{\"status\": \"ok\"}\n").unwrap();
    let (code, ..) = run(&["eval", "result.status == \"ok\"", "--value-file", file.to_str().unwrap()], "");
    assert_eq!(code, 0);
    let (code, out, _) = run(&["eval", "result.status == \"ok\"", "--value-file", "-"], "{\"status\": \"bad\"}");
    assert_eq!(code, 2, "{out}");
}

const TEMPLATE: &str = "apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  args: [{name: service}]
  metrics:
    - name: rate
      interval: 1m
      successCondition: result[0] <
      provider: {prometheus: {query: 'irate(errors_total{service=\"{{args.service}}\"}[5m])'}}
    - name: quantile
      provider: {prometheus: {query: 'histogram_quantile(0.9, sum(rate(x_bucket{pod=\"{{args.pod}}\"}[1m])))'}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
";

#[test]
fn templates_in_files_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.yaml");
    std::fs::write(&file, TEMPLATE).unwrap();
    let path = file.to_str().unwrap();
    let (code, out, err) = run(&["lint", "-f", path], "");
    let start = format!("{path}: AnalysisTemplate \"errors\": ");
    let lines: Vec<String> = out.lines().map(|line| line.replace(&start, "")).collect();
    assert_eq!(
        lines,
        [
            "error: metric 'rate': successCondition: \"result[0] <\" is no condition: unexpected token EOF",
            "metric 'rate': warning PQ010 at 1:1: irate looks at two samples only, which is noise: take rate",
            "  better: rate(errors_total{service=\"{{args.service}}\"}[5m])",
            "metric 'quantile': error PQ006 at 1:25: sum without le loses the bounds of the buckets, so that there is no quantile: sum by (le) (…)",
            "  better: histogram_quantile(0.9, sum by (le) (rate(x_bucket{pod=\"{{args.pod}}\"}[1m])))",
            "metric 'quantile': error PQ017 at 1:48: {{args.pod}} is no argument of the template: declare it, or correct the name",
            "1 objects, 3 errors, 1 warnings",
        ]
    );
    assert_eq!((code, err.as_str()), (1, "Error: lint found 3 errors\n"));
    let (_, out, _) = run(&["lint", "-f", path, "--scrape-interval", "30s"], "");
    assert!(out.contains("PQ003"), "{out}");
}

#[test]
fn a_file_without_faults_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.yaml");
    std::fs::write(&file, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n").unwrap();
    assert_eq!(
        run(&["lint", "-f", file.to_str().unwrap()], ""),
        (0, "0 objects, 0 errors, 0 warnings\n".to_owned(), String::new())
    );
    let (code, _, err) = run(&["lint", "-f", "/nonexistent.yaml"], "");
    assert_eq!(
        (code, err.as_str()),
        (1, "Error: could not read /nonexistent.yaml: No such file or directory (os error 2)\n")
    );
}
