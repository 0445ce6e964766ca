//! Canaries through Istio on a real API server: what stands in VirtualServices and DestinationRules while releases go on, and what people
//! wrote there beside.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use cluster_tests::crds::k8s_openapi::api::core::v1::Service;
use cluster_tests::{Cluster, Release, eventually, manifest, service};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_mins(1);

/// A VirtualService with one route to these two destinations and one to somebody else, in one of the versions that Istio serves.
fn virtual_service(version: &str, stable: &str, canary: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/{version}
kind: VirtualService
metadata: {{name: web, labels: {{team: shop}}}}
spec:
  hosts: [web]
  http:
  - name: primary
    timeout: 3s
    retries: {{attempts: 2}}
    route:
    - destination: {stable}
      weight: 100
    - destination: {canary}
      weight: 0
  - name: cart
    match: [{{uri: {{prefix: /cart}}}}]
    route: [{{destination: {{host: cart}}}}]
"
    )
}

/// The Rollout with this canary strategy and nothing of NGINX.
fn rollout(strategy: &str) -> String {
    let whole = manifest(3, "v1", "");
    let of_nginx = ["trafficRouting", "canaryService", "stableService"];
    let kept = whole.lines().filter(|line| !of_nginx.iter().any(|word| line.contains(word)));
    format!("{}{strategy}", kept.collect::<Vec<_>>().join("\n"))
}

async fn start(cluster: &'static Cluster, name: &str, objects: &[String], strategy: &str) -> Release {
    let ns = cluster.fast_namespace(name).await;
    for object in objects {
        ns.apply(object).await;
    }
    ns.apply(&rollout(strategy)).await;
    let mut release = Release::without_controller(cluster, ns);
    release.start_controller();
    release.healthy().await;
    release
}

async fn routes_are(release: &Release, wanted: &str) {
    eventually(&format!("the routes are {wanted}"), MINUTE, async || {
        let routes = release.routes("web").await;
        if routes == wanted { Ok(()) } else { Err(format!("{routes}\n{}", release.log())) }
    })
    .await;
}

/// What the user wrote on the route is there, whatever the weights.
async fn keeps_what_its_user_wrote(release: &Release) {
    let object = release.object("VirtualService", "web").await;
    let routes = object.pointer("/spec/http").and_then(Value::as_array).unwrap();
    let primary = routes.iter().find(|route| route.get("name") == Some(&json!("primary"))).unwrap();
    assert_eq!(primary.get("timeout"), Some(&json!("3s")));
    assert_eq!(primary.get("retries"), Some(&json!({ "attempts": 2 })));
    assert_eq!(object.pointer("/metadata/labels"), Some(&json!({ "team": "shop" })));
}

async fn image_behind(release: &Release, service: &str) -> String {
    let service = release.ns.api::<Service>().get(service).await.unwrap();
    let hash = service.spec.unwrap().selector.unwrap_or_default().remove("rollouts-pod-template-hash");
    let sets = release.replica_sets().await;
    let set = hash.and_then(|hash| sets.get(&hash).cloned());
    let image = set.and_then(|set| Some(set.template()?.images().first()?.1.to_owned()));
    image.and_then(|image| image.rsplit(':').next().map(str::to_owned)).unwrap_or_default()
}

const BY_SERVICE: &str = "
      canaryService: web-canary
      stableService: web-stable
      trafficRouting:
        managedRoutes: [{name: qa}, {name: copies}]
        istio: {virtualService: {name: web, routes: [primary]}}
      steps:
      - setWeight: 20
      - setHeaderRoute: {name: qa, match: [{headerName: x-qa, headerValue: {exact: '1'}}]}
      - setMirrorRoute: {name: copies, percentage: 50, match: [{method: {exact: GET}}]}
      - pause: {}
      - setMirrorRoute: {name: copies}
      - setWeight: 60
      - pause: {}
";

fn by_service(version: &str) -> [String; 3] {
    let destinations = ("{host: web-stable}", "{host: web-canary}");
    [service("web-stable"), service("web-canary"), virtual_service(version, destinations.0, destinations.1)]
}

#[tokio::test]
async fn weights_header_and_mirror_routes_follow_the_steps_and_end_with_the_release() {
    let cluster = Cluster::shared().await;
    let release = start(cluster, "istio-steps", &by_service("v1"), BY_SERVICE).await;
    release.set_image("v2").await;
    release.paused_at(3).await;
    let first = "qa: web-canary=100; copies: web-stable=80 web-canary=20 copied to web-canary; primary: web-stable=80 web-canary=20; cart: cart=null";
    routes_are(&release, first).await;
    keeps_what_its_user_wrote(&release).await;

    // Somebody edits the object in the middle.
    let labels = json!({ "metadata": { "labels": { "team": "shop", "edited": "yes" } } });
    release.patch_object("VirtualService", "web", &labels).await;
    release.promote().await;
    release.paused_at(6).await;
    routes_are(&release, "qa: web-canary=100; primary: web-stable=40 web-canary=60; cart: cart=null").await;
    let object = release.object("VirtualService", "web").await;
    assert_eq!(object.pointer("/metadata/labels/edited"), Some(&json!("yes")));
    release.promote().await;
    release.healthy().await;
    routes_are(&release, "primary: web-stable=100 web-canary=0; cart: cart=null").await;
    assert_eq!(image_behind(&release, "web-stable").await, "v2");
}

#[tokio::test]
async fn an_abort_takes_weights_and_routes_away_and_a_retry_brings_them_back() {
    let cluster = Cluster::shared().await;
    let release = start(cluster, "istio-abort", &by_service("v1alpha3"), BY_SERVICE).await;
    release.set_image("v2").await;
    release.paused_at(3).await;
    release.patch_status(json!({ "abort": true })).await;
    release.until("aborted", |status| status.phase.as_deref() == Some("Degraded")).await;
    routes_are(&release, "primary: web-stable=100 web-canary=0; cart: cart=null").await;
    keeps_what_its_user_wrote(&release).await;
    release.patch_status(json!({ "abort": false })).await;
    release.paused_at(3).await;
    release.patch_status(json!({ "promoteFull": true })).await;
    release.healthy().await;
    routes_are(&release, "primary: web-stable=100 web-canary=0; cart: cart=null").await;
    assert_eq!(image_behind(&release, "web-stable").await, "v2");
}

#[tokio::test]
async fn subsets_follow_the_versions() {
    let cluster = Cluster::shared().await;
    let rule = "
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: web}
spec:
  host: web
  trafficPolicy: {loadBalancer: {simple: LEAST_REQUEST}}
  subsets:
  - name: stable
    labels: {app: web}
    trafficPolicy: {connectionPool: {tcp: {maxConnections: 50}}}
  - name: canary
    labels: {app: web}
";
    let strategy = "
      trafficRouting:
        istio:
          virtualService: {name: web, routes: [primary]}
          destinationRule: {name: web, canarySubsetName: canary, stableSubsetName: stable}
      steps: [{setWeight: 30}, {pause: {}}]
";
    let route = virtual_service("v1beta1", "{host: web, subset: stable}", "{host: web, subset: canary}");
    let objects = [service("web"), rule.to_owned(), route];
    let release = start(cluster, "istio-subsets", &objects, strategy).await;
    release.set_image("v2").await;
    release.paused_at(1).await;
    routes_are(&release, "primary: stable=70 canary=30; cart: cart=null").await;
    let status = release.rollout().await.status.unwrap();
    let (new, old) = (status.current_pod_hash.unwrap(), status.stable_rs.unwrap());
    let labels = async || {
        let object = release.object("DestinationRule", "web").await;
        let hash = |index: usize| {
            let labels = object.pointer(&format!("/spec/subsets/{index}/labels"));
            labels
                .and_then(|labels| labels.get("rollouts-pod-template-hash")?.as_str().map(str::to_owned))
                .unwrap_or_default()
        };
        let policy = object.pointer("/spec/subsets/0/trafficPolicy/connectionPool/tcp/maxConnections");
        assert_eq!(policy, Some(&json!(50)));
        assert_eq!(object.pointer("/spec/trafficPolicy/loadBalancer/simple"), Some(&json!("LEAST_REQUEST")));
        (hash(0), hash(1))
    };
    assert_eq!(labels().await, (old, new.clone()));
    release.promote().await;
    release.healthy().await;
    routes_are(&release, "primary: stable=100 canary=0; cart: cart=null").await;
    assert_eq!(labels().await, (new.clone(), new));
}

#[tokio::test]
async fn ping_and_pong_alternate() {
    let cluster = Cluster::shared().await;
    let strategy = "
      pingPong: {pingService: web-ping, pongService: web-pong}
      trafficRouting: {istio: {virtualService: {name: web, routes: [primary]}}}
      steps: [{setWeight: 50}, {pause: {}}]
";
    let route = virtual_service("v1", "{host: web-ping}", "{host: web-pong}");
    let release = start(cluster, "istio-pingpong", &[service("web-ping"), service("web-pong"), route], strategy).await;
    let stable = async || {
        let status = release.rollout().await.status.unwrap();
        status.canary.and_then(|canary| canary.stable_ping_pong).unwrap_or_default()
    };
    assert_eq!(stable().await, "ping");
    release.set_image("v2").await;
    release.paused_at(1).await;
    routes_are(&release, "primary: web-ping=50 web-pong=50; cart: cart=null").await;
    release.promote().await;
    release.healthy().await;
    routes_are(&release, "primary: web-ping=0 web-pong=100; cart: cart=null").await;
    assert_eq!((stable().await.as_str(), image_behind(&release, "web-pong").await.as_str()), ("pong", "v2"));

    release.set_image("v3").await;
    release.paused_at(1).await;
    routes_are(&release, "primary: web-ping=50 web-pong=50; cart: cart=null").await;
    assert_eq!(image_behind(&release, "web-ping").await, "v3");
    release.promote().await;
    release.healthy().await;
    routes_are(&release, "primary: web-ping=100 web-pong=0; cart: cart=null").await;
    assert_eq!((stable().await.as_str(), image_behind(&release, "web-pong").await.as_str()), ("ping", "v2"));
}

#[tokio::test]
async fn versions_of_an_experiment_have_their_shares_until_it_ends() {
    let cluster = Cluster::shared().await;
    let strategy = "
      canaryService: web-canary
      stableService: web-stable
      trafficRouting: {istio: {virtualService: {name: web, routes: [primary]}}}
      steps:
      - setWeight: 20
      - experiment:
          duration: 4s
          templates:
          - {name: base, specRef: stable, weight: 5}
          - {name: next, specRef: canary, weight: 10}
      - pause: {}
";
    let release = start(cluster, "istio-experiment", &by_service("v1"), strategy).await;
    release.set_image("v2").await;
    eventually("the versions have their shares", MINUTE, async || {
        let routes = release.routes("web").await;
        let fits =
            routes.contains("web-stable=65 web-canary=20") && routes.contains("-base=5") && routes.contains("-next=10");
        if fits { Ok(()) } else { Err(format!("{routes}\n{}", release.log())) }
    })
    .await;
    release.paused_at(2).await;
    routes_are(&release, "primary: web-stable=80 web-canary=20; cart: cart=null").await;
    keeps_what_its_user_wrote(&release).await;
}

#[tokio::test]
async fn what_does_not_fit_is_told_before_anything_moves() {
    let cluster = Cluster::shared().await;
    let release = start(cluster, "istio-mistakes", &by_service("v1"), BY_SERVICE).await;
    let other = json!({ "spec": { "http": [{ "name": "other", "route": [{ "destination": { "host": "cart" } }] }] } });
    release.patch_object("VirtualService", "web", &other).await;
    release.set_image("v2").await;
    let told = release
        .until("told", |status| status.message.as_deref().is_some_and(|text| text.contains("InvalidSpec")))
        .await;
    let message = told.status.and_then(|status| status.message).unwrap_or_default();
    assert!(message.contains("VirtualService \"web\": has no HTTP route named \"primary\""), "{message}");
    let [_, _, right] = by_service("v1");
    release.ns.apply(&right).await;
    release.paused_at(3).await;
}
