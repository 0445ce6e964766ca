//! Words that others see: keys of metadata, reasons of events, fixed messages.

/// Metadata of a metric: since when its provider gives no answer (RFC 3339).
pub const HOLD_SINCE: &str = "holdSince";
/// Metadata of a metric: how often in a row the provider gave no answer.
pub const HOLD_ATTEMPTS: &str = "holdAttempts";
/// Metadata of a metric: when the provider is asked again (RFC 3339).
pub const HOLD_RETRY_AT: &str = "holdRetryAt";
/// Metadata of a metric: why there was no answer.
pub const HOLD_REASON: &str = "holdReason";
/// Metadata of a metric: the query with its arguments filled in.
pub const RESOLVED_PROMETHEUS_QUERY: &str = "ResolvedPrometheusQuery";
/// Metadata of a metric: what a comparison knows so far; it goes on from there.
pub const COMPARISON_EVIDENCE: &str = "comparisonEvidence";
/// Metadata of a metric: its provider has said its last word, and it was good.
pub const CONCLUDED: &str = "concluded";
/// Label of series by which versions are told apart when a comparison does not say.
pub const HASH_LABEL_OF_SERIES: &str = "rollouts_pod_template_hash";
/// Metadata of a measurement: what the provider warned of.
pub const WARNINGS: &str = "warnings";

/// Event: a provider gives no answer and the run waits.
pub const REASON_HOLDING: &str = "AnalysisRunHolding";
/// Event: the provider answers again.
pub const REASON_HOLD_OVER: &str = "AnalysisRunHoldOver";

/// Message of a run that was told to stop.
pub const RUN_TERMINATED: &str = "Run Terminated";
/// Message of a metric that was told to stop.
pub const METRIC_TERMINATED: &str = "Metric Terminated";

/// What stands in stored texts in place of a secret.
pub const REDACTED: &str = "*****";
