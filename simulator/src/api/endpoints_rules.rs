//! Defaults and checks of Services, Ingresses and EndpointSlices.

use serde_json::Value;

use super::failure::FieldError;
use super::meta;
use crate::json;

/// Defaults of an EndpointSlice.
pub(crate) fn slice_defaults(object: &mut Value) {
    for port in json::object_mut(object, &[]).get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        json::default(port, &["name"], "");
        json::default(port, &["protocol"], "TCP");
    }
}

fn port(found: i64) -> bool {
    (1..=65535).contains(&found)
}

const PORT_RANGE: &str = "must be between 1 and 65535, inclusive";

/// What is wrong with a Service.
pub(crate) fn check_service(object: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let kind = json::text(object, &["spec", "type"]).unwrap_or_default();
    let headless = json::text(object, &["spec", "clusterIP"]) == Some("None");
    let ports = json::list(object, &["spec", "ports"]);
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    for (index, item) in ports.iter().enumerate() {
        let under = |key: &str| format!("spec.ports[{index}].{key}");
        if ports.len() > 1 && json::text(item, &["name"]).is_none() {
            errors.push(FieldError::required(under("name"), ""));
        }
        let number = json::int(item, &["port"]).unwrap_or_default();
        if !port(number) {
            errors.push(FieldError::invalid(under("port"), &Value::from(number), PORT_RANGE));
        }
        if let Some(target) = json::int(item, &["targetPort"]).filter(|target| !port(*target)) {
            errors.push(FieldError::invalid(under("targetPort"), &Value::from(target), PORT_RANGE));
        }
    }
    meta::wrong_labels(json::at(object, &["spec", "selector"]), "spec.selector", errors);
    let known = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"].map(Value::from);
    if !known.contains(&Value::from(kind)) {
        errors.push(FieldError::unsupported("spec.type", &Value::from(kind), &known));
    }
    let address = |object| json::text(object, &["spec", "clusterIP"]).map(str::to_owned);
    if let Some(old) = old.filter(|old| address(old) != address(object)) {
        let _ = old;
        let found = Value::from(address(object).unwrap_or_default());
        errors.push(FieldError::invalid("spec.clusterIPs[0]", &Value::from(vec![found]), "may not change once set"));
    }
}

/// What is wrong with an Ingress.
pub(crate) fn check_ingress(object: &Value, errors: &mut Vec<FieldError>) {
    let rules = json::list(object, &["spec", "rules"]);
    if rules.is_empty() && json::at(object, &["spec", "defaultBackend"]).is_none() {
        let found = json::at(object, &["spec", "rules"]).cloned().unwrap_or(Value::Null);
        errors.push(FieldError::invalid("spec", &found, "either `defaultBackend` or `rules` must be specified"));
    }
    for (number, rule) in rules.iter().enumerate() {
        let Some(http) = json::at(rule, &["http"]) else { continue };
        let paths = json::list(http, &["paths"]);
        if paths.is_empty() {
            errors.push(FieldError::required(format!("spec.rules[{number}].http.paths"), ""));
        }
        for (index, path) in paths.iter().enumerate() {
            let under = |key: &str| format!("spec.rules[{number}].http.paths[{index}].{key}");
            match json::text(path, &["pathType"]) {
                None => errors.push(FieldError::required(under("pathType"), "pathType must be specified")),
                Some("Exact" | "Prefix") => match json::text(path, &["path"]) {
                    Some(found) if found.starts_with('/') => {}
                    found => errors.push(FieldError::invalid(
                        under("path"),
                        &Value::from(found.unwrap_or_default()),
                        "must be an absolute path",
                    )),
                },
                Some("ImplementationSpecific") => {}
                Some(other) => errors.push(FieldError::unsupported(
                    under("pathType"),
                    &Value::from(other),
                    &["Exact", "ImplementationSpecific", "Prefix"].map(Value::from),
                )),
            }
            let backend = |key: &[&str]| json::at(path, &[&["backend"], key].concat());
            if backend(&["resource"]).is_some() {
                continue;
            }
            if backend(&["service"]).is_none() {
                errors.push(FieldError::required(under("backend"), "resource or service backend is required"));
                continue;
            }
            if json::text(path, &["backend", "service", "name"]).is_none() {
                errors.push(FieldError::required(under("backend.service.name"), ""));
            }
            if backend(&["service", "port", "number"]).is_none() && backend(&["service", "port", "name"]).is_none() {
                errors.push(FieldError::required(under("backend.service.port"), "port name or number is required"));
            }
        }
    }
}
