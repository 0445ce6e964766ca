//! Mirror routes: which requests are copied to the canary.
//!
//! Invariant: a route is on exactly as long as a header route would be.

use traffic::MirrorRoute;

use super::{Draft, Release, header};

/// The mirror routes that the steps up to the current one have set and not taken away.
pub(super) fn wanted(release: &Release<'_>, draft: &Draft) -> Vec<MirrorRoute> {
    if !header::answered(release, draft) {
        return Vec::new();
    }
    let mut routes: Vec<MirrorRoute> = Vec::new();
    for step in
        release.steps.iter().take(header::reached(release, draft)).filter_map(|step| step.set_mirror_route.as_ref())
    {
        routes.retain(|route| route.name != step.name);
        let matches = step.match_.clone().unwrap_or_default();
        if !matches.is_empty() {
            let percentage = u32::try_from(step.percentage_or_default()).unwrap_or(0);
            routes.push(MirrorRoute { name: step.name.clone(), matches, percentage });
        }
    }
    routes
}
