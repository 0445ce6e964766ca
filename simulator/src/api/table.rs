//! Tables for people: what `kubectl get` prints.

use serde_json::{Value, json};

use super::resource::{Column, Resource};
use super::storage::State;
use crate::{clock, json};

/// (name, type, path) of the columns of built-in kinds between name and age. A path starting with `=` names a rule
/// of [`special`].
fn plain(resource: &Resource) -> &'static [(&'static str, &'static str, &'static str)] {
    match resource.kind.as_str() {
        "Pod" => &[
            ("Ready", "string", "=ready"),
            ("Status", "string", "=phase"),
            ("Restarts", "string", "=restarts"),
            ("Age", "string", "=age"),
        ],
        "ReplicaSet" => &[
            ("Desired", "integer", ".spec.replicas"),
            ("Current", "integer", ".status.replicas"),
            ("Ready", "integer", ".status.readyReplicas"),
            ("Age", "string", "=age"),
        ],
        "Deployment" => &[
            ("Ready", "string", "=deployed"),
            ("Up-to-date", "integer", ".status.updatedReplicas"),
            ("Available", "integer", ".status.availableReplicas"),
            ("Age", "string", "=age"),
        ],
        "Service" => &[
            ("Type", "string", ".spec.type"),
            ("Cluster-IP", "string", ".spec.clusterIP"),
            ("External-IP", "string", "=none"),
            ("Port(s)", "string", "=ports"),
            ("Age", "string", "=age"),
        ],
        "Ingress" => &[
            ("Class", "string", ".spec.ingressClassName"),
            ("Hosts", "string", "=hosts"),
            ("Ports", "string", "=80"),
            ("Age", "string", "=age"),
        ],
        "Namespace" => &[("Status", "string", ".status.phase"), ("Age", "string", "=age")],
        "Lease" => &[("Holder", "string", ".spec.holderIdentity"), ("Age", "string", "=age")],
        "Event" => &[
            ("Last Seen", "string", "=seen"),
            ("Type", "string", ".type"),
            ("Reason", "string", ".reason"),
            ("Object", "string", "=involved"),
            ("Message", "string", ".message"),
        ],
        "CustomResourceDefinition" => &[("Created At", "date", ".metadata.creationTimestamp")],
        _ => &[("Age", "string", "=age")],
    }
}

/// A table with these rows.
pub(crate) fn table(resource: &Resource, metadata: &Value, rows: &[Value], headers: bool) -> Value {
    let column = |name: &str, kind: &str, format: &str, description: &str, priority: i64| json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority});
    let name = column("Name", "string", "name", "Name must be unique within a namespace.", 0);
    let mut columns = vec![name];
    match &resource.custom {
        Some(custom) if !custom.columns.is_empty() => columns.extend(
            custom
                .columns
                .iter()
                .map(|found| column(&found.name, &found.kind, &found.format, &found.description, found.priority)),
        ),
        Some(_) => columns.push(column("Age", "date", "", "", 0)),
        None => {
            if resource.kind == "Event" {
                columns.clear();
            }
            columns.extend(plain(resource).iter().map(|(name, kind, _)| column(name, kind, "", "", 0)));
        }
    }
    let columns = if headers { Value::Array(columns) } else { Value::Null };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": columns, "rows": rows,
    })
}

/// One row.
pub(crate) fn row(state: &State, resource: &Resource, object: &Value, include: &str) -> Value {
    let mut cells = vec![Value::from(json::name(object))];
    match &resource.custom {
        Some(custom) if !custom.columns.is_empty() => {
            cells.extend(custom.columns.iter().map(|column| cell(state, column, object)));
        }
        Some(_) => cells.push(special(state, "=age", object)),
        None => {
            if resource.kind == "Event" {
                cells.clear();
            }
            cells.extend(plain(resource).iter().map(|(_, kind, path)| {
                if path.starts_with('=') {
                    return special(state, path, object);
                }
                let found = json::at(object, &json::dotted(path)).cloned().unwrap_or(Value::Null);
                if found.is_null() && *kind == "integer" { Value::from(0) } else { found }
            }));
        }
    }
    let shown = match include {
        "None" => Value::Null,
        "Object" => object.clone(),
        _ => json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": object.get("metadata").cloned().unwrap_or_default(),
        }),
    };
    json!({"cells": cells, "object": shown})
}

fn cell(state: &State, column: &Column, object: &Value) -> Value {
    let found = find(object, &column.path);
    match (column.kind.as_str(), found) {
        (_, None) => Value::Null,
        ("date", Some(found)) => match found.as_str().and_then(clock::parse) {
            Some(time) => Value::from(age(state, time)),
            None => Value::from("<invalid>"),
        },
        ("integer", Some(found)) => found.as_i64().map_or(Value::Null, Value::from),
        ("string", Some(Value::String(text))) => Value::from(text.as_str()),
        ("string", Some(found)) => Value::from(found.to_string()),
        (_, Some(found)) => found.clone(),
    }
}

/// A JSONPath of fields, indexes and `[?(@.key=="value")]` filters.
fn find<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut inner = object;
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (key, left) = after.split_at_checked(end)?;
            if !key.is_empty() {
                inner = inner.get(key)?;
            }
            rest = left;
        } else if let Some(after) = rest.strip_prefix("[?(@.") {
            let (test, left) = after.split_once(")]")?;
            let (key, wanted) = test.split_once("==")?;
            let wanted = wanted.trim().trim_matches(['"', '\'']);
            inner =
                inner.as_array()?.iter().find(|item| json::text(item, &json::dotted(key.trim())) == Some(wanted))?;
            rest = left;
        } else {
            let (index, left) = rest.strip_prefix('[')?.split_once(']')?;
            inner = match index.parse::<usize>() {
                Ok(index) => inner.get(index)?,
                Err(_) => inner.get(index.trim_matches(['\'', '"']))?,
            };
            rest = left;
        }
    }
    Some(inner)
}

fn age(state: &State, since: crds::jiff::Timestamp) -> String {
    let seconds = state.clock.now().duration_since(since).as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        i64::MIN..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..=119 => format!("{seconds}s"),
        120..=599 if seconds % 60 == 0 => format!("{minutes}m"),
        120..=599 => format!("{minutes}m{}s", seconds % 60),
        600..=10_799 => format!("{minutes}m"),
        10_800..=28_799 if minutes % 60 == 0 => format!("{hours}h"),
        10_800..=28_799 => format!("{hours}h{}m", minutes % 60),
        28_800..=172_799 => format!("{hours}h"),
        172_800..=691_199 if hours % 24 == 0 => format!("{days}d"),
        172_800..=691_199 => format!("{days}d{}h", hours % 24),
        _ => format!("{days}d"),
    }
}

fn special(state: &State, rule: &str, object: &Value) -> Value {
    let text = |path: &[&str]| json::text(object, path).unwrap_or_default().to_owned();
    let since = |path: &[&str]| json::text(object, path).and_then(clock::parse).map(|time| age(state, time));
    let statuses = json::list(object, &["status", "containerStatuses"]);
    Value::from(match rule {
        "=age" => since(&["metadata", "creationTimestamp"]).unwrap_or_else(|| "<unknown>".to_owned()),
        "=seen" => {
            since(&["lastTimestamp"]).or_else(|| since(&["eventTime"])).unwrap_or_else(|| "<unknown>".to_owned())
        }
        "=ready" => {
            let ready = statuses.iter().filter(|found| found.get("ready") == Some(&Value::Bool(true))).count();
            format!("{ready}/{}", json::list(object, &["spec", "containers"]).len())
        }
        "=phase" => {
            let waiting = statuses.iter().find_map(|found| json::text(found, &["state", "waiting", "reason"]));
            if json::at(object, &["metadata", "deletionTimestamp"]).is_some() {
                "Terminating".to_owned()
            } else {
                waiting.map_or_else(|| text(&["status", "phase"]), str::to_owned)
            }
        }
        "=restarts" => statuses.iter().filter_map(|found| json::int(found, &["restartCount"])).sum::<i64>().to_string(),
        "=deployed" => format!(
            "{}/{}",
            json::int(object, &["status", "readyReplicas"]).unwrap_or_default(),
            json::int(object, &["spec", "replicas"]).unwrap_or_default()
        ),
        "=ports" => json::list(object, &["spec", "ports"])
            .iter()
            .map(|port| {
                let number = json::int(port, &["port"]).unwrap_or_default();
                format!("{number}/{}", json::text(port, &["protocol"]).unwrap_or("TCP"))
            })
            .collect::<Vec<_>>()
            .join(","),
        "=hosts" => {
            let hosts: Vec<&str> =
                json::list(object, &["spec", "rules"]).iter().filter_map(|rule| json::text(rule, &["host"])).collect();
            if hosts.is_empty() { "*".to_owned() } else { hosts.join(",") }
        }
        "=involved" => {
            format!("{}/{}", text(&["involvedObject", "kind"]).to_lowercase(), text(&["involvedObject", "name"]))
        }
        "=none" => "<none>".to_owned(),
        other => other.trim_start_matches('=').to_owned(),
    })
}
