//! Header and mirror routes: routes of the controller's own, named in `managedRoutes`, before all of the user's and in that order.
//!
//! A request that one of them takes is answered like any other: timeouts, retries and rewrites are those of the route it would have
//! taken. A header route leads to the canary. A mirror route has the shares of the user's route and copies to the canary; it only takes
//! requests which that route would have, so that it never changes who answers.
//!
//! Invariants: a route that is not desired is not there; one that does what is desired stays as it is written, whoever wrote it.

use crds::StringMatch;
use serde_json::{Map, Value, json};

use super::TOTAL;
use super::weights::Names;
use crate::object::unsuitable;
use crate::{HeaderRoute, HeaderValue, MirrorRoute, Reference, RouterError, Routing};

/// The fields that say what a managed route does. Others are copied from the user's route when it is made.
const SAYING: [&str; 5] = ["name", "match", "route", "mirror", "mirrorPercentage"];

fn name_of(route: &Value) -> Option<&str> {
    route.get("name").and_then(Value::as_str)
}

fn is_wanted(name: &str, desired: &Routing) -> bool {
    desired.headers.iter().any(|route| route.name == name) || desired.mirrors.iter().any(|route| route.name == name)
}

/// Whether a managed route is there that is not desired any more: requests leave the canary when it goes.
pub(super) fn ends(routes: &[Value], managed: &[String], desired: &Routing) -> bool {
    routes
        .iter()
        .filter_map(name_of)
        .any(|name| managed.iter().any(|managed| managed == name) && !is_wanted(name, desired))
}

/// Brings the managed routes of a list to what is desired. `primary` is the first of the user's routes, as it is to be.
pub(super) fn place(
    reference: &Reference,
    routes: &mut Vec<Value>,
    managed: &[String],
    primary: Option<&Value>,
    names: &Names<'_>,
    desired: &Routing,
) -> Result<(), RouterError> {
    if managed.is_empty() {
        return Ok(());
    }
    let (known, users): (Vec<Value>, Vec<Value>) = std::mem::take(routes)
        .into_iter()
        .partition(|route| name_of(route).is_some_and(|name| managed.iter().any(|managed| managed == name)));
    for name in managed.iter().filter(|name| is_wanted(name, desired)) {
        let canary = primary.and_then(|primary| Some((primary, names.canary(primary)?)));
        let Some((primary, canary)) = canary else {
            return Err(unsuitable(
                reference,
                format!("has no HTTP route to the canary beside which the managed route \"{name}\" could stand"),
            ));
        };
        let wanted = made(name, primary, &canary, desired);
        let says = |route: &&Value| SAYING.iter().all(|field| route.get(field) == wanted.get(field));
        let known = known.iter().find(|route| name_of(route) == Some(name)).filter(says).cloned();
        routes.push(known.unwrap_or(wanted));
    }
    routes.extend(users);
    Ok(())
}

fn made(name: &str, primary: &Value, canary: &Value, desired: &Routing) -> Value {
    let mut route = Map::new();
    route.insert("name".to_owned(), json!(name));
    let mirror = desired.mirrors.iter().find(|route| route.name == name);
    if let Some(mirror) = mirror {
        route.insert("match".to_owned(), within(primary, &mirrored(mirror)));
        route.insert("route".to_owned(), primary.get("route").cloned().unwrap_or_default());
        route.insert("mirror".to_owned(), canary.clone());
        route.insert("mirrorPercentage".to_owned(), json!({ "value": mirror.percentage }));
    } else {
        let tests: Vec<Value> = desired.headers.iter().filter(|route| route.name == name).map(header).collect();
        route.insert("match".to_owned(), Value::Array(tests));
        route.insert("route".to_owned(), json!([{ "destination": canary, "weight": TOTAL }]));
        for field in ["mirror", "mirrorPercentage"] {
            if let Some(value) = primary.get(field) {
                route.insert(field.to_owned(), value.clone());
            }
        }
    }
    for (field, value) in primary.as_object().into_iter().flatten() {
        if !SAYING.contains(&field.as_str()) {
            route.insert(field.clone(), value.clone());
        }
    }
    Value::Object(route)
}

fn header(route: &HeaderRoute) -> Value {
    let value = match &route.value {
        HeaderValue::Exact(text) => json!({ "exact": text }),
        HeaderValue::Prefix(text) => json!({ "prefix": text }),
        HeaderValue::Regex(text) => json!({ "regex": text }),
    };
    json!({ "headers": { route.header.clone(): value } })
}

/// The tests, each together with each of the user's route's own.
fn within(primary: &Value, tests: &[Value]) -> Value {
    let own = primary.get("match").and_then(Value::as_array).filter(|own| !own.is_empty());
    let Some(own) = own else { return tests.iter().cloned().collect() };
    own.iter().flat_map(|own| tests.iter().map(move |test| both(own, test))).collect()
}

/// One test that holds where both do; of two that test the same, the narrower one.
fn both(own: &Value, test: &Value) -> Value {
    let mut joined = own.as_object().cloned().unwrap_or_default();
    for (field, value) in test.as_object().into_iter().flatten() {
        match joined.get_mut(field) {
            Some(Value::Object(headers)) if field == "headers" => {
                headers.extend(value.as_object().cloned().unwrap_or_default());
            }
            Some(known) if is_within(known, value) => {}
            _ => drop(joined.insert(field.clone(), value.clone())),
        }
    }
    Value::Object(joined)
}

/// Whether whatever passes the first test of a text passes the second, a prefix.
fn is_within(first: &Value, second: &Value) -> bool {
    let text = |value: &Value, kind: &str| value.get(kind).and_then(Value::as_str).map(str::to_owned);
    let first = text(first, "prefix").or_else(|| text(first, "exact"));
    text(second, "prefix").zip(first).is_some_and(|(prefix, text)| text.starts_with(&prefix))
}

fn mirrored(route: &MirrorRoute) -> Vec<Value> {
    let test = |test: &StringMatch| serde_json::to_value(test).unwrap_or_default();
    let one = |rule: &crds::RouteMatch| {
        let mut fields = Map::new();
        if let Some(method) = &rule.method {
            fields.insert("method".to_owned(), test(method));
        }
        if let Some(path) = &rule.path {
            fields.insert("uri".to_owned(), test(path));
        }
        if let Some(headers) = rule.headers.as_ref().filter(|headers| !headers.is_empty()) {
            let headers: Map<String, Value> = headers.iter().map(|(name, value)| (name.clone(), test(value))).collect();
            fields.insert("headers".to_owned(), Value::Object(headers));
        }
        Value::Object(fields)
    };
    route.matches.iter().map(one).collect()
}
