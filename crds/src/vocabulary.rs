//! Closed sets of words which the API holds as text, and their typed view.
//!
//! The fields stay text: a word which is not in the set must not make the object unreadable. Reading gives `None` then.

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$word_doc])* $variant,)+
        }

        impl $name {
            /// All words of the set.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as the API spells it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The word with this spelling, if it is in the set.
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.as_str().to_owned()
            }
        }
    };
}

vocabulary! {
    /// Phase of a Rollout.
    RolloutPhase {
        /// The wanted version is stable and available.
        Healthy = "Healthy",
        /// Aborted, out of time, or invalid.
        Degraded = "Degraded",
        /// On the way.
        Progressing = "Progressing",
        /// Waiting for time or a person.
        Paused = "Paused",
    }
}

vocabulary! {
    /// Phase of an AnalysisRun, a metric, a measurement or an Experiment.
    AnalysisPhase {
        /// Not begun.
        Pending = "Pending",
        /// Going on.
        Running = "Running",
        /// Ended well.
        Successful = "Successful",
        /// Ended badly.
        Failed = "Failed",
        /// Could not be told because of errors.
        Error = "Error",
        /// Neither good nor bad.
        Inconclusive = "Inconclusive",
    }
}

impl AnalysisPhase {
    /// Whether it will not change any more.
    pub const fn is_completed(self) -> bool {
        match self {
            Self::Successful | Self::Failed | Self::Error | Self::Inconclusive => true,
            Self::Pending | Self::Running => false,
        }
    }
}

vocabulary! {
    /// Why a release waits.
    PauseReason {
        /// A pause step.
        CanaryPauseStep = "CanaryPauseStep",
        /// Before the blue-green cut-over.
        BlueGreenPause = "BlueGreenPause",
        /// An analysis could not tell.
        InconclusiveAnalysis = "InconclusiveAnalysisRun",
        /// An experiment could not tell.
        InconclusiveExperiment = "InconclusiveExperiment",
    }
}

vocabulary! {
    /// Aspect of a Rollout's state.
    RolloutConditionType {
        /// Enough pods are available.
        Available = "Available",
        /// The release is on its way, or why it is not.
        Progressing = "Progressing",
        /// The release waits.
        Paused = "Paused",
        /// The wanted version is stable.
        Completed = "Completed",
        /// The wanted version is stable and available.
        Healthy = "Healthy",
        /// Pods could not be made.
        ReplicaFailure = "ReplicaFailure",
        /// The spec cannot be carried out.
        InvalidSpec = "InvalidSpec",
    }
}

vocabulary! {
    /// Outcome of a release.
    CompletionStatus {
        /// All steps were taken.
        Promoted = "Promoted",
        /// A person skipped the steps.
        FastPromoted = "FastPromoted",
        /// Taken back to the stable version.
        Aborted = "Aborted",
        /// Replaced by a newer release.
        Superseded = "Superseded",
        /// Went back to an earlier version by steps.
        RolledBack = "RolledBack",
        /// Went back to an earlier version at once.
        FastRolledBack = "FastRolledBack",
    }
}

vocabulary! {
    /// When a referenced Deployment is scaled to zero.
    WorkloadScaleDown {
        /// Never.
        Never = "never",
        /// Once the first release is healthy.
        OnSuccess = "onsuccess",
        /// As the Rollout's pods become ready.
        Progressively = "progressively",
    }
}

vocabulary! {
    /// Which of the two ping-pong services is meant.
    PingPong {
        /// The ping service.
        Ping = "ping",
        /// The pong service.
        Pong = "pong",
    }
}

vocabulary! {
    /// Which pod template a version of an experiment step uses.
    ReplicaSetSpecRef {
        /// The new version.
        Canary = "canary",
        /// The stable version.
        Stable = "stable",
    }
}

vocabulary! {
    /// Which version's pod-template hash an argument takes.
    PodTemplateHashValue {
        /// The stable version.
        Stable = "Stable",
        /// The new version.
        Latest = "Latest",
    }
}

vocabulary! {
    /// Unit of `replicaProgressThreshold.value`.
    ProgressType {
        /// Percent of the pods the step wants.
        Percent = "Percent",
        /// Pods.
        Pods = "Pods",
    }
}

vocabulary! {
    /// State of a version of an Experiment.
    TemplateStatusCode {
        /// Pods are being made.
        Progressing = "Progressing",
        /// All pods are available.
        Running = "Running",
        /// Ended well.
        Successful = "Successful",
        /// Did not become available in time.
        Failed = "Failed",
        /// Could not be run.
        Error = "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_and_others_do_not() {
        for phase in AnalysisPhase::ALL {
            assert_eq!(AnalysisPhase::parse(phase.as_str()), Some(*phase));
        }
        for reason in PauseReason::ALL {
            assert_eq!(PauseReason::parse(reason.as_str()), Some(*reason));
        }
        assert_eq!(RolloutPhase::parse("healthy"), None);
        assert_eq!(format!("{:>8}", RolloutPhase::Paused), "  Paused");
    }
}
