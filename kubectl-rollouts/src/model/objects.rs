//! What the objects say of themselves: owner, revision, role, health.

use crds::kube::ResourceExt;
use crds::{AnalysisPhase, Experiment, ReplicaSet, Rollout};

use super::{State, StrategyKind, Tone};
use crate::terminal::Colour;

/// Whether the object's controller is the one with this uid.
pub fn controlled_by(object: &impl ResourceExt, uid: Option<&str>) -> bool {
    let controller = object.owner_references().iter().find(|owner| owner.controller == Some(true));
    uid.is_some() && controller.map(|owner| owner.uid.as_str()) == uid
}

/// The revision number in an object's annotations.
pub fn revision(object: &impl ResourceExt) -> Option<u64> {
    object.annotations().get(crds::words::REVISION_ANNOTATION)?.parse().ok()
}

/// The pod-template hash in an object's labels.
pub fn hash(object: &impl ResourceExt) -> Option<&str> {
    object.labels().get(crds::words::POD_TEMPLATE_HASH_LABEL).map(String::as_str)
}

/// A role of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Has a share of the users on trial.
    Canary,
    /// Last promoted.
    Stable,
    /// Has all users.
    Active,
    /// Waits behind the preview service.
    Preview,
    /// Behind the ping service.
    Ping,
    /// Behind the pong service.
    Pong,
    /// A version in an Experiment.
    Experiment(String),
}

impl Role {
    /// The tag for people.
    pub fn tag(&self) -> String {
        match self {
            Self::Canary => "canary".to_owned(),
            Self::Stable => "stable".to_owned(),
            Self::Active => "active".to_owned(),
            Self::Preview => "preview".to_owned(),
            Self::Ping => "ping".to_owned(),
            Self::Pong => "pong".to_owned(),
            Self::Experiment(template) => format!("Σ:{template}"),
        }
    }

    /// The colour of the tag.
    pub const fn colour(&self) -> Colour {
        match self {
            Self::Canary => Colour::Yellow,
            Self::Stable | Self::Active => Colour::Green,
            Self::Preview => Colour::Blue,
            Self::Ping | Self::Pong | Self::Experiment(_) => Colour::Cyan,
        }
    }
}

/// The roles which the Rollout's status gives to the version of this hash.
pub fn roles(rollout: &Rollout, hash: Option<&str>) -> Vec<Role> {
    let (Some(hash), Some(status)) = (hash, rollout.status.as_ref()) else { return Vec::new() };
    let is = |field: &Option<String>| field.as_deref() == Some(hash);
    let mut roles = Vec::new();
    match StrategyKind::of(rollout) {
        StrategyKind::Canary => {
            let stable_is_ping = status.canary.as_ref().and_then(|canary| canary.stable_ping_pong.as_deref());
            let (mine, other) = match stable_is_ping {
                Some("ping") => (Some(Role::Ping), Some(Role::Pong)),
                Some("pong") => (Some(Role::Pong), Some(Role::Ping)),
                _ => (None, None),
            };
            if is(&status.stable_rs) {
                roles.push(Role::Stable);
                roles.extend(mine);
            } else if is(&status.current_pod_hash) {
                roles.push(Role::Canary);
                roles.extend(other);
            }
        }
        StrategyKind::BlueGreen => {
            if is(&status.stable_rs) {
                roles.push(Role::Stable);
            }
            if let Some(blue_green) = &status.blue_green {
                if is(&blue_green.active_selector) {
                    roles.push(Role::Active);
                } else if is(&blue_green.preview_selector) {
                    roles.push(Role::Preview);
                }
            }
        }
        StrategyKind::Unknown => {}
    }
    roles
}

/// How a ReplicaSet stands.
pub fn health(set: &ReplicaSet) -> State {
    let status = set.status.clone().unwrap_or_default();
    let desired = set.replicas_or_default();
    let failed = status.conditions.iter().flatten().find(|it| it.type_ == "ReplicaFailure" && it.status == "True");
    if failed.is_some() {
        return State::new(Tone::Bad, "Degraded");
    }
    if desired == 0 && status.replicas == 0 {
        return State::new(Tone::Idle, "ScaledDown");
    }
    let seen = status.observed_generation.unwrap_or(0) >= set.metadata.generation.unwrap_or(0);
    if !seen || status.replicas != desired || status.available_replicas.unwrap_or(0) < desired {
        return State::new(Tone::Busy, "Progressing");
    }
    State::new(Tone::Good, "Healthy")
}

/// How an Experiment stands.
pub fn experiment_state(experiment: &Experiment) -> State {
    analysis_state(experiment.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default())
}

/// How an AnalysisRun, a measurement or an Experiment in this phase stands.
pub fn analysis_state(phase: &str) -> State {
    let tone = match AnalysisPhase::parse(phase) {
        Some(AnalysisPhase::Successful) => Tone::Good,
        Some(AnalysisPhase::Failed | AnalysisPhase::Error) => Tone::Bad,
        Some(AnalysisPhase::Pending | AnalysisPhase::Running) => Tone::Busy,
        Some(AnalysisPhase::Inconclusive) | None => Tone::Unknown,
    };
    // An object which no controller has looked at yet has no phase.
    if phase.is_empty() { State::new(Tone::Busy, "Pending") } else { State::new(tone, phase) }
}
