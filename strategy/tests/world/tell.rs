//! What was done and what is, in words.

use std::fmt::Write as _;

use crds::words::POD_TEMPLATE_HASH_LABEL;
use crds::{AnalysisRun, ReplicaSet};
use serde_json::Value;
use strategy::Action;
use strategy::revision::hash_of;
use strategy::workload::WorkloadKind;
use traffic::Write;

use super::{World, available_of, image_of};

impl World {
    pub(super) fn describe(&self, action: &Action) -> String {
        let named = |name: &str| self.version(|set| set.metadata.name.as_deref() == Some(name), name);
        let metadata = |patch: &Value| {
            let mut text = String::new();
            for (key, value) in patch.pointer("/metadata/annotations").and_then(Value::as_object).into_iter().flatten()
            {
                let key = key.rsplit('/').next().unwrap_or(key);
                let _ = write!(text, " {key}={}", value.as_str().unwrap_or("removed"));
            }
            if patch.pointer("/metadata/ownerReferences").is_some() {
                text.push_str(" owner");
            }
            if let Some(finalizers) = patch.pointer("/metadata/finalizers").and_then(Value::as_array) {
                let _ = write!(text, " {}", if finalizers.is_empty() { "no finalizer" } else { "finalizer" });
            }
            if let Some(count) = patch.pointer("/spec/replicas") {
                let _ = write!(text, " replicas={count}");
            }
            if let Some(seconds) = patch.pointer("/spec/minReadySeconds") {
                let _ = write!(text, " minReadySeconds={seconds}");
            }
            if text.is_empty() { format!(" {patch}") } else { text }
        };
        match action {
            Action::PatchRollout { patch } => format!("Rollout:{}", metadata(patch)),
            Action::CreateReplicaSet { replica_set } => {
                let ready =
                    replica_set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).filter(|seconds| *seconds > 0);
                let ready = ready.map_or(String::new(), |seconds| format!(" minReadySeconds={seconds}"));
                let annotations = replica_set.metadata.annotations.iter().flatten();
                let injected = annotations.into_iter().find(|(key, _)| key.ends_with("/ephemeral-metadata"));
                let carries = injected.map(|(_, text)| format!(" carries {text}")).unwrap_or_default();
                let count = replica_set.replicas_or_default();
                let template = serde_json::to_value(replica_set.template()).unwrap();
                let keeps_off = template.pointer("/spec/affinity/podAntiAffinity").map(|anti| format!(" anti {anti}"));
                let keeps_off = keeps_off.unwrap_or_default();
                format!("{}: create replicas={count}{ready}{carries}{keeps_off}", image_of(replica_set))
            }
            Action::PatchReplicaSet { target, patch } => format!("{}:{}", named(&target.name), metadata(patch)),
            Action::PatchPods { replica_set, patch, .. } => {
                format!("pods of {}: {}", named(&replica_set.name), patch["metadata"])
            }
            Action::DeleteReplicaSet { target } => format!("{}: delete", named(&target.name)),
            Action::EvictPod { target } => {
                let held = if self.available(None) <= self.budget { " (refused)" } else { "" };
                format!("Pod of {}: evict{held}", self.version_of_pod(&target.uid))
            }
            Action::PatchWorkload { kind, target, patch } => {
                format!("{} {}:{}", kind.kind(), target.name, metadata(patch))
            }
            Action::PatchService { target, patch } => {
                let hash = patch
                    .pointer("/spec/selector")
                    .and_then(|selector| selector.get(POD_TEMPLATE_HASH_LABEL))
                    .and_then(Value::as_str);
                format!(
                    "Service {}: to {}",
                    target.name,
                    self.version(|set| hash.is_some() && hash_of(set) == hash, hash.unwrap_or("anyone"))
                )
            }
            Action::Route(Write::Create { reference, object, .. }) => {
                format!("Ingress {}: create weight={}", reference.name, weight_of(object))
            }
            Action::Route(Write::Patch { reference, patch, .. }) if reference.kind == "VirtualService" => {
                format!("VirtualService {}:{}", reference.name, routes_of(patch))
            }
            Action::Route(Write::Patch { reference, patch, .. }) if reference.kind == "DestinationRule" => {
                let mut text = format!("DestinationRule {}:", reference.name);
                for subset in patch.pointer("/spec/subsets").and_then(Value::as_array).into_iter().flatten() {
                    let hash = subset.pointer("/labels").and_then(|labels| labels.get(POD_TEMPLATE_HASH_LABEL));
                    let hash = hash.and_then(Value::as_str);
                    let image = self.version(|set| hash.is_some() && hash_of(set) == hash, "everyone");
                    let _ = write!(text, " {}={image}", subset["name"].as_str().unwrap_or_default());
                }
                text
            }
            Action::Route(Write::Patch { reference, patch, .. }) if reference.kind == "HTTPRoute" => {
                format!("HTTPRoute {}:{}", reference.name, rules_of(patch))
            }
            Action::Route(Write::Patch { reference, patch, .. }) => {
                format!("Ingress {}: weight={}{}", reference.name, weight_of(patch), header_of(patch))
            }
            Action::Route(Write::Delete { reference, .. }) => format!("Ingress {}: delete", reference.name),
            Action::CreateAnalysisRun { run } => {
                format!("AnalysisRun {}: create{}", without_hash(run.metadata.name.as_deref()), self.given_to(run))
            }
            Action::PatchAnalysisRun { target, .. } => {
                format!("AnalysisRun {}: terminate", without_hash(Some(&target.name)))
            }
            Action::DeleteAnalysisRun { target } => format!("AnalysisRun {}: delete", without_hash(Some(&target.name))),
            Action::CreateService { service } => {
                format!("Service {}: create", service.metadata.name.as_deref().unwrap_or_default())
            }
            Action::DeleteService { target } => format!("Service {}: delete", target.name),
            Action::CreateExperiment { experiment } => {
                let mut text = format!("Experiment {}: create", without_hash(experiment.metadata.name.as_deref()));
                for one in &experiment.spec.templates {
                    let image = one.template.images().first().map_or("", |(_, image)| *image).to_owned();
                    let _ = write!(text, " {}={image} x{}", one.name, one.replicas_or_default());
                }
                text
            }
            Action::PatchExperiment { target, .. } => {
                format!("Experiment {}: terminate", without_hash(Some(&target.name)))
            }
            Action::DeleteExperiment { target } => format!("Experiment {}: delete", without_hash(Some(&target.name))),
        }
    }

    /// What a run is given beyond its metrics.
    pub(super) fn given_to(&self, run: &AnalysisRun) -> String {
        let mut text = String::new();
        for argument in run.spec.args.iter().flatten() {
            let value = argument.value.as_deref().unwrap_or("nothing");
            let _ = write!(text, " {}={}", argument.name, self.version(|set| hash_of(set) == Some(value), value));
        }
        for rule in run.spec.dry_run.iter().flatten() {
            let _ = write!(text, " dry-run {}", rule.metric_name);
        }
        for rule in run.spec.measurement_retention.iter().flatten() {
            let _ = write!(text, " keep {} of {}", rule.limit, rule.metric_name);
        }
        let own = ["app", "rollout-type", "step-index", "rollouts-pod-template-hash"];
        let labels = run.metadata.labels.iter().flatten().filter(|(key, _)| !own.contains(&key.as_str()));
        let annotations = run
            .metadata
            .annotations
            .iter()
            .flatten()
            .filter(|(key, _)| !key.contains("revision") && *key != strategy::words::STEP_HASH_ANNOTATION);
        for (key, value) in labels.chain(annotations) {
            let _ = write!(text, " {key}: {value}");
        }
        text
    }

    /// The state in one line.
    pub fn summary(&self) -> String {
        let status = self.seen.rollout.status.clone().unwrap_or_default();
        let mut text = status.phase.unwrap_or_default();
        if let Some(message) = status.message.filter(|message| !message.is_empty()) {
            let _ = write!(text, " ({message})");
        }
        let steps = self.seen.rollout.canary().map_or(0, |canary| canary.steps().len());
        if let Some(index) = status.current_step_index.filter(|_| steps > 0) {
            let _ = write!(text, ", step {index} of {steps}");
        }
        if let Some(weight) = self.weight() {
            let _ = write!(text, ", weight {weight}");
        }
        if let Some(workload) = self.seen.workload.as_ref().filter(|workload| workload.kind == WorkloadKind::Deployment)
        {
            let _ = write!(text, ", Deployment {} {}/{}", workload.name, workload.available, workload.replicas);
        }
        if let Some(blue_green) = self.seen.rollout.blue_green() {
            let _ = write!(text, ", active {}", self.image_behind(&blue_green.active_service));
            if let Some(preview) = &blue_green.preview_service {
                let _ = write!(text, ", preview {}", self.image_behind(preview));
            }
        }
        let mut sets: Vec<&ReplicaSet> = self.seen.replica_sets.iter().collect();
        sets.sort_by_key(|set| (set.metadata.creation_timestamp.clone(), image_of(set)));
        for set in sets {
            let role = if hash_of(set) == status.stable_rs.as_deref() { " stable" } else { "" };
            let _ = write!(text, ", {}{role} {}/{}", image_of(set), available_of(set), set.replicas_or_default());
        }
        text
    }
}

/// The rules of an HTTPRoute: the tests of those that have a name, where each leads and with what weight, and where it copies to.
fn rules_of(patch: &Value) -> String {
    let mut text = String::new();
    for rule in patch.pointer("/spec/rules").and_then(Value::as_array).into_iter().flatten() {
        let backends = rule["backendRefs"].as_array().into_iter().flatten();
        let parts: Vec<String> = backends
            .map(|one| {
                format!("{}={}", without_hash_of_experiment(one["name"].as_str().unwrap_or_default()), one["weight"])
            })
            .collect();
        let name = rule["name"].as_str().map(|name| format!("{name} {}: ", rule["matches"])).unwrap_or_default();
        let _ = write!(text, " [{name}{}", parts.join(" "));
        for filter in rule["filters"].as_array().into_iter().flatten() {
            if let Some(mirror) = filter.get("requestMirror") {
                let _ = write!(text, ", copied to {}", mirror["backendRef"]["name"].as_str().unwrap_or_default());
            }
        }
        text.push(']');
    }
    text
}

/// The routes of a VirtualService: where each leads and with what weight, and where it copies to.
fn routes_of(patch: &Value) -> String {
    let mut text = String::new();
    for route in patch.pointer("/spec/http").and_then(Value::as_array).into_iter().flatten() {
        let name = route["name"].as_str().unwrap_or_default();
        let to = |destination: &Value| {
            let part = destination.get("subset").or_else(|| destination.get("host")).and_then(Value::as_str);
            without_hash_of_experiment(part.unwrap_or_default())
        };
        let parts: Vec<String> = route["route"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| format!("{}={}", to(&one["destination"]), one["weight"]))
            .collect();
        let tests = if route.get("match").is_some() { format!(" {}", route["match"]) } else { String::new() };
        let _ = write!(text, " [{name}{tests}: {}", parts.join(" "));
        if let Some(mirror) = route.get("mirror") {
            let _ = write!(text, ", {}% copied to {}", route["mirrorPercentage"]["value"], to(mirror));
        }
        text.push(']');
    }
    text
}

/// `web-<hash>-2-0-a` as `web-2-0-a`; other names as they are.
fn without_hash_of_experiment(name: &str) -> String {
    if name.split('-').count() > 3 { without_hash(Some(name)) } else { name.to_owned() }
}

pub(super) fn weight_of(object: &Value) -> &str {
    let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
    let found = annotations.into_iter().flatten().find(|(key, _)| key.ends_with("/canary-weight"));
    found.and_then(|(_, value)| value.as_str()).unwrap_or("unchanged")
}

pub(super) fn header_of(object: &Value) -> String {
    let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
    let mut text = String::new();
    for (key, value) in annotations.into_iter().flatten() {
        if let Some((_, what)) = key.split_once("/canary-by-") {
            let _ = write!(text, " {what}={}", value.as_str().unwrap_or("removed"));
        }
    }
    text
}

pub(super) fn without_hash(name: Option<&str>) -> String {
    let parts = name.unwrap_or_default().split('-').enumerate().filter(|(index, _)| *index != 1);
    parts.map(|(_, part)| part).collect::<Vec<_>>().join("-")
}
