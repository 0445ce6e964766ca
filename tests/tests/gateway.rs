//! Canaries through the Gateway API: on the objects of a real API server, and with Traefik as a real Gateway under load.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use cluster_tests::{Cluster, Load, Release, eventually, holds, manifest, service};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_mins(1);

/// The Services, the Gateway `edge` of a class, and an HTTPRoute `web` with a rule to both Services and one to somebody else.
fn objects(cluster: &Cluster, namespace: &str, class: &str) -> String {
    let port = cluster.traefik_port();
    format!(
        "{}{}{}
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: traefik}}
spec: {{controllerName: traefik.io/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  gatewayClassName: {class}
  listeners: [{{name: web, port: {port}, protocol: HTTP}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: web, labels: {{app: web}}}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: [{namespace}.example]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: /}}}}]
    timeouts: {{request: 10s}}
    backendRefs: [{{name: web-stable, port: 80, weight: 100}}, {{name: web-canary, port: 80, weight: 0}}]
  - matches: [{{path: {{type: PathPrefix, value: /elsewhere}}}}]
    backendRefs: [{{name: elsewhere, port: 80}}]
",
        service("web-stable"),
        service("web-canary"),
        service("elsewhere"),
    )
}

async fn start(cluster: &'static Cluster, name: &str, class: &str, replicas: u32, strategy: &str) -> Release {
    let ns = cluster.fast_namespace(name).await;
    ns.apply(&objects(cluster, ns.name(), class)).await;
    let whole = manifest(replicas, "good", strategy);
    let kept = whole.lines().filter(|line| !line.contains("nginx:"));
    ns.apply(&kept.collect::<Vec<_>>().join("\n")).await;
    let mut release = Release::without_controller(cluster, ns);
    release.start_controller();
    release.healthy().await;
    release
}

async fn rules_are(release: &Release, wanted: &str) {
    eventually(&format!("the rules are {wanted}"), MINUTE, async || {
        let rules = rules(&release.object("HTTPRoute", "web").await);
        if rules == wanted { Ok(()) } else { Err(format!("{rules}\n{}", release.log())) }
    })
    .await;
}

/// The rules of a route, such as `qa: web-canary=1; : web-stable=80 web-canary=20`.
fn rules(route: &Value) -> String {
    let one = |rule: &Value| {
        let backends = rule.get("backendRefs").and_then(Value::as_array).into_iter().flatten();
        let parts = backends.map(|one| format!("{}={}", one["name"].as_str().unwrap_or_default(), one["weight"]));
        let name = rule.get("name").and_then(Value::as_str).map(|name| format!("{name}: ")).unwrap_or_default();
        format!("{name}{}", parts.collect::<Vec<_>>().join(" "))
    };
    let rules = route.pointer("/spec/rules").and_then(Value::as_array).into_iter().flatten();
    rules.map(one).collect::<Vec<_>>().join("; ")
}

const BUILT_IN: &str = "
      trafficRouting:
        managedRoutes: [{name: qa}]
        gatewayAPI: {httpRoute: web}
      steps:
      - setWeight: 20
      - setHeaderRoute: {name: qa, match: [{headerName: x-qa, headerValue: {exact: '1'}}]}
      - pause: {}
      - setWeight: 60
      - pause: {}
";

#[tokio::test]
async fn through_a_real_gateway_no_request_is_lost_and_the_header_route_leads_to_the_canary() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("through_a_real_gateway") {
        return;
    }
    let release = start(cluster, "gateway-real", "traefik", 5, BUILT_IN).await;
    let load = Load::start(cluster, &release.host(), 200);
    load.reaches("good", 100.0).await;
    let lost_before = load.so_far().lost_count;

    release.set_image("v2").await;
    release.paused_at(2).await;
    load.reaches("v2", 20.0).await;
    rules_are(&release, "qa: web-canary=1; web-stable=80 web-canary=20; elsewhere=1").await;
    let client = reqwest::Client::new();
    eventually("requests with the header reach the canary", MINUTE, async || {
        for _ in 0..20 {
            let request = client.get(cluster.traefik_url()).header("host", release.host()).header("x-qa", "1");
            let answer = request.send().await.map_err(|error| error.to_string())?;
            let version = answer.headers().get("x-version").and_then(|value| value.to_str().ok()).map(str::to_owned);
            if version.as_deref() != Some("v2") {
                return Err(format!("{version:?}"));
            }
        }
        Ok(())
    })
    .await;
    let route = release.object("HTTPRoute", "web").await;
    assert_eq!(route.pointer("/metadata/labels/rollouts.argoproj.io~1gatewayapi-canary"), Some(&json!("in-progress")));
    release.promote().await;
    release.paused_at(4).await;
    load.reaches("v2", 60.0).await;

    release.promote().await;
    release.healthy().await;
    load.reaches("v2", 100.0).await;

    // The next one is taken back at 60 %.
    release.set_image("v3").await;
    release.paused_at(2).await;
    release.promote().await;
    release.paused_at(4).await;
    load.reaches("v3", 60.0).await;
    release.patch_status(json!({ "abort": true })).await;
    release.until("aborted", |status| status.phase.as_deref() == Some("Degraded")).await;
    load.reaches("v2", 100.0).await;
    rules_are(&release, "web-stable=100 web-canary=0; elsewhere=1").await;
    let tally = load.stop().await;
    assert_eq!(tally.lost_count, lost_before, "{:?}", tally.lost);
    let route = release.object("HTTPRoute", "web").await;
    assert_eq!(route.pointer("/metadata/labels"), Some(&json!({ "app": "web" })));
    assert_eq!(route.pointer("/spec/rules/0/timeouts"), Some(&json!({ "request": "10s" })));
}

/// What a Gateway writes when it has taken in this generation of a route.
fn accepted(generation: &Value) -> Value {
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "True", "reason": kind, "message": "", "observedGeneration": generation,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    json!({ "status": { "parents": [{
        "parentRef": { "name": "edge" }, "controllerName": "example.com/slow",
        "conditions": [condition("Accepted"), condition("ResolvedRefs")],
    }] } })
}

#[tokio::test]
async fn a_step_waits_until_the_gateway_has_taken_its_weight_in() {
    let cluster = Cluster::shared().await;
    let strategy = "
      trafficRouting:
        plugins: {argoproj-labs/gatewayAPI: {httpRouteSelector: {matchLabels: {app: web}}}}
      steps:
      - setWeight: 20
      - pause: {}
";
    // Nobody answers for this class: the test does.
    let release = start(cluster, "gateway-slow", "slow", 3, strategy).await;
    let accept = async || {
        let route = release.object("HTTPRoute", "web").await;
        release.patch_object_status("HTTPRoute", "web", &accepted(&route["metadata"]["generation"])).await;
    };
    accept().await;
    release.set_image("v2").await;
    rules_are(&release, "web-stable=80 web-canary=20; elsewhere=1").await;
    release
        .until("not verified", |status| {
            let weights = status.canary.as_ref().and_then(|canary| canary.weights.as_ref());
            weights.is_some_and(|weights| weights.verified == Some(false))
        })
        .await;
    holds("the step waits", Duration::from_secs(1), async || {
        let index = release.rollout().await.status.and_then(|status| status.current_step_index);
        if index == Some(0) { Ok(()) } else { Err(format!("{index:?}")) }
    })
    .await;
    let (_, shown, _) = release.plugin(&["get", "rollout", release.name()]).await;
    assert!(shown.contains("the data plane to take in the weight of step 1 of 2"), "{shown}");
    accept().await;
    release.paused_at(1).await;

    // Aborted: the canary keeps its pods until the Gateway has taken the traffic off it.
    release.patch(json!({ "spec": { "strategy": { "canary": { "abortScaleDownDelaySeconds": 1 } } } })).await;
    release.patch_status(json!({ "abort": true })).await;
    rules_are(&release, "web-stable=100 web-canary=0; elsewhere=1").await;
    holds("the canary keeps its pods", Duration::from_secs(3), async || {
        let pods = release.pods().await;
        if pods.len() > 3 { Ok(()) } else { Err(format!("{pods:?}")) }
    })
    .await;
    accept().await;
    eventually("the canary is gone", MINUTE, async || {
        let pods = release.pods().await;
        if pods.len() == 3 { Ok(()) } else { Err(format!("{pods:?}")) }
    })
    .await;
}
