//! What answers of GraphQL have in common (spec of October 2021, section 7): the status is 200 and the errors are inside.

use serde_json::Value as Json;

use super::Outcome;

/// The data of an answer without errors.
pub(super) fn data<'a>(who: &str, answer: &'a Json) -> Result<&'a Json, Outcome> {
    let errors: Vec<&str> = answer
        .get("errors")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .map(|error| error.get("message").and_then(Json::as_str).unwrap_or("an error without message"))
        .collect();
    if !errors.is_empty() {
        return Err(Outcome::error(format!("{who}: {}", errors.join("; "))));
    }
    answer
        .get("data")
        .filter(|data| !data.is_null())
        .ok_or_else(|| Outcome::error(format!("the answer of {who} has no data: does the address fit?")))
}
