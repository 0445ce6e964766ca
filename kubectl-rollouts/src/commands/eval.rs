//! `eval`: tries a condition on a value, as an analysis would.

use std::io::Read as _;

use analysis::Phase;
use analysis::condition::{Program, Value, evaluate_result};
use crds::jiff::Timestamp;

use crate::cli;
use crate::errors::Error;
use crate::terminal::Terminal;

/// Prints the verdict, and the value as the condition sees it.
///
/// # Errors
/// The verdict is not Successful; the condition or the value cannot be read.
pub fn run(flags: &cli::Eval, terminal: &mut Terminal) -> Result<(), Error> {
    let value = value(flags)?;
    let now = Timestamp::now();
    let shown = if matches!(value, Value::Nil) { "nil".to_owned() } else { value.print() };
    terminal.line(&format!("result:  {shown} ({})", kind(&value)))?;
    let success = flags.condition.as_deref().unwrap_or_default();
    let failure = flags.failure_condition.as_deref().unwrap_or_default();
    if success.is_empty() && failure.is_empty() {
        return Err(Error::Request("write a condition, such as 'result[0] < 0.01', or --failure-condition".to_owned()));
    }
    for (name, source) in [("success", success), ("failure", failure)] {
        if source.is_empty() {
            continue;
        }
        // What the parts give helps whoever writes a condition; that it is no verdict is said below.
        if let Ok(answer) = Program::compile(source, &value.type_of()).and_then(|program| program.run(&value, now)) {
            terminal.line(&format!("{name}: {source} = {}", answer.print()))?;
        }
    }
    match evaluate_result(&value, success, failure, now) {
        Ok(Phase::Successful) => Ok(terminal.line("verdict: Successful")?),
        Ok(phase) => {
            terminal.line(&format!("verdict: {phase}"))?;
            Err(Error::Verdict(phase))
        }
        Err(problem) => {
            terminal.line("verdict: Error")?;
            Err(Error::Request(problem.to_string()))
        }
    }
}

fn value(flags: &cli::Eval) -> Result<Value, Error> {
    let text = match (&flags.value, &flags.value_file) {
        (Some(text), None) => text.clone(),
        (None, Some(path)) if path.as_os_str() == "-" => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| Error::Request(format!("could not read the standard input: {error}")))?;
            text
        }
        (None, Some(path)) => std::fs::read_to_string(path)
            .map_err(|error| Error::Request(format!("could not read {}: {error}", path.display())))?,
        _ => return Err(Error::Request("write the value with --value or --value-file".to_owned())),
    };
    parse(text.trim())
}

/// JSON, and beside it what JSON has no word for: NaN and infinity, which Prometheus knows. A list of numbers is one of Prometheus.
fn parse(text: &str) -> Result<Value, Error> {
    let special = |text: &str| match text.trim() {
        "NaN" => Some(f64::NAN),
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        other => serde_json::from_str::<f64>(other).ok(),
    };
    if text == "nil" {
        return Ok(Value::Nil);
    }
    if let Some(number) = special(text) {
        return Ok(Value::Float(number));
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        if inner.trim().is_empty() {
            return Ok(Value::floats([]));
        }
        if let Some(numbers) = inner.split(',').map(special).collect::<Option<Vec<f64>>>() {
            return Ok(Value::floats(numbers));
        }
    }
    let json: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        Error::Request(format!("the value is no JSON ({error}); a text needs quotes: '\"{text}\"'"))
    })?;
    Value::from_json(&json).map_err(|error| Error::Request(error.to_string()))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "no value",
        Value::Bool(_) => "truth value",
        Value::Int(_) | Value::Float(_) => "number",
        Value::Str(_) => "text",
        Value::Array(_) => "list",
        Value::Map(_) => "map",
        Value::Time(_) => "time",
        Value::Duration(_) => "duration",
    }
}
