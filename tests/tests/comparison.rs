//! `comparison` on a real API server with a real Prometheus, under real requests: a canary that fails three times as often as the stable
//! version is taken back, one that fails as often is promoted.
//!
//! Both versions have 10 requests a second, and each pod fails an exact share of its own, evenly spaced: there is no chance in it, so the
//! canary that fails as often can never be taken for a worse one, and the other one is far beyond what is needed after a minute, which is the
//! first moment at which a release without history may be aborted.

// Helpers of tests fail by panicking, too.
#![allow(clippy::expect_used, clippy::panic)]

use std::time::Duration;

use cluster_tests::crds::AnalysisRun;
use cluster_tests::crds::kube::api::ListParams;
use cluster_tests::{Cluster, Load, Release, eventually};

const TEMPLATE: &str = "
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors-against-stable}
spec:
  metrics:
  - name: errors
    interval: 5s
    count: COUNT
    provider:
      comparison:
        address: ADDRESS
        ratio:
          failed: 'http_requests_total{namespace=\"NAMESPACE\",code=~\"5..\"}'
          total: 'http_requests_total{namespace=\"NAMESPACE\"}'
";

const STRATEGY: &str = "
      steps:
      - setWeight: 50
      - analysis: {templates: [{templateName: errors-against-stable}]}
";

/// A release whose stable version, which fails 8 % of 20 requests a second, has been seen by Prometheus.
async fn under_way(cluster: &'static Cluster, name: &str, count: u32) -> (Release, Load) {
    let ns = cluster.fast_namespace(name).await;
    let template = TEMPLATE.replace("ADDRESS", &cluster.prometheus_url()).replace("NAMESPACE", ns.name());
    let template = template.replace("COUNT", &count.to_string());
    ns.apply(&template).await;
    let counted = format!("sum(http_requests_total{{namespace=\"{}\"}})", ns.name());
    let release = Release::start(cluster, ns, 2, "errors-8pct", STRATEGY).await;
    let load = Load::start(cluster, &release.host(), 20);
    eventually("Prometheus counts the requests of the stable version", Duration::from_mins(1), async || {
        let found = cluster.query(&counted).await.map_err(|error| error.to_string())?;
        if found.iter().any(|(_, count)| *count >= 20.0) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    (release, load)
}

/// Phase and message of the metric of the only run.
async fn verdict(release: &Release) -> (String, String) {
    let runs = release.ns.api::<AnalysisRun>().list(&ListParams::default()).await.expect("AnalysisRuns are listed");
    let [run] = runs.items.as_slice() else { panic!("one run is expected: {runs:#?}") };
    let status = run.status.clone().unwrap_or_default();
    let results = status.metric_results.unwrap_or_default();
    let said = results.first().and_then(|result| {
        let last = result.measurements.as_ref()?.last()?;
        result.message.clone().filter(|message| !message.is_empty()).or_else(|| last.message.clone())
    });
    (status.phase, said.unwrap_or_default())
}

#[tokio::test]
async fn a_canary_that_fails_three_times_as_often_is_taken_back() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("a_canary_that_fails_three_times_as_often_is_taken_back") {
        return;
    }
    // Far more looks than are needed, also on a slow machine.
    let (release, load) = under_way(cluster, "threefold", 60).await;
    release.set_image("errors-24pct").await;
    let aborted = release
        .until_within("aborted by the comparison", Duration::from_mins(5), |status| {
            status.phase.as_deref() == Some("Degraded") && status.abort == Some(true)
        })
        .await;
    let message = aborted.status.and_then(|status| status.message).unwrap_or_default();
    assert!(message.starts_with("RolloutAborted"), "{message}");
    let (phase, said) = verdict(&release).await;
    assert_eq!(phase, "Failed", "{said}");
    // Blocks need not end where the pods' rounds of failures do.
    let percent = |before: &str| {
        let number = said.split(before).nth(1).and_then(|rest| rest.split(' ').next()).map(str::parse::<f64>);
        number.and_then(Result::ok).unwrap_or_default()
    };
    assert!((percent("canary fails ") - 24.0).abs() < 2.0 && (percent(" stable ") - 8.0).abs() < 2.0, "{said}");
    assert!(said.contains(" times as many (false alarm 1 %)"), "{said}");
    eventually("all requests go to the stable version again", Duration::from_mins(1), async || {
        let tally = load.measure(40, Duration::from_mins(1)).await;
        if tally.share("errors-8pct") >= 1.0 { Ok(()) } else { Err(format!("{tally:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_canary_that_fails_as_often_as_the_stable_version_is_promoted() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("a_canary_that_fails_as_often_as_the_stable_version_is_promoted") {
        return;
    }
    let (release, load) = under_way(cluster, "as-often", 24).await;
    release.set_image("v2-errors-8pct").await;
    release
        .until_within("promoted", Duration::from_mins(4), |status| {
            status.phase.as_deref() == Some("Healthy") && status.current_pod_hash == status.stable_rs
        })
        .await;
    let (phase, said) = verdict(&release).await;
    assert_eq!(phase, "Successful", "{said}");
    assert!(said.starts_with("no evidence of harm: canary fails "), "{said}");
    let tally = load.stop().await;
    assert!(tally.by_version.contains_key("v2-errors-8pct"), "{tally:?}");
}
