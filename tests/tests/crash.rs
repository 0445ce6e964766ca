//! `kill -9` of the controller at every step: the same end, no second ReplicaSet, no step repeated.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_tests::crds::k8s_openapi::api::networking::v1::Ingress;
use cluster_tests::crds::kube::runtime::watcher::{Config, Event, watcher};
use cluster_tests::{Cluster, Release, four_weights};
use futures::StreamExt;

const SECONDS_60: Duration = Duration::from_mins(1);

#[tokio::test]
async fn killed_at_every_step_it_ends_the_same() {
    let cluster = Cluster::shared().await;
    let ns = cluster.fast_namespace("crash").await;
    let mut release = Release::start(cluster, ns, 4, "good", &four_weights("{duration: 1s}")).await;
    let ingresses = release.ns.api::<Ingress>();
    let weights = tokio::spawn(async move {
        let mut seen: Vec<u32> = Vec::new();
        let mut changes = std::pin::pin!(watcher(ingresses, Config::default().fields("metadata.name=web-web-canary")));
        while let Some(change) = changes.next().await {
            let Ok(Event::Apply(ingress) | Event::InitApply(ingress)) = change else { continue };
            let annotations: BTreeMap<String, String> = ingress.metadata.annotations.unwrap_or_default();
            let weight =
                annotations.get("nginx.ingress.kubernetes.io/canary-weight").and_then(|text| text.parse().ok());
            if let Some(weight) = weight.filter(|weight| seen.last() != Some(weight)) {
                seen.push(weight);
                if seen.len() > 1 && weight == 0 {
                    break;
                }
            }
        }
        seen
    });

    release.set_image("v2").await;
    for index in 0..=8 {
        release
            .until_within(&format!("at step {index} or beyond"), SECONDS_60, |status| {
                status.current_pod_hash != status.stable_rs && status.current_step_index >= Some(index)
                    || status.current_pod_hash == status.stable_rs && status.current_step_index == Some(8)
            })
            .await;
        release.kill_and_restart_controller().await.expect("the controller is killed");
    }
    release.healthy().await;
    assert_eq!(release.replica_sets().await.len(), 2, "one ReplicaSet for each version");
    let mut seen =
        tokio::time::timeout(SECONDS_60, weights).await.expect("the weight goes back to 0").expect("watched");
    if seen.first() == Some(&0) {
        seen.remove(0);
    }
    assert_eq!(seen, [20, 40, 60, 80, 0], "each weight once, in order");
}
