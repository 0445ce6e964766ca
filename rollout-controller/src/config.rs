//! How a controller runs: what the flags, or a test, say.

use std::net::SocketAddr;
use std::time::Duration;

use analysis::provider::ProviderConfig;
use analysis::run::RunPolicy;

/// Settings of one controller. [`Config::default`] suits tests: no leader election, no listeners.
#[derive(Clone, Debug)]
pub struct Config {
    /// Only this namespace; `None` for the whole cluster.
    pub namespace: Option<String>,
    /// Only objects with this instance id; without it only those that have none.
    pub instance_id: Option<String>,
    /// Leader election; `None` to do without.
    pub leader_election: Option<LeaderElection>,
    /// Address of `/metrics`.
    pub metrics_address: Option<SocketAddr>,
    /// Address of `/healthz` and `/readyz`.
    pub health_address: Option<SocketAddr>,
    /// Rollouts and AnalysisRuns that are worked on at the same time.
    pub workers: usize,
    /// Measurements that are made at the same time.
    pub measurements: usize,
    /// Settings of the metric providers.
    pub providers: ProviderConfig,
    /// Whether `status.message` also says what the Rollout waits for and until when.
    pub full_messages: bool,
    /// How analyses treat a provider that does not answer.
    pub policy: RunPolicy,
    /// For how long a status write that changes nothing but counters and words may wait for company.
    pub coalesce: Duration,
}

/// See [`crate::lease`].
#[derive(Clone, Debug)]
pub struct LeaderElection {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of this process.
    pub identity: String,
    /// After how long without renewal others may take over.
    pub duration: Duration,
    /// After how long without successful renewal this process steps down.
    pub renew_deadline: Duration,
    /// Time between tries.
    pub retry_period: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            namespace: None,
            instance_id: None,
            leader_election: None,
            metrics_address: None,
            health_address: None,
            workers: 10,
            measurements: 64,
            providers: ProviderConfig::default(),
            full_messages: false,
            policy: RunPolicy::default(),
            coalesce: Duration::from_secs(3),
        }
    }
}

impl Config {
    /// Selects the objects of this instance.
    pub fn instance_selector(&self) -> String {
        let label = crds::words::INSTANCE_ID_LABEL;
        match &self.instance_id {
            Some(id) => format!("{label}={id}"),
            None => format!("!{label}"),
        }
    }

    /// Name of the Lease; each instance id has its own.
    pub fn lease_name(&self) -> String {
        match &self.instance_id {
            Some(id) => format!("{}-{id}", crds::words::LEASE_NAME),
            None => crds::words::LEASE_NAME.to_owned(),
        }
    }
}
