//! The Services of an Experiment's versions.

use std::collections::BTreeSet;

use crds::k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use crds::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use crds::words::{EXPERIMENT_NAME_ANNOTATION, EXPERIMENT_TEMPLATE_NAME_ANNOTATION};
use crds::{Experiment, ObjectMeta, ReplicaSet, TemplateSpec};

use super::template::{self, base_name};
use super::{Draft, Pass};
use crate::words::experiment as words;
use crate::{Action, Target, revision};

/// The names of the Services that an Experiment makes.
pub fn service_names(experiment: &Experiment) -> BTreeSet<String> {
    let wanted = experiment.spec.templates.iter().filter(|one| one.service.is_some());
    wanted.map(|one| service_name(experiment, one)).collect()
}

fn service_name(experiment: &Experiment, template: &TemplateSpec) -> String {
    let given = template.service.as_ref().and_then(|service| service.name.clone()).filter(|name| !name.is_empty());
    given.unwrap_or_else(|| base_name(experiment, &template.name))
}

/// The Service of a version.
fn find<'a>(pass: &Pass<'a>, template: &TemplateSpec) -> Option<&'a Service> {
    let name = service_name(pass.experiment, template);
    let own = |service: &&Service| {
        let annotations = service.metadata.annotations.as_ref();
        let of = annotations.and_then(|all| all.get(EXPERIMENT_TEMPLATE_NAME_ANNOTATION));
        pass.controls(&service.metadata)
            && (of == Some(&template.name) || of.is_none() && service.metadata.name.as_deref() == Some(name.as_str()))
    };
    pass.seen.services.values().find(own)
}

/// Makes the Services whose versions have pods, and removes those whose pods are gone.
pub(super) fn act(pass: &Pass<'_>, draft: &mut Draft, terminating: bool) {
    for one in &pass.experiment.spec.templates {
        let set = template::find(pass, &one.name);
        let found = find(pass, one);
        let name = found.and_then(|service| service.metadata.name.clone());
        let hash = set.and_then(revision::hash_of).map(str::to_owned);
        if let Some(status) = draft.status.template_statuses.iter_mut().flatten().find(|known| known.name == one.name) {
            status.pod_template_hash = hash.filter(|_| name.is_some());
            status.service_name = name;
        }
        match (found, set) {
            (Some(service), set) if one.service.is_none() || pass.ended && set.is_none_or(is_empty) => {
                draft.actions.push(Action::DeleteService { target: target(service) });
            }
            (None, Some(set)) if one.service.is_some() && !terminating => create(pass, draft, one, set),
            (Some(_) | None, _) => {}
        }
    }
}

fn is_empty(set: &ReplicaSet) -> bool {
    let available = set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
    set.replicas_or_default() == 0 && available == 0
}

fn create(pass: &Pass<'_>, draft: &mut Draft, template: &TemplateSpec, set: &ReplicaSet) {
    let name = service_name(pass.experiment, template);
    if pass.seen.services.contains_key(&name) {
        template::fail(draft, &template.name, words::service_taken(&name, &template.name), pass);
        return;
    }
    let ports = ports(template);
    if ports.is_empty() {
        // As in Argo Rollouts no Service is no failure; but it is said.
        let known = draft.status.template_statuses.iter_mut().flatten().find(|known| known.name == template.name);
        if let Some(status) = known.filter(|status| status.message.is_none()) {
            status.message = Some(words::NO_PORTS.to_owned());
        }
        return;
    }
    let annotations = [
        (EXPERIMENT_NAME_ANNOTATION.to_owned(), pass.name().to_owned()),
        (EXPERIMENT_TEMPLATE_NAME_ANNOTATION.to_owned(), template.name.clone()),
    ];
    let selector = set.spec.as_ref().and_then(|spec| spec.selector.match_labels.clone());
    let service = Service {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: pass.experiment.metadata.namespace.clone(),
            annotations: Some(annotations.into()),
            owner_references: Some(vec![pass.owner()]),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec { selector, ports: Some(ports), ..ServiceSpec::default() }),
        status: None,
    };
    draft.actions.push(Action::CreateService { service: Box::new(service) });
}

/// A port for each port of the containers. More than one need names, so those without get one.
fn ports(template: &TemplateSpec) -> Vec<ServicePort> {
    let mut ports: Vec<ServicePort> = Vec::new();
    let containers = template.template.containers().iter();
    let declared = containers.filter_map(|container| container.get("ports")?.as_array()).flatten();
    for port in declared {
        let number = port.get("containerPort").and_then(serde_json::Value::as_i64);
        let Some(number) = number.and_then(|number| i32::try_from(number).ok()) else { continue };
        let text = |field: &str| port.get(field).and_then(serde_json::Value::as_str).map(str::to_owned);
        let protocol = text("protocol").unwrap_or_else(|| "TCP".to_owned());
        if ports.iter().any(|known| known.port == number && known.protocol.as_deref() == Some(protocol.as_str())) {
            continue;
        }
        ports.push(ServicePort {
            name: text("name").filter(|name| !name.is_empty()),
            port: number,
            protocol: Some(protocol),
            target_port: Some(IntOrString::Int(number)),
            ..ServicePort::default()
        });
    }
    if ports.len() > 1 {
        for port in ports.iter_mut().filter(|port| port.name.is_none()) {
            let protocol = port.protocol.clone().unwrap_or_default().to_lowercase();
            port.name = Some(format!("{protocol}-{}", port.port));
        }
    }
    ports
}

fn target(service: &Service) -> Target {
    Target {
        name: service.metadata.name.clone().unwrap_or_default(),
        uid: service.metadata.uid.clone().unwrap_or_default(),
        resource_version: None,
    }
}
