//! Series about Rollouts and Experiments, made from the picture when Prometheus asks: they are never stale and end with the object.

use std::fmt::Error;
use std::sync::Arc;

use crds::kube::ResourceExt;
use crds::{AnalysisPhase, Experiment, Guarded, Rollout, RolloutStatus};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::View;

/// Phases of `rollout_info` and `rollout_phase`, as Argo names them.
const PHASES: [&str; 7] = ["Completed", "Progressing", "Paused", "Timeout", "Error", "Abort", "InvalidSpec"];

/// See the module.
#[derive(Debug)]
pub struct Gauges(pub Arc<View>);

type Count = fn(&Rollout) -> i32;

#[derive(Debug, EncodeLabelSet)]
struct ObjectPhase {
    namespace: String,
    name: String,
    phase: String,
}

#[derive(Debug, EncodeLabelSet)]
struct RolloutInfo {
    namespace: String,
    name: String,
    strategy: &'static str,
    traffic_router: String,
    phase: &'static str,
}

#[derive(Debug, EncodeLabelSet)]
struct ObjectName {
    namespace: String,
    name: String,
}

/// Argo's metrics phase, from the conditions.
pub fn phase(status: Option<&RolloutStatus>) -> &'static str {
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let find = |kind: &str| conditions.into_iter().flatten().find(|condition| condition.type_ == kind);
    if find("InvalidSpec").is_some() {
        return "InvalidSpec";
    }
    let reason = find("Progressing").map_or("", |condition| condition.reason.as_str());
    let completed = find("Completed").is_some_and(|condition| condition.status == "True");
    match reason {
        "RolloutAborted" => "Abort",
        "ProgressDeadlineExceeded" => "Timeout",
        "RolloutPaused" => "Paused",
        "ReplicaSetCreateError" => "Error",
        "NewReplicaSetAvailable" if completed => "Completed",
        _ => "Progressing",
    }
}

fn strategy(rollout: &Rollout) -> &'static str {
    match &rollout.spec.strategy {
        Some(strategy) if strategy.blue_green.is_some() => "blueGreen",
        Some(strategy) if strategy.canary.is_some() => "canary",
        _ => "none",
    }
}

fn info(rollout: &Rollout, phase: &'static str) -> RolloutInfo {
    let names: Vec<&str> = traffic::routers(rollout).iter().map(|router| router.name()).collect();
    RolloutInfo {
        namespace: rollout.namespace().unwrap_or_default(),
        name: rollout.name_any(),
        strategy: strategy(rollout),
        traffic_router: names.join(","),
        phase,
    }
}

pub(super) fn gauge(encoder: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, value: i64) -> Result<(), Error> {
    ConstGauge::new(value).encode(encoder.encode_family(labels)?)
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let rollouts = self.0.rollouts.all();
        let valid = || {
            rollouts.iter().filter_map(|rollout| match &**rollout {
                Guarded::Valid(rollout) => Some(&**rollout),
                Guarded::Malformed(_) => None,
            })
        };
        let mut metric =
            encoder.encode_descriptor("rollout_info", "Rollouts and their phase", None, MetricType::Gauge)?;
        for rollout in valid() {
            gauge(&mut metric, &info(rollout, phase(rollout.status.as_ref())), 1)?;
        }
        let mut metric =
            encoder.encode_descriptor("rollout_phase", "Each phase, 1 for the present one", None, MetricType::Gauge)?;
        for rollout in valid() {
            let present = phase(rollout.status.as_ref());
            for phase in PHASES {
                gauge(&mut metric, &info(rollout, phase), i64::from(phase == present))?;
            }
        }
        let counts: [(&str, &str, Count); 4] = [
            ("rollout_info_replicas_desired", "Replicas wanted", |rollout| rollout.spec.replicas.unwrap_or(1)),
            ("rollout_info_replicas_available", "Replicas available", |rollout| {
                rollout.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
            }),
            ("rollout_info_replicas_updated", "Replicas of the new version", |rollout| {
                rollout.status.as_ref().and_then(|status| status.updated_replicas).unwrap_or(0)
            }),
            ("rollout_info_replicas_unavailable", "Replicas not available", |rollout| {
                let status = rollout.status.as_ref();
                let all = status.and_then(|status| status.replicas).unwrap_or(0);
                all.saturating_sub(status.and_then(|status| status.available_replicas).unwrap_or(0))
            }),
        ];
        for (name, help, count) in counts {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for rollout in valid() {
                let labels =
                    ObjectName { namespace: rollout.namespace().unwrap_or_default(), name: rollout.name_any() };
                gauge(&mut metric, &labels, i64::from(count(rollout)))?;
            }
        }
        self.experiments(&mut encoder)
    }
}

impl Gauges {
    fn experiments(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let all = self.0.experiments.all();
        let valid = || {
            all.iter().filter_map(|experiment| match &**experiment {
                Guarded::Valid(experiment) => Some(&**experiment),
                Guarded::Malformed(_) => None,
            })
        };
        let labels = |experiment: &Experiment, phase: &str| ObjectPhase {
            namespace: experiment.namespace().unwrap_or_default(),
            name: experiment.name_any(),
            phase: phase.to_owned(),
        };
        let present = |experiment: &Experiment| {
            experiment.status.as_ref().and_then(crds::ExperimentStatus::phase_kind).unwrap_or(AnalysisPhase::Pending)
        };
        let mut metric =
            encoder.encode_descriptor("experiment_info", "Experiments and their phase", None, MetricType::Gauge)?;
        for experiment in valid() {
            gauge(&mut metric, &labels(experiment, present(experiment).as_str()), 1)?;
        }
        let help = "Each phase, 1 for the present one";
        let mut metric = encoder.encode_descriptor("experiment_phase", help, None, MetricType::Gauge)?;
        for experiment in valid() {
            for phase in AnalysisPhase::ALL {
                let value = i64::from(*phase == present(experiment));
                gauge(&mut metric, &labels(experiment, phase.as_str()), value)?;
            }
        }
        Ok(())
    }
}
