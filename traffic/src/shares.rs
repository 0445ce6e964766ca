//! The shares of one list of destinations, whatever a router calls them: whose each is, and the desired shares written into it.
//!
//! Invariants: of a destination that stays only `weight` is written, and only when it says something else; the shares sum to the total; a
//! destination that is neither of the two versions nor an Experiment's is not touched.

use serde_json::Value;

use crate::{Additional, Routing};

/// Whose a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Canary,
    Stable,
    /// Of an Experiment, by its place in the list.
    Additional(usize),
    /// Of an Experiment that is over.
    Retired,
    /// One that the user wants to have beside the two.
    Kept,
    Foreign,
}

/// How a router writes its destinations.
pub(crate) trait Destinations {
    /// The versions of Experiments that have a share.
    fn additional(&self) -> &[Additional];
    /// Whose this one is.
    fn whose(&self, destination: &Value) -> Whose;
    /// Its weight.
    fn weight(destination: &Value) -> u64;
    /// Whether it says that it has this share; `alone` when there is no other.
    fn says(destination: &Value, share: u64, alone: bool) -> bool;
    /// A destination for another Service of the same namespace, written as this one is.
    fn beside(stable: &Value, service: &str) -> Value;

    /// Writes the desired shares out of `total` into a list that has `stable`.
    fn share(&self, all: &mut Vec<Value>, stable: &Value, desired: &Routing, total: u64) {
        all.retain(|one| self.whose(one) != Whose::Retired);
        for (place, one) in self.additional().iter().enumerate() {
            if !all.iter().any(|known| self.whose(known) == Whose::Additional(place)) {
                all.push(Self::beside(stable, &one.service));
            }
        }
        let kept = all.iter().filter(|one| matches!(self.whose(one), Whose::Kept | Whose::Foreign)).map(Self::weight);
        let experiments = self.additional().iter().map(|one| u64::from(one.weight.0));
        let taken = kept.chain(experiments).fold(u64::from(desired.canary.0), u64::saturating_add);
        let alone = all.len() == 1;
        let (mut canary, mut rest) = (Some(u64::from(desired.canary.0)), Some(total.saturating_sub(taken)));
        for one in all {
            let share = match self.whose(one) {
                // A list that names one of them twice: the first has it all.
                Whose::Canary => canary.take().unwrap_or(0),
                Whose::Stable => rest.take().unwrap_or(0),
                Whose::Additional(place) => self.additional().get(place).map_or(0, |one| u64::from(one.weight.0)),
                Whose::Retired | Whose::Kept | Whose::Foreign => continue,
            };
            let says = Self::says(one, share, alone);
            if let Some(one) = one.as_object_mut().filter(|_| !says) {
                one.insert("weight".to_owned(), Value::from(share));
            }
        }
    }
}
