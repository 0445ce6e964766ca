//! Bad input on a real API server: each says on its own object what is wrong, and other Rollouts go on meanwhile.

use std::time::Duration;

use cluster_tests::crds::Rollout;
use cluster_tests::{Cluster, Release, manifest, surroundings, wait_for};

const STEPS: &str = "      steps: [{setWeight: 20}, {pause: {}}]";

/// Name, what is replaced in the good manifest by what, and what the message must contain.
const ROWS: &[(&str, &str, &str, &str)] = &[
    (
        "both",
        "  strategy:\n",
        "  strategy:\n    blueGreen: {activeService: web-stable}\n",
        "only one strategy may be set",
    ),
    (
        "weight-101",
        "setWeight: 20",
        "setWeight: 101",
        "steps[0].setWeight: Invalid value: 101: SetWeight needs to be between 0 and 100",
    ),
    ("weight-negative", "setWeight: 20", "setWeight: -1", "Invalid value: -1"),
    ("no-service", "stableService: web-stable", "stableService: nobody", "service \"nobody\" not found"),
    ("no-canary-service", "canaryService: web-canary", "canaryService: nobody", "canaryService"),
    (
        "other-rollouts-service",
        "stableService: web-stable",
        "stableService: taken",
        "managed by another Rollout: \"other\"",
    ),
    ("same-service", "canaryService: web-canary", "canaryService: web-stable", "two different services are required"),
    ("bad-duration", "pause: {}", "pause: {duration: 10x}", "10x"),
    ("bad-ingress", "stableIngress: web", "stableIngress: nobody", "nobody"),
    ("no-ingress", "nginx: {stableIngress: web}", "nginx: {}", "stableIngress"),
    ("no-selector", "  selector: {matchLabels: {app: web}}\n", "", "spec.selector"),
    (
        "mismatch",
        "metadata: {labels: {app: web}}",
        "metadata: {labels: {app: other}}",
        "`selector` does not match template `labels`",
    ),
    (
        "no-containers",
        "      containers:\n      - {name: web, image: 'registry.example/web:good', ports: [{name: http, containerPort: 8080}]}",
        "      containers: []",
        "at least one container",
    ),
    ("no-image", "image: 'registry.example/web:good', ", "", "image"),
    ("two-kinds", "{setWeight: 20}", "{setWeight: 20, pause: {}}", "setWeight and pause"),
    ("empty-step", "{setWeight: 20}", "{}", "steps[0]"),
    (
        "experiment",
        "{setWeight: 20}",
        "{experiment: {templates: [{name: a, specRef: preview}]}}",
        "steps[0].experiment",
    ),
    ("plugin", "{setWeight: 20}", "{plugin: {name: a/b}}", "step plugins are not supported yet"),
    ("canary-scale", "{setWeight: 20}", "{setCanaryScale: {weight: 101}}", "steps[0].setCanaryScale"),
    ("smi", "nginx: {stableIngress: web}", "smi: {}", "smi is not supported yet"),
    (
        "istio",
        "nginx: {stableIngress: web}",
        "istio: {virtualService: {name: nowhere}}",
        "VirtualService \"nowhere\" not found",
    ),
    (
        "no-template",
        "{setWeight: 20}",
        "{analysis: {templates: [{templateName: nobody}]}}",
        "AnalysisTemplate 'nobody' not found",
    ),
    (
        "bad-condition",
        "{setWeight: 20}",
        "{analysis: {templates: [{templateName: bad-condition}]}}",
        "successCondition",
    ),
    (
        "bad-promql",
        "{setWeight: 20}",
        "{analysis: {templates: [{templateName: bad-promql}]}}",
        "metric 'm': provider.prometheus.query: \"sum(rate(x[5m])\" is no PromQL: at 1:16: expected an operator",
    ),
    ("endless", "{setWeight: 20}", "{analysis: {templates: [{templateName: endless}]}}", "runs indefinitely"),
    (
        "ready-beyond-deadline",
        "  replicas: 1\n",
        "  replicas: 1\n  minReadySeconds: 700\n",
        "must be less than progressDeadlineSeconds",
    ),
    (
        "no-room",
        "      steps:",
        "      maxSurge: 0\n      maxUnavailable: 0\n      steps:",
        "MaxSurge and MaxUnavailable both can not be zero",
    ),
    ("bad-surge", "      steps:", "      maxSurge: many\n      steps:", "maxSurge"),
    (
        "history",
        "      steps:",
        "      scaleDownDelayRevisionLimit: 50\n      steps:",
        "must not be more than revisionHistoryLimit",
    ),
    (
        "starting-step",
        "      steps:",
        "      analysis: {startingStep: 9, templates: [{templateName: endless}]}\n      steps:",
        "startingStep",
    ),
];

#[tokio::test]
async fn bad_input_is_told_on_its_object_and_disturbs_nobody() {
    let cluster = Cluster::shared().await;
    let ns = cluster.fast_namespace("bad-input").await;
    ns.apply(
        "
apiVersion: v1
kind: Service
metadata: {name: taken, annotations: {argo-rollouts.argoproj.io/managed-by-rollouts: other}}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: other}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: 'registry.example/web:good'}]}
  strategy: {blueGreen: {activeService: taken}}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: bad-condition}
spec:
  metrics: [{name: m, successCondition: 'result >', provider: {prometheus: {address: 'http://x', query: up}}}]
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: bad-promql}
spec:
  metrics: [{name: m, successCondition: 'true', provider: {prometheus: {address: 'http://x', query: 'sum(rate(x[5m])'}}}]
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: endless}
spec:
  metrics: [{name: m, interval: 5s, successCondition: 'true', provider: {prometheus: {address: 'http://x', query: up}}}]
",
    )
    .await;
    // The good one comes last in the alphabet of names and still is Healthy.
    let release = Release::start(cluster, ns, 1, "good", STEPS).await;
    let free =
        surroundings(&release.ns).replace("web-", "free-").replace("metadata: {name: web}", "metadata: {name: free}");
    release.ns.apply(&free.replace(".example", ".free.example")).await;
    for (name, from, to, _) in ROWS {
        let good = manifest(1, "good", STEPS);
        assert!(good.contains(from), "{name}: {from:?} is not in the manifest:\n{good}");
        let bad = good.replacen(from, to, 1).replace("metadata: {name: web}", &format!("metadata: {{name: {name}}}"));
        // Services and an Ingress that no Rollout manages: those of the good one would be refused for that reason alone.
        let bad = bad.replace("web-stable", "free-stable").replace("web-canary", "free-canary");
        let bad = bad.replace("stableIngress: web", "stableIngress: free");
        release.ns.apply(&bad).await;
    }
    for (name, _, _, says) in ROWS {
        let rollout =
            wait_for(&release.ns.api::<Rollout>(), name, "refused", Duration::from_secs(30), |rollout: &Rollout| {
                rollout
                    .status
                    .iter()
                    .flat_map(|status| status.conditions.iter().flatten())
                    .any(|found| found.type_ == "InvalidSpec")
            })
            .await;
        let status = rollout.status.unwrap_or_default();
        let message = status.message.unwrap_or_default();
        assert_eq!(status.phase.as_deref(), Some("Degraded"), "{name}");
        assert!(
            message.starts_with("InvalidSpec: ") && message.contains(says),
            "{name}: {says:?} is not in {message:?}"
        );
    }
    release.set_image("v2").await;
    release.paused_at(1).await;
}
