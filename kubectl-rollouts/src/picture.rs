//! All objects that belong to one Rollout, as they were read.

use crds::k8s_openapi::api::core::v1::Pod;
use crds::kube::core::ApiResource;
use crds::{AnalysisRun, Experiment, ReplicaSet, Rollout};
use serde::de::DeserializeOwned;

use crate::errors::Error;
use crate::session::{self, Session};
use crate::{names, terminal::Terminal};

/// A Rollout and the objects of its namespace among which its own are. What is not its own does no harm.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The Rollout.
    pub rollout: Rollout,
    /// ReplicaSets.
    pub replica_sets: Vec<ReplicaSet>,
    /// Pods.
    pub pods: Vec<Pod>,
    /// AnalysisRuns.
    pub analysis_runs: Vec<AnalysisRun>,
    /// Experiments.
    pub experiments: Vec<Experiment>,
}

/// An Experiment and the objects of its namespace among which its own are. What is not its own does no harm.
#[derive(Clone, Debug)]
pub struct ExperimentPicture {
    /// The Experiment.
    pub experiment: Experiment,
    /// ReplicaSets.
    pub replica_sets: Vec<ReplicaSet>,
    /// Pods.
    pub pods: Vec<Pod>,
    /// AnalysisRuns.
    pub analysis_runs: Vec<AnalysisRun>,
}

impl ExperimentPicture {
    /// Reads the Experiment and what belongs to it, as [`Picture::read`] does.
    ///
    /// # Errors
    /// The Experiment cannot be read.
    pub async fn read(session: &Session, name: &str, terminal: &mut Terminal) -> Result<Self, Error> {
        let resource = names::experiments();
        let experiment = session::read(&resource, session.get(&resource, name).await?)?;
        let labels = crds::words::POD_TEMPLATE_HASH_LABEL;
        let (replica_sets, pods, analysis_runs) = tokio::join!(
            all(session, replica_sets(), labels),
            all(session, pods(), labels),
            all(session, names::analysis_runs(), ""),
        );
        Ok(Self {
            experiment,
            replica_sets: tolerate(replica_sets, terminal)?,
            pods: tolerate(pods, terminal)?,
            analysis_runs: tolerate(analysis_runs, terminal)?,
        })
    }
}

/// ReplicaSets.
pub fn replica_sets() -> ApiResource {
    ApiResource::erase::<ReplicaSet>(&())
}

/// Pods.
pub fn pods() -> ApiResource {
    ApiResource::erase::<Pod>(&())
}

impl Picture {
    /// Reads the Rollout and what belongs to it. A kind which the user may not list, or which the cluster does not serve,
    /// is left out of the picture with a warning: the rest is worth seeing.
    ///
    /// # Errors
    /// The Rollout cannot be read.
    pub async fn read(session: &Session, name: &str, terminal: &mut Terminal) -> Result<Self, Error> {
        let rollout = session.rollout(name).await?;
        let labels = crds::words::POD_TEMPLATE_HASH_LABEL;
        let (replica_sets, pods, analysis_runs, experiments) = tokio::join!(
            all(session, replica_sets(), labels),
            all(session, pods(), labels),
            all(session, names::analysis_runs(), ""),
            all(session, names::experiments(), ""),
        );
        Ok(Self {
            rollout,
            replica_sets: tolerate(replica_sets, terminal)?,
            pods: tolerate(pods, terminal)?,
            analysis_runs: tolerate(analysis_runs, terminal)?,
            experiments: tolerate(experiments, terminal)?,
        })
    }
}

async fn all<K: DeserializeOwned>(session: &Session, resource: ApiResource, labels: &str) -> Result<Vec<K>, Error> {
    let objects = Box::pin(session.list(&resource, labels)).await?;
    // One object that cannot be read must not hide the others.
    Ok(objects.into_iter().filter_map(|object| session::read(&resource, object).ok()).collect())
}

fn tolerate<K>(result: Result<Vec<K>, Error>, terminal: &mut Terminal) -> Result<Vec<K>, Error> {
    match result {
        Err(error @ (Error::Refused(_) | Error::NotServed { .. })) => {
            terminal.complain(&format!("Warning: {error}"))?;
            Ok(Vec::new())
        }
        result => result,
    }
}
