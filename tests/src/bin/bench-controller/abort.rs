//! How long users stay on a version that its analysis has failed: from the failed measurement to weight 0.

use std::time::Duration;

use anyhow::{Context, Result};
use cluster_tests::audit::Request;
use cluster_tests::crds::jiff::Timestamp;
use cluster_tests::{Cluster, Release, eventually};

use crate::canary::{at, since};

/// How many releases are aborted.
pub const TIMES: usize = 11;

const STRATEGY: &str = "
      steps:
      - setWeight: 50
      - analysis: {templates: [{templateName: fails}]}
      - pause: {}
";
const DEADLINE: Duration = Duration::from_mins(1);

pub async fn measure(cluster: &'static Cluster) -> Result<Vec<f64>> {
    let ns = cluster.fast_namespace("bench-abort").await;
    ns.apply(&template(&cluster.prometheus_url())).await;
    let release = Release::start(cluster, ns, 1, "v1", STRATEGY).await;
    let mut reactions = Vec::new();
    for number in 0..TIMES {
        let begun = Timestamp::now();
        release.set_image(&format!("v{}", number + 2)).await;
        release.until(&format!("aborted by its analysis, time {number}"), |status| status.abort == Some(true)).await;
        eventually("the Ingress has weight 0", DEADLINE, async || match release.weight().await {
            Some(0) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        let reaction = reaction(&since(release.ns.name(), begun)?);
        reactions
            .push(reaction.with_context(|| format!("release {number}: no failed measurement, or no weight after it"))?);
    }
    Ok(reactions)
}

/// Milliseconds from the receipt of the last change of the AnalysisRun before the last weight, to the answer to that weight.
fn reaction(requests: &[Request]) -> Option<f64> {
    let write = |request: &Request, resource: &str| {
        request.object_ref.resource == resource && matches!(request.verb.as_str(), "patch" | "update")
    };
    let weight = requests.iter().rfind(|request| write(request, "ingresses"))?;
    let weighed = at(&weight.stage_timestamp)?;
    let runs = requests.iter().filter(|request| write(request, "analysisruns"));
    let measured = runs.filter_map(|run| at(&run.request_received_timestamp)).rfind(|measured| *measured < weighed)?;
    Some(weighed.duration_since(measured).as_secs_f64() * 1e3)
}

/// An AnalysisTemplate whose first measurement fails.
fn template(prometheus: &str) -> String {
    format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {{name: fails}}
spec:
  metrics:
  - name: fails
    successCondition: result[0] < 0
    provider: {{prometheus: {{address: '{prometheus}', query: vector(1)}}}}
"
    )
}
