//! Canaries that are judged: by the web provider, which asks the API server for its version.

use cluster_tests::Release;
use cluster_tests::crds::kube::api::{DeleteParams, ListParams};
use cluster_tests::crds::{AnalysisRun, AnalysisTemplate};

use crate::release_with;

/// An AnalysisTemplate `NAME` of one metric with these conditions.
fn template(name: &str, more: &str) -> String {
    format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {{name: {name}}}
spec:
  metrics:
  - name: version
    provider: {{web: {{url: 'API/version', insecure: true, jsonPath: '{{$.major}}'}}}}
{more}
"
    )
}

/// A Rollout whose AnalysisTemplate is there before it.
fn judged(name: &str, spec: &str, conditions: &str, test: impl AsyncFnOnce(&Release)) {
    release_with(name, &template(name, conditions), spec, test);
}

/// The phases of the Rollout's runs, sorted.
async fn phases(it: &Release) -> Vec<String> {
    let runs = it.ns.api::<AnalysisRun>().list(&ListParams::default()).await.unwrap();
    let ours = runs
        .into_iter()
        .filter(|run| run.metadata.owner_references.iter().flatten().any(|owner| owner.name == it.name()));
    let mut phases: Vec<String> = ours.map(|run| run.status.unwrap_or_default().phase).collect();
    phases.sort();
    phases
}

fn step(name: &str) -> String {
    format!(
        "
  replicas: 2
  strategy: {{canary: {{steps: [{{setWeight: 50}}, {{analysis: {{templates: [{{templateName: {name}}}]}}}}, {{pause: {{}}}}]}}}}"
    )
}

fn background(name: &str) -> String {
    format!(
        "
  replicas: 2
  strategy:
    canary:
      analysis: {{templates: [{{templateName: {name}}}]}}
      steps: [{{setWeight: 50}}, {{pause: {{}}}}]"
    )
}

#[test]
fn a_good_analysis_lets_the_release_go_on() {
    judged("judged-good", &step("judged-good"), "    successCondition: result == '1'", async |it| {
        it.set_image("v2").await;
        it.paused_at(2).await;
        assert_eq!(phases(it).await, ["Successful"]);
    });
}

#[test]
fn a_bad_analysis_takes_the_release_back() {
    judged("judged-bad", &step("judged-bad"), "    successCondition: result == 'never'", async |it| {
        it.set_image("v2").await;
        let aborted = it.until("aborted", |status| status.phase.as_deref() == Some("Degraded")).await;
        let message = aborted.status.unwrap().message.unwrap();
        assert!(message.contains("version") && message.contains("Failed"), "{message}");
        it.pods_are("v1=2").await;
        assert_eq!(phases(it).await, ["Failed"]);
    });
}

#[test]
fn a_dry_run_that_is_bad_does_not_hurt() {
    let name = "judged-dry";
    let spec = step(name).replace("}]}}, {pause", "}], dryRun: [{metricName: version}]}}, {pause");
    judged(name, &spec, "    successCondition: result == 'never'", async |it| {
        it.set_image("v2").await;
        it.paused_at(2).await;
        assert_eq!(phases(it).await, ["Successful"]);
    });
}

#[test]
fn an_analysis_that_cannot_tell_asks_a_person() {
    let conditions = "    successCondition: result == 'never'\n    failureCondition: result == 'never'";
    judged("judged-unclear", &step("judged-unclear"), conditions, async |it| {
        it.set_image("v2").await;
        it.until("a person is asked", |status| {
            let pauses = status.pause_conditions.iter().flatten();
            pauses.into_iter().any(|pause| pause.reason == "InconclusiveAnalysisRun")
        })
        .await;
        assert_eq!(phases(it).await, ["Inconclusive"]);
        it.pods_are("v1=1 v2=1").await;
    });
}

#[test]
fn a_bad_background_analysis_takes_the_release_back_in_its_pause() {
    judged(
        "behind-bad",
        &background("behind-bad"),
        "    interval: 1s\n    initialDelay: 2s\n    successCondition: result == 'never'",
        async |it| {
            it.set_image("v2").await;
            it.until("aborted", |status| status.phase.as_deref() == Some("Degraded") && status.abort == Some(true))
                .await;
            it.pods_are("v1=2").await;
            assert_eq!(phases(it).await, ["Failed"]);
        },
    );
}

#[test]
fn a_background_analysis_ends_with_the_release() {
    judged(
        "behind-good",
        &background("behind-good"),
        "    interval: 1s\n    successCondition: result == '1'",
        async |it| {
            it.set_image("v2").await;
            it.paused_at(1).await;
            assert_eq!(phases(it).await, ["Running"]);
            it.promote().await;
            it.healthy().await;
            cluster_tests::eventually("ended well", std::time::Duration::from_secs(30), async || {
                let phases = phases(it).await;
                if phases == ["Successful"] { Ok(()) } else { Err(format!("{phases:?}")) }
            })
            .await;
        },
    );
}

#[test]
fn a_rollback_ends_the_analysis() {
    judged(
        "behind-back",
        &background("behind-back"),
        "    interval: 1s\n    successCondition: result == '1'",
        async |it| {
            it.set_image("v2").await;
            it.paused_at(1).await;
            it.set_image("v1").await;
            it.healthy().await;
            cluster_tests::eventually("not running any more", std::time::Duration::from_secs(30), async || {
                let phases = phases(it).await;
                if phases.iter().all(|phase| phase == "Successful") { Ok(()) } else { Err(format!("{phases:?}")) }
            })
            .await;
        },
    );
}

#[test]
fn a_missing_template_is_said_and_waited_for() {
    let conditions = "    successCondition: result == '1'";
    judged("judged-later", &step("judged-later"), conditions, async |it| {
        let templates = it.ns.api::<AnalysisTemplate>();
        templates.delete(it.name(), &DeleteParams::default()).await.unwrap();
        it.set_image("v2").await;
        it.until("the template is missed", |status| {
            status
                .message
                .as_deref()
                .is_some_and(|message| message.contains("AnalysisTemplate 'judged-later' not found"))
        })
        .await;
        it.ns.apply(&template(it.name(), conditions).replace("API", &it.api_url())).await;
        it.paused_at(2).await;
    });
}
