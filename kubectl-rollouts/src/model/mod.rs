//! A Rollout as a person sees it, built from objects alone.
//!
//! Invariants: the same objects and time give the same view; objects of other owners never show; what a newer controller
//! writes (unknown words) shows as it is.

mod canary;
mod images;
mod objects;
mod phase;
mod pod;
mod tree;

use crds::jiff::Timestamp;
use crds::kube::ResourceExt as _;
use crds::{Rollout, RolloutPhase};

pub use canary::Progress;
pub use images::Image;
pub use objects::experiment_state;
pub use phase::phase_of;
pub use tree::Node;

use crate::picture::{ExperimentPicture, Picture};
use crate::terminal::{Colour, Text};

/// How something stands, for colour and icon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Failed.
    Bad,
    /// Waiting for time or a person.
    Paused,
    /// Switched off on purpose.
    Idle,
    /// Cannot be told.
    Unknown,
    /// On the way.
    Busy,
    /// Wrong, but it may come right by itself.
    Warning,
}

impl Tone {
    /// The icon of the state.
    pub const fn icon(self) -> &'static str {
        match self {
            Self::Good => "✔",
            Self::Bad => "✖",
            Self::Paused => "॥",
            Self::Idle => "•",
            Self::Unknown => "?",
            Self::Busy => "◌",
            Self::Warning => "⚠",
        }
    }

    /// The colour of the state.
    pub const fn colour(self) -> Colour {
        match self {
            Self::Good => Colour::Green,
            Self::Bad => Colour::Red,
            Self::Paused | Self::Warning => Colour::Yellow,
            Self::Idle | Self::Unknown => Colour::Plain,
            Self::Busy => Colour::Cyan,
        }
    }
}

/// A state in a word, with its tone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// How it stands.
    pub tone: Tone,
    /// The word.
    pub word: String,
}

impl State {
    /// A state.
    pub fn new(tone: Tone, word: impl Into<String>) -> Self {
        Self { tone, word: word.into() }
    }

    /// Icon and word.
    pub fn text(&self) -> Text {
        Text::coloured(self.tone.colour(), self.tone.icon()).then(Text::plain(format!(" {}", self.word)))
    }

    /// The state which a phase of a Rollout is.
    pub fn of_rollout(phase: &str) -> Self {
        let tone = match RolloutPhase::parse(phase) {
            Some(RolloutPhase::Healthy) => Tone::Good,
            Some(RolloutPhase::Degraded) => Tone::Bad,
            Some(RolloutPhase::Progressing) => Tone::Busy,
            Some(RolloutPhase::Paused) => Tone::Paused,
            None => Tone::Unknown,
        };
        Self::new(tone, phase)
    }
}

/// The strategy of a Rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrategyKind {
    /// A growing share.
    Canary,
    /// A switch.
    BlueGreen,
    /// Neither, or not readable.
    Unknown,
}

impl StrategyKind {
    /// The strategy which the spec names.
    pub fn of(rollout: &Rollout) -> Self {
        match rollout.spec.strategy.as_ref() {
            Some(strategy) if strategy.canary.is_some() => Self::Canary,
            Some(strategy) if strategy.blue_green.is_some() => Self::BlueGreen,
            _ => Self::Unknown,
        }
    }

    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Canary => "Canary",
            Self::BlueGreen => "BlueGreen",
            Self::Unknown => "unknown",
        }
    }
}

/// Numbers of pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// Wanted by spec.
    pub desired: i32,
    /// Of all versions.
    pub current: i32,
    /// Of the version wanted by spec.
    pub updated: i32,
    /// Ready, of all versions.
    pub ready: i32,
    /// Available, of all versions.
    pub available: i32,
}

impl Replicas {
    /// The numbers of a Rollout.
    pub fn of(rollout: &Rollout) -> Self {
        let status = rollout.status.clone().unwrap_or_default();
        Self {
            desired: rollout.spec.replicas.unwrap_or(1),
            current: status.replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            ready: status.ready_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
        }
    }
}

/// A Rollout and all that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutInfo {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// How it stands.
    pub state: State,
    /// Why; may be empty.
    pub message: String,
    /// What it waits for and until when, in a sentence; `None` when nothing is waited for.
    pub waits_for: Option<String>,
    /// Its strategy.
    pub strategy: StrategyKind,
    /// Steps and weights of a canary release.
    pub progress: Option<Progress>,
    /// Images in use, with the roles of their versions.
    pub images: Vec<Image>,
    /// Numbers of pods.
    pub replicas: Replicas,
    /// The Rollout as the root of the tree.
    pub tree: Node,
}

impl RolloutInfo {
    /// The view of a picture at a time.
    pub fn new(picture: &Picture, now: Timestamp) -> Self {
        let rollout = &picture.rollout;
        let (phase, message) = phase_of(rollout);
        let state = State::of_rollout(&phase);
        Self {
            name: rollout.name_any(),
            namespace: rollout.namespace().unwrap_or_default(),
            strategy: StrategyKind::of(rollout),
            progress: Progress::of(rollout),
            images: images::in_use(picture),
            replicas: Replicas::of(rollout),
            tree: tree::of(picture, state.clone(), now),
            state,
            message,
            waits_for: rollout.status.as_ref().and_then(|status| strategy::waiting::waits_for(rollout, status)),
        }
    }
}

/// An Experiment and all that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExperimentInfo {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// How it stands.
    pub state: State,
    /// Why; may be empty.
    pub message: String,
    /// Images in use, with the versions that run them.
    pub images: Vec<Image>,
    /// The Experiment as the root of the tree.
    pub tree: Node,
}

impl ExperimentInfo {
    /// The view of a picture at a time.
    pub fn new(picture: &ExperimentPicture, now: Timestamp) -> Self {
        let experiment = &picture.experiment;
        let message = experiment.status.as_ref().and_then(|status| status.message.clone());
        Self {
            name: experiment.name_any(),
            namespace: experiment.namespace().unwrap_or_default(),
            state: experiment_state(experiment),
            message: message.unwrap_or_default(),
            images: images::of_experiment(experiment, &picture.replica_sets),
            tree: tree::of_experiment(picture, now),
        }
    }
}
