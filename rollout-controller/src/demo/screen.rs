//! What the demo shows: a line for each change of a release.

use std::collections::BTreeMap;

use anstyle::{AnsiColor, Style};
use serde_json::Value;
use simulator::{Cluster, Object};
use tokio::time::Instant;

use super::load::Load;
use super::scene::{End, IMAGE, NAMESPACE, RELEASES, Release};
use super::{Ending, Summary};

/// What is seen of a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Phase of the Rollout.
    pub phase: String,
    message: String,
    tag: String,
    step: Option<i64>,
    weight: u32,
    aborted: bool,
    waits_at_pause: bool,
    is_stable: bool,
    analysis_failed: bool,
}

impl Seen {
    /// Whether the release has ended as it was meant to.
    pub fn ended(&self, release: &Release) -> bool {
        self.tag == release.tag
            && match release.end {
                End::Promoted => self.phase == "Healthy" && self.is_stable && self.weight == 0 && !self.aborted,
                End::Aborted => {
                    self.phase == "Degraded"
                        && self.aborted
                        && self.analysis_failed
                        && !self.is_stable
                        && self.weight == 0
                }
                End::Waiting => {
                    self.phase == "Paused"
                        && self.waits_at_pause
                        && self.step == Some(3)
                        && self.weight == 40
                        && !self.aborted
                        && !self.is_stable
                }
            }
    }

    fn describe(&self) -> String {
        match (self.phase.as_str(), self.aborted) {
            ("Healthy", _) => format!("promoted: everyone gets {}", self.tag),
            (_, true) => format!("aborted, {} % get {}: {}", self.weight, self.tag, self.message),
            ("Paused", _) => format!("waits for a person: {} % get {}", self.weight, self.tag),
            (phase, _) => format!("{phase}, {} % get {}: {}", self.weight, self.tag, self.message),
        }
    }
}

/// The terminal.
pub struct Screen {
    cluster: Cluster,
    load: Load,
    start: Instant,
    seen: BTreeMap<&'static str, Seen>,
}

impl Screen {
    /// Time counts from now.
    pub fn new(cluster: Cluster, load: Load) -> Self {
        Self { cluster, load, start: Instant::now(), seen: BTreeMap::new() }
    }

    /// What was seen last.
    pub fn seen(&self, name: &str) -> Option<&Seen> {
        self.seen.get(name)
    }

    /// Prints text.
    #[allow(clippy::unused_self)] // Whoever prints has the screen.
    pub fn say(&self, text: &str) {
        anstream::println!("{text}");
    }

    /// Prints a line for each release that has changed.
    pub fn look(&mut self) {
        for release in RELEASES {
            let store = self.cluster.store();
            let Some(rollout) = store.get("argoproj.io/v1alpha1", "Rollout", NAMESPACE, release.name) else {
                continue;
            };
            let now = self.observe(release.name, &rollout);
            if now.phase.is_empty() || self.seen.get(release.name) == Some(&now) {
                continue;
            }
            let hash = text(&rollout, "/status/currentPodHash");
            self.line(release.name, &now, self.load.error_ratio(release.name, hash));
            self.seen.insert(release.name, now);
        }
    }

    /// How the releases stand.
    pub fn summary(&self) -> Summary {
        let endings = RELEASES.iter().map(|release| match self.seen.get(release.name) {
            Some(seen) => Ending { name: release.name, as_promised: seen.ended(release), text: seen.describe() },
            None => Ending { name: release.name, as_promised: false, text: "never began".to_owned() },
        });
        Summary(endings.collect())
    }

    fn observe(&self, name: &str, rollout: &Object) -> Seen {
        let truth = |path: &str| rollout.pointer(path).and_then(Value::as_bool).unwrap_or(false);
        let hash = text(rollout, "/status/currentPodHash");
        let image = text(rollout, "/spec/template/spec/containers/0/image");
        let runs = self.cluster.store().list("argoproj.io/v1alpha1", "AnalysisRun", Some(NAMESPACE));
        Seen {
            phase: text(rollout, "/status/phase").to_owned(),
            message: text(rollout, "/status/message").to_owned(),
            tag: image.strip_prefix(IMAGE).and_then(|tag| tag.strip_prefix(':')).unwrap_or(image).to_owned(),
            step: rollout.pointer("/status/currentStepIndex").and_then(Value::as_i64),
            weight: self.load.weight(name),
            aborted: truth("/status/abort"),
            waits_at_pause: rollout
                .pointer("/status/pauseConditions")
                .and_then(Value::as_array)
                .is_some_and(|list| list.iter().any(|pause| text(pause, "/reason") == "CanaryPauseStep")),
            is_stable: !hash.is_empty() && text(rollout, "/status/stableRS") == hash,
            analysis_failed: runs.iter().any(|run| {
                text(run, "/metadata/ownerReferences/0/name") == name && text(run, "/status/phase") == "Failed"
            }),
        }
    }

    fn line(&self, name: &str, seen: &Seen, errors: Option<f64>) {
        let colour = match seen.phase.as_str() {
            "Healthy" => AnsiColor::Green,
            "Degraded" => AnsiColor::Red,
            "Paused" => AnsiColor::Yellow,
            _ => AnsiColor::Cyan,
        };
        let style = Style::new().fg_color(Some(colour.into()));
        let filled = usize::try_from(seen.weight.min(100) / 10).unwrap_or(0);
        let bar: String = (0..10).map(|at| if at < filled { '█' } else { '░' }).collect();
        let errors = match errors {
            Some(ratio) => format!("{:4.1} % errors", ratio * 100.0),
            None => "no requests  ".to_owned(),
        };
        let step = seen.step.map_or_else(|| "-".to_owned(), |step| step.to_string());
        anstream::println!(
            "{:6.1} s  {name:<8} {bar} {:>3} %  step {step}/8  {style}{:<11}{style:#}  {:<11}  {errors}  {}",
            self.start.elapsed().as_secs_f64(),
            seen.weight,
            seen.phase,
            seen.tag,
            seen.message,
        );
    }
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}
