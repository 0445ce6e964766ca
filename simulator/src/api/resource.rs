//! What kinds of objects the server knows, and how each behaves.
//!
//! Built-in kinds are rows of one table; custom kinds are made from their CustomResourceDefinition.

use std::sync::Arc;

use serde_json::Value;

use super::schema::Schema;
use crate::json;

/// Where the scale sub-resource reads and writes.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    pub(crate) spec: String,
    pub(crate) status: String,
    pub(crate) selector: Option<String>,
}

/// A printed column of a custom kind.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) format: String,
    pub(crate) description: String,
    pub(crate) priority: i64,
    pub(crate) path: String,
}

/// How names of a kind are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// RFC 1123 subdomain.
    Subdomain,
    /// RFC 1123 label.
    Label,
    /// Any path segment.
    Segment,
}

/// A served kind of object.
#[derive(Debug, Clone)]
pub struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) short: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    pub(crate) status: bool,
    pub(crate) scale: Option<Scale>,
    pub(crate) generation: bool,
    pub(crate) names: NameRule,
    /// A PUT without resourceVersion is accepted.
    pub(crate) unconditional_update: bool,
    /// A PUT of an absent object creates it.
    pub(crate) create_on_update: bool,
    /// DELETE answers with the object instead of a Status.
    pub(crate) returns_deleted: bool,
    /// Present for custom kinds.
    pub(crate) custom: Option<Custom>,
}

/// What only custom kinds have.
#[derive(Debug, Clone)]
pub(crate) struct Custom {
    pub(crate) schema: Arc<Schema>,
    pub(crate) raw_schema: Value,
    pub(crate) columns: Vec<Column>,
    /// The version objects of this kind are stored in.
    pub(crate) storage_version: String,
}

impl Resource {
    /// `plural.group`, or `plural` in the core group.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `Kind.group`, or `Kind` in the core group.
    pub(crate) fn qualified_kind(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// `group/version`, or `v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The key of the table in which all versions of this kind are kept.
    pub(crate) fn table(&self) -> String {
        format!("{}/{}", self.group, self.plural)
    }

    /// Where the real server's storage keeps objects of this kind; some messages quote it.
    pub(crate) fn registry(&self) -> String {
        if self.custom.is_some() {
            format!("/registry/{}/{}", self.group, self.plural)
        } else {
            format!("/registry/{}", self.plural)
        }
    }

    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    pub(crate) fn verbs(&self) -> &'static [&'static str] {
        if self.custom.is_some() {
            &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
        } else {
            &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        }
    }
}

/// (group, version, kind, plural, short names, flags); flags: n namespaced, s status, g generation, c scale,
/// u unconditional update, p create on update, d delete returns the object, l label names,
/// x any name, a category `all`.
const BUILT_IN: &[(&str, &str, &str, &str, &str, &str)] = &[
    ("", "v1", "Namespace", "namespaces", "ns", "sul"),
    ("", "v1", "Node", "nodes", "no", "su"),
    ("", "v1", "Pod", "pods", "po", "nsguda"),
    ("", "v1", "Service", "services", "svc", "nsupdla"),
    ("", "v1", "Endpoints", "endpoints", "ep", "nup"),
    ("", "v1", "ConfigMap", "configmaps", "cm", "nu"),
    ("", "v1", "Secret", "secrets", "", "nu"),
    ("", "v1", "Event", "events", "ev", "nup"),
    ("", "v1", "PodTemplate", "podtemplates", "", "ngu"),
    ("", "v1", "ServiceAccount", "serviceaccounts", "sa", "nud"),
    ("apps", "v1", "Deployment", "deployments", "deploy", "nsgcua"),
    ("apps", "v1", "ReplicaSet", "replicasets", "rs", "nsgcua"),
    ("apps", "v1", "StatefulSet", "statefulsets", "sts", "nsgcua"),
    ("apps", "v1", "DaemonSet", "daemonsets", "ds", "nsgua"),
    ("batch", "v1", "Job", "jobs", "", "nsgua"),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", "ing", "nsgu"),
    ("networking.k8s.io", "v1", "IngressClass", "ingressclasses", "", "gu"),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "", "ngu"),
    ("coordination.k8s.io", "v1", "Lease", "leases", "", "np"),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", "nsg"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "", "ux"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", "", "ux"),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", "", "nux"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "", "nux"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", "nsgu"),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", "crd,crds", "sgu"),
];

/// The built-in kinds.
pub(crate) fn built_in() -> Vec<Arc<Resource>> {
    BUILT_IN
        .iter()
        .map(|(group, version, kind, plural, short, flags)| {
            let has = |flag: char| flags.contains(flag);
            Arc::new(Resource {
                group: (*group).to_owned(),
                version: (*version).to_owned(),
                plural: (*plural).to_owned(),
                singular: kind.to_lowercase(),
                kind: (*kind).to_owned(),
                list_kind: format!("{kind}List"),
                short: short.split(',').filter(|text| !text.is_empty()).map(str::to_owned).collect(),
                categories: if has('a') { vec!["all".to_owned()] } else { Vec::new() },
                namespaced: has('n'),
                status: has('s'),
                scale: has('c').then(|| Scale {
                    spec: ".spec.replicas".to_owned(),
                    status: ".status.replicas".to_owned(),
                    selector: None,
                }),
                generation: has('g'),
                names: match () {
                    () if has('l') => NameRule::Label,
                    () if has('x') => NameRule::Segment,
                    () => NameRule::Subdomain,
                },
                unconditional_update: has('u'),
                create_on_update: has('p'),
                returns_deleted: has('d'),
                custom: None,
            })
        })
        .collect()
}

/// The kinds a CustomResourceDefinition serves, one for each served version.
pub(crate) fn from_definition(definition: &Value) -> Vec<Arc<Resource>> {
    let names = |key: &str| json::text(definition, &["spec", "names", key]).unwrap_or_default().to_owned();
    let texts = |key: &str| {
        json::list(definition, &["spec", "names", key])
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let kind = names("kind");
    let or = |text: String, fallback: String| if text.is_empty() { fallback } else { text };
    let versions = json::list(definition, &["spec", "versions"]);
    let storage_version = versions
        .iter()
        .find(|version| version.get("storage").and_then(Value::as_bool) == Some(true))
        .and_then(|version| json::text(version, &["name"]))
        .unwrap_or_default()
        .to_owned();
    versions
        .iter()
        .filter(|version| version.get("served").and_then(Value::as_bool) == Some(true))
        .map(|version| {
            let raw_schema = json::at(version, &["schema", "openAPIV3Schema"]).cloned().unwrap_or_default();
            let scale = json::at(version, &["subresources", "scale"]).map(|scale| Scale {
                spec: json::text(scale, &["specReplicasPath"]).unwrap_or(".spec.replicas").to_owned(),
                status: json::text(scale, &["statusReplicasPath"]).unwrap_or(".status.replicas").to_owned(),
                selector: json::text(scale, &["labelSelectorPath"]).map(str::to_owned),
            });
            Arc::new(Resource {
                group: json::text(definition, &["spec", "group"]).unwrap_or_default().to_owned(),
                version: json::text(version, &["name"]).unwrap_or_default().to_owned(),
                plural: names("plural"),
                singular: or(names("singular"), kind.to_lowercase()),
                kind: kind.clone(),
                list_kind: or(names("listKind"), format!("{kind}List")),
                short: texts("shortNames"),
                categories: texts("categories"),
                namespaced: json::text(definition, &["spec", "scope"]) == Some("Namespaced"),
                status: json::at(version, &["subresources", "status"]).is_some(),
                scale,
                generation: true,
                names: NameRule::Subdomain,
                unconditional_update: false,
                create_on_update: false,
                returns_deleted: false,
                custom: Some(Custom {
                    schema: Arc::new(Schema::read(&raw_schema)),
                    raw_schema,
                    columns: columns(version),
                    storage_version: storage_version.clone(),
                }),
            })
        })
        .collect()
}

fn columns(version: &Value) -> Vec<Column> {
    let text = |column: &Value, key: &str| json::text(column, &[key]).unwrap_or_default().to_owned();
    json::list(version, &["additionalPrinterColumns"])
        .iter()
        .map(|column| Column {
            name: text(column, "name"),
            kind: text(column, "type"),
            format: text(column, "format"),
            description: text(column, "description"),
            priority: json::int(column, &["priority"]).unwrap_or_default(),
            path: text(column, "jsonPath"),
        })
        .collect()
}
