//! Label and field selectors, as texts in a query and as `LabelSelector` objects.

use serde_json::Value;

use super::failure::Failure;
use super::resource::Resource;
use crate::json;

/// One requirement of a label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

/// A parsed label selector; the empty one selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Labels(Vec<Requirement>);

impl Labels {
    /// Parses `a=b,c in (d,e),!f`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        split(text)
            .into_iter()
            .filter(|part| !part.trim().is_empty())
            .map(|part| requirement(part.trim()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Reads a `LabelSelector` object (`matchLabels`, `matchExpressions`).
    pub(crate) fn from_object(selector: &Value) -> Self {
        let mut all = Self::from_map(selector.get("matchLabels").unwrap_or(&Value::Null)).0;
        for expression in json::list(selector, &["matchExpressions"]) {
            let key = json::text(expression, &["key"]).unwrap_or_default().to_owned();
            let values =
                json::list(expression, &["values"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
            all.push(match json::text(expression, &["operator"]) {
                Some("NotIn") => Requirement::NotIn(key, values),
                Some("Exists") => Requirement::Exists(key),
                Some("DoesNotExist") => Requirement::Absent(key),
                _ => Requirement::In(key, values),
            });
        }
        Self(all)
    }

    /// Reads a plain map of labels, as a Service's selector.
    pub(crate) fn from_map(labels: &Value) -> Self {
        let pairs = labels.as_object().into_iter().flatten();
        Self(
            pairs
                .filter_map(|(key, value)| Some(Requirement::In(key.clone(), vec![value.as_str()?.to_owned()])))
                .collect(),
        )
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the object's labels fulfil every requirement.
    pub(crate) fn select(&self, object: &Value) -> bool {
        let label = |key: &str| json::at(object, &["metadata", "labels", key]).and_then(Value::as_str);
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => label(key).is_some_and(|found| values.iter().any(|value| value == found)),
            Requirement::NotIn(key, values) => label(key).is_none_or(|found| values.iter().all(|value| value != found)),
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
        })
    }
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text.get(start..index).unwrap_or_default());
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

fn requirement(text: &str) -> Result<Requirement, Failure> {
    let key_ok = |key: &str| {
        let name = key.rsplit('/').next().unwrap_or_default();
        !name.is_empty()
            && name.len() <= 63
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let unable = |why: String| Failure::bad_request(format!("unable to parse requirement: {why}"));
    let checked = |key: &str| {
        let key = key.trim().to_owned();
        if key_ok(&key) {
            Ok(key)
        } else {
            Err(unable(format!(
                "<nil>: Invalid value: {key:?}: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            )))
        }
    };
    if let Some(key) = text.strip_prefix('!') {
        return Ok(Requirement::Absent(checked(key)?));
    }
    for (operator, negated) in [("!=", true), ("==", false), ("=", false)] {
        if let Some((key, value)) = text.split_once(operator) {
            let (key, value) = (checked(key)?, value.trim().to_owned());
            if value.contains(['=', '!', ' ']) {
                return Err(Failure::bad_request(format!("found '{value}', expected: ',' or 'end of string'")));
            }
            let values = vec![value];
            return Ok(if negated { Requirement::NotIn(key, values) } else { Requirement::In(key, values) });
        }
    }
    for (operator, negated) in [(" notin ", true), (" in ", false), (" notin(", true), (" in(", false)] {
        if let Some((key, values)) = text.split_once(operator) {
            let values = values.trim().trim_start_matches('(').trim_end_matches(')');
            let values = values.split(',').map(|value| value.trim().to_owned()).collect();
            let key = checked(key)?;
            return Ok(if negated { Requirement::NotIn(key, values) } else { Requirement::In(key, values) });
        }
    }
    if let Some((_, rest)) = text.split_once(char::is_whitespace) {
        let found = rest.split_whitespace().next().unwrap_or_default();
        return Err(unable(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt")));
    }
    Ok(Requirement::Exists(checked(text)?))
}

/// A parsed field selector: path, whether equal, value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, bool, String)>);

impl Fields {
    /// Parses `metadata.name=a,status.phase!=Running` and refuses fields the kind does not offer.
    pub(crate) fn parse(text: &str, resource: &Resource) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (key, equal, value) = if let Some((key, value)) = part.split_once("!=") {
                (key, false, value)
            } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (key, true, value)
            } else {
                return Err(Failure::bad_request(format!("invalid selector: '{text}'; can't understand '{part}'")));
            };
            if !offered(resource, key) {
                let why = format!("field label not supported: {key}");
                let message = if resource.custom.is_some() || !special_fields(resource).is_empty() {
                    why
                } else {
                    format!("{key:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
                };
                return Err(Failure::bad_request(message));
            }
            all.push((key.to_owned(), equal, value.to_owned()));
        }
        Ok(Self(all))
    }

    /// Whether the object's fields fulfil every requirement.
    pub(crate) fn select(&self, object: &Value) -> bool {
        self.0.iter().all(|(key, equal, value)| {
            let path = if key == "reportingComponent" { "reportingController" } else { key.as_str() };
            let found = match json::at(object, &json::dotted(path)) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None if key == "spec.unschedulable" => "false".to_owned(),
                Some(Value::Null) | None => String::new(),
                Some(other) => other.to_string(),
            };
            (found == *value) == *equal
        })
    }
}

fn offered(resource: &Resource, key: &str) -> bool {
    if key == "metadata.name" || (key == "metadata.namespace" && (resource.namespaced || resource.custom.is_none())) {
        return true;
    }
    special_fields(resource).contains(&key)
}

/// What a kind offers besides name and namespace.
fn special_fields(resource: &Resource) -> &'static [&'static str] {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "events") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("", "secrets") => &["type"],
        ("", "namespaces") => &["status.phase"],
        ("", "nodes") => &["spec.unschedulable"],
        ("", "services") => &["spec.clusterIP", "spec.type"],
        ("apps", "replicasets") => &["status.replicas"],
        ("batch", "jobs") => &["status.successful"],
        _ => &[],
    }
}
