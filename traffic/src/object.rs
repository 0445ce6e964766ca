//! The objects of one router: found, refused, and written, several of them in the order of safety.

use serde_json::{Value, json};

use crate::{Objects, Reference, RouterError, Write};

/// What one object needs, and whether that takes requests off the canary.
pub(crate) struct Planned {
    pub write: Option<Write>,
    pub falls: bool,
}

/// The writes, those that take requests off the canary first.
///
/// # Errors
/// The first object that cannot be planned; one broken object must not keep the others' users on the canary, so writes that take
/// requests off it come without the error, which the next plan reports.
pub(crate) fn in_order(plans: impl Iterator<Item = Result<Planned, RouterError>>) -> Result<Vec<Write>, RouterError> {
    let mut falling = Vec::new();
    let mut other = Vec::new();
    let mut problem = None;
    for plan in plans {
        match plan {
            Ok(Planned { write, falls: true }) => falling.extend(write),
            Ok(Planned { write, falls: false }) => other.extend(write),
            Err(error) => problem = problem.or(Some(error)),
        }
    }
    match problem {
        Some(error) if falling.is_empty() => Err(error),
        Some(_) => Ok(falling),
        None => Ok(falling.into_iter().chain(other).collect()),
    }
}

/// A merge patch that only fits the object it was made from, because lists are replaced as a whole.
pub(crate) fn patch(reference: &Reference, object: &Value, mut patch: Value, event: (&'static str, String)) -> Write {
    if let Some(version) = object.pointer("/metadata/resourceVersion") {
        // Not a merge: a null in the patch removes a field, and has to stay.
        if let Some(metadata) =
            patch.as_object_mut().and_then(|patch| patch.entry("metadata").or_insert_with(|| json!({})).as_object_mut())
        {
            metadata.insert("resourceVersion".to_owned(), version.clone());
        }
    }
    let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
    Write::Patch { reference: reference.clone(), uid, patch, event }
}

pub(crate) fn found<'a>(reference: &Reference, objects: &'a Objects) -> Result<&'a Value, RouterError> {
    let missing = || RouterError::Missing { kind: reference.kind, name: reference.name.clone() };
    objects.get(reference).ok_or_else(missing)
}

pub(crate) fn unsuitable(reference: &Reference, problem: String) -> RouterError {
    RouterError::Unsuitable { kind: reference.kind, name: reference.name.clone(), problem }
}
