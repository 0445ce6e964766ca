//! A canary through NGINX on a real API server, under real requests: promoted when good, taken back when bad.

use cluster_tests::crds::AnalysisRun;
use cluster_tests::crds::kube::api::ListParams;
use cluster_tests::{Cluster, Load, Release, four_weights};

#[tokio::test]
async fn a_good_release_goes_through_every_weight_and_is_promoted() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("a_good_release_goes_through_every_weight_and_is_promoted") {
        return;
    }
    let ns = cluster.fast_namespace("good").await;
    let release = Release::start(cluster, ns, 5, "good", &four_weights("{}")).await;
    let load = Load::start(cluster, &release.host(), 200);
    load.reaches("good", 100.0).await;
    let lost_before = load.so_far().lost_count;

    release.set_image("v2").await;
    for (index, percent) in [(1, 20), (3, 40), (5, 60), (7, 80)] {
        release.paused_at(index).await;
        assert_eq!(release.weight().await, Some(percent));
        load.reaches("v2", f64::from(percent)).await;
        release.promote().await;
    }
    release.healthy().await;
    load.reaches("v2", 100.0).await;
    let tally = load.stop().await;
    assert_eq!(tally.lost_count, lost_before, "{:?}", tally.lost);
    assert_eq!(release.replica_sets().await.len(), 2);
}

#[tokio::test]
async fn a_release_with_five_percent_errors_is_taken_back_and_no_request_is_lost() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("a_release_with_five_percent_errors_is_taken_back_and_no_request_is_lost") {
        return;
    }
    let ns = cluster.fast_namespace("bad").await;
    let strategy = "
      analysis:
        templates: [{templateName: errors}]
        args:
        - {name: hash, valueFrom: {podTemplateHashValue: Latest}}
      steps:
      - setWeight: 40
      - pause: {}
";
    ns.apply(&error_rate(&cluster.prometheus_url(), ns.name(), "failureLimit: 0")).await;
    let release = Release::start(cluster, ns, 4, "good", strategy).await;
    let load = Load::start(cluster, &release.host(), 200);
    load.reaches("good", 100.0).await;
    let lost_before = load.so_far().lost_count;

    release.set_image("errors-5pct").await;
    let aborted = release
        .until("aborted by its analysis", |status| {
            status.phase.as_deref() == Some("Degraded")
                && status.message.as_deref().is_some_and(|message| message.starts_with("RolloutAborted"))
        })
        .await;
    let message = aborted.status.and_then(|status| status.message).unwrap_or_default();
    assert!(message.contains("errors") && message.contains("Failed"), "{message}");
    load.reaches("good", 100.0).await;
    assert_eq!(release.weight().await, Some(0));
    let tally = load.stop().await;
    assert_eq!(tally.lost_count, lost_before, "{:?}", tally.lost);
    assert!(tally.by_code.get(&500).copied().unwrap_or(0) > 0, "the bad version never answered: {tally:?}");

    let runs = release.ns.api::<AnalysisRun>().list(&ListParams::default()).await.unwrap();
    let phases: Vec<_> = runs.items.iter().map(|run| run.status.as_ref().map(|s| s.phase.clone())).collect();
    assert_eq!(phases, [Some("Failed".to_owned())]);
}

/// An AnalysisTemplate `errors`: the share of failed answers of the version `hash` stays under 2 %.
fn error_rate(prometheus: &str, namespace: &str, limits: &str) -> String {
    let series = format!("namespace=\"{namespace}\",rollouts_pod_template_hash=\"{{{{args.hash}}}}\"");
    format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {{name: errors}}
spec:
  args: [{{name: hash}}]
  metrics:
  - name: errors
    interval: 2s
    {limits}
    successCondition: len(result) == 0 || isNaN(result[0]) || result[0] < 0.02
    provider:
      prometheus:
        address: {prometheus}
        query: |
          sum(rate(http_requests_total{{{series},code=~\"5..\"}}[10s])) / sum(rate(http_requests_total{{{series}}}[10s])) or vector(0)
"
    )
}
