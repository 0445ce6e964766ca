//! The queries of a comparison: what the user wrote, for one version, over a block.

use std::collections::BTreeMap;

use crds::ComparisonMetric;

use crate::promql;

/// The window, in what the user wrote.
const BLOCK: &str = "$block";
/// Samples of so long tell the scrape interval.
const SAMPLES: &str = "5m";
/// Labels that tell pods apart.
const POD: &str = "pod, instance";
/// Label of the bounds of a histogram.
pub(super) const BOUND: &str = "le";
/// The bound above everything, so that its bucket has all requests.
pub(super) const ALL: &str = "+Inf";

type Labels = BTreeMap<String, String>;

/// What the user wrote, of one version.
struct Query {
    /// What the user wrote.
    plain: String,
    labels: Labels,
    /// With the version's labels.
    text: String,
    /// One selector, so that a window can be put behind it.
    selector: bool,
}

impl Query {
    fn new(plain: &str, labels: &Labels) -> Result<Self, String> {
        // A window may be put in only after the form is understood, and `$` has no place in it.
        let window = plain.replace(BLOCK, "86399s");
        let with =
            promql::with_matchers(&window, labels).map_err(|error| format!("\"{plain}\" is no PromQL: {error}"))?;
        let text = with.replace("86399s", BLOCK);
        Ok(Self { plain: plain.to_owned(), labels: labels.clone(), text, selector: !plain.contains(BLOCK) })
    }

    /// The same for one bound of a histogram.
    fn of_bound(&self, bound: &str) -> Option<Self> {
        let mut labels = self.labels.clone();
        labels.insert(BOUND.to_owned(), bound.to_owned());
        Self::new(&self.plain, &labels).ok()
    }

    /// By this function, where the user says none.
    fn over(&self, function: &str, block: i64) -> String {
        if self.selector {
            format!("{function}({}[{block}s])", self.text)
        } else {
            self.text.replace(BLOCK, &format!("{block}s"))
        }
    }

    fn increase(&self, block: i64) -> String {
        self.over("increase", block)
    }

    fn samples(&self) -> Option<String> {
        self.selector.then(|| format!("{}[{SAMPLES}]", self.text))
    }
}

/// What the user wrote, of the canary and of the stable version.
fn both(plain: &str, comparison: &ComparisonMetric) -> Result<[Query; 2], String> {
    let of = |field: &str, labels: &Option<Labels>| {
        let labels = labels.as_ref().filter(|labels| !labels.is_empty()).ok_or_else(|| {
            format!(
                "provider.comparison.{field} is absent: only an analysis of a Rollout knows its versions; write the labels of its series"
            )
        })?;
        Query::new(plain, labels)
    };
    Ok([of("canary", &comparison.canary)?, of("stable", &comparison.stable)?])
}

/// What is asked about failed requests.
pub(super) struct Ratio {
    failed: [Query; 2],
    total: [Query; 2],
}

impl Ratio {
    pub(super) fn new(failed: &str, total: &str, comparison: &ComparisonMetric) -> Result<Self, String> {
        Ok(Self { failed: both(failed, comparison)?, total: both(total, comparison)? })
    }

    /// Failed and all requests of the canary, then of the stable version, over blocks of so many seconds.
    pub(super) fn counts(&self, block: i64) -> [String; 4] {
        let ([canary_failed, stable_failed], [canary_total, stable_total]) = (&self.failed, &self.total);
        [canary_failed, canary_total, stable_failed, stable_total]
            .map(|query| format!("sum({})", query.increase(block)))
    }

    /// Failed and all requests of the stable pods, where they can be told apart.
    pub(super) fn by_pod(&self, block: i64) -> Option<[String; 2]> {
        let ([_, failed], [_, total]) = (&self.failed, &self.total);
        (failed.selector && total.selector)
            .then(|| [failed, total].map(|query| format!("sum by ({POD}) ({})", query.increase(block))))
    }

    /// The samples of the stable version's counter.
    pub(super) fn samples(&self) -> Option<String> {
        let [_, stable] = &self.total;
        stable.samples()
    }
}

/// What is asked about latency.
pub(super) struct Histogram([Query; 2]);

impl Histogram {
    pub(super) fn new(query: &str, comparison: &ComparisonMetric) -> Result<Self, String> {
        Ok(Self(both(query, comparison)?))
    }

    /// The buckets of both versions; native histograms come as one series without `le`.
    pub(super) fn buckets(&self, block: i64) -> [String; 2] {
        let [canary, stable] = &self.0;
        [canary, stable].map(|query| format!("sum by ({BOUND}) ({})", query.increase(block)))
    }

    /// Of native histograms all requests of both versions, and under each bound the share that is slower.
    pub(super) fn shares(&self, block: i64, bounds: &[f64]) -> [String; 2] {
        let [canary, stable] = &self.0;
        [canary, stable].map(|query| shares(&format!("sum({})", query.increase(block)), bounds))
    }

    /// The same of the stable pods, where they can be told apart.
    pub(super) fn shares_by_pod(&self, block: i64, bounds: &[f64]) -> Option<String> {
        let [_, stable] = &self.0;
        stable.selector.then(|| shares(&format!("sum by ({POD}) ({})", stable.increase(block)), bounds))
    }

    /// The bucket of the stable pods with the bound that has this text, where pods can be told apart.
    pub(super) fn bucket_by_pod(&self, block: i64, bound: &str) -> Option<String> {
        let [_, stable] = &self.0;
        let query = stable.selector.then(|| stable.of_bound(bound))??;
        Some(format!("sum by ({POD}) ({})", query.increase(block)))
    }

    /// The samples of the stable version.
    pub(super) fn samples(&self) -> Option<String> {
        let [_, stable] = &self.0;
        let of_all = stable.of_bound(ALL)?;
        of_all.samples()
    }

    /// The same of a native histogram.
    pub(super) fn native_samples(&self) -> Option<String> {
        let [_, stable] = &self.0;
        stable.samples()
    }
}

fn shares(histogram: &str, bounds: &[f64]) -> String {
    let labelled = |value: String, bound: &str| format!("label_replace({value}, \"{BOUND}\", \"{bound}\", \"\", \"\")");
    let of_bound =
        |bound: &f64| labelled(format!("histogram_fraction({bound}, {ALL}, {histogram})"), &bound.to_string());
    let all = labelled(format!("histogram_count({histogram})"), ALL);
    std::iter::once(all).chain(bounds.iter().map(of_bound)).collect::<Vec<_>>().join(" or ")
}

/// What is asked about a value of each pod.
pub(super) struct Gauge([Query; 2]);

impl Gauge {
    pub(super) fn new(query: &str, comparison: &ComparisonMetric) -> Result<Self, String> {
        Ok(Self(both(query, comparison)?))
    }

    /// The value of each pod of both versions; the series of one pod are added.
    pub(super) fn values(&self, block: i64) -> [String; 2] {
        let [canary, stable] = &self.0;
        [canary, stable].map(|query| {
            let values = query.over("avg_over_time", block);
            if query.selector { format!("sum by ({POD}) ({values})") } else { values }
        })
    }

    /// The samples of the stable version.
    pub(super) fn samples(&self) -> Option<String> {
        let [_, stable] = &self.0;
        stable.samples()
    }
}
