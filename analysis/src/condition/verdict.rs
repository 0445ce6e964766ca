//! From a value and the two conditions of a metric to a phase.

use crds::jiff::Timestamp;

use super::{ConditionError, Program, Value};
use crate::Phase;

/// Why no verdict was possible; the text names the condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not evaluate {field} {}: {message}", crate::text::go_quote(.condition))]
pub struct EvalError {
    /// `successCondition` or `failureCondition`.
    pub field: &'static str,
    /// The text of the condition.
    pub condition: String,
    /// What was wrong.
    pub message: String,
}

/// What users read when a provider gave no data, whatever the condition tripped over.
const NO_DATA: &str = "metric result is nil or empty: no data returned from the metric provider";

fn one(field: &'static str, source: &str, value: &Value, now: Timestamp) -> Result<bool, EvalError> {
    let answer = Program::compile_condition(source, &value.type_of()).and_then(|p| p.run_condition(value, now));
    answer.map_err(|error: ConditionError| EvalError {
        field,
        condition: source.to_owned(),
        message: if value.is_nil_or_empty() { NO_DATA.to_owned() } else { error.to_string() },
    })
}

/// The verdict on `value`. An empty condition is absent.
///
/// | success | failure | answer |
/// |---|---|---|
/// | absent | absent | Successful |
/// | given | absent | Successful when it holds, else Failed |
/// | absent | given | Failed when it holds, else Successful |
/// | given | given | Failed when failure holds; Inconclusive when neither; else Successful |
pub fn evaluate_result(value: &Value, success: &str, failure: &str, now: Timestamp) -> Result<Phase, EvalError> {
    let given = |source: &str| !source.is_empty();
    let succeeded = given(success).then(|| one("successCondition", success, value, now)).transpose()?;
    let failed = given(failure).then(|| one("failureCondition", failure, value, now)).transpose()?;
    Ok(match (succeeded, failed) {
        (_, Some(true)) | (Some(false), None) => Phase::Failed,
        (Some(false), Some(false)) => Phase::Inconclusive,
        (None | Some(true), None | Some(false)) => Phase::Successful,
    })
}
