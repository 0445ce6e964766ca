//! Routers' objects: raw JSON in, raw JSON out.

use crds::kube::api::{Api, ApiResource, DynamicObject};
use serde_json::Value;
use traffic::{Reference, Write};

use super::{Outcome, Writer, merge};
use crate::view::ingress_kind;

/// A router's object after a write; `None` after its deletion.
pub type Written = Option<Box<DynamicObject>>;

impl Writer {
    /// Carries out one write of a router of `namespace`; `resource` is how the kind is served, where that is not always the same.
    pub async fn route(&self, namespace: &str, write: &Write, resource: Option<&ApiResource>) -> Outcome<Written> {
        let reference = reference(write);
        let resource = match (reference.plural, resource) {
            ("ingresses", _) => ingress_kind(),
            (_, Some(resource)) => resource.clone(),
            (_, None) => {
                return Outcome::Refused(format!(
                    "failed to write {} \"{}\": the API server does not know this kind",
                    reference.kind, reference.name
                ));
            }
        };
        let namespace = reference.namespace.as_deref().unwrap_or(namespace);
        let api: Api<DynamicObject> = Api::namespaced_with(self.client().clone(), namespace, &resource);
        let (kind, name) = (reference.kind, reference.name.as_str());
        let outcome = match write {
            Write::Create { object, .. } => match serde_json::from_value::<DynamicObject>(object.clone()) {
                Ok(object) => self.create(&api, kind, &object).await,
                Err(error) => return Outcome::Refused(format!("failed to create {kind} \"{name}\": {error}")),
            },
            Write::Patch { uid, patch, .. } => {
                let patch: Value = merge::with_preconditions(patch.clone(), Some(uid), None);
                self.patch(&api, kind, name, &patch).await
            }
            Write::Delete { uid, .. } => return self.delete(&api, kind, name, uid).await.map(|()| None),
        };
        outcome.map(|object| Some(Box::new(object)))
    }
}

/// The object a write is about.
pub fn reference(write: &Write) -> &Reference {
    match write {
        Write::Create { reference, .. } | Write::Patch { reference, .. } | Write::Delete { reference, .. } => reference,
    }
}
