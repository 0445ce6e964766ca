//! `undo`: back to the pod template of an earlier revision, which becomes the newest.

use crds::kube::ResourceExt as _;
use crds::{ReplicaSet, Rollout};
use serde_json::json;

use super::workload::Holder;
use crate::errors::Error;
use crate::names;
use crate::picture;
use crate::session::{self, Session};

/// How often the change is tried while others change something else of the object, such as the number of replicas.
const TRIES: usize = 5;

/// Goes back to a revision; 0 for the one before the current.
///
/// # Errors
/// There is no such revision, someone else changed the template meanwhile, or the write failed.
pub async fn run(session: &Session, name: &str, to_revision: u64) -> Result<String, Error> {
    let rollout = session.rollout(name).await?;
    let sets = history(session, &rollout).await?;
    let (revision, set) = choose(&sets, to_revision).ok_or_else(|| no_such(name, to_revision, &sets))?;
    let current = rollout.status.as_ref().and_then(|status| status.current_pod_hash.as_deref());
    if current.is_some() && hash(set) == current {
        return Ok(format!("rollout '{name}' not changed: its pod template is already that of revision {revision}"));
    }
    if set.template().is_none() {
        return Err(Error::Request(format!("ReplicaSet \"{}\" has no pod template", set.name_any())));
    }
    let template = strategy::revision::template_for_undo(set);
    let looked_at = Holder::of(session, &rollout).await?;
    let mut holder = looked_at.clone();
    for _ in 0..TRIES {
        // What someone else wrote meanwhile is not silently undone as well. The template itself cannot be tested: the API server compares
        // texts byte for byte with its own way of writing them, and `<`, `>` and `&` never match.
        let operations = json!([
            { "op": "test", "path": "/metadata/generation", "value": holder.generation },
            { "op": "replace", "path": holder.pointer, "value": template },
        ]);
        if holder.patch(session, operations).await?.is_some() {
            return Ok(format!("rollout '{name}' undo"));
        }
        holder = Holder::of(session, &session.rollout(name).await?).await?;
        if holder.template != looked_at.template {
            break;
        }
    }
    Err(Error::Conflict { resource: names::qualified(&holder.resource), name: holder.name })
}

/// The ReplicaSets of the Rollout's revisions, newest revision first.
async fn history(session: &Session, rollout: &Rollout) -> Result<Vec<(u64, ReplicaSet)>, Error> {
    let resource = picture::replica_sets();
    let objects = session.list(&resource, crds::words::POD_TEMPLATE_HASH_LABEL).await?;
    let uid = rollout.metadata.uid.as_deref();
    let mut sets = Vec::new();
    for object in objects {
        let owned =
            object.owner_references().iter().any(|owner| owner.controller == Some(true) && Some(&*owner.uid) == uid);
        let revision = object.annotations().get(crds::words::REVISION_ANNOTATION).and_then(|text| text.parse().ok());
        if let (true, Some(revision)) = (owned, revision) {
            sets.push((revision, session::read(&resource, object)?));
        }
    }
    sets.sort_by_key(|(revision, _)| std::cmp::Reverse(*revision));
    Ok(sets)
}

fn choose(sets: &[(u64, ReplicaSet)], to_revision: u64) -> Option<(u64, &ReplicaSet)> {
    let chosen =
        if to_revision == 0 { sets.get(1) } else { sets.iter().find(|(revision, _)| *revision == to_revision) };
    chosen.map(|(revision, set)| (*revision, set))
}

fn no_such(name: &str, to_revision: u64, sets: &[(u64, ReplicaSet)]) -> Error {
    let known: Vec<String> = sets.iter().map(|(revision, _)| revision.to_string()).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Error::Request(if to_revision == 0 {
        format!("rollout '{name}' has no earlier revision to go back to (known revisions: {known})")
    } else {
        format!("unable to find revision {to_revision} of rollout '{name}' (known revisions: {known})")
    })
}

fn hash(set: &ReplicaSet) -> Option<&str> {
    set.labels().get(crds::words::POD_TEMPLATE_HASH_LABEL).map(String::as_str)
}
