//! AnalysisRuns of a canary: which ones the position needs.

use super::{Draft, Release};
use crate::release::analysis::{self, Kind};

/// Takes over what the current runs found.
pub(super) fn judge(release: &Release<'_>, draft: &mut Draft) {
    analysis::judge(release, draft, &[Kind::Background, Kind::Step]);
}

/// Creates the runs the position needs and ends those nobody needs.
pub(super) fn runs(release: &Release<'_>, draft: &mut Draft) {
    let idle = Release::initial(&draft.status)
        || release.promoted(&draft.status)
        || draft.aborted()
        || draft.status.promote_full == Some(true)
        || release.fast(&draft.status)
        || release.revisions.new.is_none();
    let index = draft.index();
    if !idle && release.rollout.spec.paused != Some(true) {
        if let Some(background) = &release.canary.analysis {
            let starts = usize::try_from(background.starting_step.unwrap_or(0)).unwrap_or(0);
            let wanted = background.templates.as_ref().is_some_and(|templates| !templates.is_empty());
            if wanted && index >= starts {
                analysis::ensure(release, draft, Kind::Background, &background.rollout_analysis());
            }
        }
        if let Some(inline) = release.steps.get(index).and_then(|step| step.analysis.as_ref()) {
            analysis::ensure(release, draft, Kind::Step, inline);
        }
    }
    analysis::end(release, draft, idle);
}
