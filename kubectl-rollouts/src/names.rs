//! The names under which the program is installed, and those of the resources it works on.

use std::path::Path;

use crds::kube::core::ApiResource;
use crds::{AnalysisRun, Experiment, Rollout};

/// Our own name.
pub const OWN: &str = "kubectl-rollouts";
/// The name of Argo's plugin; installed under it, the program answers to it.
pub const ARGO: &str = "kubectl-argo-rollouts";

/// Which of the two names the program was called by.
pub fn called_by(argv0: &str) -> &'static str {
    let stem = Path::new(argv0).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if stem == ARGO { ARGO } else { OWN }
}

/// How a person types the command: kubectl turns the dashes of a plugin's name into words.
pub fn typed(name: &str) -> String {
    name.replace('-', " ")
}

/// Rollouts.
pub fn rollouts() -> ApiResource {
    ApiResource::erase::<Rollout>(&())
}

/// AnalysisRuns.
pub fn analysis_runs() -> ApiResource {
    ApiResource::erase::<AnalysisRun>(&())
}

/// Experiments.
pub fn experiments() -> ApiResource {
    ApiResource::erase::<Experiment>(&())
}

/// Resource with its group, as kubectl names it in messages.
pub fn qualified(resource: &ApiResource) -> String {
    if resource.group.is_empty() { resource.plural.clone() } else { format!("{}.{}", resource.plural, resource.group) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_follows_the_file_it_was_started_from() {
        for (argv0, name) in [
            ("/usr/local/bin/kubectl-argo-rollouts", ARGO),
            ("kubectl-argo-rollouts.exe", ARGO),
            ("./kubectl-rollouts", OWN),
            ("renamed", OWN),
            ("", OWN),
        ] {
            assert_eq!(called_by(argv0), name, "{argv0}");
        }
        assert_eq!(typed(ARGO), "kubectl argo rollouts");
        assert_eq!(qualified(&rollouts()), "rollouts.argoproj.io");
    }
}
