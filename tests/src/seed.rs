//! What a cluster holds before the first test: `tests/cluster/objects.yaml`, our own CRDs from `deploy/crds`, and the namespace and
//! rights of `deploy/`, which the user `controller` has and nothing more: so every test proves that they suffice.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use crds::kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use crds::kube::core::{GroupVersionKind, TypeMeta};
use crds::kube::discovery::{Scope, pinned_kind};
use crds::kube::{Client, Config, config::KubeConfigOptions, config::Kubeconfig};
use serde::Deserialize;
use serde_json::Value;

/// The name under which the harness applies objects.
const FIELD_MANAGER: &str = "cluster-tests";

/// A client from a kubeconfig file.
pub(crate) async fn client(kubeconfig: &Path) -> Result<Client> {
    crate::install_tls();
    let file = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// Every document of a YAML text.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>> {
    let mut documents = Vec::new();
    for part in text.split("\n---") {
        let part = part.strip_prefix("---").unwrap_or(part);
        let value: Value = serde_saphyr::from_str(part).with_context(|| format!("parse YAML: {part}"))?;
        if !value.is_null() {
            documents.push(value);
        }
    }
    Ok(documents)
}

/// Applies one object (server-side, as owner of its fields); a namespaced one that names no namespace goes to `namespace`.
pub(crate) async fn apply(client: &Client, namespace: &str, object: &Value) -> Result<DynamicObject> {
    let types = TypeMeta::deserialize(object).context("apiVersion and kind")?;
    let gvk = GroupVersionKind::try_from(&types)?;
    let (resource, capabilities) =
        pinned_kind(client, &gvk).await.with_context(|| format!("find the kind {}", types.kind))?;
    let mut object = object.clone();
    let text = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let name = text(&object, "/metadata/name").ok_or_else(|| anyhow!("{} without metadata.name", types.kind))?;
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = text(&object, "/metadata/namespace").unwrap_or_else(|| namespace.to_owned());
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.insert("namespace".into(), namespace.clone().into());
            }
            Api::namespaced_with(client.clone(), &namespace, &resource)
        }
    };
    let applied = api.patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object)).await;
    applied.with_context(|| format!("apply {} {name}", types.kind))
}

/// Fills the cluster. Idempotent.
pub(crate) async fn seed(client: &Client, sources: &Path, repository: &Path) -> Result<()> {
    let objects = documents(&fs::read_to_string(sources.join("objects.yaml"))?)?;
    for object in &objects {
        apply(client, "default", object).await?;
    }
    set_node_size(client, &objects).await?;
    rights(client, repository).await?;
    let folder = repository.join("deploy/crds");
    let mut definitions = Vec::new();
    if let Ok(files) = fs::read_dir(&folder) {
        for file in files {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                definitions.extend(documents(&fs::read_to_string(&path)?)?);
            }
        }
    }
    definitions.extend(istio(client, repository).await?);
    definitions.extend(gateway(client, repository).await?);
    for definition in &definitions {
        apply(client, "default", definition).await?;
    }
    for definition in &definitions {
        established(client, definition).await?;
    }
    Ok(())
}

/// Istio's kinds in all versions that it serves, unless the cluster has an Istio of its own.
async fn istio(client: &Client, repository: &Path) -> Result<Vec<Value>> {
    if crds::kube::discovery::group(client, "networking.istio.io").await.is_ok() {
        return Ok(Vec::new());
    }
    let mut definitions = documents(&fs::read_to_string(repository.join("traffic/tests/crds/istio.yaml"))?)?;
    for definition in &mut definitions {
        let versions = definition.pointer_mut("/spec/versions").and_then(Value::as_array_mut).context("no versions")?;
        let newest = versions.first().cloned().context("no version")?;
        for name in ["v1beta1", "v1alpha3"] {
            let mut version = newest.clone();
            if let Some(fields) = version.as_object_mut() {
                fields.insert("name".into(), name.into());
                fields.insert("storage".into(), false.into());
            }
            versions.push(version);
        }
    }
    Ok(definitions)
}

/// The kinds of the Gateway API, unless the cluster has them.
async fn gateway(client: &Client, repository: &Path) -> Result<Vec<Value>> {
    if crds::kube::discovery::group(client, "gateway.networking.k8s.io").await.is_ok() {
        return Ok(Vec::new());
    }
    documents(&fs::read_to_string(repository.join("traffic/tests/crds/gateway.yaml"))?)
}

/// The rights of `deploy/rbac.yaml`; every binding there is made once more for the user `controller`.
async fn rights(client: &Client, repository: &Path) -> Result<()> {
    for file in ["deploy/0-namespace.yaml", "deploy/rbac.yaml"] {
        for object in documents(&fs::read_to_string(repository.join(file))?)? {
            apply(client, "default", &object).await?;
            if let Some(binding) = binding_for_controller(&object) {
                apply(client, "default", &binding).await?;
            }
        }
    }
    // A cluster of an older run let it do everything.
    let kind = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding");
    let bindings: Api<DynamicObject> =
        Api::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&kind, "clusterrolebindings"));
    if let Err(error) = bindings.delete("cluster-controller", &DeleteParams::default()).await {
        let gone = matches!(&error, crds::kube::Error::Api(status) if status.code == 404);
        anyhow::ensure!(gone, "take away the rights of an older cluster: {error}");
    }
    Ok(())
}

fn binding_for_controller(object: &Value) -> Option<Value> {
    let kind = object.get("kind")?.as_str()?;
    if !kind.ends_with("RoleBinding") {
        return None;
    }
    let mut binding = object.clone();
    let name = object.pointer("/metadata/name")?.as_str()?;
    *binding.pointer_mut("/metadata/name")? = format!("test-{name}").into();
    *binding.pointer_mut("/subjects")? =
        serde_json::json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "controller"}]);
    Some(binding)
}

/// Status is not taken from an apply of the whole object, and a node without size gets no pods.
async fn set_node_size(client: &Client, objects: &[Value]) -> Result<()> {
    let node = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Node"), "nodes");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &node);
    for object in objects.iter().filter(|object| object.get("kind").and_then(Value::as_str) == Some("Node")) {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).context("a node without name")?;
        let patch = serde_json::json!({"status": object.get("status")});
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await.context("set the node's size")?;
    }
    Ok(())
}

async fn established(client: &Client, definition: &Value) -> Result<()> {
    let name = definition.pointer("/metadata/name").and_then(Value::as_str).context("a definition without name")?;
    let gvk = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let api: Api<DynamicObject> =
        Api::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&gvk, "customresourcedefinitions"));
    let ready = |object: &DynamicObject| {
        let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
        conditions.is_some_and(|all| {
            all.iter().any(|condition| {
                condition.get("type").and_then(Value::as_str) == Some("Established")
                    && condition.get("status").and_then(Value::as_str) == Some("True")
            })
        })
    };
    crate::eventually(&format!("the definition {name} is established"), Duration::from_secs(20), async || {
        let object = api.get(name).await.map_err(|error| error.to_string())?;
        if ready(&object) {
            Ok(())
        } else {
            Err(format!("status: {}", object.data.get("status").unwrap_or(&Value::Null)))
        }
    })
    .await;
    Ok(())
}
