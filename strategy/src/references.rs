//! What a decision about a Rollout will look at, so that the view can gather it and knows whom to wake.

use std::collections::BTreeSet;

use crds::{AnalysisTemplateRef, AnalysisTemplateSpec, Rollout};

/// Names of the objects around a Rollout, existing or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Services.
    pub services: BTreeSet<String>,
    /// Objects of the traffic routers.
    pub routes: BTreeSet<traffic::Reference>,
    /// AnalysisTemplates of the namespace, without those that templates name.
    pub analysis_templates: BTreeSet<String>,
    /// ClusterAnalysisTemplates, without those that templates name.
    pub cluster_analysis_templates: BTreeSet<String>,
}

impl References {
    fn template(&mut self, reference: &AnalysisTemplateRef) {
        let Some(name) = &reference.template_name else { return };
        let names = if reference.cluster_scope == Some(true) {
            &mut self.cluster_analysis_templates
        } else {
            &mut self.analysis_templates
        };
        names.insert(name.clone());
    }
}

/// Everything a Rollout names.
pub fn references(rollout: &Rollout) -> References {
    let mut found = References {
        routes: traffic::routers(rollout).iter().flat_map(|router| router.references()).collect(),
        ..References::default()
    };
    let Some(canary) = rollout.canary() else { return found };
    found.services.extend([&canary.canary_service, &canary.stable_service].into_iter().flatten().cloned());
    let background = canary.analysis.iter().flat_map(|analysis| analysis.templates.iter().flatten());
    let inline = canary.steps().iter().filter_map(|step| step.analysis.as_ref());
    for reference in background.chain(inline.flat_map(|analysis| analysis.templates.iter().flatten())) {
        found.template(reference);
    }
    found
}

/// The templates that a template names.
pub fn nested(template: &AnalysisTemplateSpec) -> References {
    let mut found = References::default();
    template.templates.iter().flatten().for_each(|reference| found.template(reference));
    found
}
