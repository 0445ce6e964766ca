//! A pod template in the form which the API server gives it in a ReplicaSet, as far as meaning goes.
//!
//! The Rollout holds the template as the user wrote it, the ReplicaSet as the API server completed it: with defaults
//! filled in, empty lists gone and quantities respelled. Both sides are brought to one form here.
//!
//! Invariants: two templates that make different pods never become equal, so only values known to be the default are
//! filled in or left out; fields that are not named here are compared as they are.

use serde_json::{Map, Value, json};

use super::quantity;

/// The template in the form in which templates can be compared.
pub fn completed(template: &Value) -> Value {
    let mut template = template.clone();
    tidy(&mut template);
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("creationTimestamp");
    }
    if let Value::Object(fields) = &mut template {
        let spec = fields.entry("spec").or_insert_with(|| json!({}));
        if let Value::Object(spec) = spec {
            pod_spec(spec);
        }
        for field in ["metadata", "spec"] {
            if fields.get(field).is_some_and(is_empty_object) {
                fields.shift_remove(field);
            }
        }
    }
    template
}

/// Maps from text to text (or quantity), in which an empty value means something.
const MAPS: [&str; 10] = [
    "labels",
    "annotations",
    "nodeSelector",
    "matchLabels",
    "limits",
    "requests",
    "overhead",
    "volumeAttributes",
    "options",
    "data",
];
/// Structs that Kubernetes stores by value: `{}` is the same as absent.
const VALUES: [&str; 3] = ["resources", "metadata", "securityContext"];
/// Texts that Kubernetes stores by pointer: empty is not the same as absent.
const POINTERS: [&str; 5] =
    ["storageClassName", "volumeAttributesClassName", "runtimeClassName", "localhostProfile", "fsType"];
/// Booleans and numbers that Kubernetes stores by value: false or 0 is the same as absent.
const ZEROS: [&str; 11] = [
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "stdin",
    "stdinOnce",
    "tty",
    "readOnly",
    "hostPort",
    "initialDelaySeconds",
    "partition",
    "timeoutSeconds",
];

/// Leaves out what the API server leaves out.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                if MAPS.contains(&key.as_str()) {
                    drop_nulls(value);
                } else {
                    tidy(value);
                }
            }
            map.retain(|key, value| !is_left_out(key, value));
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Number(number) => {
            // 1.0 and 1 are one number; JSON that went through YAML may hold either.
            if let Some(whole) = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9e15) {
                #[expect(clippy::cast_possible_truncation, reason = "whole and small, as just checked")]
                let whole = whole as i64;
                *number = whole.into();
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, value| !value.is_null());
    }
}

fn is_left_out(key: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty() && (MAPS.contains(&key) || VALUES.contains(&key)),
        Value::String(text) => text.is_empty() && !POINTERS.contains(&key),
        Value::Bool(value) => !value && ZEROS.contains(&key),
        Value::Number(number) => number.as_i64() == Some(0) && ZEROS.contains(&key),
    }
}

fn is_empty_object(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

fn default(map: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    map.entry(field).or_insert_with(|| value.into());
}

fn object<'a>(map: &'a mut Map<String, Value>, field: &str) -> Option<&'a mut Map<String, Value>> {
    map.get_mut(field)?.as_object_mut()
}

fn objects<'a>(map: &'a mut Map<String, Value>, field: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    map.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

fn quantities(map: Option<&mut Map<String, Value>>) {
    if let Some(map) = map {
        map.values_mut().for_each(quantity::normalise);
    }
}

fn pod_spec(spec: &mut Map<String, Value>) {
    default(spec, "restartPolicy", "Always");
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "schedulerName", "default-scheduler");
    service_account(spec);
    affinity(spec);
    quantities(object(spec, "overhead"));
    resources(spec);
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for field in ["containers", "initContainers"] {
        for container in objects(spec, field) {
            complete_container(container, host_network);
        }
    }
    for volume in objects(spec, "volumes") {
        complete_volume(volume);
    }
}

/// `serviceAccount` is the deprecated name of `serviceAccountName`; the API server writes both.
fn service_account(spec: &mut Map<String, Value>) {
    if let Some(deprecated) = spec.shift_remove("serviceAccount") {
        spec.entry("serviceAccountName").or_insert(deprecated);
    }
}

/// Empty parts are left when an injected term was taken out.
fn affinity(spec: &mut Map<String, Value>) {
    let Some(affinity) = object(spec, "affinity") else { return };
    affinity.retain(|_, value| !is_empty_object(value));
    if affinity.is_empty() {
        spec.shift_remove("affinity");
    }
}

/// Of what is limited, as much is requested as the limit allows unless less is asked for.
fn resources(owner: &mut Map<String, Value>) {
    let Some(resources) = object(owner, "resources") else { return };
    quantities(object(resources, "limits"));
    quantities(object(resources, "requests"));
    if let Some(limits) = object(resources, "limits").cloned() {
        let requests = resources.entry("requests").or_insert_with(|| json!({}));
        if let Value::Object(requests) = requests {
            for (name, limit) in limits {
                requests.entry(name).or_insert(limit);
            }
        }
    }
}

fn complete_container(container: &mut Map<String, Value>, host_network: bool) {
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let policy = pull_policy(image);
    default(container, "imagePullPolicy", policy);
    resources(container);
    for port in objects(container, "ports") {
        default(port, "protocol", "TCP");
        if host_network && let Some(number) = port.get("containerPort").cloned() {
            default(port, "hostPort", number);
        }
    }
    for variable in objects(container, "env") {
        if let Some(source) = object(variable, "valueFrom") {
            complete_field_source(source);
            if let Some(file) = object(source, "fileKeyRef") {
                default(file, "optional", false);
            }
        }
    }
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = object(container, field) {
            complete_probe(probe);
        }
    }
    if let Some(lifecycle) = object(container, "lifecycle") {
        for field in ["postStart", "preStop"] {
            if let Some(handler) = object(lifecycle, field) {
                complete_http_get(handler);
            }
        }
    }
    if let Some(security) = object(container, "securityContext")
        && security.get("procMount").and_then(Value::as_str) == Some("Default")
    {
        security.shift_remove("procMount");
    }
    if container.get("securityContext").is_some_and(is_empty_object) {
        container.shift_remove("securityContext");
    }
}

/// `latest` moves, every other tag and every digest is taken to stay what it is.
fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or(name);
    match (last.split_once(':'), digest) {
        (Some((_, "latest")), _) | (None, None) => "Always",
        _ => "IfNotPresent",
    }
}

fn complete_probe(probe: &mut Map<String, Value>) {
    for (field, value) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        if probe.get(field).and_then(Value::as_i64) == Some(0) {
            probe.shift_remove(field);
        }
        default(probe, field, value);
    }
    complete_http_get(probe);
}

fn complete_http_get(handler: &mut Map<String, Value>) {
    if let Some(get) = object(handler, "httpGet") {
        default(get, "path", "/");
        default(get, "scheme", "HTTP");
    }
}

fn complete_field_source(source: &mut Map<String, Value>) {
    if let Some(field) = object(source, "fieldRef") {
        default(field, "apiVersion", "v1");
    }
    if let Some(resource) = object(source, "resourceFieldRef") {
        if let Some(divisor) = resource.get_mut("divisor") {
            quantity::normalise(divisor);
        }
        if resource.get("divisor").and_then(Value::as_str) == Some("0n") {
            resource.shift_remove("divisor");
        }
    }
}

/// The mode of files which a volume projects, rw-r--r--.
const FILE_MODE: i64 = 0o644;

fn complete_volume(volume: &mut Map<String, Value>) {
    if volume.keys().all(|field| field == "name") {
        default(volume, "emptyDir", json!({}));
    }
    for field in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = object(volume, field) {
            default(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(source) = object(volume, "downwardAPI") {
        objects(source, "items").for_each(complete_field_source);
    }
    if let Some(projected) = object(volume, "projected") {
        for source in objects(projected, "sources") {
            if let Some(token) = object(source, "serviceAccountToken") {
                default(token, "expirationSeconds", 3600);
            }
            if let Some(certificate) = object(source, "podCertificate") {
                default(certificate, "maxExpirationSeconds", 86_400);
            }
            if let Some(downward) = object(source, "downwardAPI") {
                objects(downward, "items").for_each(complete_field_source);
            }
        }
    }
    if let Some(size) = object(volume, "emptyDir").and_then(|source| source.get_mut("sizeLimit")) {
        quantity::normalise(size);
    }
    if let Some(image) = object(volume, "image") {
        let policy = pull_policy(image.get("reference").and_then(Value::as_str).unwrap_or_default());
        default(image, "pullPolicy", policy);
    }
    if let Some(claim) = object(volume, "ephemeral")
        .and_then(|source| object(source, "volumeClaimTemplate"))
        .and_then(|claim| object(claim, "spec"))
    {
        default(claim, "volumeMode", "Filesystem");
        resources(claim);
    }
    for (field, defaults) in OLD_VOLUMES {
        if let Some(source) = object(volume, field) {
            for (setting, value) in *defaults {
                default(source, setting, *value);
            }
            if source.get("readOnly") == Some(&Value::Bool(false)) {
                source.shift_remove("readOnly");
            }
        }
    }
}

/// Defaults of the volume sources which are older than CSI.
const OLD_VOLUMES: &[(&str, &[(&str, &str)])] = &[
    ("iscsi", &[("iscsiInterface", "default")]),
    ("rbd", &[("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")]),
    ("azureDisk", &[("cachingMode", "ReadWrite"), ("kind", "Shared"), ("fsType", "ext4")]),
    ("scaleIO", &[("storageMode", "ThinProvisioned"), ("fsType", "xfs")]),
];

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "JSON literals read best without borrows")]
mod tests {
    use super::*;

    fn same(left: Value, right: Value) {
        let (left, right) = (completed(&json!({ "spec": left })), completed(&json!({ "spec": right })));
        assert_eq!(left, right);
    }

    fn differ(left: Value, right: Value) {
        let (left, right) = (completed(&json!({ "spec": left })), completed(&json!({ "spec": right })));
        assert_ne!(left, right);
    }

    fn container(fields: Value) -> Value {
        let mut container = json!({ "name": "web", "image": "web:1" });
        if let (Value::Object(container), Value::Object(fields)) = (&mut container, fields) {
            container.extend(fields);
        }
        json!({ "containers": [container] })
    }

    fn volume(source: Value) -> Value {
        let mut volume = json!({ "name": "data" });
        if let (Value::Object(volume), Value::Object(source)) = (&mut volume, source) {
            volume.extend(source);
        }
        json!({ "containers": [], "volumes": [volume] })
    }

    #[test]
    fn defaults_of_a_pod() {
        same(
            json!({}),
            json!({
                "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30,
                "schedulerName": "default-scheduler", "securityContext": {}, "hostNetwork": false, "volumes": [],
                "nodeSelector": {}, "affinity": { "podAntiAffinity": {} }, "nodeName": "",
            }),
        );
        same(json!({ "serviceAccount": "a" }), json!({ "serviceAccount": "a", "serviceAccountName": "a" }));
        differ(json!({ "serviceAccountName": "a" }), json!({ "serviceAccountName": "b" }));
        differ(json!({}), json!({ "terminationGracePeriodSeconds": 0 }));
        differ(json!({}), json!({ "automountServiceAccountToken": false }));
        differ(json!({}), json!({ "newerField": {} }));
        differ(json!({ "nodeSelector": { "a": "" } }), json!({}));
    }

    #[test]
    fn an_empty_selector_selects_everything_and_is_not_an_absent_one() {
        let terms = |term: Value| json!({ "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term] } } });
        differ(terms(json!({ "topologyKey": "z", "namespaceSelector": {} })), terms(json!({ "topologyKey": "z" })));
        differ(terms(json!({ "topologyKey": "z", "labelSelector": {} })), terms(json!({ "topologyKey": "z" })));
    }

    #[test]
    fn defaults_of_a_container() {
        same(
            container(json!({
                "ports": [{ "containerPort": 80 }],
                "env": [{ "name": "A", "value": "" }, { "name": "B", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
                        { "name": "C", "valueFrom": { "resourceFieldRef": { "resource": "limits.cpu" } } }],
                "livenessProbe": { "httpGet": { "port": 80 }, "initialDelaySeconds": 0 },
                "lifecycle": { "preStop": { "httpGet": { "port": 80 } } },
                "resources": { "limits": { "cpu": 1, "memory": "1Gi" } },
                "command": [], "tty": false,
            })),
            container(json!({
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent",
                "ports": [{ "containerPort": 80, "protocol": "TCP" }],
                "env": [{ "name": "A" }, { "name": "B", "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.name" } } },
                        { "name": "C", "valueFrom": { "resourceFieldRef": { "resource": "limits.cpu", "divisor": "0" } } }],
                "livenessProbe": { "httpGet": { "port": 80, "path": "/", "scheme": "HTTP" }, "timeoutSeconds": 1, "periodSeconds": 10,
                                   "successThreshold": 1, "failureThreshold": 3 },
                "lifecycle": { "preStop": { "httpGet": { "port": 80, "path": "/", "scheme": "HTTP" } } },
                "resources": { "limits": { "cpu": "1000m", "memory": "1024Mi" }, "requests": { "cpu": "1", "memory": "1Gi" } },
            })),
        );
        same(container(json!({ "resources": {} })), container(json!({})));
        differ(
            container(json!({ "env": [{ "name": "A", "value": "1" }] })),
            container(json!({ "env": [{ "name": "A" }] })),
        );
        differ(
            container(json!({ "ports": [{ "containerPort": 80 }] })),
            container(json!({ "ports": [{ "containerPort": 80, "protocol": "UDP" }] })),
        );
        differ(
            container(json!({ "securityContext": { "allowPrivilegeEscalation": false } })),
            container(json!({ "securityContext": {} })),
        );
        differ(container(json!({ "command": [""] })), container(json!({})));
    }

    #[test]
    fn the_pull_policy_follows_the_tag() {
        for (image, policy) in [
            ("web", "Always"),
            ("web:latest", "Always"),
            ("web:1", "IfNotPresent"),
            ("host:5000/web", "Always"),
            ("host:5000/web:1", "IfNotPresent"),
            ("web@sha256:ab", "IfNotPresent"),
            ("web:1@sha256:ab", "IfNotPresent"),
            ("web:latest@sha256:ab", "Always"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }

    #[test]
    fn ports_on_the_network_of_the_node() {
        let ports = |port: Value| json!({ "hostNetwork": true, "containers": [{ "name": "a", "image": "a:1", "ports": [port] }] });
        same(ports(json!({ "containerPort": 80 })), ports(json!({ "containerPort": 80, "hostPort": 80 })));
        differ(ports(json!({ "containerPort": 80 })), ports(json!({ "containerPort": 80, "hostPort": 81 })));
    }

    #[test]
    fn defaults_of_volumes() {
        same(volume(json!({})), volume(json!({ "emptyDir": {} })));
        same(
            volume(json!({ "secret": { "secretName": "s" } })),
            volume(json!({ "secret": { "secretName": "s", "defaultMode": 420 } })),
        );
        same(
            volume(json!({ "projected": { "sources": [{ "serviceAccountToken": { "path": "t" } }] } })),
            volume(
                json!({ "projected": { "defaultMode": 420, "sources": [{ "serviceAccountToken": { "path": "t", "expirationSeconds": 3600 } }] } }),
            ),
        );
        same(
            volume(json!({ "hostPath": { "path": "/a" } })),
            volume(json!({ "hostPath": { "path": "/a", "type": "" } })),
        );
        same(
            volume(json!({ "emptyDir": { "sizeLimit": "1Gi" } })),
            volume(json!({ "emptyDir": { "sizeLimit": "1024Mi" } })),
        );
        differ(
            volume(json!({ "secret": { "secretName": "s" } })),
            volume(json!({ "secret": { "secretName": "s", "defaultMode": 256 } })),
        );
        let claim = |spec: Value| volume(json!({ "ephemeral": { "volumeClaimTemplate": { "spec": spec } } }));
        same(claim(json!({})), claim(json!({ "volumeMode": "Filesystem" })));
        differ(claim(json!({})), claim(json!({ "storageClassName": "" })));
    }
}
