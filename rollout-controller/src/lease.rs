//! Leader election on a `coordination.k8s.io/v1` Lease, with the semantics of client-go and under Argo's lease name, so
//! that this controller and an Argo controller that still runs never both act.
//!
//! Invariants
//! - [`Leadership::holds`] is true only until `renew_deadline` after the *start* of the last successful renewal, measured by
//!   this process's own monotonic clock. As the deadline is shorter than the lease's duration, we have stepped down
//!   before anybody else can take over, even when the API server cannot be reached.
//! - Whether somebody else's lease is over is judged by how long *we* saw the record unchanged, never by its wall-clock times.
//! - Every write names the resourceVersion it was decided on; a conflict means that another one was faster.

use std::time::Duration;

use crds::jiff::Timestamp;
use crds::k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use crds::k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use crds::kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use crds::kube::{Client, Error};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::words;

/// Where and how to compete.
#[derive(Clone, Debug)]
pub struct LeaseConfig {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Who we are: unique per process.
    pub identity: String,
    /// After how long without renewal others may take over.
    pub duration: Duration,
    /// After how long without successful renewal we step down.
    pub renew_deadline: Duration,
    /// Time between tries.
    pub retry_period: Duration,
}

/// Whether this process may write. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<Option<Instant>>);

impl Leadership {
    /// A process that is always the leader: without leader election.
    pub fn always() -> Self {
        let far = Instant::now() + Duration::from_hours(24 * 365 * 30);
        Self(watch::channel(Some(far)).1)
    }

    /// True while this process may write. To be asked immediately before each write.
    pub fn holds(&self) -> bool {
        self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until this process is the leader; `false` when it never will be any more.
    pub async fn wait(&mut self) -> bool {
        loop {
            if self.holds() {
                return true;
            }
            if self.0.changed().await.is_err() {
                return self.holds();
            }
        }
    }

    /// Waits until this process is no longer the leader.
    pub async fn lost(&mut self) {
        loop {
            let until = match *self.0.borrow_and_update() {
                Some(until) if Instant::now() < until => until,
                _ => return,
            };
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                changed = self.0.changed() => if changed.is_err() {
                    tokio::time::sleep_until(until).await;
                    return;
                },
            }
        }
    }
}

/// The record as last seen, and since when it looks like this.
#[derive(Debug)]
struct Seen {
    lease: Lease,
    since: Instant,
}

/// One contender. [`Elector::run`] competes until it is told to stop, then gives the lease back.
#[derive(Debug)]
pub struct Elector {
    api: Api<Lease>,
    config: LeaseConfig,
    clock: Clock,
    held_until: watch::Sender<Option<Instant>>,
    seen: Option<Seen>,
}

impl Elector {
    /// A contender and its view of whether it leads.
    pub fn new(client: Client, config: LeaseConfig, clock: Clock) -> (Self, Leadership) {
        let (held_until, receiver) = watch::channel(None);
        let api = Api::namespaced(client, &config.namespace);
        (Self { api, config, clock, held_until, seen: None }, Leadership(receiver))
    }

    /// Competes until `stop`; then releases the lease, if it is ours, so that the next one need not wait.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let start = Instant::now();
            // A try that takes longer than the deadline cannot help any more.
            let tried = tokio::time::timeout(self.config.renew_deadline, self.attempt()).await;
            match tried {
                Ok(Ok(true)) => self.lead_until(Some(start + self.config.renew_deadline)),
                Ok(Ok(false)) => self.lead_until(None),
                Ok(Err(error)) => tracing::warn!(lease = %self.config.name, %error, "failed to renew the lease"),
                Err(_) => tracing::warn!(lease = %self.config.name, "no answer when renewing the lease"),
            }
            let jitter = self.config.retry_period.mul_f64(0.1 * fastrand::f64());
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(self.config.retry_period + jitter) => {}
            }
        }
        let led = self.held_until.borrow().is_some_and(|until| Instant::now() < until);
        self.lead_until(None);
        if led {
            match tokio::time::timeout(self.config.retry_period, self.release()).await {
                Ok(Ok(())) => tracing::info!(lease = %self.config.name, "released the lease"),
                Ok(Err(error)) => tracing::warn!(lease = %self.config.name, %error, "failed to release the lease"),
                Err(_) => tracing::warn!(lease = %self.config.name, "no answer when releasing the lease"),
            }
        }
    }

    fn lead_until(&self, until: Option<Instant>) {
        let before = self.held_until.send_replace(until);
        let led = before.is_some_and(|at| Instant::now() < at);
        if led != until.is_some() {
            tracing::info!(lease = %self.config.name, identity = %self.config.identity, leader = until.is_some(), "leadership changed");
        }
    }

    /// One try to get or to keep the lease; true when it is ours now. A conflict is looked at once more at once: it may
    /// come from a write of our own whose answer was lost.
    async fn attempt(&mut self) -> Result<bool, Error> {
        match self.compete().await? {
            Some(ours) => Ok(ours),
            None => Ok(self.compete().await?.unwrap_or(false)),
        }
    }

    /// `None` after a conflict.
    async fn compete(&mut self) -> Result<Option<bool>, Error> {
        // As long as we lead, what we wrote last is the record, and its resourceVersion guards the write.
        let ours = self.seen.as_ref().is_some_and(|seen| holder(&seen.lease) == Some(self.config.identity.as_str()));
        if !ours && !self.observe().await? {
            return self.create().await;
        }
        let Some(seen) = &self.seen else { return Ok(Some(false)) };
        let ours = holder(&seen.lease) == Some(self.config.identity.as_str());
        let held = holder(&seen.lease).is_some_and(|holder| !holder.is_empty());
        let spec = seen.lease.spec.clone().unwrap_or_default();
        let lasts = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let lasts = lasts.map_or(self.config.duration, Duration::from_secs);
        if !ours && held && seen.since.elapsed() < lasts {
            return Ok(Some(false));
        }
        let now = self.clock.now();
        let mut fields = json!({
            "holderIdentity": self.config.identity,
            "leaseDurationSeconds": self.config.duration.as_secs(),
            "renewTime": MicroTime(now),
        });
        if !ours && let Some(fields) = fields.as_object_mut() {
            fields.insert("acquireTime".to_owned(), json!(MicroTime(now)));
            fields.insert("leaseTransitions".to_owned(), json!(spec.lease_transitions.unwrap_or(0).saturating_add(1)));
        }
        self.write(fields).await
    }

    /// Reads the record; false when there is none.
    async fn observe(&mut self) -> Result<bool, Error> {
        let Some(lease) = self.api.get_opt(&self.config.name).await? else {
            self.seen = None;
            return Ok(false);
        };
        let same = self.seen.as_ref().is_some_and(|seen| seen.lease.spec == lease.spec);
        let since = self.seen.as_ref().filter(|_| same).map_or_else(Instant::now, |seen| seen.since);
        self.seen = Some(Seen { lease, since });
        Ok(true)
    }

    async fn create(&mut self) -> Result<Option<bool>, Error> {
        let now = self.clock.now();
        let lease = Lease {
            metadata: ObjectMeta { name: Some(self.config.name.clone()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.config.identity.clone()),
                lease_duration_seconds: i32::try_from(self.config.duration.as_secs()).ok(),
                acquire_time: Some(MicroTime(now)),
                renew_time: Some(MicroTime(now)),
                lease_transitions: Some(0),
                ..LeaseSpec::default()
            }),
        };
        let params = PostParams { field_manager: Some(words::FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match self.api.create(&params, &lease).await {
            Ok(lease) => Ok(Some(self.wrote(lease))),
            Err(error) => self.lost_race(error),
        }
    }

    async fn write(&mut self, spec: serde_json::Value) -> Result<Option<bool>, Error> {
        let version = self.seen.as_ref().and_then(|seen| seen.lease.metadata.resource_version.clone());
        let patch = json!({ "metadata": { "resourceVersion": version }, "spec": spec });
        match self.api.patch(&self.config.name, &params(), &Patch::Merge(&patch)).await {
            Ok(lease) => Ok(Some(self.wrote(lease))),
            Err(error) => self.lost_race(error),
        }
    }

    fn wrote(&mut self, lease: Lease) -> bool {
        self.seen = Some(Seen { lease, since: Instant::now() });
        true
    }

    /// Conflict, exists and not found are answers: look at the record again.
    fn lost_race(&mut self, error: Error) -> Result<Option<bool>, Error> {
        match &error {
            Error::Api(status) if status.code == 409 || status.code == 404 => {
                self.seen = None;
                Ok(None)
            }
            _ => Err(error),
        }
    }

    async fn release(&mut self) -> Result<(), Error> {
        let now: Timestamp = self.clock.now();
        self.write(json!({
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "renewTime": MicroTime(now),
            "acquireTime": MicroTime(now),
        }))
        .await
        .map(|_| ())
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(words::FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}
