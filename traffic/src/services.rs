//! Which Service has which role.
//!
//! Invariant: with `pingPong` the roles swap with each promotion, and what the status says of it is the only place they are read from.

use crds::{PingPong, Rollout};

/// Names of the Services of the two roles; empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services {
    /// Of the stable version.
    pub stable: String,
    /// Of the canary.
    pub canary: String,
}

/// The Services as the stored status has them.
pub fn services(rollout: &Rollout) -> Services {
    services_of(rollout, rollout.status.as_ref().and_then(crds::RolloutStatus::stable_ping_pong))
}

/// The Services of Experiments that the status says have a share.
pub(crate) fn of_experiments(rollout: &Rollout) -> Vec<String> {
    let weights = rollout.status.as_ref().and_then(|status| status.canary.as_ref()?.weights.as_ref());
    let additional = weights.and_then(|weights| weights.additional.as_ref()).into_iter().flatten();
    additional.filter_map(|one| one.service_name.clone()).collect()
}

/// The Services when this one of `pingPong` is the stable one; the ping Service at first.
pub fn services_of(rollout: &Rollout, stable: Option<PingPong>) -> Services {
    let Some(canary) = rollout.spec.strategy.as_ref().and_then(|strategy| strategy.canary.as_ref()) else {
        return Services::default();
    };
    match (&canary.ping_pong, stable) {
        (Some(both), Some(PingPong::Pong)) => {
            Services { stable: both.pong_service.clone(), canary: both.ping_service.clone() }
        }
        (Some(both), Some(PingPong::Ping) | None) => {
            Services { stable: both.ping_service.clone(), canary: both.pong_service.clone() }
        }
        (None, _) => Services {
            stable: canary.stable_service.clone().unwrap_or_default(),
            canary: canary.canary_service.clone().unwrap_or_default(),
        },
    }
}
