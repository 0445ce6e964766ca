//! Series about AnalysisRuns and templates, made from the picture when Prometheus asks: they are never stale and end with the object.

use std::fmt::Error;
use std::sync::Arc;

use crds::kube::ResourceExt;
use crds::{AnalysisRun, Guarded, Metric};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;

use super::View;
use super::gauges::gauge;

/// Phases of `analysis_run_phase` and `analysis_run_metric_phase`, all told, 1 for the present one.
const PHASES: [&str; 6] = ["Pending", "Running", "Successful", "Failed", "Error", "Inconclusive"];

/// See the module.
#[derive(Debug)]
pub struct AnalysisGauges(pub Arc<View>);

#[derive(Debug, EncodeLabelSet)]
struct RunPhase {
    namespace: String,
    name: String,
    phase: String,
}

#[derive(Debug, EncodeLabelSet)]
struct MetricKind {
    namespace: String,
    name: String,
    metric: String,
    r#type: String,
}

#[derive(Debug, EncodeLabelSet)]
struct MetricPhase {
    namespace: String,
    name: String,
    metric: String,
    r#type: String,
    dry_run: String,
    phase: &'static str,
}

#[derive(Debug, EncodeLabelSet)]
struct Template {
    namespace: String,
    name: String,
}

/// The name that Argo's series give a provider; of a plugin it is the plugin's own.
fn provider_type(metric: &Metric) -> String {
    let name = match analysis::provider::names(&metric.provider).first().copied() {
        Some("prometheus") => "Prometheus",
        Some("kayenta") => "Kayenta",
        Some("web") => "WebMetric",
        Some("datadog") => "Datadog",
        Some("wavefront") => "Wavefront",
        Some("newRelic") => "NewRelic",
        Some("job") => "Job",
        Some("cloudWatch") => "CloudWatch",
        Some("graphite") => "Graphite",
        Some("influxdb") => "Influxdb",
        Some("skywalking") => "SkyWalking",
        Some("plugin") => {
            let settings = metric.provider.plugin.as_ref().and_then(crds::RawObject::fields);
            return settings.and_then(|all| all.keys().next()).cloned().unwrap_or_default();
        }
        Some(_) | None => "Unknown Provider",
    };
    name.to_owned()
}

fn phase(text: Option<&str>) -> &str {
    text.filter(|phase| !phase.is_empty()).unwrap_or("Pending")
}

fn run_phase(run: &AnalysisRun) -> &str {
    phase(run.status.as_ref().map(|status| status.phase.as_str()))
}

impl AnalysisGauges {
    fn runs(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let all = self.0.runs.all();
        let valid = || {
            all.iter().filter_map(|run| match &**run {
                Guarded::Valid(run) => Some(&**run),
                Guarded::Malformed(_) => None,
            })
        };
        let named = |run: &AnalysisRun, phase: &str| RunPhase {
            namespace: run.namespace().unwrap_or_default(),
            name: run.name_any(),
            phase: phase.to_owned(),
        };
        let mut family =
            encoder.encode_descriptor("analysis_run_info", "AnalysisRuns and their phase", None, MetricType::Gauge)?;
        for run in valid() {
            gauge(&mut family, &named(run, run_phase(run)), 1)?;
        }
        let mut family = encoder.encode_descriptor(
            "analysis_run_phase",
            "Each phase of an AnalysisRun, 1 for the present one",
            None,
            MetricType::Gauge,
        )?;
        for run in valid() {
            for phase in PHASES {
                gauge(&mut family, &named(run, phase), i64::from(phase == run_phase(run)))?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "analysis_run_metric_type",
            "Metrics of AnalysisRuns and their provider",
            None,
            MetricType::Gauge,
        )?;
        for run in valid() {
            for metric in &run.spec.metrics {
                gauge(&mut family, &metric_kind(run.namespace(), run.name_any(), metric), 1)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "analysis_run_metric_phase",
            "Each phase of a metric of an AnalysisRun, 1 for the present one",
            None,
            MetricType::Gauge,
        )?;
        for run in valid() {
            for metric in &run.spec.metrics {
                let results = run.status.iter().flat_map(|status| status.metric_results.iter().flatten());
                let result = results.into_iter().find(|result| result.name == metric.name);
                let present = phase(result.map(|result| result.phase.as_str()));
                let dry_run = result.is_some_and(|result| result.dry_run == Some(true));
                for phase in PHASES {
                    let labels = MetricPhase {
                        namespace: run.namespace().unwrap_or_default(),
                        name: run.name_any(),
                        metric: metric.name.clone(),
                        r#type: provider_type(metric),
                        dry_run: dry_run.to_string(),
                        phase,
                    };
                    gauge(&mut family, &labels, i64::from(phase == present))?;
                }
            }
        }
        Ok(())
    }

    fn templates(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut all = Vec::new();
        for template in self.0.templates.all() {
            if let Guarded::Valid(template) = &*template {
                all.push((template.namespace(), template.name_any(), template.spec.metrics.clone()));
            }
        }
        for template in self.0.cluster_templates.all() {
            if let Guarded::Valid(template) = &*template {
                all.push((None, template.name_any(), template.spec.metrics.clone()));
            }
        }
        let mut family = encoder.encode_descriptor(
            "analysis_template_info",
            "AnalysisTemplates, and ClusterAnalysisTemplates without a namespace",
            None,
            MetricType::Gauge,
        )?;
        for (namespace, name, _) in &all {
            let labels = Template { namespace: namespace.clone().unwrap_or_default(), name: name.clone() };
            gauge(&mut family, &labels, 1)?;
        }
        let mut family = encoder.encode_descriptor(
            "analysis_template_metric_info",
            "Metrics of templates and their provider",
            None,
            MetricType::Gauge,
        )?;
        for (namespace, name, metrics) in &all {
            for metric in metrics.iter().flatten() {
                gauge(&mut family, &metric_kind(namespace.clone(), name.clone(), metric), 1)?;
            }
        }
        Ok(())
    }
}

fn metric_kind(namespace: Option<String>, name: String, metric: &Metric) -> MetricKind {
    MetricKind {
        namespace: namespace.unwrap_or_default(),
        name,
        metric: metric.name.clone(),
        r#type: provider_type(metric),
    }
}

impl Collector for AnalysisGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        self.runs(&mut encoder)?;
        self.templates(&mut encoder)
    }
}
