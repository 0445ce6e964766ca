//! The users of the demo: a steady stream of requests per Ingress, split as NGINX would split it.
//!
//! Each second, each release gets [`PER_SECOND`] requests. The canary Ingress' weight says how many of them go to the canary
//! Service, the Service's selector says which version that is, the ready pods whether someone answers, and the version's
//! image tag how many answers are errors: `errors-5pct` is 5 %.
//!
//! Invariant: nothing here knows what the controller intends; it reads only what a data plane reads.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use simulator::Cluster;

use super::scene::{NAMESPACE, RELEASES};

/// Requests of one release in a second.
pub const PER_SECOND: u32 = 200;
/// Series with the share of errors of a version over the last seconds.
pub const ERROR_RATIO: &str = "demo:http_errors:ratio_rate10s";
/// Series with the requests per second of a version over the last seconds.
pub const REQUEST_RATE: &str = "demo:http_requests:rate10s";
/// Label with the version.
const HASH: &str = "rollouts-pod-template-hash";
/// The same as Prometheus writes it.
const HASH_LABEL: &str = "rollouts_pod_template_hash";
/// Seconds that are looked back.
const WINDOW: usize = 10;

/// Requests and errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    requests: u32,
    errors: u32,
}

/// One version in one second.
type Second = BTreeMap<Version, Count>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    rollout: String,
    hash: String,
}

/// A series with its present value.
pub type Sample = (BTreeMap<String, String>, f64);

/// The requests so far. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Load {
    cluster: Cluster,
    seconds: Arc<Mutex<VecDeque<Second>>>,
}

impl Load {
    /// No requests yet.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, seconds: Arc::default() }
    }

    /// Sends requests for ever.
    pub async fn run(self) {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            second.tick().await;
            let now = RELEASES.iter().flat_map(|release| self.second(release.name)).collect();
            let mut seconds = self.lock();
            seconds.push_back(now);
            if seconds.len() > WINDOW {
                seconds.pop_front();
            }
        }
    }

    /// Share of the requests that the canary Ingress takes, in percent.
    pub fn weight(&self, name: &str) -> u32 {
        let ingress = self.cluster.store().list("networking.k8s.io/v1", "Ingress", Some(NAMESPACE));
        let canary = ingress.iter().find(|ingress| {
            ingress.pointer("/metadata/name").and_then(Value::as_str) == Some(&format!("{name}-{name}-canary"))
        });
        let annotation = |word: &str| {
            let annotations = canary?.pointer("/metadata/annotations")?;
            annotations.get(format!("nginx.ingress.kubernetes.io/{word}"))?.as_str()
        };
        if annotation("canary") != Some("true") {
            return 0;
        }
        annotation("canary-weight").and_then(|weight| weight.parse().ok()).unwrap_or(0)
    }

    /// Share of errors of a version in the last seconds; `None` when it had no requests.
    pub fn error_ratio(&self, rollout: &str, hash: &str) -> Option<f64> {
        let counts = self.counts();
        let count = counts.get(&Version { rollout: rollout.to_owned(), hash: hash.to_owned() })?;
        (count.requests > 0).then(|| f64::from(count.errors) / f64::from(count.requests))
    }

    /// Answers a query: the name of a series, and labels it must have.
    ///
    /// # Errors
    /// Anything else than that.
    pub fn query(&self, text: &str) -> Result<Vec<Sample>, String> {
        let (name, matchers) = selector(text)?;
        let seconds = u32::try_from(self.lock().len().max(1)).unwrap_or(1);
        let value: Box<dyn Fn(Count) -> f64> = match name {
            ERROR_RATIO => Box::new(|count| f64::from(count.errors) / f64::from(count.requests)),
            REQUEST_RATE => Box::new(move |count| f64::from(count.requests) / f64::from(seconds)),
            _ => return Err(format!("there are two series here, {ERROR_RATIO} and {REQUEST_RATE}, not {name:?}")),
        };
        let mut counts = self.counts();
        // A version that is asked for has a series before its first request, as a pod's counters begin at 0.
        if let Some(hash) = matchers.get(HASH_LABEL)
            && !counts.keys().any(|version| version.hash == *hash)
        {
            counts.insert(Version { rollout: String::new(), hash: hash.clone() }, Count::default());
        }
        let samples = counts.into_iter().map(|(version, count)| {
            let mut labels = BTreeMap::from([("__name__".to_owned(), name.to_owned())]);
            labels.insert(HASH_LABEL.to_owned(), version.hash);
            if !version.rollout.is_empty() {
                labels.insert("rollout".to_owned(), version.rollout);
            }
            (labels, value(count))
        });
        Ok(samples
            .filter(|(labels, _)| matchers.iter().all(|(label, wanted)| labels.get(label) == Some(wanted)))
            .collect())
    }

    fn counts(&self) -> BTreeMap<Version, Count> {
        let mut sum: BTreeMap<Version, Count> = BTreeMap::new();
        for (version, count) in self.lock().iter().flatten() {
            let total = sum.entry(version.clone()).or_default();
            total.requests += count.requests;
            total.errors += count.errors;
        }
        sum
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Second>> {
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One second of one release.
    fn second(&self, name: &str) -> Vec<(Version, Count)> {
        let canary = PER_SECOND * self.weight(name).min(100) / 100;
        let mut found: BTreeMap<Version, Count> = BTreeMap::new();
        for (role, requests) in [("canary", canary), ("stable", PER_SECOND - canary)] {
            if requests == 0 {
                continue;
            }
            let Some((hash, percent)) = self.behind(&format!("{name}-{role}")) else { continue };
            let total = found.entry(Version { rollout: name.to_owned(), hash }).or_default();
            total.requests += requests;
            total.errors += requests * percent / 100;
        }
        found.into_iter().collect()
    }

    /// The version behind a Service and its share of errors in percent; all are errors when no pod is ready.
    fn behind(&self, service: &str) -> Option<(String, u32)> {
        let store = self.cluster.store();
        let service = store.get("v1", "Service", NAMESPACE, service)?;
        let hash = service.pointer("/spec/selector")?.get(HASH)?.as_str()?.to_owned();
        let sets = store.list("apps/v1", "ReplicaSet", Some(NAMESPACE));
        let set = sets.iter().find(|set| {
            set.pointer("/metadata/labels").and_then(|labels| labels.get(HASH)).and_then(Value::as_str) == Some(&hash)
                && set.pointer("/spec/template/metadata/labels/app") == service.pointer("/spec/selector/app")
        });
        let ready = set.and_then(|set| set.pointer("/status/readyReplicas")?.as_u64()).unwrap_or(0);
        let image = set.and_then(|set| set.pointer("/spec/template/spec/containers/0/image")?.as_str());
        let percent = if ready == 0 { 100 } else { image.map_or(0, errors_of) };
        Some((hash, percent))
    }
}

/// Share of errors that an image is made to give, in percent.
fn errors_of(image: &str) -> u32 {
    let tag = image.rsplit(':').next().unwrap_or_default();
    let number = tag.strip_prefix("errors-").and_then(|rest| rest.strip_suffix("pct"));
    number.and_then(|number| number.parse().ok()).unwrap_or(0).min(100)
}

/// Takes `name{label="value",…}` apart.
fn selector(text: &str) -> Result<(&str, BTreeMap<String, String>), String> {
    let text = text.trim();
    let Some((name, rest)) = text.split_once('{') else { return Ok((text, BTreeMap::new())) };
    let wrong = || format!("the demo understands name{{label=\"value\"}}, not {text:?}");
    let inside = rest.strip_suffix('}').ok_or_else(wrong)?;
    let mut matchers = BTreeMap::new();
    for matcher in inside.split(',').map(str::trim).filter(|matcher| !matcher.is_empty()) {
        let (label, value) = matcher.split_once('=').filter(|(label, _)| !label.ends_with('!')).ok_or_else(wrong)?;
        let value = value.trim().strip_prefix('"').and_then(|value| value.strip_suffix('"')).ok_or_else(wrong)?;
        matchers.insert(label.trim().to_owned(), value.to_owned());
    }
    Ok((name.trim(), matchers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_or_refused() {
        let (name, matchers) = selector("up{a=\"b\", c = \"d\",}").unwrap();
        assert_eq!((name, matchers.len()), ("up", 2));
        assert_eq!(selector("up").unwrap(), ("up", BTreeMap::new()));
        for bad in ["up{", "up{a}", "up{a=b}", "up{a=~\"b\"}", "up{a!=\"b\"}"] {
            assert!(selector(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_say_how_many_errors() {
        assert_eq!(errors_of("registry.example/web:errors-5pct"), 5);
        assert_eq!(errors_of("registry.example/web:good-2"), 0);
        assert_eq!(errors_of("registry.example/web"), 0);
    }
}
