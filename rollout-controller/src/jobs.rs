//! Jobs of analyses on the cluster.
//!
//! Invariants: written through the one [`Writer`], so by the leader only; read on demand, never listed as a whole.

use analysis::provider::{Jobs, JobsError, Stuck};
use async_trait::async_trait;
use crds::k8s_openapi::api::batch::v1::Job;
use crds::k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use crds::kube::Error;
use crds::kube::api::{Api, ListParams};

use crate::apply::{Outcome, Writer};

/// Time for one read.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// The cluster's Jobs.
pub struct ClusterJobs(pub Writer);

async fn read<T>(what: &str, request: impl Future<Output = Result<T, Error>>) -> Result<T, JobsError> {
    match tokio::time::timeout(TIMEOUT, request).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(Error::Api(status))) if status.code < 500 && status.code != 429 => {
            Err(JobsError::Refused(format!("failed to read {what}: {}", status.message)))
        }
        Ok(Err(error)) => Err(JobsError::Unavailable(format!("failed to read {what}: {error}"))),
        Err(_) => Err(JobsError::Unavailable(format!("failed to read {what}: no answer"))),
    }
}

#[async_trait]
impl Jobs for ClusterJobs {
    async fn find(&self, namespace: &str, name: &str) -> Result<Option<Job>, JobsError> {
        read(&format!("Job \"{name}\""), self.0.api::<Job>(namespace).get_opt(name)).await
    }

    async fn create(&self, job: &Job) -> Result<(), JobsError> {
        let namespace = job.metadata.namespace.clone().unwrap_or_default();
        match self.0.create(&self.0.api::<Job>(&namespace), "Job", job).await {
            Outcome::Applied(_) => Ok(()),
            // One that exists is found by name; a namespace that is gone takes the run with it.
            Outcome::LookAgain(message) | Outcome::Unavailable(message) => Err(JobsError::Unavailable(message)),
            Outcome::Refused(message) => Err(JobsError::Refused(message)),
        }
    }

    async fn delete(&self, namespace: &str, name: &str, uid: &str) -> Result<(), JobsError> {
        match self.0.delete(&self.0.api::<Job>(namespace), "Job", name, uid).await {
            Outcome::Applied(()) => Ok(()),
            Outcome::LookAgain(message) | Outcome::Unavailable(message) => Err(JobsError::Unavailable(message)),
            Outcome::Refused(message) => Err(JobsError::Refused(message)),
        }
    }

    async fn stuck(&self, namespace: &str, name: &str) -> Result<Option<Stuck>, JobsError> {
        let api: Api<Pod> = self.0.api(namespace);
        let pods = read("pods", api.list(&ListParams::default().labels(&format!("job-name={name}")))).await?;
        Ok(stuck(&pods.items))
    }
}

/// Why none of the pods starts.
fn stuck(pods: &[Pod]) -> Option<Stuck> {
    if pods.is_empty() {
        return Some(Stuck { why: "it has made no pod: see its events".to_owned(), hopeless: false });
    }
    let mut why = None;
    for pod in pods {
        match reason(pod) {
            Some(reason) => why = Some(reason),
            None => return None,
        }
    }
    why
}

fn reason(pod: &Pod) -> Option<Stuck> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Pending") {
        return None;
    }
    let told = |reason: &str, message: Option<&str>| {
        let message = message.map(|message| format!(": {message}")).unwrap_or_default();
        format!("pod {name}: {reason}{message}")
    };
    let scheduled = status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled");
    if let Some(condition) = scheduled.filter(|condition| condition.status == "False") {
        let why = told(condition.reason.as_deref().unwrap_or("Unschedulable"), condition.message.as_deref());
        return Some(Stuck { why, hopeless: false });
    }
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    all.filter_map(|container: &ContainerStatus| container.state.as_ref()?.waiting.as_ref()).find_map(|waiting| {
        let reason = waiting.reason.as_deref()?;
        // These are on the way.
        if matches!(reason, "ContainerCreating" | "PodInitializing") {
            return None;
        }
        let hopeless = matches!(reason, "InvalidImageName" | "ErrImageNeverPull");
        Some(Stuck { why: told(reason, waiting.message.as_deref()), hopeless })
    })
}
