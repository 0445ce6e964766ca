//! What the server does to objects of its own kinds: pruning by their Go types, defaults, checks.
//!
//! Only what a rollout controller, its workloads and its routers meet is defaulted and checked.

use crds::k8s_openapi::api::{
    apps::v1 as apps, autoscaling::v2 as autoscaling, batch::v1 as batch, coordination::v1 as coordination,
    core::v1 as core, discovery::v1 as discovery, networking::v1 as networking, policy::v1 as policy, rbac::v1 as rbac,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::failure::{Failure, FieldError};
use super::pod_defaults;
use super::resource::Resource;
use super::selectors::Labels;
use super::storage::State;
use super::{endpoints_rules, meta};
use crate::json;

fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<T>(object.clone())?)
}

/// Drops fields the Go type does not have, reports them, refuses wrong types.
pub(crate) fn prune(resource: &Resource, object: &mut Value, unknown: &mut Vec<String>) -> Result<(), Failure> {
    let typed = match resource.kind.as_str() {
        "Namespace" => through::<core::Namespace>(object),
        "Node" => through::<core::Node>(object),
        "Pod" => through::<core::Pod>(object),
        "Service" => through::<core::Service>(object),
        "Endpoints" => through::<core::Endpoints>(object),
        "ConfigMap" => through::<core::ConfigMap>(object),
        "Secret" => through::<core::Secret>(object),
        "Event" => through::<core::Event>(object),
        "PodTemplate" => through::<core::PodTemplate>(object),
        "ServiceAccount" => through::<core::ServiceAccount>(object),
        "Deployment" => through::<apps::Deployment>(object),
        "ReplicaSet" => through::<apps::ReplicaSet>(object),
        "StatefulSet" => through::<apps::StatefulSet>(object),
        "DaemonSet" => through::<apps::DaemonSet>(object),
        "Job" => through::<batch::Job>(object),
        "Ingress" => through::<networking::Ingress>(object),
        "IngressClass" => through::<networking::IngressClass>(object),
        "EndpointSlice" => through::<discovery::EndpointSlice>(object),
        "Lease" => through::<coordination::Lease>(object),
        "PodDisruptionBudget" => through::<policy::PodDisruptionBudget>(object),
        "ClusterRole" => through::<rbac::ClusterRole>(object),
        "ClusterRoleBinding" => through::<rbac::ClusterRoleBinding>(object),
        "Role" => through::<rbac::Role>(object),
        "RoleBinding" => through::<rbac::RoleBinding>(object),
        "HorizontalPodAutoscaler" => through::<autoscaling::HorizontalPodAutoscaler>(object),
        _ => Ok(object.clone()),
    };
    match typed {
        Ok(mut typed) => {
            differences(object, &mut typed, "", unknown);
            clean_times(&mut typed);
            *object = typed;
            Ok(())
        }
        // Our types require what Go's default to empty; the checks below name what is missing.
        Err(error) if error.to_string().starts_with("missing field") => Ok(()),
        Err(error) => Err(Failure::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {error}",
            resource.kind, resource.version, resource.kind
        ))),
    }
}

/// Reports what the types do not know, and takes back what they filled in.
fn differences(before: &Value, after: &mut Value, path: &str, unknown: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, inner) in before {
                let under = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match after.get_mut(key) {
                    Some(kept) => differences(inner, kept, &under, unknown),
                    None if inner.is_null() => {}
                    None => unknown.push(under),
                }
            }
            after.retain(|key, _| before.contains_key(key));
        }
        (Value::Array(before), Value::Array(after)) => {
            for (index, (inner, kept)) in before.iter().zip(after).enumerate() {
                differences(inner, kept, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Times other than micro times are kept in whole seconds.
fn clean_times(object: &mut Value) {
    match object {
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                let micro = matches!(key.as_str(), "renewTime" | "acquireTime" | "eventTime" | "lastObservedTime");
                let time = !micro && (key.ends_with("Time") || key.ends_with("Timestamp"));
                match inner.as_str().filter(|_| time).and_then(crate::clock::parse) {
                    Some(found) => *inner = Value::from(crate::clock::seconds(found)),
                    None => clean_times(inner),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(clean_times),
        _ => {}
    }
}

/// Writes the defaults of the kind.
pub(crate) fn fill(resource: &Resource, object: &mut Value) {
    match resource.kind.as_str() {
        "Pod" => {
            pod_defaults::spec(json::object_mut(object, &["spec"]));
            pod_defaults::requests(object);
        }
        "Service" => service(object),
        "ReplicaSet" => {
            json::default(object, &["spec", "replicas"], 1);
            pod_defaults::template(object);
            json::default(object, &["status"], json!({"replicas": 0}));
        }
        "Deployment" => {
            json::default(object, &["spec", "replicas"], 1);
            json::default(object, &["spec", "revisionHistoryLimit"], 10);
            json::default(object, &["spec", "progressDeadlineSeconds"], 600);
            json::default(object, &["spec", "strategy", "type"], "RollingUpdate");
            if json::text(object, &["spec", "strategy", "type"]) == Some("RollingUpdate") {
                json::default(object, &["spec", "strategy", "rollingUpdate", "maxUnavailable"], "25%");
                json::default(object, &["spec", "strategy", "rollingUpdate", "maxSurge"], "25%");
            }
            pod_defaults::template(object);
            json::default(object, &["status"], json!({}));
        }
        "StatefulSet" | "DaemonSet" => pod_defaults::template(object),
        "Job" => {
            json::default(object, &["spec", "parallelism"], 1);
            json::default(object, &["spec", "completions"], 1);
            json::default(object, &["spec", "backoffLimit"], 6);
            json::default(object, &["spec", "completionMode"], "NonIndexed");
            json::default(object, &["spec", "suspend"], false);
            json::default(object, &["spec", "manualSelector"], false);
            json::default(object, &["spec", "podReplacementPolicy"], "TerminatingOrFailed");
            json::remove(object, &["spec", "manualSelector"]);
            pod_defaults::template(object);
            json::default(object, &["status"], json!({}));
        }
        "Secret" => {
            json::default(object, &["type"], "Opaque");
            secret_texts(object);
        }
        "Ingress" => json::default(object, &["status"], json!({"loadBalancer": {}})),
        "Namespace" => {
            json::default(object, &["spec", "finalizers"], json!(["kubernetes"]));
            json::default(object, &["status", "phase"], "Active");
            let name = json::name(object).to_owned();
            json::default(object, &["metadata", "labels", "kubernetes.io/metadata.name"], name);
        }
        "EndpointSlice" => endpoints_rules::slice_defaults(object),
        "Event" => {
            for key in ["source", "reportingComponent", "reportingInstance"] {
                let empty = if key == "source" { json!({}) } else { json!("") };
                json::default(object, &[key], empty);
            }
            for key in ["firstTimestamp", "lastTimestamp", "eventTime"] {
                json::default(object, &[key], Value::Null);
            }
        }
        "PodDisruptionBudget" => json::default(
            object,
            &["status"],
            json!({"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}),
        ),
        _ => {}
    }
}

fn service(object: &mut Value) {
    json::default(object, &["spec", "sessionAffinity"], "None");
    json::default(object, &["spec", "type"], "ClusterIP");
    json::default(object, &["spec", "internalTrafficPolicy"], "Cluster");
    json::default(object, &["status"], json!({"loadBalancer": {}}));
    let ports = json::object_mut(object, &["spec"]).get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        json::default(port, &["protocol"], "TCP");
        if let Some(number) = port.get("port").cloned() {
            json::default(port, &["targetPort"], number);
        }
    }
}

fn secret_texts(object: &mut Value) {
    use base64::Engine as _;
    let Some(Value::Object(texts)) = json::remove(object, &["stringData"]) else { return };
    for (key, text) in texts {
        let encoded = base64::engine::general_purpose::STANDARD.encode(text.as_str().unwrap_or_default());
        json::set(object, &["data", &key], encoded);
    }
}

/// What the server gives a new object besides defaults.
pub(crate) fn birth(state: &mut State, resource: &Resource, object: &mut Value) {
    match resource.kind.as_str() {
        "Service" => {
            let headless = json::text(object, &["spec", "clusterIP"]) == Some("None");
            if json::text(object, &["spec", "clusterIP"]).is_none() {
                let address = format!("10.96.{}.{}", state.random().u8(1..), state.random().u8(1..255));
                json::set(object, &["spec", "clusterIP"], address);
            }
            if !headless || json::at(object, &["spec", "selector"]).is_some() {
                let address = json::text(object, &["spec", "clusterIP"]).unwrap_or_default().to_owned();
                json::default(object, &["spec", "clusterIPs"], json!([address]));
            }
            json::default(object, &["spec", "ipFamilies"], json!(["IPv4"]));
            json::default(object, &["spec", "ipFamilyPolicy"], "SingleStack");
        }
        "Pod" => {
            json::set(object, &["status", "phase"], "Pending");
            let class = pod_defaults::quality(object);
            json::set(object, &["status", "qosClass"], class);
        }
        "Namespace" => json::set(object, &["status", "phase"], "Active"),
        "Job" => job_labels(object),
        _ => {}
    }
}

/// A Job selects its pods by its own uid.
fn job_labels(object: &mut Value) {
    let (uid, name) = (json::uid(object).to_owned(), json::name(object).to_owned());
    json::default(object, &["spec", "selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}));
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ] {
        json::set(object, &["spec", "template", "metadata", "labels", key], value.clone());
    }
}

/// Fields an update keeps when it leaves them out.
pub(crate) fn inherit(resource: &Resource, old: &Value, new: &mut Value) {
    if resource.kind == "Service" {
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if json::at(new, &["spec", key]).is_none() {
                json::carry(old, new, &["spec", key]);
            }
        }
    }
}

fn required(object: &Value, path: &[&str], why: &str, errors: &mut Vec<FieldError>) {
    if json::at(object, path).is_none_or(|found| found.is_null() || found.as_str() == Some("")) {
        errors.push(FieldError::required(path.join("."), why));
    }
}

/// Everything that is wrong with an object of a built-in kind.
pub(crate) fn check(resource: &Resource, object: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    match resource.kind.as_str() {
        "ReplicaSet" | "Deployment" => workload(resource, object, old, errors),
        "Pod" => {
            pod_defaults::check(json::at(object, &["spec"]).unwrap_or(&Value::Null), "spec", errors);
            if let Some(old) = old {
                pod_defaults::check_update(old, object, errors);
            }
        }
        "Service" => endpoints_rules::check_service(object, old, errors),
        "Ingress" => endpoints_rules::check_ingress(object, errors),
        "ConfigMap" | "Secret" => {
            if let Some(old) = old.filter(|old| old.get("immutable") == Some(&Value::Bool(true))) {
                if object.get("immutable") != Some(&Value::Bool(true)) {
                    errors.push(FieldError::forbidden("immutable", "field is immutable when `immutable` is set"));
                }
                if object.get("data") != old.get("data") {
                    errors.push(FieldError::forbidden("data", "field is immutable when `immutable` is set"));
                }
            }
        }
        "EndpointSlice" => required(object, &["addressType"], "", errors),
        "Lease" if json::int(object, &["spec", "leaseDurationSeconds"]).is_some_and(|seconds| seconds <= 0) => {
            let found = json::at(object, &["spec", "leaseDurationSeconds"]).cloned().unwrap_or_default();
            errors.push(FieldError::invalid("spec.leaseDurationSeconds", &found, "must be greater than 0"));
        }
        "Event"
            if json::text(object, &["involvedObject", "namespace"]).is_some_and(|n| n != json::namespace(object)) =>
        {
            let found = json::at(object, &["involvedObject", "namespace"]).cloned().unwrap_or_default();
            errors.push(FieldError::invalid("involvedObject.namespace", &found, "does not match event.namespace"));
        }
        _ => {}
    }
}

const TEMPLATE_LABELS: &str = "spec.template.metadata.labels";
const UNSELECTED: &str = "`selector` does not match template `labels`";

fn workload(resource: &Resource, object: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    for key in ["replicas", "minReadySeconds"] {
        if let Some(found) = json::at(object, &["spec", key]).filter(|found| found.as_i64().is_some_and(|n| n < 0)) {
            errors.push(FieldError::invalid(format!("spec.{key}"), found, "must be greater than or equal to 0"));
        }
    }
    let selector = json::at(object, &["spec", "selector"]);
    let labels = json::at(object, &["spec", "template", "metadata", "labels"]);
    match selector {
        None => {
            errors.push(FieldError::required("spec.selector", ""));
            let found = labels.cloned().unwrap_or(Value::Null);
            errors.push(FieldError::invalid(TEMPLATE_LABELS, &found, UNSELECTED));
        }
        Some(selector) if Labels::from_object(selector).is_empty() => {
            let what = resource.kind.to_lowercase();
            let what = if what == "replicaset" { "replicaset".to_owned() } else { what };
            let why = format!("empty selector is invalid for {what}");
            errors.push(FieldError::invalid("spec.selector", selector, &why));
        }
        Some(selector) => {
            meta::wrong_labels(selector.get("matchLabels"), "spec.selector.matchLabels", errors);
            let pod = json!({"metadata": {"labels": labels}});
            if !Labels::from_object(selector).select(&pod) {
                let found = labels.cloned().unwrap_or(Value::Null);
                errors.push(FieldError::invalid(TEMPLATE_LABELS, &found, UNSELECTED));
            }
        }
    }
    meta::wrong_labels(labels, "spec.template.labels", errors);
    match json::at(object, &["spec", "template", "spec"]) {
        Some(spec) => pod_defaults::check(spec, "spec.template.spec", errors),
        None => errors.push(FieldError::required("spec.template.spec.containers", "")),
    }
    if let Some(old) = old
        && json::at(old, &["spec", "selector"]) != selector
    {
        let found = selector.cloned().unwrap_or(Value::Null);
        errors.push(FieldError::invalid("spec.selector", &found, "field is immutable"));
    }
}
