//! `rollout-controller demo`: the real controller on a simulated cluster, with three releases to watch.
//!
//! [`fast`] needs tokio's paused clock and comes back when the releases have come to rest; [`live`] runs until ctrl-c.
//!
//! Invariant: only `scene` says what is to happen; the outcome is read from the cluster, as a user would read it.

mod load;
mod prometheus;
mod scene;
mod screen;

use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use analysis::provider::{ProviderConfig, Providers};
use anyhow::Context as _;
use simulator::Cluster;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::run::{Controller, RunError};
use load::Load;
use scene::{RELEASES, Release};
use screen::{Screen, Seen};

/// How often the cluster is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// The three releases are at rest long before.
const DEADLINE: Duration = Duration::from_mins(5);

/// How one release ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Name of the Rollout.
    pub name: &'static str,
    /// Whether it ended as it was meant to.
    pub as_promised: bool,
    /// What is so, in words.
    pub text: String,
}

/// How the three ended.
#[derive(Clone, Debug)]
pub struct Summary(pub Vec<Ending>);

impl Summary {
    /// Whether all ended as they were meant to.
    pub fn as_promised(&self) -> bool {
        self.0.len() == RELEASES.len() && self.0.iter().all(|ending| ending.as_promised)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Ending { name, as_promised, text } in &self.0 {
            let mark = if *as_promised { "✔" } else { "✖" };
            writeln!(formatter, "{mark} {name:<8} {text}")?;
        }
        Ok(())
    }
}

/// Runs the demo in virtual time; the runtime's clock must be paused.
///
/// # Errors
/// The demo could not be set up.
pub async fn fast() -> anyhow::Result<Summary> {
    let cluster = cluster();
    let load = Load::new(cluster.clone());
    scene::set_up(&cluster, None)?;
    let mut providers = Providers::new(ProviderConfig::default());
    providers.register("prometheus", Arc::new(prometheus::InProcess(load.clone())));
    let controller = Controller { providers: Some(providers), ..Controller::default() };
    let running = Running::start(controller, &cluster, &load);
    let mut screen = Screen::new(cluster.clone(), load);
    releases(&cluster, &mut screen).await?;
    let summary = screen.summary();
    running.stop().await?;
    Ok(summary)
}

/// Runs the demo in real time until ctrl-c.
///
/// # Errors
/// The demo could not be set up.
pub async fn live() -> anyhow::Result<()> {
    let cluster = cluster();
    let load = Load::new(cluster.clone());
    let address = prometheus::serve(load.clone()).await?;
    scene::set_up(&cluster, Some(&address))?;
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let (api, serving) = cluster.serve_http(loopback).await.context("serve the cluster")?;
    let kubeconfig = KubeConfig::write(&cluster.kubeconfig(api))?;
    let running = Running::start(Controller::default(), &cluster, &load);
    let mut screen = Screen::new(cluster.clone(), load);
    screen.say(&format!(
        "A cluster without nodes, and the real controller on it. In another terminal:\n\n    export KUBECONFIG={}\n    kubectl get rollouts -w\n\nMetrics: {address}/api/v1/query?query={}\n",
        kubeconfig.0.display(),
        load::ERROR_RATIO,
    ));
    let watching = async {
        releases(&cluster, &mut screen).await?;
        let summary = screen.summary();
        screen.say(&format!("\n{summary}"));
        screen.say(
            "What to try next, in another terminal with the KUBECONFIG above:\n\n    \
             kubectl rollouts get rollout waiting        what is waiting, and for what\n    \
             kubectl rollouts promote waiting            let it go on\n    \
             kubectl rollouts abort waiting              or take it back\n    \
             kubectl get analysisruns                    why bad was taken back\n    \
             kubectl rollouts undo bad                   give bad its old image again\n    \
             kubectl rollouts set image good web=registry.example/web:errors-30pct\n\n\
             `kubectl rollouts` is the plugin: cargo install --path kubectl-rollouts\n\
             What you do shows here. Ctrl-c ends the demo.\n",
        );
        loop {
            screen.look();
            tokio::time::sleep(LOOK).await;
        }
    };
    let ended: anyhow::Result<()> = tokio::select! {
        ended = watching => ended,
        interrupted = tokio::signal::ctrl_c() => interrupted.context("wait for ctrl-c"),
    };
    running.stop().await?;
    serving.stop().await;
    ended
}

/// The first versions, then the new ones, until all is at rest or the deadline is over.
async fn releases(cluster: &Cluster, screen: &mut Screen) -> anyhow::Result<()> {
    screen.say("First versions:");
    follow(screen, |_, seen| seen.phase == "Healthy").await;
    screen.say("\nNew images for all three:");
    for release in RELEASES {
        scene::release(&cluster.client(), &release).await?;
    }
    follow(screen, |release, seen| seen.ended(release)).await;
    Ok(())
}

/// Looks until the condition holds for all, at most until the deadline.
async fn follow(screen: &mut Screen, done: impl Fn(&Release, &Seen) -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while tokio::time::Instant::now() < deadline {
        screen.look();
        if RELEASES.iter().all(|release| screen.seen(release.name).is_some_and(|seen| done(release, seen))) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn cluster() -> Cluster {
    Cluster::new(simulator::Config::default())
}

/// The controller, the pods and the users.
struct Running {
    stop: CancellationToken,
    controller: JoinHandle<Result<(), RunError>>,
    load: JoinHandle<()>,
    _workloads: simulator::Workloads,
}

impl Running {
    fn start(controller: Controller, cluster: &Cluster, load: &Load) -> Self {
        let workloads = cluster.start_workloads();
        let clock = cluster.clock();
        let stop = CancellationToken::new();
        let running =
            controller.run(Config::default(), cluster.client(), Clock::new(move || clock.now()), stop.clone());
        let load = tokio::spawn(load.clone().run());
        Self { stop, controller: tokio::spawn(running), load, _workloads: workloads }
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.load.abort();
        self.controller.await.context("run the controller")?.context("run the controller")
    }
}

/// A kubeconfig in a file that goes with the demo.
struct KubeConfig(PathBuf);

impl KubeConfig {
    fn write(text: &str) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("rollouts-demo-{:08x}.kubeconfig", fastrand::u32(..)));
        // Never through a link that someone else put there.
        let mut file =
            std::fs::File::create_new(&path).with_context(|| format!("write the kubeconfig {}", path.display()))?;
        let written = Self(path);
        file.write_all(text.as_bytes()).context("write the kubeconfig")?;
        Ok(written)
    }
}

impl Drop for KubeConfig {
    fn drop(&mut self) {
        // It is in the directory of temporary files: left there it does no harm.
        let _ = std::fs::remove_file(&self.0);
    }
}
