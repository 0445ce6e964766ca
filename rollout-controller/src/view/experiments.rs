//! Experiments in the picture: what a decision about one may look at, and who wakes it.

use std::collections::BTreeSet;

use crds::k8s_openapi::api::core::v1::Service;
use crds::kube::ResourceExt;
use crds::{AnalysisTemplateRef, Experiment, Guarded, ObjectMeta, Rollout};
use strategy::experiment::{self, ExperimentObservation};

use super::references::{self, Referenced};
use super::store::{Change, Name};
use super::{Key, View, controller, meta_of};

impl View {
    /// Everything a decision about the Experiment may look at.
    pub fn observe_experiment(&self, name: &Name, experiment: &Experiment) -> ExperimentObservation {
        let uid = experiment.uid().unwrap_or_default();
        let mut seen = ExperimentObservation::new(experiment.clone());
        let named = |name: &str| Name::new(experiment.namespace().unwrap_or_default(), name);
        let controlled = |meta: &ObjectMeta| controller(meta).is_some_and(|owner| owner == uid);
        let owned = self.replica_sets.owned_by(&uid).into_iter().filter(|set| controlled(&set.metadata));
        seen.replica_sets.extend(owned.map(|set| (*set).clone()));
        // What others have under the names that this Experiment would use.
        let others = experiment::named_replica_sets(experiment, &|wanted| {
            self.replica_sets.get(&named(wanted)).map(|set| (*set).clone())
        });
        seen.replica_sets.extend(others.into_iter().filter(|set| !controlled(&set.metadata)));
        let runs = self.runs.owned_by(&uid);
        let valid = |run: &Guarded<crds::AnalysisRun>| match run {
            Guarded::Valid(run) => Some((**run).clone()),
            Guarded::Malformed(_) => None,
        };
        seen.analysis_runs.extend(runs.iter().filter_map(|run| valid(run)).filter(|run| controlled(&run.metadata)));
        let others =
            experiment::named_runs(experiment, &|wanted| self.runs.get(&named(wanted)).and_then(|run| valid(&run)));
        seen.analysis_runs.extend(others.into_iter().filter(|run| !controlled(&run.metadata)));
        for service in self.services.owned_by(&uid) {
            if controlled(&service.metadata) {
                seen.services.insert(service.name_any(), (*service).clone());
            }
        }
        for referenced in self.experiment_index.of(name) {
            self.resolve(
                referenced,
                &mut seen.services,
                &mut seen.analysis_templates,
                &mut seen.cluster_analysis_templates,
            );
        }
        seen
    }

    /// The Experiments that a Rollout controls.
    pub(super) fn experiments_of(&self, rollout: &Rollout) -> Vec<Experiment> {
        let uid = rollout.uid().unwrap_or_default();
        let owned = self.experiments.owned_by(&uid);
        let valid = owned.iter().filter_map(|one| match &**one {
            Guarded::Valid(one) if controller(&one.metadata).is_some_and(|owner| owner == uid) => Some((**one).clone()),
            Guarded::Valid(_) | Guarded::Malformed(_) => None,
        });
        valid.collect()
    }

    /// Takes in the answer to a write.
    pub fn take_experiment(&self, experiment: Experiment, by: Option<&Key>) {
        self.experiment_changed(&self.experiments.put(Guarded::Valid(Box::new(experiment))), by);
    }

    /// An Experiment was deleted by us.
    pub fn drop_experiment(&self, meta: &ObjectMeta, by: Option<&Key>) {
        self.experiment_changed(&self.experiments.remove(meta), by);
    }

    /// A Service was deleted by us.
    pub fn drop_service(&self, meta: &ObjectMeta, by: Option<&Key>) {
        self.service_changed(&self.services.remove(meta), by);
    }

    pub(super) fn experiment_changed(&self, change: &Change<Guarded<Experiment>>, by: Option<&Key>) {
        let Some(meta) = meta_of(change) else { return };
        let name = Name::of(meta);
        let references = match change {
            Change::Put { new, .. } => match &**new {
                Guarded::Valid(experiment) => Some(self.experiment_references(experiment)),
                Guarded::Malformed(_) => None,
            },
            Change::Removed(_) => Some(BTreeSet::new()),
            Change::None => None,
        };
        if let Some(references) = references {
            self.experiment_index.set(&name, references);
        }
        self.wake(&Key::Experiment(name), by);
        self.wake_controller(meta, by);
    }

    /// Experiments look again when something they name changes; templates may name other templates than before.
    pub(super) fn wake_experiments_naming(&self, referenced: &Referenced, by: Option<&Key>) {
        for name in self.experiment_index.naming(referenced) {
            if let Some(Guarded::Valid(experiment)) = self.experiments.get(&name).as_deref() {
                self.experiment_index.set(&name, self.experiment_references(experiment));
            }
            self.wake(&Key::Experiment(name), by);
        }
    }

    /// The Services it would make and the templates of its analyses.
    fn experiment_references(&self, experiment: &Experiment) -> BTreeSet<Referenced> {
        let namespace = experiment.namespace().unwrap_or_default();
        let services = experiment::service_names(experiment);
        let mut found: BTreeSet<Referenced> =
            services.into_iter().map(|name| Referenced::Service(Name::new(namespace.clone(), name))).collect();
        let analyses: Vec<AnalysisTemplateRef> =
            experiment.spec.analyses.iter().flatten().map(experiment::template_ref).collect();
        references::follow(&namespace, analyses.iter(), &|referenced| self.template_spec(referenced), &mut found);
        found
    }

    /// Takes in a change of a Service that an Experiment made.
    pub(super) fn experiments_service_changed(&self, change: &Change<Service>, by: Option<&Key>) {
        if let Some(meta) = meta_of(change) {
            self.wake_controller(meta, by);
        }
    }
}
