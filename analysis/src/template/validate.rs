//! What can be said of metrics before anything is measured.

use crds::{
    AnalysisRunArgument, AnalysisRunSpec, Argument, DryRun, MeasurementRetention, Metric, RolloutAnalysis, ValueFrom,
};

use super::{TemplateError, Templates, flatten};
use crate::comparison::wanted;
use crate::condition::{Program, Type};
use crate::promql;
use crate::run::metric::{duration, whole};
use crate::run::summary::rule_fits;

/// Problems of the templates that `analysis` names, with the values of those arguments that are known before the run.
pub fn validate(analysis: &RolloutAnalysis, templates: &dyn Templates) -> Vec<TemplateError> {
    let flat = match flatten::flatten(analysis.templates.as_deref().unwrap_or_default(), templates) {
        Ok(flat) => flat,
        Err(error) => return vec![error],
    };
    let given = analysis.args.as_deref().unwrap_or_default();
    let args: Vec<Argument> = flat.args.iter().map(|arg| before_the_run(arg, given)).collect();
    let metrics: Vec<Metric> = flat.metrics.iter().map(|metric| filled(metric, &args)).collect();
    let mut found = validate_spec(&metrics, &flat.dry_run, &flat.retention);
    for arg in &flat.args {
        let open = arg.value.is_none() && arg.value_from.is_none();
        let filled =
            given.iter().any(|over| over.name == arg.name && (over.value.is_some() || over.value_from.is_some()));
        if open && !filled {
            found.push(TemplateError::Unresolved(arg.name.clone()));
        }
    }
    found
}

/// A declared argument as far as it is known: what only the run will know comes from somewhere.
fn before_the_run(declared: &Argument, given: &[AnalysisRunArgument]) -> Argument {
    let over = given.iter().find(|over| over.name == declared.name);
    match over {
        Some(AnalysisRunArgument { value: Some(value), .. }) => {
            Argument { value: Some(value.clone()), value_from: None, ..declared.clone() }
        }
        Some(AnalysisRunArgument { value_from: Some(_), .. }) => {
            Argument { value: None, value_from: Some(ValueFrom::default()), ..declared.clone() }
        }
        Some(AnalysisRunArgument { value: None, value_from: None, .. }) | None => declared.clone(),
    }
}

/// The metric with the arguments that are known; as it is when it cannot be filled in.
fn filled(metric: &Metric, args: &[Argument]) -> Metric {
    super::args::known(metric, args).unwrap_or_else(|_| metric.clone())
}

/// Problems of the spec of a run.
pub fn validate_run(spec: &AnalysisRunSpec) -> Vec<TemplateError> {
    validate_with(
        &spec.metrics.iter().map(|metric| filled(metric, spec.args.as_deref().unwrap_or_default())).collect::<Vec<_>>(),
        spec.dry_run.as_deref().unwrap_or_default(),
        spec.measurement_retention.as_deref().unwrap_or_default(),
        // A condition that does not fit is an error of each measurement, as users know it.
        false,
    )
}

/// Problems of metrics and their rules. A field in which an argument stands is not judged.
pub fn validate_spec(metrics: &[Metric], dry_run: &[DryRun], retention: &[MeasurementRetention]) -> Vec<TemplateError> {
    validate_with(metrics, dry_run, retention, true)
}

fn validate_with(
    metrics: &[Metric],
    dry_run: &[DryRun],
    retention: &[MeasurementRetention],
    conditions: bool,
) -> Vec<TemplateError> {
    let mut found = Vec::new();
    if metrics.is_empty() {
        found.push(TemplateError::NoMetrics);
    }
    for (index, metric) in metrics.iter().enumerate() {
        if metrics.iter().take(index).any(|before| before.name == metric.name) {
            found.push(TemplateError::DuplicateMetric(metric.name.clone()));
        }
        let mut checker = MetricChecker { metric, found: &mut found };
        checker.numbers();
        checker.provider();
        if conditions {
            checker.conditions();
        }
    }
    let retention_names = retention.iter().map(|rule| ("measurementRetention", rule.metric_name.as_str()));
    let dry_names = dry_run.iter().map(|rule| ("dryRun", rule.metric_name.as_str()));
    for (list, index, name) in dry_names
        .enumerate()
        .map(|(i, (l, n))| (l, i, n))
        .chain(retention_names.enumerate().map(|(i, (l, n))| (l, i, n)))
    {
        let field = format!("{list}[{index}]");
        if name != "*" && regex::Regex::new(name).is_err() {
            found.push(TemplateError::Rule {
                field,
                problem: format!("metricName \"{name}\" is no regular expression"),
            });
        } else if !metrics.iter().any(|metric| rule_fits(name, &metric.name)) {
            let problem = format!("metricName \"{name}\" matches no metric");
            found.push(TemplateError::Rule { field, problem });
        }
    }
    for (index, rule) in retention.iter().enumerate().filter(|(_, rule)| rule.limit < 1) {
        let field = format!("measurementRetention[{index}]");
        found.push(TemplateError::Rule { field, problem: format!("limit is {}: it must be at least 1", rule.limit) });
    }
    found
}

struct MetricChecker<'a> {
    metric: &'a Metric,
    found: &'a mut Vec<TemplateError>,
}

fn has_argument(text: &str) -> bool {
    text.contains("{{")
}

impl MetricChecker<'_> {
    fn wrong(&mut self, field: &str, problem: String) {
        let metric = self.metric.name.clone();
        self.found.push(TemplateError::Metric { metric, field: field.to_owned(), problem });
    }

    fn whole(&mut self, field: &str, value: Option<&crds::IntOrString>) -> Option<i64> {
        if matches!(value, Some(crds::IntOrString::String(text)) if has_argument(text)) {
            return None;
        }
        match whole(field, value) {
            Ok(number) => number,
            Err(problem) => {
                let problem = problem.split_once(": ").map_or(problem.clone(), |(_, tail)| tail.to_owned());
                self.wrong(field, problem);
                None
            }
        }
    }

    fn duration(&mut self, field: &str, value: Option<&str>) {
        if value.is_some_and(has_argument) {
            return;
        }
        if let Err(problem) = duration(field, value) {
            let problem = problem.split_once(": ").map_or(problem.clone(), |(_, tail)| tail.to_owned());
            self.wrong(field, problem);
        }
    }

    fn numbers(&mut self) {
        let metric = self.metric;
        if metric.name.is_empty() {
            self.wrong("name", "is empty: every metric needs a name".to_owned());
        }
        self.duration("interval", metric.interval.as_deref());
        self.duration("initialDelay", metric.initial_delay.as_deref());
        let count = self.whole("count", metric.count.as_ref());
        let failures = self.whole("failureLimit", metric.failure_limit.as_ref());
        let inconclusive = self.whole("inconclusiveLimit", metric.inconclusive_limit.as_ref());
        let errors = self.whole("consecutiveErrorLimit", metric.consecutive_error_limit.as_ref());
        let successes = self.whole("consecutiveSuccessLimit", metric.consecutive_success_limit.as_ref());
        let no_interval = metric.interval.as_deref().unwrap_or_default().is_empty();
        if let Some(count) = count {
            if count < 0 {
                self.wrong("count", format!("is {count}: it must be at least 1"));
            }
            if count > 1 && no_interval {
                self.wrong(
                    "interval",
                    format!("is absent with count {count}: interval must be specified when count > 1"),
                );
            }
        }
        if let Some(limit) = failures.filter(|limit| *limit < -1) {
            self.wrong("failureLimit", format!("is {limit}: it must be at least 0, or -1 to switch it off"));
        }
        for (field, limit) in [
            ("inconclusiveLimit", inconclusive),
            ("consecutiveErrorLimit", errors),
            ("consecutiveSuccessLimit", successes),
        ] {
            if let Some(limit) = limit.filter(|limit| *limit < 0) {
                self.wrong(field, format!("is {limit}: it must be at least 0"));
            }
        }
        let successes = successes.unwrap_or(0);
        let open_success =
            matches!(&metric.consecutive_success_limit, Some(crds::IntOrString::String(text)) if has_argument(text));
        if failures == Some(-1) && successes == 0 && !open_success {
            self.wrong(
                "consecutiveSuccessLimit",
                "is 0 while failureLimit is -1: nothing could end the metric; raise one of them".to_owned(),
            );
        }
        if let Some(count) = count.filter(|count| *count > 0) {
            if let Some(limit) = failures.filter(|limit| *limit > count) {
                self.wrong("failureLimit", format!("is {limit}, more than count {count}: it must be at most count"));
            }
            if let Some(limit) = inconclusive.filter(|limit| *limit > count) {
                self.wrong(
                    "inconclusiveLimit",
                    format!("is {limit}, more than count {count}: it must be at most count"),
                );
            }
            let needed = failures.unwrap_or(0).max(0) + successes;
            if successes > 0 && count < needed {
                self.wrong(
                    "count",
                    format!("is {count}: it must be at least failureLimit + consecutiveSuccessLimit = {needed}"),
                );
            }
        }
    }

    fn provider(&mut self) {
        let names = crate::provider::names(&self.metric.provider);
        match names.as_slice() {
            [] => self.wrong("provider", "no provider specified: set exactly one".to_owned()),
            [_] => {}
            many => {
                self.wrong("provider", format!("multiple providers specified ({}): set exactly one", many.join(", ")));
            }
        }
        if let Some(comparison) = &self.metric.provider.comparison {
            let problems = wanted::read(comparison).err().unwrap_or_default();
            for (field, problem) in problems.into_iter().chain(wanted::beside(self.metric)) {
                self.wrong(&field, problem);
            }
        }
        if let Some(prometheus) = &self.metric.provider.prometheus {
            let query = prometheus.query.as_deref().unwrap_or_default();
            if query.trim().is_empty() {
                self.wrong("provider.prometheus.query", "is empty: write a PromQL query".to_owned());
            } else if let Err(error) = promql::check(query) {
                let shown = query.trim();
                self.wrong("provider.prometheus.query", format!("\"{shown}\" is no PromQL: {error}"));
            }
            if let Some(timeout) = prometheus.timeout.filter(|timeout| *timeout < 0) {
                self.wrong("provider.prometheus.timeout", format!("is {timeout}: it must be at least 0 seconds"));
            }
            if let Some(range) = &prometheus.range_query {
                for (field, text) in [("start", &range.start), ("end", &range.end)] {
                    let text = text.as_deref().unwrap_or_default();
                    if !has_argument(text)
                        && let Err(error) = Program::compile_time(text)
                    {
                        self.wrong(&format!("provider.prometheus.rangeQuery.{field}"), format!("\"{text}\": {error}"));
                    }
                }
                self.duration("provider.prometheus.rangeQuery.step", range.step.as_deref());
            }
        }
    }

    fn conditions(&mut self) {
        let metric = self.metric;
        for (field, text) in
            [("successCondition", &metric.success_condition), ("failureCondition", &metric.failure_condition)]
        {
            let text = text.as_deref().unwrap_or_default();
            if text.is_empty() || has_argument(text) {
                continue;
            }
            if let Err(error) = Program::compile_condition(text, &Type::Unknown) {
                self.wrong(field, format!("\"{text}\" is no condition: {error}"));
            }
        }
    }
}
