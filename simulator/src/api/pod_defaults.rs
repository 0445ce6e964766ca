//! Defaults and checks of pod specs.

use serde_json::{Map, Value, json};

use super::failure::FieldError;
use crate::json;

/// Defaults of `spec.template`.
pub(crate) fn template(object: &mut Value) {
    if json::at(object, &["spec", "template"]).is_some() {
        json::default(object, &["spec", "template", "metadata"], json!({}));
        spec(json::object_mut(object, &["spec", "template", "spec"]));
    }
}

fn put(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    if map.get(key).is_none_or(Value::is_null) {
        map.insert(key.to_owned(), value.into());
    }
}

/// Defaults of a pod spec.
pub(crate) fn spec(spec: &mut Map<String, Value>) {
    put(spec, "restartPolicy", "Always");
    put(spec, "terminationGracePeriodSeconds", 30);
    put(spec, "dnsPolicy", "ClusterFirst");
    put(spec, "securityContext", json!({}));
    put(spec, "schedulerName", "default-scheduler");
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        put(spec, "serviceAccount", account);
    }
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(container) = container.as_object_mut() {
                self::container(container);
            }
        }
    }
    for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        for kind in ["configMap", "secret", "projected", "downwardAPI"] {
            if let Some(source) = volume.get_mut(kind).and_then(Value::as_object_mut) {
                put(source, "defaultMode", 420);
            }
        }
        let bare = volume.as_object().is_some_and(|map| map.len() == 1);
        if bare {
            json::set(volume, &["emptyDir"], json!({}));
        }
    }
}

fn container(container: &mut Map<String, Value>) {
    put(container, "resources", json!({}));
    put(container, "terminationMessagePath", "/dev/termination-log");
    put(container, "terminationMessagePolicy", "File");
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let latest = !image.contains('@') && (!last.contains(':') || last.ends_with(":latest"));
    put(container, "imagePullPolicy", if latest { "Always" } else { "IfNotPresent" });
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        json::default(port, &["protocol"], "TCP");
    }
    for env in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
        if json::at(env, &["valueFrom", "fieldRef"]).is_some() {
            json::default(env, &["valueFrom", "fieldRef", "apiVersion"], "v1");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get_mut(probe).and_then(Value::as_object_mut) else { continue };
        put(probe, "timeoutSeconds", 1);
        put(probe, "periodSeconds", 10);
        put(probe, "successThreshold", 1);
        put(probe, "failureThreshold", 3);
        if let Some(get) = probe.get_mut("httpGet").and_then(Value::as_object_mut) {
            put(get, "path", "/");
            put(get, "scheme", "HTTP");
        }
    }
}

/// In a pod, not yet in a template, a limit without a request is the request too.
pub(crate) fn requests(pod: &mut Value) {
    let spec = json::object_mut(pod, &["spec"]);
    for container in spec.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten() {
        for (name, limit) in json::object(container, &["resources", "limits"]).cloned().unwrap_or_default() {
            json::default(container, &["resources", "requests", &name], limit);
        }
    }
}

/// The quality-of-service class of a pod.
pub(crate) fn quality(pod: &Value) -> &'static str {
    let containers = json::list(pod, &["spec", "containers"]);
    let has = |container: &Value, what: &str| {
        json::object(container, &["resources", what]).is_some_and(|map| !map.is_empty())
    };
    if !containers.iter().any(|container| has(container, "requests") || has(container, "limits")) {
        return "BestEffort";
    }
    let guaranteed = containers.iter().all(|container| {
        let limits = json::object(container, &["resources", "limits"]);
        limits.is_some_and(|limits| limits.contains_key("cpu") && limits.contains_key("memory"))
            && json::object(container, &["resources", "requests"]) == limits
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

/// What is wrong with a pod spec at `path`.
pub(crate) fn check(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let containers = json::list(spec, &["containers"]);
    if containers.is_empty() {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let mut names: Vec<&str> = Vec::new();
    for (index, container) in containers.iter().enumerate() {
        let under = |key: &str| format!("{path}.containers[{index}].{key}");
        match json::text(container, &["name"]) {
            None => errors.push(FieldError::required(under("name"), "")),
            Some(name) if names.contains(&name) => {
                errors.push(FieldError::duplicate(under("name"), &Value::from(name)));
            }
            Some(name) => {
                for why in super::meta::wrong_name(super::resource::NameRule::Label, name) {
                    errors.push(FieldError::invalid(under("name"), &Value::from(name), &why));
                }
                names.push(name);
            }
        }
        if json::text(container, &["image"]).is_none() {
            errors.push(FieldError::required(under("image"), ""));
        }
        for (number, port) in json::list(container, &["ports"]).iter().enumerate() {
            let found = json::int(port, &["containerPort"]).unwrap_or_default();
            let under = under(&format!("ports[{number}].containerPort"));
            if found == 0 {
                errors.push(FieldError::required(under, ""));
            } else if !(1..=65535).contains(&found) {
                errors.push(FieldError::invalid(under, &Value::from(found), "must be between 1 and 65535, inclusive"));
            }
        }
    }
    let policy = json::text(spec, &["restartPolicy"]).unwrap_or_default();
    let known = ["Always", "OnFailure", "Never"].map(Value::from);
    if !known.contains(&Value::from(policy)) {
        errors.push(FieldError::unsupported(format!("{path}.restartPolicy"), &Value::from(policy), &known));
    }
}

/// Of a pod's spec only images, tolerations and deadlines may change.
pub(crate) fn check_update(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    let fixed = |pod: &Value| {
        let mut spec = json::at(pod, &["spec"]).cloned().unwrap_or_default();
        for key in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"] {
            json::remove(&mut spec, &[key]);
        }
        for list in ["containers", "initContainers"] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                json::remove(container, &["image"]);
            }
        }
        spec
    };
    if fixed(old) != fixed(new) {
        errors.push(FieldError::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ));
    }
}
