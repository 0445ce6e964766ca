//! Header and mirror routes: rules of the controller's own before all of the user's, in the order of `managedRoutes`.
//!
//! There is one beside each rule that takes part, named like the managed route, from the second on with a number. It only takes requests
//! which that rule would have taken, so that it never changes who answers the others: a rule of the user that is more specific still
//! wins. A header route leads to the canary, a mirror route has the shares of the rule and copies to the canary; filters and timeouts
//! are those of the rule.
//!
//! Invariant: a rule that is not desired is not there.

use crds::RouteMatch;
use serde_json::{Map, Value, json};

use super::backends::Names;
use super::target::Kind;
use crate::object::unsuitable;
use crate::{HeaderRoute, HeaderValue, MirrorRoute, Reference, RouterError, Routing};

/// Whether a rule is the controller's: it has the name of a managed route, or that name with a number and the form of such a rule.
pub(super) fn is_managed(rule: &Value, managed: &[String], names: &Names<'_>) -> bool {
    let Some(name) = rule.get("name").and_then(Value::as_str) else { return false };
    managed.iter().any(|managed| {
        if name == managed {
            return true;
        }
        let number = name.strip_prefix(managed.as_str()).and_then(|rest| rest.strip_prefix('-'));
        let numbered = number.is_some_and(|number| number.parse::<usize>().is_ok());
        numbered && (names.only_canary(rule) || copies_to_canary(rule, names))
    })
}

fn copies_to_canary(rule: &Value, names: &Names<'_>) -> bool {
    let filters = rule.get("filters").and_then(Value::as_array).into_iter().flatten();
    filters.filter_map(|filter| filter.pointer("/requestMirror/backendRef")).any(|backend| names.is_canary(backend))
}

/// The rules that are desired, beside the user's as they are to be.
pub(super) fn wanted(
    reference: &Reference,
    kind: Kind,
    managed: &[String],
    users: &[Value],
    names: &Names<'_>,
    desired: &Routing,
) -> Result<Vec<Value>, RouterError> {
    let mut rules = Vec::new();
    for name in managed {
        let mirror = desired.mirrors.iter().find(|route| route.name == *name);
        let headers: Vec<&HeaderRoute> = desired.headers.iter().filter(|route| route.name == *name).collect();
        let tests: Vec<Value> = match mirror {
            Some(mirror) => mirrored(kind, mirror).map_err(|problem| unsuitable(reference, problem))?,
            None => headers.into_iter().map(header).collect(),
        };
        if tests.is_empty() {
            continue;
        }
        let mut number = 0;
        for rule in users.iter().filter(|rule| names.takes_part(rule)) {
            let matches = within(rule, &tests).map_err(|problem| unsuitable(reference, problem))?;
            let Some(canary) = names.canary(rule) else { continue };
            if matches.is_empty() {
                continue;
            }
            let called = if number == 0 { name.clone() } else { format!("{name}-{number}") };
            number += 1;
            rules.push(made(&called, rule, matches, canary, mirror));
        }
    }
    Ok(rules)
}

fn made(name: &str, rule: &Value, matches: Vec<Value>, mut canary: Value, mirror: Option<&MirrorRoute>) -> Value {
    let mut fields = rule.as_object().cloned().unwrap_or_default();
    fields.insert("name".to_owned(), json!(name));
    fields.insert("matches".to_owned(), Value::Array(matches));
    if let Some(mirror) = mirror {
        // Filters of the backend have no place in a mirror.
        if let Some(canary) = canary.as_object_mut() {
            canary.remove("filters");
        }
        let mut copy = json!({ "backendRef": canary });
        if mirror.percentage < 100
            && let Some(copy) = copy.as_object_mut()
        {
            copy.insert("percent".to_owned(), json!(mirror.percentage));
        }
        let mut filters = rule.get("filters").and_then(Value::as_array).cloned().unwrap_or_default();
        filters.push(json!({ "type": "RequestMirror", "requestMirror": copy }));
        fields.insert("filters".to_owned(), Value::Array(filters));
    } else {
        if let Some(canary) = canary.as_object_mut() {
            canary.insert("weight".to_owned(), json!(1));
        }
        fields.insert("backendRefs".to_owned(), json!([canary]));
    }
    Value::Object(fields)
}

fn header(route: &HeaderRoute) -> Value {
    json!({ "headers": [header_test(&route.header, &route.value)] })
}

fn header_test(name: &str, value: &HeaderValue) -> Value {
    match value {
        HeaderValue::Exact(text) => json!({ "type": "Exact", "name": name, "value": text }),
        HeaderValue::Prefix(text) => {
            json!({ "type": "RegularExpression", "name": name, "value": format!("^{}.*", escaped(text)) })
        }
        HeaderValue::Regex(text) => json!({ "type": "RegularExpression", "name": name, "value": text }),
    }
}

/// The text with what means something in a regular expression escaped.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// The tests of a mirror route, one of which is enough.
fn mirrored(kind: Kind, route: &MirrorRoute) -> Result<Vec<Value>, String> {
    route.matches.iter().map(|one| mirror_test(kind, &route.name, one)).collect()
}

fn mirror_test(kind: Kind, name: &str, rule: &RouteMatch) -> Result<Value, String> {
    let mut fields = Map::new();
    if kind != Kind::Http && (rule.method.is_some() || rule.path.is_some()) {
        return Err(format!(
            "setMirrorRoute \"{name}\" tests a path or method, which a GRPCRoute cannot; test headers"
        ));
    }
    if let Some(method) = &rule.method {
        let exact = method.exact.as_ref().filter(|_| method.prefix.is_none() && method.regex.is_none());
        let Some(exact) = exact else {
            return Err(format!(
                "setMirrorRoute \"{name}\" tests the method by another way than exact; the Gateway API only knows that"
            ));
        };
        fields.insert("method".to_owned(), json!(exact));
    }
    if let Some(path) = &rule.path {
        let (kind, text) = match (&path.exact, &path.prefix, &path.regex) {
            (Some(text), ..) => ("Exact", text),
            (None, Some(text), _) => ("PathPrefix", text),
            (None, None, Some(text)) => ("RegularExpression", text),
            (None, None, None) => ("PathPrefix", &String::from("/")),
        };
        fields.insert("path".to_owned(), json!({ "type": kind, "value": text }));
    }
    if let Some(headers) = rule.headers.as_ref().filter(|headers| !headers.is_empty()) {
        let tests: Vec<Value> =
            headers.iter().filter_map(|(name, test)| Some(header_test(name, &HeaderValue::of(test)?))).collect();
        fields.insert("headers".to_owned(), Value::Array(tests));
    }
    Ok(Value::Object(fields))
}

/// The tests, each together with each of the rule's own; those that nothing passes are left out.
fn within(rule: &Value, tests: &[Value]) -> Result<Vec<Value>, String> {
    let own = rule.get("matches").and_then(Value::as_array).filter(|own| !own.is_empty());
    let Some(own) = own else { return Ok(tests.to_vec()) };
    let pairs = own.iter().flat_map(|own| tests.iter().map(move |test| both(own, test)));
    pairs.filter_map(Result::transpose).collect()
}

/// One test that holds where both do; `None` when nothing passes both.
fn both(own: &Value, test: &Value) -> Result<Option<Value>, String> {
    let mut joined = own.as_object().cloned().unwrap_or_default();
    for (field, value) in test.as_object().into_iter().flatten() {
        match (field.as_str(), joined.get_mut(field)) {
            (_, None) => drop(joined.insert(field.clone(), value.clone())),
            ("headers", Some(Value::Array(headers))) => {
                for test in value.as_array().into_iter().flatten() {
                    match headers.iter_mut().find(|known| same_header(known, test)) {
                        Some(known) => match narrower(known, test, "Exact")? {
                            Some(test) => *known = test,
                            None => return Ok(None),
                        },
                        None => headers.push(test.clone()),
                    }
                }
            }
            ("path", Some(known)) => match narrower(known, value, "PathPrefix")? {
                Some(test) => *known = test,
                None => return Ok(None),
            },
            (_, Some(known)) if known == value => {}
            (_, Some(_)) => return Ok(None),
        }
    }
    Ok(Some(Value::Object(joined)))
}

fn same_header(one: &Value, other: &Value) -> bool {
    let name = |test: &Value| test.get("name").and_then(Value::as_str).map(str::to_ascii_lowercase);
    name(one) == name(other)
}

/// Of two tests of the same text the one that passes less; `None` when no text passes both.
///
/// # Errors
/// A regular expression beside another test: a rule tests a text only once, and which texts an expression passes is not known here.
fn narrower(own: &Value, test: &Value, default: &str) -> Result<Option<Value>, String> {
    if own == test {
        return Ok(Some(own.clone()));
    }
    let kind = |test: &Value| test.get("type").and_then(Value::as_str).unwrap_or(default).to_owned();
    let told = |test: &Value| test.get("value").and_then(Value::as_str).unwrap_or_default().to_owned();
    let ((own_kind, own_text), (kind, words)) = ((kind(own), told(own)), (kind(test), told(test)));
    let covers = |prefix: &str, path: &str| {
        let prefix = prefix.trim_end_matches('/');
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    Ok(match (own_kind.as_str(), kind.as_str()) {
        ("PathPrefix", "PathPrefix" | "Exact") if covers(&own_text, &words) => Some(test.clone()),
        ("PathPrefix", _) if own_text == "/" => Some(test.clone()),
        (_, "PathPrefix") if words == "/" => Some(own.clone()),
        ("PathPrefix" | "Exact", "PathPrefix") => covers(&words, &own_text).then(|| own.clone()),
        ("PathPrefix" | "Exact", "Exact") => (own_text == words && own_kind == "Exact").then(|| own.clone()),
        _ => {
            return Err(format!(
                "has a rule that tests {own} while the managed route tests {test}: the two cannot be joined; give the managed route's requests a rule of their own"
            ));
        }
    })
}
