//! What an absent field of an experiment means, and the typed view of its words.

use crate::{
    AnalysisPhase, DEFAULT_PROGRESS_DEADLINE_SECONDS, DEFAULT_REPLICAS, DEFAULT_SCALE_DOWN_DELAY_SECONDS,
    ExperimentSpec, ExperimentStatus, TemplateSpec, TemplateStatus, TemplateStatusCode,
};

impl ExperimentSpec {
    /// Seconds without progress which are tolerated. Default: 600.
    pub fn progress_deadline_seconds_or_default(&self) -> i32 {
        self.progress_deadline_seconds.unwrap_or(DEFAULT_PROGRESS_DEADLINE_SECONDS)
    }

    /// Seconds the pods keep running after the end. Default: 30.
    pub fn scale_down_delay_seconds_or_default(&self) -> i32 {
        self.scale_down_delay_seconds.unwrap_or(DEFAULT_SCALE_DOWN_DELAY_SECONDS)
    }
}

impl TemplateSpec {
    /// Pods wanted. Default: 1.
    pub fn replicas_or_default(&self) -> i32 {
        self.replicas.unwrap_or(DEFAULT_REPLICAS)
    }
}

impl ExperimentStatus {
    /// The phase, when it is a known word.
    pub fn phase_kind(&self) -> Option<AnalysisPhase> {
        AnalysisPhase::parse(self.phase.as_deref()?)
    }
}

impl TemplateStatus {
    /// The state, when it is a known word.
    pub fn status_kind(&self) -> Option<TemplateStatusCode> {
        TemplateStatusCode::parse(self.status.as_deref()?)
    }
}
