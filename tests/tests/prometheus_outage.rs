//! Prometheus is killed in the middle of an analysis: the release neither aborts nor goes on, and finishes when it answers again.

use std::time::Duration;

use cluster_tests::crds::AnalysisRun;
use cluster_tests::crds::kube::api::ListParams;
use cluster_tests::{Cluster, Release, eventually, holds};

#[tokio::test]
async fn a_release_holds_while_prometheus_is_dead_and_then_finishes() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("a_release_holds_while_prometheus_is_dead_and_then_finishes") {
        return;
    }
    let ns = cluster.fast_namespace("outage").await;
    ns.apply(&format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {{name: up}}
spec:
  metrics:
  - name: up
    interval: 2s
    count: 5
    successCondition: result[0] >= 1
    provider: {{prometheus: {{address: {}, query: 'vector(1)', timeout: 2}}}}
",
        cluster.prometheus_url()
    ))
    .await;
    let strategy = "
      steps:
      - setWeight: 20
      - analysis: {templates: [{templateName: up}]}
      - setWeight: 60
";
    let release = Release::start(cluster, ns, 4, "good", strategy).await;
    release.set_image("v2").await;
    let runs = release.ns.api::<AnalysisRun>();
    let measured = async || {
        let list = runs.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let results = list.items.first().and_then(|run| run.status.as_ref()?.metric_results.as_ref()?.first().cloned());
        results.and_then(|result| result.successful).ok_or_else(|| "nothing measured yet".to_owned())
    };
    eventually("one measurement is made", Duration::from_mins(1), measured).await;
    // The run may be measured before the status that names it is written.
    release.until("the analysis step is written", |status| status.current_step_index == Some(1)).await;

    cluster.kill_prometheus().expect("Prometheus is killed");
    holds("the release neither aborts nor moves while Prometheus is dead", Duration::from_mins(1), async || {
        let status = release.rollout().await.status.unwrap_or_default();
        let still = status.current_step_index == Some(1)
            && status.abort != Some(true)
            && status.phase.as_deref() == Some("Progressing")
            && release.weight().await == Some(20);
        if still { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
    let held = release.rollout().await.status.unwrap_or_default();
    let told = held
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "AnalysisHolding" && condition.status == "True");
    assert!(told, "no condition says that the release holds: {:#?}", held.conditions);

    cluster.restart_prometheus().await.expect("Prometheus starts again");
    release
        .until_within("promoted after Prometheus is back", Duration::from_mins(2), |status| {
            status.phase.as_deref() == Some("Healthy") && status.current_pod_hash == status.stable_rs
        })
        .await;
}
