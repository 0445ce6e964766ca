//! The blue-green machine: the new version runs beside the old one until one Service switches.
//!
//! Invariants: the active Service only moves to a version whose pods are there; what it selects is a fact of the Service, never
//! remembered; the version last promoted keeps all its pods until the new one is promoted in its place; an abort moves the Service first.

mod capacity;
mod routing;
mod stage;
mod state;
mod status;

use std::ops::Deref;

use crds::BlueGreenStrategy;

use self::stage::Stage;
use crate::Decision;
use crate::canary::experiment;
use crate::release::analysis::{self, Kind};
use crate::release::{Draft, Facts, affinity, history, metadata, services};

/// What one pass knows.
struct Release<'a> {
    facts: Facts<'a>,
    blue_green: &'a BlueGreenStrategy,
    /// Label of the version that the active Service selects now.
    active: Option<&'a str>,
}

impl<'a> Deref for Release<'a> {
    type Target = Facts<'a>;

    fn deref(&self) -> &Facts<'a> {
        &self.facts
    }
}

impl Release<'_> {
    /// Whether users' requests go to this version. A Service that nobody managed yet selects every pod.
    fn serves(&self, set: &crds::ReplicaSet) -> bool {
        self.active.is_none() || self.is_active(set)
    }

    /// Whether the active Service selects exactly this version.
    fn is_active(&self, set: &crds::ReplicaSet) -> bool {
        self.active.is_some() && crate::revision::hash_of(set) == self.active
    }

    /// Pods of the new version before it has passed its preview.
    fn preview_size(&self) -> i32 {
        self.blue_green.preview_replica_count.unwrap_or(self.desired)
    }
}

/// Decides about a Rollout with a blue-green strategy.
pub(crate) fn pass<'a>(facts: Facts<'a>, blue_green: &'a BlueGreenStrategy, mut draft: Draft) -> Decision {
    let active = facts.seen.services.get(&blue_green.active_service).and_then(services::selected);
    let release = Release { facts, blue_green, active };
    let retried = state::begin(&release, &mut draft);
    analysis::judge(&release, &mut draft, &[Kind::PrePromotion, Kind::PostPromotion]);
    if draft.aborted() {
        crate::release::state::abort(&release, &mut draft);
    }
    let fast = stage::fast_rollback(&release, &mut draft, retried);
    let stage = stage::find(&release, &mut draft, fast);
    let promoting = stage::promote(&release, &mut draft, stage, fast);
    let leaves = routing::route(&release, &mut draft, stage);
    capacity::scale(&release, &mut draft, capacity::Course { stage, fast, promoting, leaves });
    runs(&release, &mut draft, stage, fast);
    // Left over from a canary that this Rollout was before.
    experiment::end_others(&release, &mut draft);
    history::limit(&release, &mut draft);
    status::fill(&release, &mut draft, stage);
    affinity::sync(&release, &mut draft);
    metadata::sync(&release, &mut draft);
    services::let_go_unnamed(&release, &mut draft);
    if draft.aborted() {
        draft.traffic_first();
    }
    draft.finish(release.now)
}

/// The analyses before and after the cut-over.
fn runs(release: &Release<'_>, draft: &mut Draft, stage: Stage, fast: bool) {
    let skipped = fast || draft.status.promote_full == Some(true);
    let promoted = release.promoted(&draft.status);
    if !skipped && !promoted && release.rollout.spec.paused != Some(true) {
        match stage {
            Stage::Preview if stage::is_ready(release) => {
                if let Some(wanted) = &release.blue_green.pre_promotion_analysis {
                    analysis::ensure(release, draft, Kind::PrePromotion, wanted);
                }
            }
            Stage::Active => {
                if let Some(wanted) = &release.blue_green.post_promotion_analysis {
                    analysis::ensure(release, draft, Kind::PostPromotion, wanted);
                }
            }
            Stage::First | Stage::Stable | Stage::Aborted | Stage::Preview | Stage::Passed => {}
        }
    }
    let idle = skipped || promoted || matches!(stage, Stage::First | Stage::Stable | Stage::Aborted);
    analysis::end(release, draft, idle);
}
