//! What the demo's cluster holds: three Rollouts with their Services and Ingresses, and one analysis for all.

use anyhow::Context as _;
use crds::Rollout;
use crds::kube::Client;
use crds::kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use simulator::Cluster;

use super::load;

/// Where everything of the demo is; also the namespace of the kubeconfig.
pub const NAMESPACE: &str = "default";
/// Image without its tag.
pub const IMAGE: &str = "registry.example/web";
/// Tag of the version that all three begin with.
pub const FIRST_TAG: &str = "good-1";

/// How a release is meant to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The new version serves everyone.
    Promoted,
    /// The old version serves everyone, the new one failed its analysis.
    Aborted,
    /// Part of the users see the new version; a person decides.
    Waiting,
}

/// One release.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    /// Name of the Rollout.
    pub name: &'static str,
    /// Tag of the new version.
    pub tag: &'static str,
    /// How it is meant to end.
    pub end: End,
}

/// The three.
pub const RELEASES: [Release; 3] = [
    Release { name: "good", tag: "good-2", end: End::Promoted },
    Release { name: "bad", tag: "errors-5pct", end: End::Aborted },
    Release { name: "waiting", tag: "good-2", end: End::Waiting },
];

/// Puts everything in. Without an address the metric names none, and whoever is registered as Prometheus is asked.
///
/// # Errors
/// The cluster does not take an object.
pub fn set_up(cluster: &Cluster, prometheus: Option<&str>) -> anyhow::Result<()> {
    let store = cluster.store();
    let mut objects = vec![analysis_template(prometheus)];
    for release in RELEASES {
        let name = release.name;
        objects.push(service(name, "stable"));
        objects.push(service(name, "canary"));
        objects.push(ingress(name));
        objects.push(rollout(&release));
    }
    for object in objects {
        store.seed(object).context("fill the demo's cluster")?;
    }
    Ok(())
}

/// What a user does to begin a release: changes the image.
///
/// # Errors
/// The cluster refuses.
pub async fn release(client: &Client, release: &Release) -> anyhow::Result<()> {
    let rollouts: Api<Rollout> = Api::namespaced(client.clone(), NAMESPACE);
    let patch = json!({ "spec": { "template": { "spec": { "containers": [container(release.tag)] } } } });
    rollouts
        .patch(release.name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .with_context(|| format!("change the image of {}", release.name))?;
    Ok(())
}

fn container(tag: &str) -> Value {
    json!({ "name": "web", "image": format!("{IMAGE}:{tag}"), "ports": [{ "name": "http", "containerPort": 8080 }] })
}

fn rollout(release: &Release) -> Value {
    let name = release.name;
    // Pods are replaced quickly here, and so are measurements: the pauses are short.
    let mut steps = vec![
        json!({ "setWeight": 20 }),
        json!({ "pause": { "duration": "8s" } }),
        json!({ "setWeight": 40 }),
        json!({ "pause": { "duration": "8s" } }),
        json!({ "setWeight": 60 }),
        json!({ "pause": { "duration": "8s" } }),
        json!({ "setWeight": 80 }),
        json!({ "pause": { "duration": "8s" } }),
    ];
    if release.end == End::Waiting
        && let Some(pause) = steps.get_mut(3)
    {
        *pause = json!({ "pause": {} });
    }
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": {
            "replicas": 5,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [container(FIRST_TAG)] },
            },
            "strategy": { "canary": {
                "canaryService": format!("{name}-canary"),
                "stableService": format!("{name}-stable"),
                "trafficRouting": { "nginx": { "stableIngress": name } },
                "analysis": {
                    "templates": [{ "templateName": "error-rate" }],
                    "args": [{ "name": "canary-hash", "valueFrom": { "podTemplateHashValue": "Latest" } }],
                },
                "steps": steps,
            } },
        },
    })
}

fn service(name: &str, role: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": format!("{name}-{role}"), "namespace": NAMESPACE },
        "spec": { "selector": { "app": name }, "ports": [{ "name": "http", "port": 80, "targetPort": "http" }] },
    })
}

fn ingress(name: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": { "ingressClassName": "nginx", "rules": [{
            "host": format!("{name}.example"),
            "http": { "paths": [{ "path": "/", "pathType": "Prefix", "backend": {
                "service": { "name": format!("{name}-stable"), "port": { "name": "http" } } } }] },
        }] },
    })
}

fn analysis_template(prometheus: Option<&str>) -> Value {
    let query = format!("{}{{rollouts_pod_template_hash=\"{{{{args.canary-hash}}}}\"}}", load::ERROR_RATIO);
    let mut provider = json!({ "query": query });
    if let (Some(address), Some(fields)) = (prometheus, provider.as_object_mut()) {
        fields.insert("address".to_owned(), json!(address));
    }
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": { "name": "error-rate", "namespace": NAMESPACE },
        "spec": {
            "args": [{ "name": "canary-hash" }],
            "metrics": [{
                "name": "error-rate",
                "initialDelay": "3s",
                "interval": "3s",
                "failureLimit": 2,
                // Before the first request the ratio is NaN: neither good nor bad, the next look decides.
                "successCondition": "isNaN(result[0]) || result[0] < 0.02",
                "provider": { "prometheus": provider },
            }],
        },
    })
}
