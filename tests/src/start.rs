//! Starting, showing and ending the cluster.
//!
//! Idempotent: what runs is left alone, what has died is started again; when the base (namespace, etcd, API server) has died, all is
//! started afresh. A file lock makes concurrent callers wait for each other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use http::Request;

use crate::config::{self, certificate, kubeconfig};
use crate::state::{Ports, Process, State};
use crate::{binary, netns, paths, seed};

const HOLDER: &str = "namespace";
/// Without these nothing else can go on.
const BASE: [&str; 3] = [HOLDER, "etcd", "kube-apiserver"];
/// The port on which pods answer.
const POD_PORT: u16 = 8080;
/// Ports inside only.
const ETCD_PORTS: (u16, u16) = (2379, 2380);
const READY_DEADLINE: Duration = Duration::from_mins(1);

/// Starts what does not run yet and returns the state once everything answers. `say` is told what takes time.
pub async fn up(say: impl Fn(&str)) -> Result<State> {
    let run = paths::run_dir();
    fs::create_dir_all(&run)?;
    let _lock = lock(&run)?;
    let sources = paths::repository().join("tests/cluster");
    let traefik = PathBuf::from(script(&sources.join("install.sh"))?);
    let binaries = PathBuf::from(script(&sources.join("build.sh"))?);

    let running =
        State::load(&run).filter(|state| state.binaries == binaries && BASE.iter().all(|name| state.alive(name)));
    let mut state = if let Some(state) = running {
        state
    } else {
        end(&run);
        say("starting the control plane …");
        base(&run, &sources, binaries, traefik).await?
    };
    let client = seed::client(&kubeconfig(&run, "admin")).await?;
    // First the kinds, which some of the companions look for only when they start.
    seed::seed(&client, &sources, &paths::repository()).await?;
    companions(&run, &mut state)?;
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
    for (name, url) in [
        ("prometheus", format!("http://127.0.0.1:{}/-/ready", state.ports.prometheus)),
        ("traefik", format!("http://127.0.0.1:{}/ping", state.ports.traefik)),
    ] {
        until(name, &run, &state, async || {
            let response = http.get(&url).send().await?;
            if response.status().is_success() { Ok(()) } else { bail!("{url}: {}", response.status()) }
        })
        .await?;
    }
    Ok(state)
}

/// Ends everything that [`up`] started and whatever else runs in its namespace, and removes its data.
pub fn down() -> Result<()> {
    let run = paths::run_dir();
    if run.exists() {
        let _lock = lock(&run)?;
        end(&run);
    }
    Ok(())
}

/// What runs and where, for a person; the flag says whether all of it runs.
pub fn status() -> (String, bool) {
    let run = paths::run_dir();
    let Some(state) = State::load(&run) else {
        return ("no cluster; start it: cargo xtask cluster up\n".into(), false);
    };
    let mut text = String::new();
    let mut all = true;
    for (name, process) in &state.processes {
        let alive = process.alive();
        all &= alive;
        let _ = writeln!(text, "{name:<24} {} (pid {})", if alive { "running" } else { "NOT RUNNING" }, process.pid);
    }
    let _ = writeln!(text, "\nKubernetes API  https://127.0.0.1:{}", state.ports.api);
    let _ = writeln!(text, "Prometheus      http://127.0.0.1:{}", state.ports.prometheus);
    let _ = writeln!(
        text,
        "Traefik         http://127.0.0.1:{}  (Host: of an Ingress of class nginx)",
        state.ports.traefik
    );
    let _ = writeln!(text, "logs            {}", run.join("logs").display());
    let _ = writeln!(text, "audit log       {}", run.join("audit.log").display());
    let _ = writeln!(text, "\nexport KUBECONFIG={}", kubeconfig(&run, "admin").display());
    (text, all)
}

/// A command that runs `program` inside the cluster's network namespace, where pod IPs are reachable as well.
pub fn enter(program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
    let state = State::load(&paths::run_dir()).context("no cluster; start it: cargo xtask cluster up")?;
    let holder = state.processes.get(HOLDER).filter(|holder| holder.alive());
    Ok(netns::enter(holder.context("the cluster has died; start it: cargo xtask cluster up")?, program))
}

/// Starts a companion again (after [`kill_companion`]); returns once it runs, not once it is ready.
pub(crate) fn start_companion(name: &str) -> Result<()> {
    let run = paths::run_dir();
    let _lock = lock(&run)?;
    let mut state = State::load(&run).context("no cluster")?;
    companion(&run, &mut state, name)?;
    state.save(&run)
}

/// `kill -9` of a companion.
pub(crate) fn kill_companion(name: &str) -> Result<()> {
    let state = State::load(&paths::run_dir()).context("no cluster")?;
    let process = state.processes.get(name).with_context(|| format!("no process {name}"))?;
    process.signal("KILL");
    let begun = Instant::now();
    while process.alive() {
        if begun.elapsed() > Duration::from_secs(5) {
            bail!("{name} survives its killing");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn lock(run: &Path) -> Result<File> {
    let file = File::create(run.join("lock"))?;
    file.lock().context("lock the cluster's folder")?;
    Ok(file)
}

/// Runs a script that tells progress on standard error, and returns the last line of its output.
fn script(path: &Path) -> Result<String> {
    let output = Command::new("bash").arg(path).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| path.display().to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().last() {
        Some(line) if output.status.success() => Ok(line.to_owned()),
        _ => bail!("{} failed", path.display()),
    }
}

fn end(run: &Path) {
    if let Some(state) = State::load(run) {
        if let Some(holder) = state.processes.get(HOLDER) {
            netns::end_all(holder);
        }
        for process in state.processes.values() {
            process.signal("KILL");
        }
        let begun = Instant::now();
        while state.processes.values().any(Process::alive) && begun.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    for name in ["state.json", "audit.log", "tokens.csv", "prometheus.yaml"] {
        let _ = fs::remove_file(run.join(name));
    }
    for name in ["etcd", "prometheus", "certs", "logs"] {
        let _ = fs::remove_dir_all(run.join(name));
    }
}

async fn base(run: &Path, sources: &Path, binaries: PathBuf, traefik: PathBuf) -> Result<State> {
    for folder in ["logs", "certs"] {
        fs::create_dir_all(run.join(folder))?;
    }
    let (ports, [api, prometheus, web]) = Ports::reserve()?;
    let tokens = config::write_tokens(run)?;
    let controlplane = binaries.join("controlplane");
    let key = run.join("certs/service-account.key");
    if !Command::new(&controlplane).arg("key").arg(&key).status()?.success() {
        bail!("controlplane key failed");
    }
    let holder = netns::create()?;
    let mut state = State { ports, binaries, traefik, processes: BTreeMap::from([(HOLDER.to_owned(), holder)]) };
    state.save(run)?;
    forward(run, &mut state, "forward-api", api, |ports| ports.api)?;
    forward(run, &mut state, "forward-prometheus", prometheus, |ports| ports.prometheus)?;
    forward(run, &mut state, "forward-traefik", web, |ports| ports.traefik)?;

    let etcd = [
        "etcd".into(),
        format!("--data-dir={}", run.join("etcd").display()),
        format!("--client-port={}", ETCD_PORTS.0),
        format!("--peer-port={}", ETCD_PORTS.1),
    ];
    start(run, &mut state, "etcd", &controlplane, &etcd, None)?;
    let apiserver = [
        "kube-apiserver".into(),
        format!("--etcd-servers=http://127.0.0.1:{}", ETCD_PORTS.0),
        format!("--secure-port={}", state.ports.api),
        format!("--cert-dir={}", run.join("certs").display()),
        format!("--token-auth-file={}", run.join("tokens.csv").display()),
        format!("--service-account-key-file={}", key.display()),
        format!("--service-account-signing-key-file={}", key.display()),
        format!("--audit-policy-file={}", sources.join("audit.yaml").display()),
        format!("--audit-log-path={}", run.join("audit.log").display()),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        "--authorization-mode=RBAC".into(),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
        "--endpoint-reconciler-type=none".into(),
        // Else the node keeps a NoSchedule taint that nobody removes.
        "--disable-admission-plugins=TaintNodesByCondition".into(),
    ];
    start(run, &mut state, "kube-apiserver", &controlplane, &apiserver, None)?;
    state.save(run)?;

    until("kube-apiserver", run, &state, async || {
        if certificate(run).exists() { Ok(()) } else { Err(anyhow!("no certificate yet")) }
    })
    .await?;
    config::write_kubeconfigs(run, &state.ports, &tokens)?;
    config::write_prometheus(run, sources, POD_PORT)?;
    fs::write(run.join("traefik.token"), tokens.get("traefik").context("no token for traefik")?)?;
    let client = seed::client(&kubeconfig(run, "admin")).await?;
    until("kube-apiserver", run, &state, async || {
        client.request_text(Request::get("/readyz").body(Vec::new())?).await?;
        Ok(())
    })
    .await?;
    Ok(state)
}

const COMPANIONS: [&str; 6] = ["kube-controller-manager", "kube-scheduler", "kwok", "pods", "prometheus", "traefik"];

fn companions(run: &Path, state: &mut State) -> Result<()> {
    for name in COMPANIONS {
        if !state.alive(name) {
            companion(run, state, name)?;
        }
    }
    state.save(run)
}

fn companion(run: &Path, state: &mut State, name: &str) -> Result<()> {
    let sources = paths::repository().join("tests/cluster");
    let as_user = format!("--kubeconfig={}", kubeconfig(run, name).display());
    let controlplane = state.binaries.join("controlplane");
    let (program, arguments): (PathBuf, Vec<String>) = match name {
        "kube-controller-manager" => (
            controlplane,
            vec![
                name.into(),
                as_user,
                format!("--service-account-private-key-file={}", run.join("certs/service-account.key").display()),
                "--use-service-account-credentials=false".into(),
                "--leader-elect=false".into(),
                "--secure-port=0".into(),
                "--kube-api-qps=500".into(),
                "--kube-api-burst=1000".into(),
                "--controllers=deployment-controller,replicaset-controller,statefulset-controller,daemonset-controller,job-controller,\
                 namespace-controller,serviceaccount-controller,garbage-collector-controller,endpoints-controller,\
                 endpointslice-controller,disruption-controller,horizontal-pod-autoscaler-controller"
                    .into(),
            ],
        ),
        "kube-scheduler" => {
            (controlplane, vec![name.into(), as_user, "--leader-elect=false".into(), "--secure-port=0".into()])
        }
        "kwok" => (
            state.binaries.join("kwok"),
            vec![
                as_user,
                format!("--config={}", sources.join("stages.yaml").display()),
                "--manage-all-nodes=true".into(),
                format!("--cidr={}", netns::POD_CIDR),
                "--node-ip=127.0.0.1".into(),
                "--node-lease-duration-seconds=40".into(),
            ],
        ),
        "pods" => {
            (binary::helper()?, vec!["serve-pods".into(), kubeconfig(run, name).display().to_string(), POD_PORT.to_string()])
        }
        "prometheus" => (
            "prometheus".into(),
            vec![
                format!("--config.file={}", run.join("prometheus.yaml").display()),
                format!("--storage.tsdb.path={}", run.join("prometheus").display()),
                format!("--web.listen-address=127.0.0.1:{}", state.ports.prometheus),
                "--storage.tsdb.retention.time=2h".into(),
            ],
        ),
        "traefik" => {
            let token = fs::read_to_string(run.join("traefik.token"))?;
            let providers = ["--providers.kubernetesIngressNGINX", "--providers.kubernetesGateway"];
            let provider = |name: &str| {
                [
                    format!("{name}=true"),
                    format!("{name}.endpoint=https://127.0.0.1:{}", state.ports.api),
                    format!("{name}.token={token}"),
                    format!("{name}.certauthfilepath={}", certificate(run).display()),
                ]
            };
            let mut arguments: Vec<String> = providers.into_iter().flat_map(provider).collect();
            arguments.extend([
                format!("--entrypoints.web.address=127.0.0.1:{}", state.ports.traefik),
                    // A weight is in force as soon as it is written: tests measure from the write on.
                    "--providers.providersThrottleDuration=100ms".into(),
                    "--ping=true".into(),
                    "--ping.entryPoint=web".into(),
                    "--global.checkNewVersion=false".into(),
                    "--global.sendAnonymousUsage=false".into(),
                    "--log.level=INFO".into(),
            ]);
            (state.traefik.clone(), arguments)
        }
        other => bail!("no companion {other}"),
    };
    start(run, state, name, &program, &arguments, None)
}

fn forward(
    run: &Path,
    state: &mut State,
    name: &str,
    outside: TcpListener,
    port: impl Fn(&Ports) -> u16,
) -> Result<()> {
    let arguments = ["forward".into(), port(&state.ports).to_string()];
    start(run, state, name, &binary::helper()?, &arguments, Some(OwnedFd::from(outside)))
}

/// Starts one process inside the namespace, detached, with its output in `logs/NAME.log`.
fn start(
    run: &Path,
    state: &mut State,
    name: &str,
    program: &Path,
    arguments: &[String],
    stdin: Option<OwnedFd>,
) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let holder = state.processes.get(HOLDER).context("no namespace")?;
    let log = fs::OpenOptions::new().create(true).append(true).open(run.join("logs").join(format!("{name}.log")))?;
    let child = netns::enter(holder, program)
        .args(arguments)
        .current_dir(run)
        .env_remove("KUBECONFIG")
        .stdin(stdin.map_or_else(Stdio::null, Stdio::from))
        .stdout(log.try_clone()?)
        .stderr(log)
        // A group of its own: Ctrl-C of the starter is not meant for it.
        .process_group(0)
        .spawn()
        .with_context(|| format!("start {name}"))?;
    state.processes.insert(name.to_owned(), Process::of(child.id())?);
    Ok(())
}

/// Polls `ask` until it succeeds; fails early when the process dies, with the end of its log.
async fn until(name: &str, run: &Path, state: &State, mut ask: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    let begun = Instant::now();
    loop {
        let Err(error) = ask().await else { return Ok(()) };
        if !state.alive(name) || begun.elapsed() > READY_DEADLINE {
            let log = fs::read_to_string(run.join("logs").join(format!("{name}.log"))).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!("{name} is not ready: {error:#}\nend of its log:\n{}", tail.join("\n"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
