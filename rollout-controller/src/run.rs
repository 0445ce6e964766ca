//! The whole controller: starts the watches, waits for the picture and the lease, works, and stops without losing anything.
//!
//! Invariants
//! - Nothing is worked on before every watch has its first list and the lease is held.
//! - When told to stop: no new work is begun, what is being worked on is finished, held events are written, and the lease
//!   is given back, in this order.
//! - A panic in one pass ends that pass only.

use std::sync::Arc;
use std::time::Duration;

use analysis::provider::Providers;
use crds::kube::Client;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::apply::Writer;
use crate::clock::Clock;
use crate::config::Config;
use crate::events;
use crate::health::{self, Readiness};
use crate::jobs::ClusterJobs;
use crate::lease::{Elector, Leadership, LeaseConfig};
use crate::machine::{Decide, Machines};
use crate::measure::Pool;
use crate::metrics::{Metrics, instrument};
use crate::process::Process;
use crate::queue::{BackOff, Next, Queue};
use crate::view::analysis_gauges::AnalysisGauges;
use crate::view::gauges::Gauges;
use crate::view::{self, Key, View, watch};

/// Longest time for what is being worked on when the controller is told to stop.
const FINISH: Duration = Duration::from_secs(15);
/// Longest time to write the events that are held.
const FLUSH: Duration = Duration::from_secs(10);
/// How often the Job of an analysis is looked at.
const JOB_POLL: Duration = Duration::from_secs(2);
/// How often it is looked whether the first lists are complete.
const LOOK: Duration = Duration::from_millis(20);

/// Why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A port could not be listened on.
    #[error("listen for {what}")]
    Listen {
        /// What for.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

/// A controller: its parts that others may look at while it runs. Cheap to clone.
#[derive(Clone)]
pub struct Controller {
    /// The picture.
    pub view: Arc<View>,
    /// What is to be looked at.
    pub queue: Arc<Queue<Key>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What is waited for.
    pub readiness: Readiness,
    /// Who is asked for measurements, instead of the providers of the configuration: for tests and the demo.
    pub providers: Option<Providers>,
    /// What decides about Rollouts.
    pub decide: Decide,
}

impl Default for Controller {
    fn default() -> Self {
        let queue = Arc::new(Queue::new(BackOff::default()));
        let view = Arc::new(View::new(queue.clone()));
        let metrics = Arc::new(Metrics::new());
        metrics.collect_from(Box::new(Gauges(view.clone())));
        metrics.collect_from(Box::new(AnalysisGauges(view.clone())));
        metrics.collect_from(Box::new(Process));
        Self {
            view,
            queue,
            metrics,
            readiness: Readiness::default(),
            providers: None,
            decide: Arc::new(strategy::decide),
        }
    }
}

/// Decides the same, with a message that also says what the Rollout waits for.
fn with_full_messages(decide: Decide) -> Decide {
    Arc::new(move |seen, now| {
        let mut decision = decide(seen, now);
        decision.status.message = strategy::waiting::message(&seen.rollout, &decision.status);
        decision
    })
}

/// Runs a controller until `shutdown`.
///
/// # Errors
/// A port of the configuration cannot be listened on.
pub async fn run(config: Config, client: Client, clock: Clock, shutdown: CancellationToken) -> Result<(), RunError> {
    Controller::default().run(config, client, clock, shutdown).await
}

impl Controller {
    /// Runs the controller until `shutdown`.
    ///
    /// # Errors
    /// A port of the configuration cannot be listened on.
    pub async fn run(
        self,
        config: Config,
        client: Client,
        clock: Clock,
        shutdown: CancellationToken,
    ) -> Result<(), RunError> {
        let client = instrument(client, self.metrics.clone());
        // Ends the listeners, the watches and the event sink, which outlive the workers.
        let (close, flush, release) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let mut listeners = self.listen(&config, &close);
        let shared =
            watch::Shared { readiness: self.readiness.clone(), metrics: self.metrics.clone(), stop: close.clone() };
        let mut watches =
            view::start(&self.view, &client, config.namespace.as_deref(), &config.instance_selector(), &shared);
        let (leadership, elector) = elect(&config, &client, &clock, &release);
        let (recorder, sink) = events::recorder(client.clone(), self.metrics.clone(), clock.clone());
        let sink = tokio::spawn(sink.run(flush.clone()));
        let queue = self.queue.clone();
        let writer = Writer::new(client.clone(), leadership.clone(), self.metrics.clone());
        let mut providers = self.providers.clone().unwrap_or_else(|| Providers::new(config.providers.clone()));
        if !providers.knows("job") {
            let jobs = Arc::new(ClusterJobs(writer.clone()));
            providers.register("job", Arc::new(analysis::provider::Job::new(jobs, JOB_POLL)));
        }
        let pool =
            Pool::new(client, providers, config.measurements, self.metrics.clone(), clock.clone(), move |name| {
                queue.wake(&Key::AnalysisRun(name.clone()));
            });
        let machines = Arc::new(Machines::new(
            if config.full_messages { with_full_messages(self.decide.clone()) } else { self.decide.clone() },
            self.view.clone(),
            self.queue.clone(),
            writer,
            recorder,
            self.metrics.clone(),
            clock,
            pool,
            config.policy.clone(),
            config.coalesce,
        ));
        let failed = tokio::select! {
            () = self.work(machines, leadership, config.workers, &shutdown) => None,
            failed = first_failure(&mut listeners) => Some(failed),
        };
        tracing::info!("stopping");
        flush.cancel();
        if tokio::time::timeout(FLUSH, sink).await.is_err() {
            tracing::warn!("gave up writing the events that were held");
        }
        release.cancel();
        if let Some(elector) = elector {
            let _ = elector.await;
        }
        close.cancel();
        watches.shutdown().await;
        listeners.shutdown().await;
        match failed {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn listen(&self, config: &Config, close: &CancellationToken) -> JoinSet<Result<(), RunError>> {
        let mut listeners = JoinSet::new();
        if let Some(address) = config.health_address {
            let serving = health::serve_health(address, self.readiness.clone(), close.clone());
            listeners.spawn(async move {
                serving.await.map_err(|source| RunError::Listen { what: "health checks", source })
            });
        }
        if let Some(address) = config.metrics_address {
            let serving = health::serve_metrics(address, self.metrics.clone(), close.clone());
            listeners
                .spawn(async move { serving.await.map_err(|source| RunError::Listen { what: "metrics", source }) });
        }
        listeners
    }

    /// Works while leading, until `shutdown`; returns when the last pass is finished.
    async fn work(
        &self,
        machines: Arc<Machines>,
        mut leadership: Leadership,
        workers: usize,
        shutdown: &CancellationToken,
    ) {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = self.filled() => tracing::info!("the picture of the cluster is complete"),
        }
        while !shutdown.is_cancelled() {
            let leads = tokio::select! {
                () = shutdown.cancelled() => return,
                leads = leadership.wait() => leads,
            };
            if !leads {
                return;
            }
            self.metrics.leader.set(1);
            tracing::info!("leading");
            self.view.wake_all();
            let stop = shutdown.child_token();
            let mut lost = leadership.clone();
            let dispatching = self.dispatch(&machines, workers, &stop);
            tokio::pin!(dispatching);
            tokio::select! {
                () = &mut dispatching => {}
                () = lost.lost() => {
                    tracing::warn!("no longer leading");
                    stop.cancel();
                    dispatching.await;
                }
            }
            self.metrics.leader.set(0);
        }
    }

    async fn filled(&self) {
        while !self.readiness.missing().is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn dispatch(&self, machines: &Arc<Machines>, workers: usize, stop: &CancellationToken) {
        let permits = Arc::new(Semaphore::new(workers));
        let mut passes: JoinSet<(Key, Next)> = JoinSet::new();
        let mut keys = std::collections::HashMap::new();
        loop {
            let ready = async {
                let permit = permits.clone().acquire_owned().await;
                (permit, self.queue.next().await)
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(pass) = passes.join_next_with_id(), if !passes.is_empty() => self.passed(pass, &mut keys),
                (permit, key) = ready => {
                    let (ready, waiting) = self.queue.depth();
                    self.metrics.queue_ready.set(i64::try_from(ready).unwrap_or(i64::MAX));
                    self.metrics.queue_waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
                    let machines = machines.clone();
                    let id = passes.spawn({
                        let key = key.clone();
                        async move {
                            let next = machines.settle(&key).await;
                            drop(permit);
                            (key, next)
                        }
                    });
                    keys.insert(id.id(), key);
                }
            }
        }
        let rest = async {
            while let Some(pass) = passes.join_next_with_id().await {
                self.passed(pass, &mut keys);
            }
        };
        if tokio::time::timeout(FINISH, rest).await.is_err() {
            tracing::warn!("some passes did not finish in time");
        }
    }

    fn passed(
        &self,
        pass: Result<(tokio::task::Id, (Key, Next)), JoinError>,
        keys: &mut std::collections::HashMap<tokio::task::Id, Key>,
    ) {
        match pass {
            Ok((id, (key, next))) => {
                keys.remove(&id);
                self.queue.done(&key, next);
            }
            Err(error) => {
                if let Some(key) = keys.remove(&error.id()) {
                    tracing::error!(?key, %error, "a pass ended in a panic");
                    self.queue.done(&key, Next::BackOff);
                }
            }
        }
    }
}

type Election = (Leadership, Option<tokio::task::JoinHandle<()>>);

fn elect(config: &Config, client: &Client, clock: &Clock, release: &CancellationToken) -> Election {
    let Some(election) = &config.leader_election else { return (Leadership::always(), None) };
    let lease = LeaseConfig {
        namespace: election.namespace.clone(),
        name: config.lease_name(),
        identity: election.identity.clone(),
        duration: election.duration,
        renew_deadline: election.renew_deadline,
        retry_period: election.retry_period,
    };
    let (elector, leadership) = Elector::new(client.clone(), lease, clock.clone());
    (leadership, Some(tokio::spawn(elector.run(release.clone()))))
}

/// The first listener that fails; never returns when none does.
async fn first_failure(listeners: &mut JoinSet<Result<(), RunError>>) -> RunError {
    while let Some(ended) = listeners.join_next().await {
        if let Ok(Err(error)) = ended {
            return error;
        }
    }
    std::future::pending().await
}
