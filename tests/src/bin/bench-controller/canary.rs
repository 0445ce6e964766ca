//! The API requests of one canary: four weights with short pauses, two replicas, no analysis.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use cluster_tests::audit::{self, Request};
use cluster_tests::crds::jiff::Timestamp;
use cluster_tests::{Cluster, Release, eventually, four_weights};

/// Longer than the 30 s after which the old ReplicaSet goes by default.
const DEADLINE: Duration = Duration::from_mins(2);
/// Events are held for a while: counting begins and ends when nothing was asked for longer than that.
const QUIET: Duration = Duration::from_secs(13);

/// What the controller asked for, in order.
pub struct Requests(Vec<Request>);

impl Requests {
    pub fn total(&self) -> usize {
        self.0.len()
    }

    /// How many of each verb and resource.
    pub fn by_kind(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for request in &self.0 {
            *kinds.entry(kind(request)).or_default() += 1;
        }
        kinds
    }

    /// One line a request, with the seconds since the first.
    pub fn lines(&self) -> Vec<String> {
        let first = self.0.first().and_then(|request| at(&request.request_received_timestamp));
        let since =
            |request: &Request| Some(at(&request.request_received_timestamp)?.duration_since(first?).as_secs_f64());
        self.0
            .iter()
            .map(|request| {
                let seconds = since(request).unwrap_or_default();
                let code = request.response_status.code;
                format!("{seconds:>7.3} s  {code}  {} {}", kind(request), request.object_ref.name)
            })
            .collect()
    }
}

fn kind(request: &Request) -> String {
    let object = &request.object_ref;
    let slash = if object.subresource.is_empty() { "" } else { "/" };
    format!("{} {}{slash}{}", request.verb, object.resource, object.subresource)
}

/// A moment of the audit log.
pub fn at(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// Requests of the controller of `namespace`, and those for no namespace, since `begun`: without leases, lists and watches.
pub fn since(namespace: &str, begun: Timestamp) -> Result<Vec<Request>> {
    audit::requests("controller", |request| {
        let object = &request.object_ref;
        (object.namespace == namespace || object.namespace.is_empty())
            && !matches!(request.verb.as_str(), "watch" | "list")
            && object.resource != "leases"
            && at(&request.request_received_timestamp).is_some_and(|received| received >= begun)
    })
}

pub async fn measure(cluster: &'static Cluster) -> Result<Requests> {
    let ns = cluster.namespace("bench-canary").await;
    let release = Release::start(cluster, ns, 2, "v1", &four_weights("{duration: 1s}")).await;
    quiet(release.ns.name(), Timestamp::UNIX_EPOCH).await?;
    let begun = Timestamp::now();
    release.set_image("v2").await;
    let after = release
        .until_within("promoted, and the old ReplicaSet scaled down", DEADLINE, |status| {
            status.phase.as_deref() == Some("Healthy")
                && status.current_pod_hash == status.stable_rs
                && status.replicas == Some(2)
        })
        .await;
    let stable = after.status.and_then(|status| status.stable_rs).unwrap_or_default();
    eventually("the old ReplicaSet has no pods", DEADLINE, async || {
        let sets = release.replica_sets().await;
        let left: Vec<_> = sets
            .iter()
            .filter(|(hash, set)| **hash != stable && set.status.as_ref().is_some_and(|status| status.replicas != 0))
            .map(|(hash, _)| hash.clone())
            .collect();
        if sets.len() == 2 && left.is_empty() { Ok(()) } else { Err(format!("{left:?} of {} sets", sets.len())) }
    })
    .await;
    quiet(release.ns.name(), begun).await.map(Requests)
}

/// The requests since `begun`, once no other has come for a while.
async fn quiet(namespace: &str, begun: Timestamp) -> Result<Vec<Request>> {
    let mut last = since(namespace, begun)?;
    loop {
        tokio::time::sleep(QUIET).await;
        let now = since(namespace, begun)?;
        if now.len() == last.len() {
            return Ok(now);
        }
        last = now;
    }
}
