//! One Rollout `web` behind NGINX with everything around it, the controller that drives it, and what a person does with it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use crds::k8s_openapi::api::core::v1::Pod;
use crds::k8s_openapi::api::networking::v1::Ingress;
use crds::kube::Api;
use crds::kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use crds::{ReplicaSet, Rollout, RolloutStatus};
use serde_json::{Value, json};

use crate::{Cluster, Namespace, Running, User, wait_for};

/// How long anything that should happen may take.
const DEADLINE: Duration = Duration::from_mins(1);

/// Steps over 20, 40, 60 and 80 per cent; `pause` says how each waits, such as `{}` for a person.
pub fn four_weights(pause: &str) -> String {
    let step = |weight: u32| format!("      - setWeight: {weight}\n      - pause: {pause}\n");
    format!("\n      steps:\n{}", [20, 40, 60, 80].map(step).concat())
}

/// A Rollout `web`, its Services `web-stable` and `web-canary`, its Ingress `web`, and a controller for this namespace alone.
pub struct Release {
    /// Its namespace.
    pub ns: Arc<Namespace>,
    name: String,
    cluster: &'static Cluster,
    controller: Option<Arc<Running>>,
}

/// The Rollout: `strategy` is the YAML below `strategy.canary`, in flow style or indented by six.
pub fn manifest(replicas: u32, tag: &str, strategy: &str) -> String {
    format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {{name: web}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
      - {{name: web, image: 'registry.example/web:{tag}', ports: [{{name: http, containerPort: 8080}}]}}
  strategy:
    canary:
      canaryService: web-canary
      stableService: web-stable
      trafficRouting: {{nginx: {{stableIngress: web}}}}
{strategy}
"
    )
}

/// A Service that selects all pods of a Rollout of [`manifest`].
pub fn service(name: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
"
    )
}

/// The Services and the Ingress that a Rollout of [`manifest`] names; the Ingress' host is `NAMESPACE.example`.
pub fn surroundings(ns: &Namespace) -> String {
    format!(
        "{}{}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: web}}
spec:
  ingressClassName: nginx
  rules:
  - host: {}.example
    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: web-stable, port: {{number: 80}}}}}}}}]}}
",
        service("web-stable"),
        service("web-canary"),
        ns.name()
    )
}

impl Release {
    /// Applies everything, starts the controller and waits until the first version is Healthy.
    pub async fn start(cluster: &'static Cluster, ns: Namespace, replicas: u32, tag: &str, strategy: &str) -> Self {
        ns.apply(&surroundings(&ns)).await;
        ns.apply(&manifest(replicas, tag, strategy)).await;
        let mut release = Self::without_controller(cluster, ns);
        release.start_controller();
        release.healthy().await;
        release
    }

    /// For a namespace whose objects are made otherwise.
    pub fn without_controller(cluster: &'static Cluster, ns: Namespace) -> Self {
        Self { ns: Arc::new(ns), name: "web".into(), cluster, controller: None }
    }

    /// A Rollout of another name, beside others in a namespace and with a controller that all of them share.
    pub fn shared(cluster: &'static Cluster, ns: Arc<Namespace>, controller: Arc<Running>, name: &str) -> Self {
        Self { ns, name: name.into(), cluster, controller: Some(controller) }
    }

    /// A controller for one namespace.
    ///
    /// # Panics
    /// It cannot be built or started.
    pub fn controller_for(cluster: &Cluster, ns: &Namespace) -> Running {
        cluster.spawn_controller(&[
            "--namespaced",
            "--namespace",
            ns.name(),
            "--leader-elect=false",
            "--metricsport=0",
            "--healthzPort=0",
        ])
    }

    /// The Rollout's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of the API server.
    pub fn api_url(&self) -> String {
        self.cluster.api_url()
    }

    /// Starts the controller for this namespace.
    pub fn start_controller(&mut self) {
        self.controller = Some(Arc::new(Self::controller_for(self.cluster, &self.ns)));
    }

    /// `kill -9`, and a new controller.
    ///
    /// # Errors
    /// It could not be killed.
    pub async fn kill_and_restart_controller(&mut self) -> Result<()> {
        if let Some(running) = self.controller.take() {
            Arc::into_inner(running).context("the controller is shared")?.kill().await?;
        }
        self.start_controller();
        Ok(())
    }

    /// What the controller has logged since it was started.
    pub fn log(&self) -> String {
        self.controller.as_deref().map(Running::log).unwrap_or_default()
    }

    /// The host under which Traefik serves it.
    pub fn host(&self) -> String {
        format!("{}.example", self.ns.name())
    }

    /// Rollouts of the namespace.
    pub fn rollouts(&self) -> Api<Rollout> {
        self.ns.api()
    }

    /// The Rollout now.
    ///
    /// # Panics
    /// It cannot be read.
    pub async fn rollout(&self) -> Rollout {
        self.rollouts().get(&self.name).await.unwrap_or_else(|error| panic!("get the Rollout: {error}"))
    }

    /// Merge patch of the Rollout.
    ///
    /// # Panics
    /// The API server refuses it.
    pub async fn patch(&self, patch: Value) {
        let patched = self.rollouts().patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        patched.unwrap_or_else(|error| panic!("patch the Rollout: {error}"));
    }

    /// Merge patch of its status.
    ///
    /// # Panics
    /// The API server refuses it.
    pub async fn patch_status(&self, patch: Value) {
        let patch = json!({ "status": patch });
        let patched = self.rollouts().patch_status(&self.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        patched.unwrap_or_else(|error| panic!("patch the status: {error}"));
    }

    /// A new version.
    pub async fn set_image(&self, tag: &str) {
        self.patch(json!({"spec": {"template": {"spec": {"containers": [
            {"name": "web", "image": format!("registry.example/web:{tag}"), "ports": [{"name": "http", "containerPort": 8080}]}
        ]}}}}))
        .await;
    }

    /// Waits until the status satisfies `condition`.
    pub async fn until(&self, what: &str, condition: impl Fn(&RolloutStatus) -> bool) -> Rollout {
        self.until_within(what, DEADLINE, condition).await
    }

    /// The same with a deadline of its own. A failure shows the controller's log.
    pub async fn until_within(
        &self,
        what: &str,
        deadline: Duration,
        condition: impl Fn(&RolloutStatus) -> bool,
    ) -> Rollout {
        let _shown = ShowOnPanic(self);
        wait_for(&self.rollouts(), &self.name, what, deadline, |rollout: &Rollout| {
            rollout.status.as_ref().is_some_and(|status| observed(rollout, status) && condition(status))
        })
        .await
    }

    /// Waits until the newest version is stable and Healthy.
    pub async fn healthy(&self) -> Rollout {
        self.until("Healthy", |status| {
            status.phase.as_deref() == Some("Healthy") && status.current_pod_hash == status.stable_rs
        })
        .await
    }

    /// Waits until it is paused with `index` as the current step.
    pub async fn paused_at(&self, index: i32) -> Rollout {
        self.until(&format!("paused at step {index}"), |status| {
            status.current_step_index == Some(index)
                && status.pause_conditions.as_ref().is_some_and(|pauses| !pauses.is_empty())
        })
        .await
    }

    /// What `kubectl rollouts promote` does to a paused Rollout.
    pub async fn promote(&self) {
        self.patch_status(json!({"pauseConditions": null})).await;
    }

    /// The weight in the canary Ingress, if there is one.
    pub async fn weight(&self) -> Option<u32> {
        let ingress = self.ns.api::<Ingress>().get_opt(&format!("{0}-{0}-canary", self.name)).await.ok()??;
        ingress.metadata.annotations?.get("nginx.ingress.kubernetes.io/canary-weight")?.parse().ok()
    }

    /// A router's object, as JSON.
    ///
    /// # Panics
    /// It cannot be read.
    pub async fn object(&self, kind: &str, name: &str) -> Value {
        let object = self.objects(kind).get(name).await.unwrap_or_else(|error| panic!("get {kind} {name}: {error}"));
        serde_json::to_value(object).unwrap_or_default()
    }

    /// Merge patch of a router's object.
    ///
    /// # Panics
    /// The API server refuses it.
    pub async fn patch_object(&self, kind: &str, name: &str, patch: &Value) {
        let patched = self.objects(kind).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.unwrap_or_else(|error| panic!("patch {kind} {name}: {error}"));
    }

    /// Merge patch of the status of a router's object, as who carries it out writes it.
    ///
    /// # Panics
    /// The API server refuses it.
    pub async fn patch_object_status(&self, kind: &str, name: &str, patch: &Value) {
        let patched = self.objects(kind).patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.unwrap_or_else(|error| panic!("patch the status of {kind} {name}: {error}"));
    }

    fn objects(&self, kind: &str) -> Api<DynamicObject> {
        let group = if kind.ends_with("Route") { "gateway.networking.k8s.io" } else { "networking.istio.io" };
        let gvk = GroupVersionKind::gvk(group, "v1", kind);
        Api::namespaced_with(self.ns.client().clone(), self.ns.name(), &ApiResource::from_gvk(&gvk))
    }

    /// The weights of the routes of a VirtualService, such as `qa: web-canary=100; primary: web-stable=80 web-canary=20`.
    pub async fn routes(&self, name: &str) -> String {
        let object = self.object("VirtualService", name).await;
        let text = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let one = |route: &Value| {
            let parts = route.get("route").and_then(Value::as_array).into_iter().flatten().map(|one| {
                let to = text(one, "/destination/subset").or_else(|| text(one, "/destination/host"));
                format!("{}={}", to.unwrap_or_default(), one.get("weight").unwrap_or(&Value::Null))
            });
            let copies = text(route, "/mirror/subset").or_else(|| text(route, "/mirror/host"));
            let copies = copies.map(|to| format!(" copied to {to}")).unwrap_or_default();
            format!("{}: {}{copies}", text(route, "/name").unwrap_or_default(), parts.collect::<Vec<_>>().join(" "))
        };
        let routes = object.pointer("/spec/http").and_then(Value::as_array).into_iter().flatten();
        routes.map(one).collect::<Vec<_>>().join("; ")
    }

    /// The label that all objects of the release have, and no others.
    pub(crate) fn own(&self) -> ListParams {
        ListParams::default().labels(&format!("app={}", self.name))
    }

    /// ReplicaSets by pod-template hash.
    ///
    /// # Panics
    /// They cannot be read.
    pub async fn replica_sets(&self) -> BTreeMap<String, ReplicaSet> {
        let list = self.ns.api::<ReplicaSet>().list(&self.own()).await;
        let list = list.unwrap_or_else(|error| panic!("list ReplicaSets: {error}"));
        let hash = |set: &ReplicaSet| {
            let labels = set.metadata.labels.as_ref();
            labels.and_then(|labels| labels.get(crds::words::POD_TEMPLATE_HASH_LABEL)).cloned().unwrap_or_default()
        };
        list.items.into_iter().map(|set| (hash(&set), set)).collect()
    }

    /// Uids of the pods that are not on their way out.
    ///
    /// # Panics
    /// They cannot be read.
    pub async fn pods(&self) -> Vec<String> {
        let list = self.ns.api::<Pod>().list(&self.own()).await;
        let list = list.unwrap_or_else(|error| panic!("list Pods: {error}"));
        let living = list.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let mut uids: Vec<String> = living.filter_map(|pod| pod.metadata.uid).collect();
        uids.sort();
        uids
    }

    /// Pods that are not on their way out: the hash of their version, by uid.
    ///
    /// # Panics
    /// They cannot be read.
    pub async fn pods_by_version(&self) -> BTreeMap<String, String> {
        let list = self.ns.api::<Pod>().list(&self.own()).await;
        let list = list.unwrap_or_else(|error| panic!("list Pods: {error}"));
        let living = list.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let version = |pod: Pod| {
            let hash = pod.metadata.labels.unwrap_or_default().remove(crds::words::POD_TEMPLATE_HASH_LABEL);
            Some((pod.metadata.uid?, hash.unwrap_or_default()))
        };
        living.filter_map(version).collect()
    }

    /// Runs the plugin as the user `kubectl` and returns exit code, standard output and standard error.
    ///
    /// # Panics
    /// It cannot be built or run.
    pub async fn plugin(&self, arguments: &[&str]) -> (i32, String, String) {
        let program: PathBuf = crate::binary("kubectl-rollouts", "kubectl-rollouts")
            .unwrap_or_else(|error| panic!("build the plugin: {error:#}"));
        let run = tokio::process::Command::new(program)
            .args(["--namespace", self.ns.name()])
            .args(arguments)
            .env("KUBECONFIG", self.cluster.kubeconfig(User::Kubectl))
            .output();
        let output = tokio::time::timeout(DEADLINE, run).await;
        let output = output.unwrap_or_else(|_| panic!("{arguments:?} did not end"));
        let output = output.unwrap_or_else(|error| panic!("run the plugin: {error}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }
}

/// Whether the status speaks of the spec as it is.
fn observed(rollout: &Rollout, status: &RolloutStatus) -> bool {
    let seen = status.observed_generation.as_deref().and_then(|seen| seen.parse::<i64>().ok());
    seen.is_some() && seen >= rollout.metadata.generation
}

struct ShowOnPanic<'a>(&'a Release);

impl Drop for ShowOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.0.log();
            let name = &self.0.name;
            let about = log.lines().rev().filter(|line| name == "web" || line.contains(name.as_str()));
            let lines: Vec<&str> = about.take(60).collect();
            eprintln!("controller's log of {}, newest first:\n{}", self.0.ns.name(), lines.join("\n"));
        }
    }
}
