//! `set image`: new images for containers, which is a new revision.

use serde_json::{Value, json};

use super::workload::Holder;
use crate::errors::Error;
use crate::names;
use crate::session::Session;

/// How often to look again when someone changes the template between look and write.
const TRIES: usize = 5;
/// The lists of a pod template that hold containers.
const LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Sets images; `*` stands for all containers.
///
/// # Errors
/// A container does not exist, the template keeps changing, or the write failed.
pub async fn run(session: &Session, name: &str, images: &[(String, String)]) -> Result<String, Error> {
    for _ in 0..TRIES {
        let rollout = session.rollout(name).await?;
        let holder = Holder::of(session, &rollout).await?;
        let operations = operations(&holder, images)?;
        let unchanged = operations.as_array().is_some_and(Vec::is_empty);
        if unchanged || holder.patch(session, operations).await?.is_some() {
            return Ok(format!("rollout \"{name}\" image updated"));
        }
    }
    Err(Error::Conflict { resource: names::qualified(&names::rollouts()), name: name.to_owned() })
}

/// The JSON patch: for each image that differs, a test that its container is still in its place, and the replacement.
fn operations(holder: &Holder, images: &[(String, String)]) -> Result<Value, Error> {
    let mut operations = Vec::new();
    for (container, image) in images {
        let mut found = false;
        for list in LISTS {
            let pointer = format!("/spec/{list}");
            let containers =
                holder.template.0.pointer(&pointer).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            for (index, entry) in containers.iter().enumerate() {
                let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
                if container != "*" && container != name {
                    continue;
                }
                found = true;
                if entry.get("image").and_then(Value::as_str) == Some(image) {
                    continue;
                }
                let place = format!("{}{pointer}/{index}", holder.pointer);
                operations.push(json!({ "op": "test", "path": format!("{place}/name"), "value": name }));
                operations.push(json!({ "op": "add", "path": format!("{place}/image"), "value": image }));
            }
        }
        if !found {
            return Err(Error::Request(format!("unable to find container named \"{container}\"")));
        }
    }
    Ok(Value::Array(operations))
}
