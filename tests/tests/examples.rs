//! Every example is applied to a real API server and its Rollout becomes Healthy.

use std::fs;

use cluster_tests::{Cluster, Release};

#[tokio::test]
async fn the_canary_with_nginx_and_prometheus_becomes_healthy() {
    let cluster = Cluster::shared().await;
    let ns = cluster.fast_namespace("example").await;
    let folder = cluster_tests::repository().join("examples/canary-nginx-prometheus");
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("the example is there").map(|file| file.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 5, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        ns.apply(&text).await;
    }
    let mut release = Release::without_controller(cluster, ns);
    release.start_controller();
    release.healthy().await;
}
