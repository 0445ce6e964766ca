//! A Kubernetes Job: the measurement is what becomes of it.
//!
//! | what happens | means |
//! |---|---|
//! | Complete | Successful |
//! | Failed | Failed |
//! | its pod cannot start (image, configuration), for [`GRACE`] | error with the reason, and the Job is deleted |
//! | it makes no pod for [`GRACE`] | error, and the Job is deleted |
//! | the Job is gone, or has the name of somebody else's | error |
//! | the API server does not answer | nothing: the Job goes on |
//!
//! Invariants: the name follows from run, metric and measurement, so that after a restart the same Job is waited for and none is made
//! twice; nobody waits for a Job that is not wanted any more: it is deleted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use crds::JobMetric;
use crds::ObjectMeta;
use crds::k8s_openapi::api::batch::v1::Job as JobObject;
use crds::k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use tokio::time::Instant;

use super::{Context, Outcome, Provider, ResolvedRequest};
use crate::Phase;

/// For how long a pod may fail to start.
pub const GRACE: Duration = Duration::from_mins(1);
/// Longest name of a Job: it becomes a label of its pods.
const LONGEST_NAME: usize = 63;
/// Key of the measurement's metadata.
const JOB_NAME: &str = "job-name";

/// Why something about a Job could not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobsError {
    /// A person has to change something.
    #[error("{0}")]
    Refused(String),
    /// No answer now.
    #[error("{0}")]
    Unavailable(String),
}

/// Why the pod of a Job does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// In words.
    pub why: String,
    /// Whether time cannot help.
    pub hopeless: bool,
}

/// The cluster, as far as Jobs go.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// The Job of this name.
    async fn find(&self, namespace: &str, name: &str) -> Result<Option<JobObject>, JobsError>;
    /// Makes a Job; that there is one already is no error.
    async fn create(&self, job: &JobObject) -> Result<(), JobsError>;
    /// Deletes a Job with its pods.
    async fn delete(&self, namespace: &str, name: &str, uid: &str) -> Result<(), JobsError>;
    /// Why no pod of the Job starts; `None` when one does, or did.
    async fn stuck(&self, namespace: &str, name: &str) -> Result<Option<Stuck>, JobsError>;
}

/// Makes Jobs and waits for them.
pub struct Job {
    jobs: Arc<dyn Jobs>,
    poll: Duration,
}

/// Deletes a Job that nobody waits for any more.
struct Abandoned {
    jobs: Arc<dyn Jobs>,
    namespace: String,
    name: String,
    uid: Option<String>,
}

impl Abandoned {
    async fn delete(&mut self) {
        if let Some(uid) = self.uid.take() {
            // Its owner is the run: what cannot be deleted now goes with the run.
            let _ = self.jobs.delete(&self.namespace, &self.name, &uid).await;
        }
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let (Some(uid), Ok(runtime)) = (self.uid.take(), tokio::runtime::Handle::try_current()) {
            let (jobs, namespace, name) = (self.jobs.clone(), self.namespace.clone(), self.name.clone());
            runtime.spawn(async move {
                let _ = jobs.delete(&namespace, &name, &uid).await;
            });
        }
    }
}

impl Job {
    /// On this cluster; `poll` is how often a Job is looked at.
    pub fn new(jobs: Arc<dyn Jobs>, poll: Duration) -> Self {
        Self { jobs, poll }
    }

    async fn run(&self, request: &ResolvedRequest, metric: &JobMetric) -> Outcome {
        let job = match job_of(request, metric) {
            Ok(job) => job,
            Err(message) => return Outcome::error(message),
        };
        let name = job.metadata.name.clone().unwrap_or_default();
        let mut ours =
            Abandoned { jobs: self.jobs.clone(), namespace: request.namespace.clone(), name: name.clone(), uid: None };
        let mut stuck_since: Option<Instant> = None;
        loop {
            let found = match self.jobs.find(&request.namespace, &name).await {
                Ok(found) => found,
                // The Job is not to be deleted because the API server is away.
                Err(JobsError::Unavailable(_)) => {
                    tokio::time::sleep(self.poll).await;
                    continue;
                }
                Err(JobsError::Refused(message)) => return Outcome::error(message),
            };
            let Some(found) = found else {
                if ours.uid.take().is_some() {
                    return Outcome::error(format!("the Job {name} was deleted before it was complete"));
                }
                match self.jobs.create(&job).await {
                    Ok(()) => {}
                    Err(JobsError::Unavailable(_)) => tokio::time::sleep(self.poll).await,
                    Err(JobsError::Refused(message)) => return Outcome::error(message),
                }
                continue;
            };
            if !is_of(&found, &request.uid) {
                return Outcome::error(format!("there is a Job {name} which does not belong to this run"));
            }
            ours.uid.clone_from(&found.metadata.uid);
            if let Some(outcome) = end_of(&found, &name) {
                // What is complete stays for people to read its log, and goes with the run.
                ours.uid = None;
                return outcome;
            }
            let suspended = found.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
            match self.jobs.stuck(&request.namespace, &name).await {
                Ok(Some(stuck)) if !suspended => {
                    let since = *stuck_since.get_or_insert_with(Instant::now);
                    if stuck.hopeless || since.elapsed() >= GRACE {
                        ours.delete().await;
                        return Outcome::Error {
                            message: format!("the Job {name} cannot start: {}", stuck.why),
                            metadata: named(&name),
                        };
                    }
                }
                Ok(_) => stuck_since = None,
                // Nobody knows: neither more nor less stuck than before.
                Err(_) => {}
            }
            tokio::time::sleep(self.poll).await;
        }
    }
}

fn named(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(JOB_NAME.to_owned(), name.to_owned())])
}

fn is_of(job: &JobObject, run: &str) -> bool {
    job.metadata.owner_references.iter().flatten().any(|owner| owner.uid == run)
}

/// What became of a Job; nothing while it is under way.
fn end_of(job: &JobObject, name: &str) -> Option<Outcome> {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let end =
        conditions.iter().find(|one| one.status == "True" && matches!(one.type_.as_str(), "Complete" | "Failed"))?;
    let (phase, message) = if end.type_ == "Complete" {
        (Phase::Successful, String::new())
    } else {
        (Phase::Failed, end.message.clone().or_else(|| end.reason.clone()).unwrap_or_default())
    };
    Some(Outcome::Judged { phase, message, stored: String::new(), metadata: named(name) })
}

/// The name: uid of the run, metric, number of the measurement; the metric gives way where it is too long.
fn name_of(request: &ResolvedRequest) -> String {
    let number = format!(".{}", request.id.measurement.saturating_add(1));
    let metric: String = request
        .metric
        .name
        .chars()
        .map(|sign| if sign.is_ascii_alphanumeric() { sign.to_ascii_lowercase() } else { '-' })
        .collect();
    let room = LONGEST_NAME.saturating_sub(request.uid.len() + 1 + number.len());
    let metric: String = metric.chars().take(room).collect();
    let metric = metric.trim_matches('-');
    if metric.is_empty() { format!("{}{number}", request.uid) } else { format!("{}.{metric}{number}", request.uid) }
}

fn job_of(request: &ResolvedRequest, metric: &JobMetric) -> Result<JobObject, String> {
    let spec = metric.spec.typed().map_err(|error| format!("the spec of the Job does not fit: {error}"))?;
    let given = metric.metadata.clone().unwrap_or_default();
    let mut labels = given.labels.unwrap_or_default();
    labels.insert("analysisrun.argoproj.io/uid".to_owned(), request.uid.clone());
    let mut annotations = given.annotations.unwrap_or_default();
    annotations.insert("analysisrun.argoproj.io/name".to_owned(), request.run.clone());
    annotations.insert("analysisrun.argoproj.io/metric-name".to_owned(), request.metric.name.clone());
    let owner = OwnerReference {
        api_version: "argoproj.io/v1alpha1".to_owned(),
        kind: "AnalysisRun".to_owned(),
        name: request.run.clone(),
        uid: request.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    Ok(JobObject {
        metadata: ObjectMeta {
            namespace: Some(request.namespace.clone()),
            name: Some(name_of(request)),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    })
}

#[async_trait]
impl Provider for Job {
    async fn measure(&self, request: &ResolvedRequest, _: &Context) -> Outcome {
        match &request.metric.provider.job {
            Some(metric) => self.run(request, metric).await,
            None => Outcome::error("the metric has no job provider"),
        }
    }

    fn waits(&self) -> bool {
        true
    }
}
