//! Evictions: the only way in which a pod is asked to go.

use crds::k8s_openapi::api::core::v1::Pod;
use crds::kube::Error;
use crds::kube::api::{Api, DeleteParams, EvictParams, Preconditions};

use super::{Outcome, Writer};

impl Writer {
    /// Asks that exactly the pod with this uid goes.
    ///
    /// # Errors
    /// Why it stays for now: most often a disruption budget. Nothing else waits for that.
    pub async fn evict(&self, namespace: &str, name: &str, uid: &str) -> Result<(), String> {
        let api: Api<Pod> = self.api(namespace);
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let delete_options = Some(DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() });
        let params = EvictParams { delete_options, ..EvictParams::default() };
        let eviction = async {
            match api.evict(name, &params).await {
                Ok(_) => Ok(None),
                // Another pod has the name by now, or none.
                Err(Error::Api(status)) if [404, 409].contains(&status.code) => Ok(None),
                Err(Error::Api(status)) if status.code == 429 => Ok(Some(status.message)),
                Err(error) => Err(error),
            }
        };
        match self.write("evict", "Pod", eviction).await {
            Outcome::Applied(None) => Ok(()),
            Outcome::Applied(Some(problem))
            | Outcome::LookAgain(problem)
            | Outcome::Refused(problem)
            | Outcome::Unavailable(problem) => Err(problem),
        }
    }
}
