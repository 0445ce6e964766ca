//! What an absent field of an analysis means, and the typed view of its words.

use crate::{AnalysisPhase, AnalysisRun, AnalysisRunStatus, Measurement, MetricResult};

impl AnalysisRun {
    /// The phase, when it is set and a known word.
    pub fn phase_kind(&self) -> Option<AnalysisPhase> {
        self.status.as_ref()?.phase_kind()
    }
}

impl AnalysisRunStatus {
    /// The phase, when it is a known word. A run which was not looked at yet has none.
    pub fn phase_kind(&self) -> Option<AnalysisPhase> {
        AnalysisPhase::parse(&self.phase)
    }

    /// The result of a metric.
    pub fn metric_result(&self, name: &str) -> Option<&MetricResult> {
        self.metric_results.iter().flatten().find(|result| result.name == name)
    }
}

impl MetricResult {
    /// The phase, when it is a known word.
    pub fn phase_kind(&self) -> Option<AnalysisPhase> {
        AnalysisPhase::parse(&self.phase)
    }

    /// The latest measurement.
    pub fn last_measurement(&self) -> Option<&Measurement> {
        self.measurements.as_ref()?.last()
    }
}

impl Measurement {
    /// The phase, when it is a known word.
    pub fn phase_kind(&self) -> Option<AnalysisPhase> {
        AnalysisPhase::parse(&self.phase)
    }
}
