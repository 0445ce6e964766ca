//! Whether the Gateways have what a route says: their words in its status.
//!
//! A Gateway writes `Accepted` and `ResolvedRefs` with the generation of the route it has looked at. Until that is the present one, requests
//! may still go where the route led before.

use serde_json::Value;

use crate::{Reference, Verified};

/// Whether every route has been accepted as it is now.
pub(super) fn all<'a>(routes: impl Iterator<Item = (&'a Reference, &'a Value)>) -> Verified {
    for (reference, route) in routes {
        match one(route) {
            Verified::No(why) => return Verified::No(format!("{} \"{}\": {why}", reference.kind, reference.name)),
            Verified::NotYet | Verified::Unknown => return Verified::NotYet,
            Verified::Yes => {}
        }
    }
    Verified::Yes
}

fn one(route: &Value) -> Verified {
    let generation = route.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
    let parents = route.pointer("/status/parents").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (mut accepted, mut refused) = (false, None);
    for parent in parents {
        let name = parent.pointer("/parentRef/name").and_then(Value::as_str).unwrap_or_default();
        let conditions = parent.get("conditions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let find = |wanted: &str| conditions.iter().find(|one| one.get("type").and_then(Value::as_str) == Some(wanted));
        let text = |condition: &Value, field: &str| {
            condition.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let Some(condition) = find("Accepted") else { continue };
        let observed = condition.get("observedGeneration").and_then(Value::as_i64).unwrap_or(0);
        if observed < generation {
            return Verified::NotYet;
        }
        // One that never took the route gets no requests for it.
        if text(condition, "status") != "True" {
            refused = Some(format!("{name} does not accept it: {}", text(condition, "message")));
            continue;
        }
        accepted = true;
        if let Some(refs) = find("ResolvedRefs").filter(|refs| text(refs, "status") == "False") {
            return Verified::No(format!("{name} cannot find what it leads to: {}", text(refs, "message")));
        }
    }
    match (accepted, refused) {
        (true, _) => Verified::Yes,
        (false, Some(why)) => Verified::No(why),
        (false, None) => Verified::NotYet,
    }
}
