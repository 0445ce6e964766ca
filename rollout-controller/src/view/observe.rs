//! What a decision about a Rollout may look at, gathered from the picture.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::k8s_openapi::api::core::v1::Service;
use crds::kube::ResourceExt;
use crds::kube::core::SelectorExt;
use crds::{AnalysisTemplate, ClusterAnalysisTemplate, Guarded, ReplicaSet, Rollout};
use strategy::Observation;

use super::references::{self, Referenced};
use super::store::Name;
use super::{View, controller, selector_of};

impl View {
    /// Everything a decision about the Rollout may look at.
    pub fn observe(&self, name: &Name, rollout: &Rollout) -> Observation {
        let workload = references::workload(rollout).and_then(|(kind, name)| self.workloads.get(kind, &name));
        let replica_sets = self.replica_sets_of(&strategy::workload::resolved(rollout, workload.as_ref()));
        let mut seen = Observation {
            rollout: rollout.clone(),
            workload,
            // Read only when a restart needs them.
            pods: None,
            replica_sets,
            taken: std::collections::BTreeSet::new(),
            unserved: std::collections::BTreeSet::new(),
            services: BTreeMap::new(),
            routes: traffic::Objects::new(),
            analysis_runs: Vec::new(),
            experiments: self.experiments_of(rollout),
            analysis_templates: BTreeMap::new(),
            cluster_analysis_templates: BTreeMap::new(),
        };
        let uid = rollout.uid().unwrap_or_default();
        for run in self.runs.owned_by(&uid) {
            if let Guarded::Valid(run) = &*run
                && controller(&run.metadata).is_some_and(|owner| owner == uid)
            {
                seen.analysis_runs.push((**run).clone());
            }
        }
        for referenced in self.index.of(name) {
            self.resolve(
                referenced,
                &mut seen.services,
                &mut seen.analysis_templates,
                &mut seen.cluster_analysis_templates,
            );
        }
        for service in self.services_moved_by(name) {
            seen.services.entry(service.name_any()).or_insert_with(|| (*service).clone());
        }
        let routers = traffic::routers(rollout);
        let references = || routers.iter().flat_map(|router| router.references());
        self.routes.observe(&name.namespace, references(), &mut seen.routes, &mut seen.unserved);
        let selected = routers.iter().flat_map(|router| router.selected());
        self.routes.observe_selected(&name.namespace, selected, &mut seen.routes, &mut seen.unserved);
        for reference in references() {
            let object = self.ingresses.get(&Name::new(name.namespace.clone(), reference.name.clone()));
            if reference.plural == "ingresses"
                && let Some(object) = object.and_then(|object| serde_json::to_value(&*object).ok())
            {
                seen.routes.insert(reference, object);
            }
        }
        // One that no router uses any more has to go.
        for object in self.ingresses.owned_by(&uid) {
            let reference = traffic::nginx::ingress(object.metadata.name.clone().unwrap_or_default());
            if !seen.routes.contains_key(&reference)
                && let Ok(object) = serde_json::to_value(&*object)
            {
                seen.routes.insert(reference, object);
            }
        }
        seen
    }

    /// Puts what is named, if it exists, where it belongs in an observation; routes and workloads are read elsewhere.
    pub(super) fn resolve(
        &self,
        referenced: Referenced,
        services: &mut BTreeMap<String, Service>,
        templates: &mut BTreeMap<String, AnalysisTemplate>,
        cluster_templates: &mut BTreeMap<String, ClusterAnalysisTemplate>,
    ) {
        match referenced {
            Referenced::Service(name) => {
                if let Some(service) = self.services.get(&name) {
                    services.insert(name.name, (*service).clone());
                }
            }
            Referenced::Template(name) => {
                if let Some(Guarded::Valid(template)) = self.templates.get(&name).as_deref() {
                    templates.insert(name.name, (**template).clone());
                }
            }
            Referenced::ClusterTemplate(name) => {
                if let Some(Guarded::Valid(template)) = self.cluster_templates.get(&Name::new("", &*name)).as_deref() {
                    cluster_templates.insert(name, (**template).clone());
                }
            }
            Referenced::Route(..) | Referenced::Routes(..) | Referenced::Workload(..) => {}
        }
    }

    /// The Services whose annotation says that this Rollout moves them.
    pub fn services_moved_by(&self, rollout: &Name) -> Vec<Arc<Service>> {
        let names = self.managed.by(rollout).into_iter();
        names.filter_map(|service| self.services.get(&Name::new(rollout.namespace.clone(), service))).collect()
    }

    fn replica_sets_of(&self, rollout: &Rollout) -> Vec<ReplicaSet> {
        let uid = rollout.uid().unwrap_or_default();
        let selector = selector_of(rollout);
        let own = self.replica_sets.owned_by(&uid);
        let own = own.iter().filter(|set| controller(&set.metadata) == Some(uid.as_str()));
        let others = self.replica_sets.uncontrolled(&rollout.namespace().unwrap_or_default());
        let selected = |set: &ReplicaSet| selector.as_ref().is_some_and(|selector| selector.matches(set.labels()));
        own.chain(others.iter().filter(|set| selected(set))).map(|set| (**set).clone()).collect()
    }
}
