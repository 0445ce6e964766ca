//! The binary: reads the command line, connects, runs until a signal.
#![forbid(unsafe_code)]

use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use crds::kube::{self, Client, config::KubeConfigOptions, config::Kubeconfig};
use rollout_controller::cli::{Cli, Command, RunArgs};
use rollout_controller::clock::Clock;
use rollout_controller::{demo, run, telemetry};
use tokio_util::sync::CancellationToken;

/// A watch is quiet for at most this long: the server ends it after 290 s.
const SILENCE: Duration = Duration::from_mins(5);

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Version) => {
            println!("rollout-controller {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Some(Command::Demo { fast: true }) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
            let summary = runtime.block_on(demo::fast())?;
            println!("\n{summary}");
            anyhow::ensure!(summary.as_promised(), "not every release ended as it should");
            Ok(())
        }
        Some(Command::Demo { fast: false }) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(demo::live())
        }
        None => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(controller(cli.run))
        }
    }
}

async fn controller(args: RunArgs) -> anyhow::Result<()> {
    // Fails only when there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    telemetry::start_log(&args.loglevel, args.logformat)?;
    let stop = CancellationToken::new();
    let sent = CancellationToken::new();
    let traces = match &args.otlp_endpoint {
        Some(endpoint) => Some(telemetry::start_traces(endpoint, sent.clone()).context("start sending traces")?),
        None => None,
    };
    let kube_config = connection(&args).await?;
    let namespace = std::env::var("POD_NAMESPACE").unwrap_or_else(|_| kube_config.default_namespace.clone());
    let config = args.config(&namespace, identity()).map_err(anyhow::Error::msg)?;
    let client = Client::try_from(kube_config).context("connect to the cluster")?;
    tokio::spawn(signals(stop.clone()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
    run::run(config, client, Clock::system(), stop).await.context("run the controller")?;
    sent.cancel();
    if let Some(traces) = traces {
        let _ = tokio::time::timeout(Duration::from_secs(10), traces).await;
    }
    Ok(())
}

async fn connection(args: &RunArgs) -> anyhow::Result<kube::Config> {
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let mut config = match &args.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).with_context(|| format!("read {}", path.display()))?;
            kube::Config::from_custom_kubeconfig(file, &options).await.context("use the kubeconfig")?
        }
        None if args.context.is_some() => {
            kube::Config::from_kubeconfig(&options).await.context("use the kubeconfig")?
        }
        None => kube::Config::infer().await.context("find a kubeconfig or a service account")?,
    };
    config.read_timeout = Some(SILENCE);
    // Retries are the queue's, which knows the key and tells others apart.
    config.default_retry = false;
    Ok(config)
}

/// Unique per process: the pod's name and something random.
fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "rollout-controller".to_owned());
    format!("{host}_{:016x}", fastrand::u64(..))
}

/// SIGTERM and SIGINT stop the controller; a second one ends the process at once.
async fn signals(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("cannot listen for signals");
        return;
    };
    for _ in 0..2 {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if stop.is_cancelled() {
            std::process::exit(1);
        }
        stop.cancel();
    }
}
