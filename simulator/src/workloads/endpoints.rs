//! EndpointSlices and Endpoints: the addresses behind each Service.

use serde_json::{Value, json};

use super::{PODS, SERVICES, Work};
use crate::api::scale::ready;
use crate::api::selectors::Labels;
use crate::api::storage::{Key, Object, State};
use crate::{api::write, json};

const SLICES: &str = "discovery.k8s.io/endpointslices";
const ENDPOINTS: &str = "/endpoints";
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Finds the Services that select the changed pods, as they were or as they are.
pub(super) fn pods_changed(state: &State, work: &mut Work) {
    let mut pods = std::mem::take(&mut work.pod_labels);
    pods.sort_by(|one, other| json::namespace(one).cmp(json::namespace(other)));
    for pods in pods.chunk_by(|one, other| json::namespace(one) == json::namespace(other)) {
        let Some(namespace) = pods.first().map(|pod| json::namespace(pod)) else { continue };
        for service in state.all(SERVICES, Some(namespace)) {
            let Some(selector) = json::at(&service, &["spec", "selector"]).map(Labels::from_map) else { continue };
            if pods.iter().any(|pod| selector.select(pod)) {
                work.services.insert((namespace.to_owned(), json::name(&service).to_owned()));
            }
        }
    }
}

/// Writes the slice and the endpoints of one Service.
pub(super) fn reconcile(state: &mut State, target: &Key) {
    let Some(service) = state.get(SERVICES, target) else { return };
    let Some(selector) = json::at(&service, &["spec", "selector"]) else { return };
    let selector = Labels::from_map(selector);
    let mut pods: Vec<Object> = state
        .all(PODS, Some(&target.0))
        .into_iter()
        .filter(|pod| selector.select(pod) && json::text(pod, &["status", "podIP"]).is_some())
        .filter(|pod| !matches!(json::text(pod, &["status", "phase"]), Some("Failed" | "Succeeded")))
        .collect();
    pods.sort_by_key(|pod| json::name(pod).to_owned());
    write_slice(state, &service, target, &pods);
    write_endpoints(state, &service, target, &pods);
}

fn reference(pod: &Value) -> Value {
    json!({"kind": "Pod", "namespace": json::namespace(pod), "name": json::name(pod), "uid": json::uid(pod)})
}

/// The port numbers a Service's ports mean in a pod.
fn ports(service: &Value, pod: Option<&Object>) -> Vec<Value> {
    json::list(service, &["spec", "ports"])
        .iter()
        .filter_map(|port| {
            let target = port.get("targetPort").or_else(|| port.get("port"))?;
            let number = match target {
                Value::String(name) => json::list(pod?, &["spec", "containers"])
                    .iter()
                    .flat_map(|container| json::list(container, &["ports"]))
                    .find(|found| json::text(found, &["name"]) == Some(name))?
                    .get("containerPort")?
                    .clone(),
                number => number.clone(),
            };
            let protocol = port.get("protocol").cloned().unwrap_or_else(|| "TCP".into());
            Some(json!({"name": json::text(port, &["name"]).unwrap_or_default(), "port": number, "protocol": protocol}))
        })
        .collect()
}

fn write_slice(state: &mut State, service: &Object, target: &Key, pods: &[Object]) {
    let endpoints: Vec<Value> = pods
        .iter()
        .map(|pod| {
            let ending = json::at(pod, &["metadata", "deletionTimestamp"]).is_some();
            json!({
                "addresses": [json::at(pod, &["status", "podIP"])],
                "conditions": {"ready": ready(pod), "serving": ready(pod), "terminating": ending},
                "nodeName": json::at(pod, &["spec", "nodeName"]),
                "targetRef": reference(pod),
            })
        })
        .collect();
    let ports = ports(service, pods.first());
    let old = state
        .all(SLICES, Some(&target.0))
        .into_iter()
        .find(|slice| json::text(slice, &["metadata", "labels", SERVICE_NAME]) == Some(&target.1));
    if let Some(old) = old {
        let mut new = (*old).clone();
        json::set(&mut new, &["endpoints"], endpoints);
        json::set(&mut new, &["ports"], ports);
        if new != *old {
            let generation = json::int(&old, &["metadata", "generation"]).unwrap_or_default();
            json::set(&mut new, &["metadata", "generation"], generation + 1);
            state.write(SLICES, new);
        }
        return;
    }
    let slice = json!({
        "metadata": {
            "generateName": format!("{}-", target.1),
            "labels": {SERVICE_NAME: target.1, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Service", "name": target.1, "uid": json::uid(service),
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
    });
    if let Some(resource) = state.resource("discovery.k8s.io", "v1", "endpointslices")
        && let Err(failure) = write::store_new(state, &resource, Some(&target.0), slice, false)
    {
        tracing::warn!(%failure, service = target.1, "failed to create slice");
    }
}

fn write_endpoints(state: &mut State, service: &Object, target: &Key, pods: &[Object]) {
    let address = |pod: &Object| json!({"ip": json::at(pod, &["status", "podIP"]), "nodeName": json::at(pod, &["spec", "nodeName"]), "targetRef": reference(pod)});
    let (yes, no): (Vec<&Object>, Vec<&Object>) = pods
        .iter()
        .filter(|pod| json::at(pod, &["metadata", "deletionTimestamp"]).is_none())
        .partition(|pod| ready(pod));
    let mut subset = json!({});
    for (name, list) in [("addresses", yes), ("notReadyAddresses", no)] {
        if !list.is_empty() {
            json::set(&mut subset, &[name], list.into_iter().map(address).collect::<Vec<_>>());
        }
    }
    let some = subset.as_object().is_some_and(|subset| !subset.is_empty());
    json::set(&mut subset, &["ports"], ports(service, pods.first()));
    let subsets = if some { vec![subset] } else { Vec::new() };
    if let Some(old) = state.get(ENDPOINTS, target) {
        let mut new = (*old).clone();
        json::set(&mut new, &["subsets"], subsets);
        if new != *old {
            state.write(ENDPOINTS, new);
        }
        return;
    }
    let endpoints = json!({"metadata": {"name": target.1, "ownerReferences": [{
        "apiVersion": "v1", "kind": "Service", "name": target.1, "uid": json::uid(service),
    }]}, "subsets": subsets});
    if let Some(resource) = state.resource("", "v1", "endpoints")
        && let Err(failure) = write::store_new(state, &resource, Some(&target.0), endpoints, false)
    {
        tracing::warn!(%failure, service = target.1, "failed to create endpoints");
    }
}
