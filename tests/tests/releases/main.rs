//! Whole releases on a real API server, one controller for all of them, every test a short table of what is done and what must be seen.
//!
//! Each test has a Rollout of its own name in one namespace. The namespace and the controller live for as long as any test uses them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod analysis;
mod blue_green;
mod canary;
mod routing;
mod workload;

use std::sync::{Arc, LazyLock};

use cluster_tests::{Cluster, Namespace, Release, Running};
use std::sync::Weak;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

/// One runtime for all tests, so that they can share clients.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static WORLD: Mutex<Weak<World>> = Mutex::const_new(Weak::new());

struct World {
    cluster: &'static Cluster,
    ns: Arc<Namespace>,
    controller: Arc<Running>,
}

impl World {
    async fn shared() -> Arc<Self> {
        let mut shared = WORLD.lock().await;
        if let Some(world) = shared.upgrade() {
            return world;
        }
        let cluster = Cluster::shared().await;
        let ns = Arc::new(cluster.fast_namespace("releases").await);
        let controller = Arc::new(Release::controller_for(cluster, &ns));
        let world = Arc::new(Self { cluster, ns, controller });
        *shared = Arc::downgrade(&world);
        world
    }
}

/// Makes a Rollout `name` of image `v1` with what `spec` says (YAML below `spec`, indented by two), waits until it is Healthy and goes on with `test`.
/// With a name `x` there are Services `x-stable` and `x-canary` and an Ingress `x` as well.
fn release(name: &str, spec: &str, test: impl AsyncFnOnce(&Release)) {
    release_with(name, "", spec, test);
}

/// The same with more objects made first, in which `API` is the address of the API server.
fn release_with(name: &str, more: &str, spec: &str, test: impl AsyncFnOnce(&Release)) {
    RUNTIME.block_on(async {
        let world = World::shared().await;
        if !world.cluster.pods_answer(name) {
            return;
        }
        let it = Release::shared(world.cluster, world.ns.clone(), world.controller.clone(), name);
        it.ns.apply(&surroundings(name)).await;
        if !more.is_empty() {
            it.ns.apply(&more.replace("API", &it.api_url())).await;
        }
        it.ns.apply(&manifest(name, spec)).await;
        it.healthy().await;
        test(&it).await;
        // Not left to the end of the namespace: the controller has less to look at.
        it.delete().await;
    });
}

fn manifest(name: &str, spec: &str) -> String {
    let template = if spec.contains("workloadRef") { String::new() } else { template(name, "v1") };
    format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
{template}
{spec}
"
    )
}

/// A pod template, indented by two.
fn template(name: &str, tag: &str) -> String {
    format!(
        "  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
      - {{name: web, image: 'registry.example/web:{tag}', ports: [{{name: http, containerPort: 8080}}]}}"
    )
}

fn surroundings(name: &str) -> String {
    let service = |role: &str| {
        format!(
            "
apiVersion: v1
kind: Service
metadata: {{name: {name}-{role}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---"
        )
    };
    format!(
        "{}{}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}}}
spec:
  ingressClassName: nginx
  rules:
  - host: {name}.releases.example
    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: {name}-stable, port: {{number: 80}}}}}}}}]}}
",
        service("stable"),
        service("canary"),
    )
}
