//! Arguments: their values, and `{{args.name}}` in a metric.
//!
//! A metric is turned into JSON, every `{{args.name}}` in it is replaced by the value with JSON escaping, and the JSON is
//! read back: so an argument may stand in any text field, and can never break out of it.

use std::collections::BTreeMap;

use crds::{AnalysisRunArgument, Argument, Metric};
use serde_json::Value;

use super::TemplateError;
use crate::words::REDACTED;

/// What the arguments of a Rollout may refer to.
#[derive(Debug, Clone, Copy)]
pub struct ArgValues<'a> {
    /// Pod-template hash of the stable version.
    pub stable_hash: &'a str,
    /// Pod-template hash of the new version.
    pub latest_hash: &'a str,
    /// The object itself as JSON, for field references.
    pub object: &'a Value,
}

/// Gives the arguments of a Rollout their values.
pub fn resolve_rollout_args(
    args: &[AnalysisRunArgument],
    values: &ArgValues<'_>,
) -> Result<Vec<Argument>, TemplateError> {
    args.iter()
        .map(|arg| {
            let value = match (&arg.value, &arg.value_from) {
                (Some(value), _) => Some(value.clone()),
                (None, None) => None,
                (None, Some(from)) => match (from.pod_template_hash_value.as_deref(), &from.field_ref) {
                    (Some("Stable"), _) => Some(values.stable_hash.to_owned()),
                    (Some("Latest"), _) => Some(values.latest_hash.to_owned()),
                    (Some(other), _) => {
                        let problem = format!("podTemplateHashValue is \"{other}\": use Stable or Latest");
                        return Err(TemplateError::Argument { arg: arg.name.clone(), problem });
                    }
                    (None, Some(field)) => Some(field_of(&arg.name, values.object, &field.field_path)?),
                    (None, None) => None,
                },
            };
            Ok(Argument { name: arg.name.clone(), value, value_from: None })
        })
        .collect()
}

/// The value at a path such as `metadata.labels['region']` or `status.HPAReplicas`.
fn field_of(arg: &str, object: &Value, path: &str) -> Result<String, TemplateError> {
    let fail = |problem: &str| TemplateError::FieldRef {
        arg: arg.to_owned(),
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    let mut at = object;
    let trimmed = path.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
    let mut rest = trimmed.trim_start_matches('.');
    if rest.is_empty() {
        return Err(fail("the path is empty"));
    }
    while !rest.is_empty() {
        let (key, after) = if let Some(inner) = rest.strip_prefix('[') {
            let (key, after) = match inner.chars().next() {
                Some(quote @ ('\'' | '"')) => inner
                    .get(1..)
                    .and_then(|inner| inner.split_once(quote))
                    .and_then(|(key, after)| Some((key, after.strip_prefix(']')?)))
                    .ok_or_else(|| fail("a [ is not closed"))?,
                _ => inner.split_once(']').ok_or_else(|| fail("a [ is not closed"))?,
            };
            (key.to_owned(), after)
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (key, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            (key.to_owned(), after)
        };
        let next = match at {
            Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
            other => other.get(&key),
        };
        at = next.ok_or_else(|| fail(&format!("there is no field {key}")))?;
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    match at {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Err(fail("the field has no value")),
        other => Ok(other.to_string()),
    }
}

/// The declared arguments with the caller's values over their defaults. What is not declared is dropped.
pub(super) fn merge(declared: &[Argument], given: &[Argument]) -> Result<Vec<Argument>, TemplateError> {
    declared
        .iter()
        .map(|arg| {
            let over = given.iter().find(|over| over.name == arg.name);
            let chosen = over.filter(|over| over.value.is_some() || over.value_from.is_some()).unwrap_or(arg);
            if chosen.value.is_none() && chosen.value_from.is_none() {
                return Err(TemplateError::Unresolved(arg.name.clone()));
            }
            Ok(chosen.clone())
        })
        .collect()
}

/// What an argument stands for while a text is filled in.
enum Meaning {
    Text(String),
    /// Left as it is: the value is not known yet.
    Later,
}

fn fill(metric: &Metric, meaning: &dyn Fn(&str) -> Option<Meaning>) -> Result<Metric, TemplateError> {
    let wrong =
        |problem: String| TemplateError::Metric { metric: metric.name.clone(), field: "arguments".to_owned(), problem };
    let json = serde_json::to_string(metric).map_err(|error| wrong(error.to_string()))?;
    let mut out = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some((before, inside)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((tag, after)) = inside.split_once("}}") else {
            out.push_str("{{");
            rest = inside;
            continue;
        };
        match tag.trim().strip_prefix("args.") {
            // Another template language's braces are none of ours; `{{` may also begin nested JSON.
            None => {
                out.push_str("{{");
                rest = inside;
                continue;
            }
            Some(name) => match meaning(name) {
                None => return Err(wrong(format!("failed to resolve {{{{args.{name}}}}}"))),
                Some(Meaning::Later) => {
                    out.push_str("{{");
                    out.push_str(tag);
                    out.push_str("}}");
                }
                Some(Meaning::Text(text)) => {
                    let quoted = Value::String(text).to_string();
                    out.push_str(quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"')).unwrap_or_default());
                }
            },
        }
        rest = after;
    }
    out.push_str(rest);
    serde_json::from_str(&out).map_err(|error| wrong(format!("does not fit after filling in the arguments: {error}")))
}

/// The metric with all arguments that are no secret.
pub(crate) fn known(metric: &Metric, args: &[Argument]) -> Result<Metric, TemplateError> {
    fill(metric, &|name| {
        let arg = args.iter().find(|arg| arg.name == name)?;
        match (&arg.value, &arg.value_from) {
            (Some(value), _) => Some(Meaning::Text(value.clone())),
            (None, Some(_)) => Some(Meaning::Later),
            (None, None) => None,
        }
    })
}

/// The metric with all arguments; `secrets` has the values that come from Secrets, by argument.
pub(crate) fn all(
    metric: &Metric,
    args: &[Argument],
    secrets: &BTreeMap<String, String>,
) -> Result<Metric, TemplateError> {
    fill(metric, &|name| {
        let arg = args.iter().find(|arg| arg.name == name)?;
        arg.value.as_ref().or_else(|| secrets.get(name)).map(|value| Meaning::Text(value.clone()))
    })
}

/// Takes secrets out of texts.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    /// Longest first, so that no part of a longer one stays.
    secrets: Vec<String>,
}

impl Redactor {
    /// For these secrets; empty ones hide nothing.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut all = Vec::new();
        for secret in secrets {
            let escaped = Value::String(secret.clone()).to_string();
            let escaped = escaped.trim_matches('"').to_owned();
            for form in [secret.trim().to_owned(), secret, escaped] {
                if !form.is_empty() && !all.contains(&form) {
                    all.push(form);
                }
            }
        }
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets: all }
    }

    /// The text without secrets.
    pub fn clean(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), REDACTED))
    }
}
