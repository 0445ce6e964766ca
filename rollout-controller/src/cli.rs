//! The command line: Argo's flag names where there is such a flag, so that its manifests keep working.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use analysis::provider::{Environment, Guard, ProviderConfig};
use analysis::run::RunPolicy;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::config::{Config, LeaderElection};

/// Progressive delivery for Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "rollout-controller", version, about, subcommand_negates_reqs = true)]
pub struct Cli {
    /// What to do; without one the controller runs.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of the controller.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What to do instead of running the controller.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the version.
    Version,
    /// Show three releases on a simulated cluster; needs nothing but this program.
    Demo {
        /// In virtual time: ends by itself, with code 1 when a release does not end as it should.
        #[arg(long)]
        fast: bool,
    },
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What `status.message` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusMessage {
    /// The words that Argo Rollouts writes, which tools may compare.
    Argo,
    /// Those, and what the Rollout waits for.
    Full,
}

/// Settings of the controller.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Work on one namespace only: --namespace, or the one the controller runs in.
    #[arg(long)]
    pub namespaced: bool,
    /// Namespace of --namespaced.
    #[arg(long, short = 'n')]
    pub namespace: Option<String>,
    /// Kubeconfig file; by default $KUBECONFIG, ~/.kube/config or the service account.
    #[arg(long, env = "KUBECONFIG", hide_env = true)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long)]
    pub context: Option<String>,
    /// Work on objects with this value of the label argo-rollouts.argoproj.io/controller-instance-id; without it on those
    /// without the label.
    #[arg(long, default_value = "")]
    pub instance_id: String,
    /// error, warn, info, debug or trace, or a filter such as info,kube=debug.
    #[arg(long, default_value = "info")]
    pub loglevel: String,
    /// Form of the log.
    #[arg(long, default_value = "text", value_enum)]
    pub logformat: LogFormat,
    /// Port of /metrics.
    #[arg(long, alias = "metricsPort", default_value_t = 8090)]
    pub metricsport: u16,
    /// Port of /healthz and /readyz.
    #[arg(long = "healthzPort", alias = "healthzport", default_value_t = 8080)]
    pub healthz_port: u16,
    /// Work only while holding the lease, so that several replicas can run.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub leader_elect: bool,
    /// Namespace of the lease; by default the one the controller runs in.
    #[arg(long, env = "POD_NAMESPACE", hide_env = true)]
    pub leader_election_namespace: Option<String>,
    /// After how long without renewal another replica may take over.
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub leader_election_lease_duration: Duration,
    /// After how long without successful renewal this replica stops working.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub leader_election_renew_deadline: Duration,
    /// Time between tries to get or renew the lease.
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub leader_election_retry_period: Duration,
    /// Rollouts and AnalysisRuns worked on at the same time.
    #[arg(long, default_value_t = 10)]
    pub rollout_threads: usize,
    /// Measurements made at the same time.
    #[arg(long, default_value_t = 30)]
    pub analysis_threads: usize,
    /// Prometheus for metrics that name no address.
    #[arg(long, env = "ARGO_ROLLOUTS_PROMETHEUS_ADDRESS")]
    pub prometheus_address: Option<String>,
    /// What status.message says: argo for the words that Argo Rollouts writes, full to have them followed by what the Rollout waits for
    /// and until when.
    #[arg(long, default_value = "argo", value_enum)]
    pub status_message: StatusMessage,
    /// The only hosts that metrics may ask, separated by commas, such as prometheus.monitoring,*.example.com; by default all.
    #[arg(long, value_delimiter = ',')]
    pub analysis_allowed_hosts: Vec<String>,
    /// Let metrics ask link-local addresses and those that serve cloud metadata (and with it credentials).
    #[arg(long)]
    pub analysis_allow_link_local: bool,
    /// For how long an analysis may wait for a provider that does not answer before it ends as Error; by default for ever.
    #[arg(long, value_parser = duration)]
    pub analysis_max_hold: Option<Duration>,
    /// Send traces there (OTLP over HTTP), such as http://collector:4318.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}

/// Reads 90s, 15m, 1h30m as Go does; a bare number counts as seconds.
fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|end| *end > 0);
        let Some((number, tail)) = digits.and_then(|end| rest.split_at_checked(end)) else {
            return Err(expected(text));
        };
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at_checked(unit_end).ok_or_else(|| expected(text))?;
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(expected(text)),
        };
        let number: f64 = number.parse().map_err(|_| expected(text))?;
        total += Duration::try_from_secs_f64(number * seconds).map_err(|_| expected(text))?;
        rest = next;
    }
    if text.is_empty() { Err(expected(text)) } else { Ok(total) }
}

fn expected(text: &str) -> String {
    format!("{text:?} is not a duration such as 90s, 15m or 1h30m")
}

impl RunArgs {
    /// The settings they stand for. `own_namespace` is the one the process runs in, `identity` its unique name.
    ///
    /// # Errors
    /// Flags that contradict each other.
    pub fn config(&self, own_namespace: &str, identity: String) -> Result<Config, String> {
        let (duration, deadline, retry) = (
            self.leader_election_lease_duration,
            self.leader_election_renew_deadline,
            self.leader_election_retry_period,
        );
        if self.leader_elect && !(retry < deadline && deadline < duration) {
            return Err("--leader-election-retry-period must be shorter than --leader-election-renew-deadline, and that shorter \
                        than --leader-election-lease-duration"
                .to_owned());
        }
        let leader_election = self.leader_elect.then(|| LeaderElection {
            namespace: self.leader_election_namespace.clone().unwrap_or_else(|| own_namespace.to_owned()),
            identity,
            duration,
            renew_deadline: deadline,
            retry_period: retry,
        });
        let namespace = self.namespace.clone().unwrap_or_else(|| own_namespace.to_owned());
        let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        Ok(Config {
            namespace: self.namespaced.then_some(namespace),
            instance_id: Some(self.instance_id.clone()).filter(|id| !id.is_empty()),
            leader_election,
            metrics_address: Some(SocketAddr::new(any, self.metricsport)),
            health_address: Some(SocketAddr::new(any, self.healthz_port)),
            workers: self.rollout_threads.max(1),
            measurements: self.analysis_threads.max(1),
            providers: ProviderConfig {
                prometheus_address: self.prometheus_address.clone(),
                namespace: own_namespace.to_owned(),
                environment: Environment::new(std::env::vars()),
                guard: Guard { link_local: self.analysis_allow_link_local, hosts: self.analysis_allowed_hosts.clone() },
                ..ProviderConfig::default()
            },
            full_messages: self.status_message == StatusMessage::Full,
            policy: RunPolicy { max_hold: self.analysis_max_hold, ..RunPolicy::default() },
            ..Config::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_argos_manifests_are_understood() {
        let cli = Cli::try_parse_from([
            "rollout-controller",
            "--namespaced",
            "--namespace=shop",
            "--instance-id",
            "blue",
            "--loglevel",
            "debug",
            "--logformat",
            "json",
            "--metricsPort",
            "9090",
            "--healthzPort",
            "9091",
            "--leader-elect=false",
            "--rollout-threads",
            "3",
        ])
        .unwrap();
        let config = cli.run.config("argo-rollouts", "me".to_owned()).unwrap();
        assert_eq!(config.namespace.as_deref(), Some("shop"));
        assert_eq!(config.instance_selector(), "argo-rollouts.argoproj.io/controller-instance-id=blue");
        assert_eq!(config.lease_name(), "argo-rollouts-controller-lock-blue");
        assert!(config.leader_election.is_none());
        assert_eq!(config.workers, 3);
    }

    #[test]
    fn durations() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("20"), Ok(Duration::from_secs(20)));
        for bad in ["", "s", "1x", "-1s", "1s2"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_lease_that_cannot_be_kept_is_refused() {
        let cli = Cli::try_parse_from(["rollout-controller", "--leader-election-renew-deadline", "20s"]).unwrap();
        assert!(cli.run.config("x", "me".to_owned()).is_err());
    }
}
