//! What a client learns about the server: versions, groups, kinds, schemas.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::call::Call;
use super::failure::Failure;
use super::resource::Resource;
use super::storage::State;

/// The version the server reports.
pub(crate) const VERSION: &str = "v1.37.2";

/// An answer to a path that names no object.
pub(crate) enum Answer {
    Json(Value),
    Text(&'static str),
    Typed(&'static str, Value),
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

pub(crate) fn answer(state: &State, call: &Call) -> Result<Answer, Failure> {
    let parts: Vec<&str> = call.path.split('/').filter(|part| !part.is_empty()).collect();
    let aggregated =
        call.header("accept").contains("as=APIGroupDiscoveryList") && call.header("accept").contains("v=v2;");
    Ok(match parts.as_slice() {
        ["api"] if aggregated => Answer::Typed(AGGREGATED, aggregate(state, true)),
        ["apis"] if aggregated => Answer::Typed(AGGREGATED, aggregate(state, false)),
        ["api"] => Answer::Json(json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:6443"}],
        })),
        ["apis"] => Answer::Json(json!({
            "kind": "APIGroupList", "apiVersion": "v1",
            "groups": groups(state).iter().filter(|(group, _)| !group.is_empty())
                .map(|(group, versions)| self::group(group, versions)).collect::<Vec<_>>(),
        })),
        ["apis", name] => match groups(state).iter().find(|(group, _)| group == name) {
            Some((group, versions)) => {
                let mut found = self::group(group, versions);
                crate::json::set(&mut found, &["kind"], "APIGroup");
                crate::json::set(&mut found, &["apiVersion"], "v1");
                Answer::Json(found)
            }
            None => return Err(Failure::no_such_path()),
        },
        ["api", version] => Answer::Json(kinds(state, "", version)?),
        ["apis", group, version] => Answer::Json(kinds(state, group, version)?),
        ["version"] => Answer::Json(json!({
            "major": "1", "minor": "37", "emulationMajor": "1", "emulationMinor": "37",
            "minCompatibilityMajor": "1", "minCompatibilityMinor": "36", "gitVersion": VERSION,
            "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "gc", "platform": "linux/amd64",
        })),
        ["healthz" | "readyz" | "livez", ..] => Answer::Text("ok"),
        ["openapi", "v3"] => Answer::Json(schema_index(state)),
        ["openapi", "v3", "api", version] => Answer::Json(schemas(state, "", version)),
        ["openapi", "v3", "apis", group, version] => Answer::Json(schemas(state, group, version)),
        _ => return Err(Failure::no_such_path()),
    })
}

/// Groups in order of appearance, each with its versions.
fn groups(state: &State) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for resource in state.resources() {
        match found.iter_mut().find(|(group, _)| *group == resource.group) {
            Some((_, versions)) if versions.contains(&resource.version) => {}
            Some((_, versions)) => versions.push(resource.version.clone()),
            None => found.push((resource.group.clone(), vec![resource.version.clone()])),
        }
    }
    found
}

fn group(name: &str, versions: &[String]) -> Value {
    let one = |version: &String| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let all: Vec<Value> = versions.iter().map(one).collect();
    json!({"name": name, "versions": all, "preferredVersion": all.first()})
}

fn of<'a>(state: &'a State, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Arc<Resource>> {
    state.resources().iter().filter(move |found| found.group == group && found.version == version)
}

fn subs(resource: &Resource) -> Vec<(&'static str, &'static str, &'static str, &'static str)> {
    let mut subs = Vec::new();
    if resource.status {
        subs.push(("status", "", "", ""));
    }
    if resource.scale.is_some() {
        subs.push(("scale", "autoscaling", "v1", "Scale"));
    }
    if resource.is("", "pods") {
        subs.push(("eviction", "policy", "v1", "Eviction"));
    }
    subs
}

fn kinds(state: &State, group: &str, version: &str) -> Result<Value, Failure> {
    let mut all = Vec::new();
    for resource in of(state, group, version) {
        let mut row = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": resource.verbs(),
        });
        if !resource.short.is_empty() {
            crate::json::set(&mut row, &["shortNames"], resource.short.clone());
        }
        if !resource.categories.is_empty() {
            crate::json::set(&mut row, &["categories"], resource.categories.clone());
        }
        all.push(row);
        for (sub, sub_group, sub_version, kind) in subs(resource) {
            let kind = if kind.is_empty() { resource.kind.as_str() } else { kind };
            let verbs: &[&str] = if sub == "eviction" { &["create"] } else { &["get", "patch", "update"] };
            let mut row = json!({
                "name": format!("{}/{sub}", resource.plural), "singularName": "",
                "namespaced": resource.namespaced, "kind": kind, "verbs": verbs,
            });
            if !sub_group.is_empty() {
                crate::json::set(&mut row, &["group"], sub_group);
                crate::json::set(&mut row, &["version"], sub_version);
            }
            all.push(row);
        }
    }
    if all.is_empty() {
        return Err(Failure::no_such_path());
    }
    let name = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Ok(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": all}))
}

fn aggregate(state: &State, core: bool) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let scope = |resource: &Resource| if resource.namespaced { "Namespaced" } else { "Cluster" };
    let resource = |found: &Arc<Resource>| {
        let mut row = json!({
            "resource": found.plural, "responseKind": kind(&found.group, &found.version, &found.kind),
            "scope": scope(found), "singularResource": found.singular, "verbs": found.verbs(),
        });
        if !found.short.is_empty() {
            crate::json::set(&mut row, &["shortNames"], found.short.clone());
        }
        if !found.categories.is_empty() {
            crate::json::set(&mut row, &["categories"], found.categories.clone());
        }
        let subs: Vec<Value> = subs(found)
            .into_iter()
            .map(|(sub, group, version, name)| {
                let response = if name.is_empty() {
                    kind(&found.group, &found.version, &found.kind)
                } else {
                    kind(group, version, name)
                };
                json!({"subresource": sub, "responseKind": response, "verbs": ["get", "patch", "update"]})
            })
            .collect();
        if !subs.is_empty() {
            crate::json::set(&mut row, &["subresources"], subs);
        }
        row
    };
    let items: Vec<Value> = groups(state)
        .iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let resources: Vec<Value> = of(state, group, version).map(resource).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn schema_index(state: &State) -> Value {
    let mut paths = Map::new();
    for (group, versions) in groups(state) {
        for version in versions {
            let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            let url = format!("/openapi/v3/{path}?hash={}", state.resources().len());
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// Schemas of custom kinds are complete; those of built-in kinds are open objects.
fn schemas(state: &State, group: &str, version: &str) -> Value {
    let (mut paths, mut components) = (Map::new(), Map::new());
    for resource in of(state, group, version) {
        let kind = json!([{"group": group, "version": version, "kind": resource.kind}]);
        let name = format!("{}.{version}.{}", if group.is_empty() { "core" } else { group }, resource.kind);
        let mut schema = resource.custom.as_ref().map_or_else(
            || json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
            |custom| custom.raw_schema.clone(),
        );
        crate::json::set(&mut schema, &["x-kubernetes-group-version-kind"], kind.clone());
        components.insert(name, schema);
        let base = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let base = if resource.namespaced { format!("{base}/namespaces/{{namespace}}") } else { base };
        let kind = json!({"group": group, "version": version, "kind": resource.kind});
        let parameters = json!([
            {"name": "dryRun", "in": "query", "schema": {"type": "string"}},
            {"name": "fieldManager", "in": "query", "schema": {"type": "string"}},
            {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}},
        ]);
        let action = |name: &str| {
            json!({"x-kubernetes-action": name, "x-kubernetes-group-version-kind": kind, "parameters": parameters,
                   "responses": {"200": {"description": "OK"}}})
        };
        paths.insert(format!("{base}/{}", resource.plural), json!({"get": action("list"), "post": action("post")}));
        paths.insert(
            format!("{base}/{}/{{name}}", resource.plural),
            json!({"get": action("get"), "put": action("put"), "patch": action("patch"), "delete": action("delete")}),
        );
    }
    json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": VERSION},
        "paths": paths, "components": {"schemas": components},
    })
}
