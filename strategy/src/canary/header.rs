//! Header routes: which requests go to the canary by a header, whatever the weight.
//!
//! Invariants: a route is on only while the canary has pods that can answer, and goes before they do; it ends with the release, however
//! that ends.

use traffic::{HeaderRoute, HeaderValue, Verified};

use super::{Draft, Release, pods, share};

/// Whether the canary has pods that can answer requests which go there whatever the weight.
pub(super) fn answered(release: &Release<'_>, draft: &Draft) -> bool {
    let status = &draft.status;
    let over = Release::initial(status) || release.promoted(status) || draft.aborted() || release.fast(status);
    let nobody = pods(release.revisions.new).available == 0 || share::fixed(release, draft.index()) == Some(0);
    !over && !nobody && !release.leaving()
}

/// How many of the steps have set their routes: up to the current one, which waits while the position is written down.
pub(super) fn reached(release: &Release<'_>, draft: &Draft) -> usize {
    let waits = draft.settles && release.verified == Verified::Yes;
    draft.index() + usize::from(!waits)
}

/// The header routes that the steps up to the current one have set and not taken away.
pub(super) fn wanted(release: &Release<'_>, draft: &Draft) -> Vec<HeaderRoute> {
    if !answered(release, draft) {
        return Vec::new();
    }
    let mut routes: Vec<HeaderRoute> = Vec::new();
    for step in release.steps.iter().take(reached(release, draft)).filter_map(|step| step.set_header_route.as_ref()) {
        let name = step.name.clone().unwrap_or_default();
        routes.retain(|route| route.name != name);
        for rule in step.match_.iter().flatten() {
            // Validation refuses one that tests nothing.
            let Some(value) = HeaderValue::of(&rule.header_value) else { continue };
            routes.push(HeaderRoute { name: name.clone(), header: rule.header_name.clone(), value });
        }
    }
    routes
}
