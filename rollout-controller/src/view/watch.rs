//! One watch of one kind: list, watch, and again, each with its own back-off.
//!
//! Invariants
//! - A watch that fails (a missing CRD, a missing permission, a broken connection) delays no other watch; `/readyz` names it
//!   until its first list is complete.
//! - What is not needed (managedFields, the last applied configuration) is dropped before an object is stored.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crds::ObjectMeta;
use crds::kube::Resource;
use crds::kube::api::Api;
use crds::kube::runtime::watcher::{self, Event, watcher};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::store::{Change, Store};
use crate::health::Readiness;
use crate::metrics::{KindLabel, Metrics};
use crate::queue::BackOff;
use crate::words;

/// Back-off of a watch.
const BACK_OFF: BackOff = BackOff { first: Duration::from_millis(800), longest: Duration::from_secs(30) };
/// A watch that worked this long starts its back-off anew.
const GOOD_AFTER: Duration = Duration::from_mins(1);

/// What a watch needs besides its API.
#[derive(Clone, Debug)]
pub struct Shared {
    /// What the controller waits for.
    pub readiness: Readiness,
    /// Counts errors.
    pub metrics: Arc<Metrics>,
    /// Ends the watch.
    pub stop: CancellationToken,
}

/// Feeds `store` and `changed` until it is told to stop.
pub async fn run<K>(
    api: Api<K>,
    config: watcher::Config,
    plural: &str,
    store: &Store<K>,
    shared: Shared,
    changed: impl Fn(&Change<K>),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let Shared { readiness, metrics, stop } = shared;
    let mut stream = watcher(api, config).boxed();
    let mut failures = 0_u32;
    let mut last_failure = Instant::now();
    loop {
        let item = tokio::select! {
            () = stop.cancelled() => return,
            item = stream.next() => item,
        };
        let Some(item) = item else { return };
        match item {
            Ok(Event::Init) => store.begin_list(),
            Ok(Event::InitApply(object) | Event::Apply(object)) => changed(&store.put(strip(object))),
            Ok(Event::Delete(object)) => changed(&store.remove(object.meta())),
            Ok(Event::InitDone) => {
                for object in store.end_list() {
                    changed(&Change::Removed(object));
                }
                readiness.done(plural);
            }
            Err(error) => {
                if last_failure.elapsed() > GOOD_AFTER {
                    failures = 0;
                }
                failures = failures.saturating_add(1);
                last_failure = Instant::now();
                metrics.watch_errors.get_or_create(&KindLabel { kind: plural.to_owned() }).inc();
                let reason = explain(&error);
                if failures <= 1 {
                    tracing::warn!(kind = plural, error = %reason, "failed to watch");
                } else {
                    tracing::debug!(kind = plural, error = %reason, failures, "failed to watch");
                }
                readiness.note(plural, &reason);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(BACK_OFF.delay(failures)) => {}
                }
            }
        }
    }
}

/// What a person can do something about.
fn explain(error: &watcher::Error) -> String {
    let code = match error {
        watcher::Error::InitialListFailed(crds::kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(crds::kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.code,
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => 0,
    };
    match code {
        404 => "the API server does not know this kind; is the CRD installed?".to_owned(),
        403 => "the API server forbids it; are the RBAC rules installed?".to_owned(),
        _ => error.to_string(),
    }
}

fn strip<K: Resource>(mut object: K) -> K {
    strip_meta(object.meta_mut());
    object
}

/// Drops what is large and not needed.
pub fn strip_meta(meta: &mut ObjectMeta) {
    meta.managed_fields = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.remove(words::LAST_APPLIED_ANNOTATION);
    }
}
