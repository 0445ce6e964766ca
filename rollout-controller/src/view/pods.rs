//! Pods, read on demand: only a restart looks at them.

use std::collections::BTreeSet;

use crds::jiff::{SignedDuration, Timestamp};
use crds::k8s_openapi::api::core::v1 as core;
use crds::kube::api::{Api, ListParams};
use crds::kube::{Client, Error};
use strategy::Observation;
use strategy::restart::Pod;
use strategy::workload::resolved;

/// The pods of a Rollout's ReplicaSets; `refused` are the uids of those which a disruption budget did not let go just now.
pub async fn of(
    client: &Client,
    seen: &Observation,
    now: Timestamp,
    refused: &BTreeSet<String>,
) -> Result<Vec<Pod>, Error> {
    let rollout = resolved(&seen.rollout, seen.workload.as_ref());
    let Some(selector) = super::selector_of(&rollout) else { return Ok(Vec::new()) };
    let namespace = rollout.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<core::Pod> = Api::namespaced(client.clone(), namespace);
    let ready_for = SignedDuration::from_secs(i64::from(rollout.spec.min_ready_seconds.unwrap_or(0)));
    let found = api.list(&ListParams::default().labels_from(&selector)).await?;
    Ok(found.items.into_iter().filter_map(|pod| read(&pod, now, ready_for, refused)).collect())
}

fn read(pod: &core::Pod, now: Timestamp, ready_for: SignedDuration, refused: &BTreeSet<String>) -> Option<Pod> {
    let meta = &pod.metadata;
    let uid = meta.uid.clone()?;
    let ready =
        pod.status.iter().flat_map(|status| status.conditions.iter().flatten()).find(|found| found.type_ == "Ready");
    let since = ready.filter(|found| found.status == "True").map(|found| found.last_transition_time.as_ref());
    let available = since.is_some_and(|since| {
        ready_for.is_zero() || since.is_some_and(|since| now.duration_since(since.0) >= ready_for)
    });
    Some(Pod {
        name: meta.name.clone()?,
        set: super::controller(meta)?.to_owned(),
        created: meta.creation_timestamp.as_ref()?.0,
        available,
        terminating: meta.deletion_timestamp.is_some(),
        refused: refused.contains(&uid),
        uid,
    })
}
