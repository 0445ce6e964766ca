//! What a Rollout names, and the way back: which Rollouts look again when an object of that name changes.
//!
//! Invariant: the index holds exactly the references of the Rollouts that exist, as of their last change or, for templates
//! named by templates, of the last change of those.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crds::{AnalysisTemplateRef, AnalysisTemplateSpec, Rollout};

use strategy::workload::WorkloadKind;

use super::store::Name;

/// An object that is named by another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Referenced {
    /// A Service.
    Service(Name),
    /// The workload that holds the pod template.
    Workload(WorkloadKind, Name),
    /// A router's object.
    Route(&'static str, Name),
    /// Every router's object of this kind in this namespace: which ones, their labels say.
    Routes(&'static str, String),
    /// An AnalysisTemplate.
    Template(Name),
    /// A ClusterAnalysisTemplate.
    ClusterTemplate(String),
}

/// The objects a Rollout names itself; `template` gives the spec of a named template, for those that it names in turn.
pub fn of_rollout(
    rollout: &Rollout,
    template: &dyn Fn(&Referenced) -> Option<AnalysisTemplateSpec>,
) -> BTreeSet<Referenced> {
    let namespace = rollout.metadata.namespace.clone().unwrap_or_default();
    let mut found: BTreeSet<Referenced> = strategy::services::named(rollout)
        .map(|name| Referenced::Service(Name::new(namespace.clone(), name)))
        .collect();
    for router in traffic::routers(rollout) {
        for reference in router.references() {
            found.insert(Referenced::Route(reference.plural, super::routes::place(&namespace, &reference)));
        }
        for like in router.selected().into_iter().map(|selected| selected.like) {
            found.insert(Referenced::Routes(like.plural, super::routes::place(&namespace, &like).namespace));
        }
    }
    if let Some((kind, name)) = workload(rollout) {
        found.insert(Referenced::Workload(kind, name));
    }
    let steps = experiment_analyses(rollout);
    follow(&namespace, template_refs(rollout).chain(&steps), template, &mut found);
    found
}

/// Adds the templates that are named, and those that they name in turn.
pub fn follow<'a>(
    namespace: &str,
    references: impl Iterator<Item = &'a AnalysisTemplateRef>,
    template: &dyn Fn(&Referenced) -> Option<AnalysisTemplateSpec>,
    found: &mut BTreeSet<Referenced>,
) {
    let mut open: Vec<Referenced> = references.filter_map(|reference| named(namespace, reference)).collect();
    while let Some(next) = open.pop() {
        if !found.insert(next.clone()) {
            continue;
        }
        if let Some(spec) = template(&next) {
            open.extend(spec.templates.iter().flatten().filter_map(|reference| named(namespace, reference)));
        }
    }
}

/// What the experiment steps analyse with.
fn experiment_analyses(rollout: &Rollout) -> Vec<AnalysisTemplateRef> {
    let canary = rollout.spec.strategy.as_ref().and_then(|strategy| strategy.canary.as_ref());
    let steps = canary.and_then(|canary| canary.steps.as_ref()).into_iter().flatten();
    let experiments = steps.filter_map(|step| step.experiment.as_ref());
    let analyses = experiments.flat_map(|experiment| experiment.analyses.iter().flatten());
    analyses
        .map(|analysis| AnalysisTemplateRef {
            template_name: Some(analysis.template_name.clone()),
            cluster_scope: analysis.cluster_scope,
        })
        .collect()
}

/// The workload a Rollout references, when it is of a kind that can be.
pub fn workload(rollout: &Rollout) -> Option<(WorkloadKind, Name)> {
    let reference = rollout.spec.workload_ref.as_ref()?;
    let namespace = rollout.metadata.namespace.clone().unwrap_or_default();
    let name = reference.name.clone().filter(|name| !name.is_empty())?;
    Some((WorkloadKind::of(reference)?, Name::new(namespace, name)))
}

fn named(namespace: &str, reference: &AnalysisTemplateRef) -> Option<Referenced> {
    let name = reference.template_name.clone()?;
    Some(if reference.cluster_scope == Some(true) {
        Referenced::ClusterTemplate(name)
    } else {
        Referenced::Template(Name::new(namespace, name))
    })
}

fn template_refs(rollout: &Rollout) -> impl Iterator<Item = &AnalysisTemplateRef> {
    let canary = rollout.spec.strategy.as_ref().and_then(|strategy| strategy.canary.as_ref());
    let blue_green = rollout.spec.strategy.as_ref().and_then(|strategy| strategy.blue_green.as_ref());
    let background =
        canary.and_then(|canary| canary.analysis.as_ref()).and_then(|analysis| analysis.templates.as_ref());
    let steps = canary.and_then(|canary| canary.steps.as_ref()).into_iter().flatten();
    let inline = steps.filter_map(|step| step.analysis.as_ref()?.templates.as_ref());
    let promotion = blue_green
        .into_iter()
        .flat_map(|green| [green.pre_promotion_analysis.as_ref(), green.post_promotion_analysis.as_ref()])
        .flatten()
        .filter_map(|analysis| analysis.templates.as_ref());
    background.into_iter().chain(inline).chain(promotion).flatten()
}

#[derive(Debug, Default)]
struct Inner {
    by_rollout: HashMap<Name, BTreeSet<Referenced>>,
    by_object: HashMap<Referenced, BTreeSet<Name>>,
}

/// The way back. See the module.
#[derive(Debug, Default)]
pub struct Index(Mutex<Inner>);

impl Index {
    /// What the Rollout names now; an empty set when it is gone.
    pub fn set(&self, rollout: &Name, references: BTreeSet<Referenced>) {
        let mut inner = self.lock();
        let before = inner.by_rollout.remove(rollout).unwrap_or_default();
        for object in before.difference(&references) {
            if let Some(names) = inner.by_object.get_mut(object) {
                names.remove(rollout);
                if names.is_empty() {
                    inner.by_object.remove(object);
                }
            }
        }
        for object in references.difference(&before) {
            inner.by_object.entry(object.clone()).or_default().insert(rollout.clone());
        }
        if !references.is_empty() {
            inner.by_rollout.insert(rollout.clone(), references);
        }
    }

    /// What the Rollout names.
    pub fn of(&self, rollout: &Name) -> BTreeSet<Referenced> {
        self.lock().by_rollout.get(rollout).cloned().unwrap_or_default()
    }

    /// The Rollouts that name the object.
    pub fn naming(&self, object: &Referenced) -> BTreeSet<Name> {
        self.lock().by_object.get(object).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_a_rollout_names_is_found_through_templates_of_templates() {
        let rollout: Rollout = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": { "namespace": "shop", "name": "web" },
            "spec": { "strategy": { "canary": {
                "canaryService": "web-canary", "stableService": "web-stable",
                "trafficRouting": { "nginx": { "stableIngress": "web" } },
                "analysis": { "templates": [{ "templateName": "background" }] },
                "steps": [{ "analysis": { "templates": [{ "templateName": "all", "clusterScope": true }] } }],
            } } }
        }))
        .unwrap();
        let template = |referenced: &Referenced| match referenced {
            Referenced::ClusterTemplate(name) if name == "all" => {
                Some(serde_json::from_value(json!({ "templates": [{ "templateName": "inner" }] })).unwrap())
            }
            _ => None,
        };
        let found = of_rollout(&rollout, &template);
        for expected in [
            Referenced::Service(Name::new("shop", "web-canary")),
            Referenced::Service(Name::new("shop", "web-stable")),
            Referenced::Route("ingresses", Name::new("shop", "web")),
            Referenced::Template(Name::new("shop", "background")),
            Referenced::Template(Name::new("shop", "inner")),
            Referenced::ClusterTemplate("all".to_owned()),
        ] {
            assert!(found.contains(&expected), "{expected:?} is missing in {found:?}");
        }
    }

    #[test]
    fn the_way_back_follows_changes() {
        let index = Index::default();
        let (web, a, b) =
            (Name::new("s", "web"), Referenced::Service(Name::new("s", "a")), Referenced::Service(Name::new("s", "b")));
        index.set(&web, BTreeSet::from([a.clone()]));
        index.set(&web, BTreeSet::from([b.clone()]));
        assert!(index.naming(&a).is_empty());
        assert_eq!(index.naming(&b), BTreeSet::from([web.clone()]));
        index.set(&web, BTreeSet::new());
        assert!(index.naming(&b).is_empty());
    }
}
