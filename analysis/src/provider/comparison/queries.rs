//! The queries of a comparison: what the user wrote, for one version, counted over a block.

use std::collections::BTreeMap;

use crds::ComparisonMetric;

use crate::comparison::wanted::Wanted;
use crate::promql;

/// The window, in what the user wrote.
const BLOCK: &str = "$block";
/// Samples of so long tell the scrape interval.
const SAMPLES: &str = "5m";
/// Labels that tell pods apart.
const POD: &str = "pod, instance";

/// A counter of one version.
struct Counter {
    /// With the version's labels.
    query: String,
    /// One selector, so that a window can be put behind it.
    selector: bool,
}

impl Counter {
    fn new(query: &str, labels: &BTreeMap<String, String>) -> Result<Self, String> {
        // A window may be put in only after the form is understood, and `$` has no place in it.
        let plain = query.replace(BLOCK, "86399s");
        let with =
            promql::with_matchers(&plain, labels).map_err(|error| format!("\"{query}\" is no PromQL: {error}"))?;
        Ok(Self { query: with.replace("86399s", BLOCK), selector: !query.contains(BLOCK) })
    }

    fn over(&self, block: i64) -> String {
        if self.selector {
            format!("increase({}[{block}s])", self.query)
        } else {
            self.query.replace(BLOCK, &format!("{block}s"))
        }
    }
}

/// All that is asked.
pub(super) struct Queries {
    canary: [Counter; 2],
    stable: [Counter; 2],
}

impl Queries {
    pub(super) fn new(wanted: &Wanted, comparison: &ComparisonMetric) -> Result<Self, String> {
        let of = |field: &str, labels: &Option<BTreeMap<String, String>>| {
            let labels = labels.as_ref().filter(|labels| !labels.is_empty()).ok_or_else(|| {
                format!(
                    "provider.comparison.{field} is absent: only an analysis of a Rollout knows its versions; write the labels of its series"
                )
            })?;
            Ok::<_, String>([Counter::new(&wanted.failed, labels)?, Counter::new(&wanted.total, labels)?])
        };
        Ok(Self { canary: of("canary", &comparison.canary)?, stable: of("stable", &comparison.stable)? })
    }

    /// Failed and all requests of the canary, then of the stable version, over blocks of so many seconds.
    pub(super) fn counts(&self, block: i64) -> [String; 4] {
        let [canary_failed, canary_total] = &self.canary;
        let [stable_failed, stable_total] = &self.stable;
        [canary_failed, canary_total, stable_failed, stable_total]
            .map(|counter| format!("sum({})", counter.over(block)))
    }

    /// Failed and all requests of the stable pods, where they can be told apart.
    pub(super) fn by_pod(&self, block: i64) -> Option<[String; 2]> {
        let [failed, total] = &self.stable;
        (failed.selector && total.selector)
            .then(|| [failed, total].map(|counter| format!("sum by ({POD}) ({})", counter.over(block))))
    }

    /// The samples of the stable version's counter.
    pub(super) fn samples(&self) -> Option<String> {
        let [_, total] = &self.stable;
        total.selector.then(|| format!("{}[{SAMPLES}]", total.query))
    }
}
