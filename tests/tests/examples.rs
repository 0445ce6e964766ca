//! Every example is applied to a real API server and its Rollout becomes Healthy.
#![allow(clippy::panic)]

use std::fs;

use cluster_tests::{Cluster, Release};

#[tokio::test]
async fn the_canary_with_nginx_and_prometheus_becomes_healthy() {
    becomes_healthy("canary-nginx-prometheus", 5).await;
}

#[tokio::test]
async fn the_canary_with_istio_becomes_healthy() {
    becomes_healthy("canary-istio", 3).await;
    becomes_healthy("canary-gateway-api", 3).await;
}

#[tokio::test]
async fn blue_green_becomes_healthy() {
    becomes_healthy("blue-green", 3).await;
}

async fn becomes_healthy(example: &str, expected: usize) {
    let cluster = Cluster::shared().await;
    let ns = cluster.fast_namespace("example").await;
    let folder = cluster_tests::repository().join("examples").join(example);
    let mut files: Vec<_> =
        fs::read_dir(&folder).into_iter().flatten().filter_map(|file| Some(file.ok()?.path())).collect();
    files.sort();
    assert_eq!(files.len(), expected, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        ns.apply(&text).await;
    }
    let mut release = Release::without_controller(cluster, ns);
    release.start_controller();
    release.healthy().await;
}
