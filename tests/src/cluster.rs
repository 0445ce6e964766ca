//! The cluster as a test sees it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use crds::k8s_openapi::api::core::v1::Namespace as CoreNamespace;
use crds::kube::api::{Api, DeleteParams, DynamicObject, ObjectMeta, PostParams};
use crds::kube::core::NamespaceResourceScope;
use crds::kube::{Client, Resource};
use tokio::sync::OnceCell;

use crate::process::Running;
use crate::state::Ports;
use crate::{config, seed, start};

/// Who asks; the API server tells them apart in rights and in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// The test itself; not in the audit log.
    Admin,
    /// The controller under test.
    Controller,
    /// `kubectl` and the plugin.
    Kubectl,
}

impl User {
    fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Controller => "controller",
            Self::Kubectl => "kubectl",
        }
    }
}

#[derive(Debug)]
enum Kind {
    Ours { ports: Ports },
    Users { kubeconfig: PathBuf },
}

/// A cluster to test against.
#[derive(Debug)]
pub struct Cluster(Kind);

impl Cluster {
    /// The one cluster of this test run, started when it does not run yet and left running for the next. With `KUBECONFIG` set (to
    /// something else than our own cluster) it is that one.
    ///
    /// # Panics
    /// When it cannot be started; the message says why.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED
            .get_or_init(|| async {
                Self::start().await.unwrap_or_else(|error| panic!("no cluster to test with: {error:#}"))
            })
            .await
    }

    async fn start() -> Result<Self> {
        crate::install_tls();
        if let Some(given) = std::env::var_os("KUBECONFIG").filter(|given| !given.is_empty()) {
            let kubeconfig = PathBuf::from(given);
            if !kubeconfig.starts_with(crate::run_dir()) {
                eprintln!("testing against the cluster of KUBECONFIG={}", kubeconfig.display());
                return Ok(Self(Kind::Users { kubeconfig }));
            }
        }
        let state = start::up(|what| eprintln!("{what}")).await?;
        Ok(Self(Kind::Ours { ports: state.ports }))
    }

    /// Whether pods answer requests here, Prometheus scrapes them and Traefik routes to them. On a cluster of the user's own they do not:
    /// then a line says that `test` is skipped.
    pub fn pods_answer(&self, test: &str) -> bool {
        match &self.0 {
            Kind::Ours { .. } => true,
            Kind::Users { .. } => {
                eprintln!(
                    "SKIPPED {test}: it needs the pods, Prometheus and Traefik of our own cluster; unset KUBECONFIG to run it"
                );
                false
            }
        }
    }

    /// The kubeconfig of a user; valid inside and outside the cluster's network namespace.
    pub fn kubeconfig(&self, user: User) -> PathBuf {
        match &self.0 {
            Kind::Ours { .. } => config::kubeconfig(&crate::run_dir(), user.name()),
            Kind::Users { kubeconfig } => kubeconfig.clone(),
        }
    }

    /// A new client. It belongs to the runtime of the test that asks, so it is not shared between tests.
    ///
    /// # Panics
    /// When the kubeconfig cannot be read.
    pub async fn client(&self, user: User) -> Client {
        let path = self.kubeconfig(user);
        seed::client(&path).await.unwrap_or_else(|error| panic!("{}: {error:#}", path.display()))
    }

    /// A namespace of this test alone, `NAME-xxxxxx`, deleted when dropped (kept with `ROLLOUTS_KEEP_NAMESPACES` set). Its pods are Ready
    /// after 1 to 2.5 s and gone 0.5 to 1.5 s after deletion.
    pub async fn namespace(&self, name: &str) -> Namespace {
        self.make_namespace(name).await
    }

    /// The same, its pods Ready 50 ms after they are scheduled and gone 50 ms after deletion.
    pub async fn fast_namespace(&self, name: &str) -> Namespace {
        self.make_namespace(&format!("fast-{name}")).await
    }

    async fn make_namespace(&self, name: &str) -> Namespace {
        let client = self.client(User::Admin).await;
        let random = tempfile::Builder::new().prefix("").rand_bytes(6).tempfile().ok();
        let random =
            random.and_then(|file| Some(file.path().file_name()?.to_str()?.to_lowercase())).unwrap_or_default();
        let name = format!("{name}-{random}");
        let object = CoreNamespace {
            metadata: ObjectMeta { name: Some(name.clone()), ..Default::default() },
            ..Default::default()
        };
        let api: Api<CoreNamespace> = Api::all(client.clone());
        if let Err(error) = api.create(&PostParams::default(), &object).await {
            panic!("create the namespace {name}: {error}");
        }
        Namespace { name, client, kubeconfig: self.kubeconfig(User::Admin) }
    }

    fn port(&self, ours: impl Fn(&Ports) -> u16) -> u16 {
        match &self.0 {
            Kind::Ours { ports } => ours(ports),
            Kind::Users { .. } => panic!("only our own cluster has Prometheus and Traefik: ask `pods_answer` first"),
        }
    }

    /// Prometheus, for AnalysisTemplates and tests alike; valid inside and outside.
    pub fn prometheus_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port(|ports| ports.prometheus))
    }

    /// Traefik's entry point; the `Host` header chooses the Ingress.
    pub fn traefik_url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.traefik_port())
    }

    /// The port of Traefik's entry point, which a listener of a Gateway has to name.
    pub fn traefik_port(&self) -> u16 {
        self.port(|ports| ports.traefik)
    }

    /// The API server, for metrics that ask it for its version; valid inside and outside.
    pub fn api_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port(|ports| ports.api))
    }

    /// Makes the API server answer at another port of the cluster's network namespace as well, for as long as the relay runs.
    ///
    /// # Errors
    /// The relay could not be started.
    pub fn relay_api(&self, port: u16) -> Result<Running> {
        let api = self.port(|ports| ports.api).to_string();
        self.spawn(&crate::binary::helper()?, &["relay", &port.to_string(), &api], User::Admin, "relay")
    }

    /// `kill -9` of Prometheus: inside the namespace its port then refuses connections.
    pub fn kill_prometheus(&self) -> Result<()> {
        start::kill_companion("prometheus")
    }

    /// Starts Prometheus again on its old data and waits until it is ready.
    pub async fn restart_prometheus(&self) -> Result<()> {
        start::start_companion("prometheus")?;
        let url = format!("{}/-/ready", self.prometheus_url());
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
        crate::eventually("Prometheus is ready again", Duration::from_secs(30), async || {
            let response = client.get(&url).send().await.map_err(|error| error.to_string())?;
            if response.status().is_success() { Ok(()) } else { Err(response.status().to_string()) }
        })
        .await;
        Ok(())
    }

    /// An instant query: each series' labels and value.
    pub async fn query(&self, promql: &str) -> Result<Vec<(serde_json::Value, f64)>> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        let url = format!("{}/api/v1/query", self.prometheus_url());
        let answer: serde_json::Value = client.get(url).query(&[("query", promql)]).send().await?.json().await?;
        let series = answer.pointer("/data/result").and_then(serde_json::Value::as_array);
        let series = series.with_context(|| format!("{promql}: {answer}"))?;
        let value = |one: &serde_json::Value| {
            Some((one.get("metric")?.clone(), one.pointer("/value/1")?.as_str()?.parse().ok()?))
        };
        Ok(series.iter().filter_map(value).collect())
    }

    /// Starts `program` inside the cluster's network namespace (on a user's cluster: here), as `user`. `log` names its log file.
    pub fn spawn(&self, program: &Path, arguments: &[&str], user: User, log: &str) -> Result<Running> {
        let mut command = match &self.0 {
            Kind::Ours { .. } => start::enter(program)?,
            Kind::Users { .. } => std::process::Command::new(program),
        };
        command.args(arguments).env("KUBECONFIG", self.kubeconfig(user));
        Running::start(command, log, &crate::run_dir())
    }

    /// Starts the controller of this workspace (built first when not current; `ROLLOUT_CONTROLLER_BIN` gives another) as [`User::Controller`].
    ///
    /// # Panics
    /// When it cannot be built or started.
    pub fn spawn_controller(&self, arguments: &[&str]) -> Running {
        let started = crate::binary("rollout-controller", "rollout-controller")
            .and_then(|program| self.spawn(&program, arguments, User::Controller, "controller"));
        started.unwrap_or_else(|error| panic!("start the controller: {error:#}"))
    }
}

/// A namespace of one test.
pub struct Namespace {
    name: String,
    client: Client,
    kubeconfig: PathBuf,
}

impl Namespace {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The admin's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The admin's view of a kind in this namespace.
    pub fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Applies every document of a YAML text here (server-side, forced); any kind the cluster knows.
    ///
    /// # Panics
    /// When one is refused; [`Namespace::try_apply`] returns the error instead.
    pub async fn apply(&self, yaml: &str) -> Vec<DynamicObject> {
        self.try_apply(yaml).await.unwrap_or_else(|error| panic!("{error:#}\n{yaml}"))
    }

    /// Applies every document of a YAML text here.
    pub async fn try_apply(&self, yaml: &str) -> Result<Vec<DynamicObject>> {
        let mut applied = Vec::new();
        for object in seed::documents(yaml)? {
            applied.push(seed::apply(&self.client, &self.name, &object).await?);
        }
        Ok(applied)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::env::var_os("ROLLOUTS_KEEP_NAMESPACES").is_some() {
            eprintln!("kept the namespace {}", self.name);
            return;
        }
        let (name, kubeconfig) = (self.name.clone(), self.kubeconfig.clone());
        // The test's runtime may be ending: a thread and a runtime of its own ask for the deletion, and nobody waits for its end.
        let delete = std::thread::spawn(move || -> Result<()> {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
                let api: Api<CoreNamespace> = Api::all(seed::client(&kubeconfig).await?);
                tokio::time::timeout(Duration::from_secs(5), api.delete(&name, &DeleteParams::background())).await??;
                Ok(())
            })
        });
        if let Ok(Err(error)) = delete.join() {
            eprintln!("delete the namespace {}: {error:#}", self.name);
        }
    }
}
