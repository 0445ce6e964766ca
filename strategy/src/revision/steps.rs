//! The hash of the canary steps, by which an edit of the steps is noticed.
//!
//! Invariant: equal to the one Argo Rollouts wrote into `status.currentStepHash`, so that a release which another
//! controller left half-way is not started again. That hash is taken over Go's JSON of Go's structs: fields in the
//! order of the struct, absent when empty unless the field has no `omitempty`.

use crds::{CanaryStep, RolloutPause, RolloutStatus};
use serde_json::Value;

use super::hash::of_bytes;

/// The hash of these steps.
pub fn step_hash(steps: &[CanaryStep]) -> String {
    // Go writes an absent list as null.
    if steps.is_empty() {
        return of_bytes(*b"null");
    }
    // Most steps set a weight or pause, and every look at a Rollout asks for the hash: those take the short way.
    let endless = CanaryStep { pause: Some(RolloutPause::default()), ..CanaryStep::default() };
    let mut out = String::from("[");
    for (index, step) in steps.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match weight_alone(step) {
            Some(weight) => {
                out.push_str("{\"setWeight\":");
                out.push_str(&weight.to_string());
                out.push('}');
            }
            None if *step == endless => out.push_str("{\"pause\":{}}"),
            None => write(&STEP, &serde_json::to_value(step).unwrap_or_default(), &mut out),
        }
    }
    out.push(']');
    of_bytes(out.into_bytes())
}

fn weight_alone(step: &CanaryStep) -> Option<i32> {
    step.set_weight.filter(|_| *step == CanaryStep { set_weight: step.set_weight, ..CanaryStep::default() })
}

/// Whether the steps are not those of the release under way. A status without a hash knows no steps yet.
pub fn steps_changed(status: &RolloutStatus, steps: &[CanaryStep]) -> bool {
    match status.current_step_hash.as_deref() {
        None | Some("") => false,
        Some(stored) => stored != step_hash(steps) && !(steps.is_empty() && stored == of_bytes(*b"[]")),
    }
}

/// How Go writes a value.
enum Shape {
    /// As it is: a text, a number, a boolean.
    Scalar,
    /// Whatever it holds, in its own order.
    Raw,
    /// Sorted by key.
    Map(&'static Shape),
    List(&'static Shape),
    Struct(&'static [Field]),
}

struct Field {
    name: &'static str,
    shape: Shape,
    when_empty: WhenEmpty,
}

#[derive(Clone, Copy, PartialEq)]
enum WhenEmpty {
    /// `omitempty` of a text, number, boolean, list or map.
    Left,
    /// `omitempty` of a pointer: left out when absent, written when it points to an empty value.
    LeftWhenAbsent,
    /// A text, number or struct that is always written; this is what stands for an absent one.
    Written(&'static str),
}

const fn field(name: &'static str, shape: Shape, when_empty: WhenEmpty) -> Field {
    Field { name, shape, when_empty }
}

const fn text(name: &'static str) -> Field {
    field(name, Shape::Scalar, WhenEmpty::Written("\"\""))
}

const fn optional(name: &'static str) -> Field {
    field(name, Shape::Scalar, WhenEmpty::Left)
}

const fn pointer(name: &'static str, shape: Shape) -> Field {
    field(name, shape, WhenEmpty::LeftWhenAbsent)
}

const fn list(name: &'static str, item: &'static Shape) -> Field {
    field(name, Shape::List(item), WhenEmpty::Left)
}

static SCALAR: Shape = Shape::Scalar;

static STEP: Shape = Shape::Struct(&[
    pointer("setWeight", Shape::Scalar),
    pointer("pause", Shape::Struct(&[pointer("duration", Shape::Scalar)])),
    pointer("experiment", Shape::Struct(EXPERIMENT)),
    pointer("analysis", Shape::Struct(ANALYSIS)),
    pointer(
        "setCanaryScale",
        Shape::Struct(&[
            pointer("weight", Shape::Scalar),
            pointer("replicas", Shape::Scalar),
            optional("matchTrafficWeight"),
        ]),
    ),
    pointer("setHeaderRoute", Shape::Struct(&[optional("name"), list("match", &HEADER_MATCH)])),
    pointer(
        "setMirrorRoute",
        Shape::Struct(&[text("name"), list("match", &ROUTE_MATCH), pointer("percentage", Shape::Scalar)]),
    ),
    pointer("plugin", Shape::Struct(&[text("name"), pointer("config", Shape::Raw)])),
]);

static ANALYSIS: &[Field] = &[
    list("templates", &TEMPLATE_REF),
    list("args", &ARGUMENT),
    list("dryRun", &DRY_RUN),
    list("measurementRetention", &RETENTION),
    pointer("analysisRunMetadata", Shape::Struct(METADATA)),
];

static EXPERIMENT: &[Field] = &[
    list("templates", &EXPERIMENT_TEMPLATE),
    optional("duration"),
    list("analyses", &EXPERIMENT_ANALYSIS),
    field("analysisRunMetadata", Shape::Struct(METADATA), WhenEmpty::Written("{}")),
    list("dryRun", &DRY_RUN),
    pointer("scaleDownDelaySeconds", Shape::Scalar),
];

static EXPERIMENT_TEMPLATE: Shape = Shape::Struct(&[
    text("name"),
    text("specRef"),
    pointer("replicas", Shape::Scalar),
    field("metadata", Shape::Struct(METADATA), WhenEmpty::Written("{}")),
    pointer(
        "selector",
        Shape::Struct(&[
            field("matchLabels", Shape::Map(&SCALAR), WhenEmpty::Left),
            list("matchExpressions", &LABEL_REQUIREMENT),
        ]),
    ),
    pointer("weight", Shape::Scalar),
    pointer("service", Shape::Struct(&[optional("name")])),
]);

static EXPERIMENT_ANALYSIS: Shape = Shape::Struct(&[
    text("name"),
    text("templateName"),
    optional("clusterScope"),
    list("args", &ARGUMENT),
    optional("requiredForCompletion"),
]);

static METADATA: &[Field] = &[
    field("labels", Shape::Map(&SCALAR), WhenEmpty::Left),
    field("annotations", Shape::Map(&SCALAR), WhenEmpty::Left),
];
static TEMPLATE_REF: Shape = Shape::Struct(&[text("templateName"), optional("clusterScope")]);
static ARGUMENT: Shape = Shape::Struct(&[
    text("name"),
    optional("value"),
    pointer(
        "valueFrom",
        Shape::Struct(&[
            pointer("podTemplateHashValue", Shape::Scalar),
            pointer("fieldRef", Shape::Struct(&[text("fieldPath")])),
        ]),
    ),
]);
static DRY_RUN: Shape = Shape::Struct(&[text("metricName")]);
static RETENTION: Shape = Shape::Struct(&[text("metricName"), field("limit", Shape::Scalar, WhenEmpty::Written("0"))]);
static LABEL_REQUIREMENT: Shape = Shape::Struct(&[text("key"), text("operator"), list("values", &SCALAR)]);
static STRING_MATCH: Shape = Shape::Struct(&[optional("exact"), optional("prefix"), optional("regex")]);
static HEADER_MATCH: Shape = Shape::Struct(&[
    text("headerName"),
    field(
        "headerValue",
        Shape::Struct(&[optional("exact"), optional("prefix"), optional("regex")]),
        WhenEmpty::Written("null"),
    ),
]);
static ROUTE_MATCH: Shape = Shape::Struct(&[
    pointer("method", Shape::Struct(&[optional("exact"), optional("prefix"), optional("regex")])),
    pointer("path", Shape::Struct(&[optional("exact"), optional("prefix"), optional("regex")])),
    field("headers", Shape::Map(&STRING_MATCH), WhenEmpty::Left),
]);

fn write(shape: &Shape, value: &Value, out: &mut String) {
    match (shape, value) {
        (Shape::Struct(fields), Value::Object(map)) => {
            let mut first = true;
            out.push('{');
            for field in *fields {
                let present = map.get(field.name).filter(|value| !value.is_null());
                let written = match (present, field.when_empty) {
                    (Some(value), WhenEmpty::Left) => (!is_empty(value)).then_some(Written::Value(value)),
                    (Some(value), _) => Some(Written::Value(value)),
                    (None, WhenEmpty::Left | WhenEmpty::LeftWhenAbsent) => None,
                    (None, WhenEmpty::Written(empty)) => Some(Written::Text(empty)),
                };
                let Some(written) = written else { continue };
                if !first {
                    out.push(',');
                }
                first = false;
                write_text(field.name, out);
                out.push(':');
                match written {
                    Written::Value(value) => write(&field.shape, value, out),
                    Written::Text(text) => out.push_str(text),
                }
            }
            out.push('}');
        }
        (Shape::List(item), Value::Array(items)) => {
            out.push('[');
            for (index, value) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, value, out);
            }
            out.push(']');
        }
        (Shape::Map(item), Value::Object(map)) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(left, _)| *left);
            write_entries(entries, item, out);
        }
        (Shape::Raw, Value::Object(map)) => write_entries(map.iter().collect(), &Shape::Raw, out),
        (Shape::Raw, Value::Array(_)) => write(&Shape::List(&Shape::Raw), value, out),
        (_, Value::String(text)) => write_text(text, out),
        (_, other) => out.push_str(&other.to_string()),
    }
}

enum Written<'a> {
    Value(&'a Value),
    Text(&'static str),
}

fn write_entries(entries: Vec<(&String, &Value)>, item: &Shape, out: &mut String) {
    out.push('{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_text(key, out);
        out.push(':');
        write(item, value, out);
    }
    out.push('}');
}

/// Go escapes what could end a script element, and the two line separators of Unicode.
fn write_text(text: &str, out: &mut String) {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" -_./:%".contains(&byte)) {
        out.push('"');
        out.push_str(text);
        out.push('"');
        return;
    }
    for symbol in Value::from(text).to_string().chars() {
        match symbol {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn steps(value: Value) -> Vec<CanaryStep> {
        serde_json::from_value(value).unwrap()
    }

    /// Pairs of `spec.strategy.canary.steps` and `status.currentStepHash`, captured from clusters where Argo Rollouts
    /// was the controller.
    #[test]
    fn the_hashes_are_those_argo_wrote() {
        let table = [
            (json!([{"setWeight": 40}, {"pause": {}}]), "557c698759"),
            (
                json!([{"setWeight": 25}, {"experiment": {"analysisRunMetadata": {}, "duration": "1h", "templates": [
                    {"metadata": {}, "name": "baseline", "specRef": "stable"},
                    {"metadata": {}, "name": "candidate", "specRef": "canary"},
                ]}}]),
                "6954f698f4",
            ),
            (
                json!([{"setWeight": 25}, {"experiment": {"duration": "1h", "templates": [
                    {"name": "baseline", "specRef": "stable"}, {"name": "candidate", "specRef": "canary"},
                ]}}]),
                "6954f698f4",
            ),
            (json!([{"setWeight": 50}]), "854b84c96b"),
            (
                json!([{"setWeight": 25}, {"setHeaderRoute": {"match": [
                    {"headerName": "x-qa", "headerValue": {"exact": "1"}},
                ], "name": "qa"}}, {"pause": {}}]),
                "647d5698f7",
            ),
            (json!([{"setCanaryScale": {"replicas": 1}}, {"setWeight": 10}, {"pause": {}}]), "5c778f549b"),
            (
                json!([{"setWeight": 50}, {"analysis": {
                    "args": [{"name": "host", "value": "https://127.0.0.1:16443"}],
                    "templates": [{"templateName": "version"}],
                }}, {"pause": {}}]),
                "68b96f879c",
            ),
            (json!([{"setWeight": 30}, {"pause": {}}, {"setWeight": 70}, {"pause": {"duration": "5s"}}]), "7869ff7647"),
            (
                json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {"duration": "10s"}}]),
                "56494dffb5",
            ),
            (json!([{"setWeight": 25}, {"pause": {}}]), "77b4b4f4c6"),
            (json!([{"setWeight": 25}, {"pause": {"duration": "1h"}}]), "6bf5f77bd9"),
            (json!([{"setWeight": 50}, {"pause": {}}]), "757f5f97b"),
        ];
        for (value, expected) in table {
            assert_eq!(step_hash(&steps(value.clone())), expected, "{value}");
        }
    }

    #[test]
    fn zero_and_empty_are_written_as_go_does() {
        let mut out = String::new();
        let value = json!([
            {"setWeight": 0},
            {"setCanaryScale": {"replicas": 0, "matchTrafficWeight": false}},
            {"analysis": {"templates": [], "args": [{"value": "a<b", "name": "x"}]}},
            {"plugin": {"config": {"z": [1], "a": null}, "name": "p"}},
        ]);
        write(&Shape::List(&STEP), &value, &mut out);
        assert_eq!(
            out,
            r#"[{"setWeight":0},{"setCanaryScale":{"replicas":0}},"#.to_owned()
                + r#"{"analysis":{"args":[{"name":"x","value":"a\u003cb"}]}},"#
                + r#"{"plugin":{"name":"p","config":{"z":[1],"a":null}}}]"#,
        );
    }

    #[test]
    fn only_a_different_hash_is_a_change() {
        let mut status = RolloutStatus::default();
        assert!(!steps_changed(&status, &steps(json!([{"setWeight": 50}]))));
        status.current_step_hash = Some("854b84c96b".to_owned());
        assert!(!steps_changed(&status, &steps(json!([{"setWeight": 50}]))));
        assert!(steps_changed(&status, &steps(json!([{"setWeight": 51}]))));
        assert!(steps_changed(&status, &[]));
        status.current_step_hash = Some(of_bytes(*b"[]"));
        assert!(!steps_changed(&status, &[]));
    }
}
