//! `restart`: all pods are replaced, a few at a time, without a new revision.

use std::time::Duration;

use crds::jiff::{SignedDuration, Timestamp, Unit};
use serde_json::json;

use crate::age::Age;
use crate::errors::Error;
use crate::names;
use crate::session::Session;

/// Sets `spec.restartAt` to the time after this delay.
///
/// # Errors
/// The delay leads beyond the end of time, or the write failed.
pub async fn run(session: &Session, name: &str, after: Duration) -> Result<String, Error> {
    let at = moment(session.now(), after)
        .ok_or_else(|| Error::Request(format!("{after:?} from now is too far in the future")))?;
    session.merge(&names::rollouts(), name, &json!({ "spec": { "restartAt": at.to_string() } })).await?;
    let seconds = i64::try_from(after.as_secs()).unwrap_or(i64::MAX);
    Ok(format!("rollout '{name}' restarts in {}", Age(seconds)))
}

/// The API keeps whole seconds.
fn moment(now: Timestamp, after: Duration) -> Option<Timestamp> {
    let at = now.checked_add(SignedDuration::try_from(after).ok()?).ok()?;
    at.round(crds::jiff::TimestampRound::new().smallest(Unit::Second).mode(crds::jiff::RoundMode::Trunc)).ok()
}
