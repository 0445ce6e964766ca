//! What a person does with `kubectl rollouts` while a controller works.

use cluster_tests::{Cluster, Release};

const STRATEGY: &str = "
      steps:
      - setWeight: 20
      - pause: {}
      - setWeight: 60
      - pause: {}
";

async fn run(release: &Release, arguments: &[&str], says: &str) {
    let (code, out, err) = release.plugin(arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    assert!(out.contains(says), "{arguments:?} says {says:?}: {out}{err}");
}

#[tokio::test]
async fn pause_resume_promote_abort_retry_and_undo_do_what_they_say() {
    let cluster = Cluster::shared().await;
    let ns = cluster.fast_namespace("plugin").await;
    let release = Release::start(cluster, ns, 3, "good", STRATEGY).await;
    let first = release.rollout().await.status.unwrap_or_default().stable_rs;

    run(&release, &["set", "image", "web", "web=registry.example/web:v2"], "image updated").await;
    release.paused_at(1).await;
    run(&release, &["get", "rollout", "web", "--no-color"], "CanaryPauseStep").await;
    run(&release, &["status", "web", "--watch=false"], "Paused").await;

    // A pause by a person holds the release even when its step is promoted; resuming lets it go on.
    run(&release, &["pause", "web"], "paused").await;
    release.until("paused by a person", |status| status.message.as_deref() == Some("manually paused")).await;
    run(&release, &["resume", "web"], "resumed").await;
    release.paused_at(3).await;
    assert_eq!(release.weight().await, Some(60));

    run(&release, &["abort", "web"], "aborted").await;
    release.until("aborted", |status| status.phase.as_deref() == Some("Degraded") && status.abort == Some(true)).await;
    assert_eq!(release.weight().await, Some(0));
    let (code, out, _) = release.plugin(&["status", "web"]).await;
    assert!(code != 0 && out.contains("Degraded"), "{code} {out}");

    run(&release, &["retry", "rollout", "web"], "retried").await;
    release.paused_at(1).await;
    assert_eq!(release.weight().await, Some(20));
    run(&release, &["promote", "web"], "promoted").await;
    release.paused_at(3).await;
    run(&release, &["promote", "web", "--full"], "fully promoted").await;
    release.healthy().await;
    run(&release, &["list", "rollouts"], "Healthy").await;
    run(&release, &["status", "web", "--timeout", "30s"], "Healthy").await;

    run(&release, &["undo", "web"], "undo").await;
    release.paused_at(1).await;
    run(&release, &["promote", "web", "--full"], "fully promoted").await;
    let back = release.healthy().await.status.unwrap_or_default().stable_rs;
    assert_eq!(back, first, "the first version's ReplicaSet is used again");
    assert_eq!(release.replica_sets().await.len(), 2);
    run(&release, &["version"], "kubectl-rollouts").await;
}

#[tokio::test]
async fn what_does_not_exist_is_said_and_fails() {
    let cluster = Cluster::shared().await;
    let ns = cluster.fast_namespace("plugin-missing").await;
    let release = Release::without_controller(cluster, ns);
    for arguments in [["abort", "nobody"], ["promote", "nobody"], ["pause", "nobody"], ["status", "nobody"]] {
        let (code, out, err) = release.plugin(&arguments).await;
        assert!(code != 0 && err.contains("nobody") && err.contains("not found"), "{arguments:?}: {code} {out}{err}");
    }
}
