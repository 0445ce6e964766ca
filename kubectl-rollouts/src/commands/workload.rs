//! Where the pod template of a Rollout is: in its own spec, or in the workload which it references.

use crds::kube::api::{DynamicObject, Patch, PatchParams};
use crds::kube::core::{ApiResource, GroupVersionKind};
use crds::kube::{self, ResourceExt as _};
use crds::{PodTemplate, Rollout};
use serde_json::Value;

use crate::errors::Error;
use crate::names;
use crate::session::Session;

/// The object that holds the pod template, as it was read.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Its kind.
    pub resource: ApiResource,
    /// Its name.
    pub name: String,
    /// JSON pointer to the template.
    pub pointer: &'static str,
    /// The template.
    pub template: PodTemplate,
    /// The generation of the object, which every change of its spec raises.
    pub generation: Option<i64>,
}

impl Holder {
    /// Finds and reads the template of a Rollout.
    ///
    /// # Errors
    /// There is none, or the workload cannot be read.
    pub async fn of(session: &Session, rollout: &Rollout) -> Result<Self, Error> {
        let name = rollout.name_any();
        let Some(reference) = &rollout.spec.workload_ref else {
            let template = rollout.spec.template.clone();
            let template = template.ok_or_else(|| Error::Request(format!("rollout '{name}' has no pod template")))?;
            let generation = rollout.metadata.generation;
            return Ok(Self { resource: names::rollouts(), name, pointer: "/spec/template", template, generation });
        };
        let kind = reference.kind.as_deref().unwrap_or_default();
        let plural_and_pointer = match kind {
            "Deployment" => Some(("deployments", "/spec/template")),
            "ReplicaSet" => Some(("replicasets", "/spec/template")),
            "PodTemplate" => Some(("podtemplates", "/template")),
            _ => None,
        };
        let Some((plural, pointer)) = plural_and_pointer else {
            return Err(Error::Request(format!(
                "rollout '{name}' references a workload of kind \"{kind}\"; Deployment, ReplicaSet and PodTemplate are known"
            )));
        };
        let api_version = reference.api_version.as_deref().unwrap_or("apps/v1");
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let workload_name = reference.name.clone().unwrap_or_default();
        let object = session.get(&resource, &workload_name).await?;
        let template = object.data.pointer(pointer).filter(|template| template.is_object()).cloned();
        let template =
            template.ok_or_else(|| Error::Request(format!("{plural} \"{workload_name}\" has no pod template")))?;
        let generation = object.metadata.generation;
        Ok(Self { resource, name: workload_name, pointer, template: PodTemplate(template), generation })
    }

    /// Applies a JSON patch whose tests guard what was read. `None` when a test failed: someone was quicker.
    ///
    /// # Errors
    /// The write failed for another reason.
    pub async fn patch(&self, session: &Session, operations: Value) -> Result<Option<DynamicObject>, Error> {
        let operations: crds::json_patch::Patch = serde_json::from_value(operations)
            .map_err(|error| Error::Request(format!("could not build the change of \"{}\": {error}", self.name)))?;
        let api = session.api(&self.resource);
        let (params, patch) = (PatchParams::default(), Patch::<()>::Json(operations));
        match session.raw_answer(api.patch(&self.name, &params, &patch)).await? {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if is_failed_test(&status) => Ok(None),
            Err(error) => {
                let qualified = names::qualified(&self.resource);
                Err(Error::of_request(&error, session.about(&qualified, &self.name)))
            }
        }
    }
}

/// The API server answers a JSON patch that does not apply, a failed test included, with 422 and without details; an
/// object that is not valid afterwards with the name of the object and the fields.
fn is_failed_test(status: &kube::core::Status) -> bool {
    let detailed =
        status.details.as_ref().is_some_and(|details| !details.name.is_empty() || !details.causes.is_empty());
    status.code == 409 || (status.code == 422 && !detailed)
}
