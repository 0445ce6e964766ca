//! Several objects of one router: their writes in the order of safety.

use crate::{RouterError, Write};

/// What one object needs, and whether that takes requests off the canary.
pub(crate) struct Planned {
    pub write: Option<Write>,
    pub falls: bool,
}

/// The writes, those that take requests off the canary first.
///
/// # Errors
/// The first object that cannot be planned; one broken object must not keep the others' users on the canary, so writes that take
/// requests off it come without the error, which the next plan reports.
pub(crate) fn in_order(plans: impl Iterator<Item = Result<Planned, RouterError>>) -> Result<Vec<Write>, RouterError> {
    let mut falling = Vec::new();
    let mut other = Vec::new();
    let mut problem = None;
    for plan in plans {
        match plan {
            Ok(Planned { write, falls: true }) => falling.extend(write),
            Ok(Planned { write, falls: false }) => other.extend(write),
            Err(error) => problem = problem.or(Some(error)),
        }
    }
    match problem {
        Some(error) if falling.is_empty() => Err(error),
        Some(_) => Ok(falling),
        None => Ok(falling.into_iter().chain(other).collect()),
    }
}
