//! The machines: observe, decide, apply, until there is nothing left to do.
//!
//! Invariants
//! - A machine decides nothing itself: it carries decisions of `strategy` and `analysis` out and takes in what comes back.
//! - Status is written once, after the last action; events are told after the status that they tell of.
//! - What was to be told when a pass ended early is kept and told by the next one.

mod analysis_run;
mod experiment;
mod malformed;
mod rollout;
mod steps;
mod writes;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use analysis::run::RunPolicy;
use crds::jiff::Timestamp;
use crds::k8s_openapi::api::core::v1::ObjectReference;
use crds::kube::Resource;
use strategy::{Decision, Observation};
use tokio::time::Instant;

use crate::apply::Writer;
use crate::clock::Clock;
use crate::events::{Note, Recorder};
use crate::measure::Pool;
use crate::metrics::Metrics;
use crate::queue::{Next, Queue};
use crate::view::store::Name;
use crate::view::{Key, View};

/// Rounds after which a pass gives up: no decision needs more to come to rest.
const ROUNDS: usize = 20;
/// Time until a refused write is tried again, when nothing changes.
const REFUSED_RETRY: Duration = Duration::from_mins(1);

/// What decides about a Rollout: `strategy::decide`, unless a test puts something simpler in its place.
pub type Decide = Arc<dyn Fn(&Observation, Timestamp) -> Decision + Send + Sync>;

/// What all machines use.
pub struct Machines {
    /// Decides about Rollouts.
    pub decide: Decide,
    /// The picture.
    pub view: Arc<View>,
    /// What is to be looked at.
    pub queue: Arc<Queue<Key>>,
    /// The only way to write.
    pub writer: Writer,
    /// Tells people.
    pub recorder: Recorder,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    /// Measurements.
    pub pool: Pool,
    /// How analyses treat providers that do not answer.
    pub policy: RunPolicy,
    /// For how long a status write that only changes counters may wait.
    pub coalesce: Duration,
    memory: Mutex<Memory>,
}

/// What machines remember between passes; losing it costs a repeated event or an earlier write at most.
#[derive(Debug, Default)]
struct Memory {
    /// Names of ReplicaSets that Rollouts wanted and that are somebody else's.
    taken: HashMap<Name, BTreeSet<String>>,
    /// What was done and not yet told, because the status could not be written.
    carry: HashMap<Name, Vec<Note>>,
    /// The same for Experiments.
    experiments: HashMap<Name, Vec<Note>>,
    /// Since when a status that only differs in counters waits to be written.
    waiting: HashMap<Name, Instant>,
    /// What was told about a malformed object, or about a refused write.
    told: HashMap<Key, String>,
    /// Runs on hold.
    holding: HashSet<Name>,
    /// The Rollouts that were worked on, to tell of their end.
    known: HashMap<Name, ObjectReference>,
    /// The present step and when it began.
    steps: HashMap<Name, (i32, Timestamp)>,
}

impl Machines {
    /// Machines that have seen nothing yet.
    #[allow(clippy::too_many_arguments)] // It is a plain list of parts.
    pub fn new(
        decide: Decide,
        view: Arc<View>,
        queue: Arc<Queue<Key>>,
        writer: Writer,
        recorder: Recorder,
        metrics: Arc<Metrics>,
        clock: Clock,
        pool: Pool,
        policy: RunPolicy,
        coalesce: Duration,
    ) -> Self {
        Self { decide, view, queue, writer, recorder, metrics, clock, pool, policy, coalesce, memory: Mutex::default() }
    }

    /// One pass over one object.
    pub async fn settle(&self, key: &Key) -> Next {
        let start = Instant::now();
        match key {
            Key::Rollout(name) => {
                let next = self.settle_rollout(key, name).await;
                self.metrics.rollout_reconcile.observe(start.elapsed().as_secs_f64());
                if next == Next::BackOff {
                    self.metrics.rollout_reconcile_error.inc();
                }
                next
            }
            Key::Experiment(name) => {
                let next = self.settle_experiment(key, name).await;
                self.metrics.experiment_reconcile.observe(start.elapsed().as_secs_f64());
                if next == Next::BackOff {
                    self.metrics.experiment_reconcile_error.inc();
                }
                next
            }
            Key::AnalysisRun(name) => {
                let next = self.settle_run(key, name).await;
                self.metrics.analysis_run_reconcile.observe(start.elapsed().as_secs_f64());
                if next == Next::BackOff {
                    self.metrics.analysis_run_reconcile_error.inc();
                }
                next
            }
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells something about an object once, until something else is to be told about it.
    fn tell_once(&self, key: &Key, note: Note) {
        let told = format!("{}: {}", note.reason, note.message);
        let before = self.memory().told.insert(key.clone(), told.clone());
        if before.as_deref() != Some(told.as_str()) {
            self.recorder.tell(note);
        }
    }

    fn tell_all(&self, notes: Vec<Note>) {
        for note in notes {
            self.recorder.tell(note);
        }
    }
}

/// A reference to an object, for events.
fn about<K: Resource<DynamicType = ()>>(meta: &crds::ObjectMeta) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path: None,
    }
}
