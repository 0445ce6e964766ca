//! Which Services a Rollout moves, as their annotations say: also those that it names no more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::store::Name;

/// Services by the Rollout that moves them.
#[derive(Debug, Default)]
pub struct Managed(Mutex<BTreeMap<Name, BTreeSet<String>>>);

impl Managed {
    /// A Service is moved by another Rollout than before, or by none.
    pub fn change(&self, service: &Name, before: Option<&str>, now: Option<&str>) {
        let rollout = |name: &str| Name::new(service.namespace.clone(), name);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = before.filter(|before| Some(*before) != now).map(rollout)
            && let Some(services) = all.get_mut(&before)
        {
            services.remove(&service.name);
            if services.is_empty() {
                all.remove(&before);
            }
        }
        if let Some(now) = now {
            all.entry(rollout(now)).or_default().insert(service.name.clone());
        }
    }

    /// Names of the Services that this Rollout moves.
    pub fn by(&self, rollout: &Name) -> BTreeSet<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(rollout).cloned().unwrap_or_default()
    }
}
