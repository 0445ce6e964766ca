//! Which version each Service selects.

use super::Release;
use super::stage::{self, Stage};
use crate::Action;
use crate::release::{Draft, pods, services};
use crate::revision::hash_of;

/// Moves the preview Service at once and the active Service when the version it should select can carry the requests.
///
/// Returns whether the active Service leaves the version it selected.
pub(super) fn route(release: &Release<'_>, draft: &mut Draft, stage: Stage) -> bool {
    // A canary that this Rollout was before may have left a share of the requests to a version whose pods will go.
    draft.actions.extend(traffic::leftovers(release.rollout, &release.seen.routes).into_iter().map(Action::Route));
    let target = active(release, draft, stage).filter(|hash| carries(release, hash, stage));
    if let Some(target) = &target {
        services::point(release, draft, &release.blue_green.active_service, target, true);
    }
    let preview = release.blue_green.preview_service.as_deref().filter(|name| !name.is_empty());
    if let (Some(name), Some(_)) = (preview, release.revisions.new) {
        services::point(release, draft, name, &release.hash.0, true);
    }
    target.is_some_and(|target| release.active != Some(target.as_str()))
}

/// The version that should have the requests.
fn active(release: &Release<'_>, draft: &Draft, stage: Stage) -> Option<String> {
    let stable = draft.status.stable_rs.clone().filter(|hash| !hash.is_empty());
    let new = Some(release.hash.0.clone());
    match stage {
        Stage::First | Stage::Stable | Stage::Active => new,
        Stage::Aborted => stable,
        Stage::Passed if stage::is_whole(release) && release.rollout.spec.paused != Some(true) => new,
        // A version whose release was overtaken after its cut-over keeps the requests until the next one has them.
        Stage::Preview | Stage::Passed => {
            let whole = |set| pods(set).available >= release.desired;
            let serving = release.revisions.others.iter().copied().find(|set| release.is_active(set));
            let stays = serving.filter(|set| whole(Some(*set)) || !whole(release.revisions.stable));
            stays.and_then(hash_of).map(str::to_owned).or(stable)
        }
    }
}

/// Whether a version has the pods to take the requests over from the one that has them.
fn carries(release: &Release<'_>, hash: &str, stage: Stage) -> bool {
    let find = |hash: &str| release.revisions.all.iter().copied().find(|set| hash_of(set) == Some(hash));
    let available = pods(find(hash)).available;
    let Some(active) = release.active else {
        // A Service that nobody managed yet selects every pod: it is narrowed only to a version that can carry everything.
        return find(hash).is_some() && available >= release.desired;
    };
    if active == hash {
        return true;
    }
    // Away from a version that was found to be bad, any pod will do; otherwise requests never go to fewer pods than they have.
    let enough = match stage {
        Stage::Aborted => 1,
        Stage::First | Stage::Stable | Stage::Active | Stage::Preview | Stage::Passed => {
            pods(find(active)).available.max(1)
        }
    };
    find(hash).is_some() && available >= enough.min(release.desired)
}
