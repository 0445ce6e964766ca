//! Waiting: by watching an object, or (for what cannot be watched) by asking again. Each has a deadline and says what it last saw.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use crds::kube::runtime::watcher::watch_object;
use crds::kube::{Api, Resource};
use futures::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Waits until the named object exists and `condition` holds for it, and returns it.
///
/// # Panics
/// When the deadline passes: with what was waited for and the object as last seen.
pub async fn wait_for<K>(api: &Api<K>, name: &str, what: &str, deadline: Duration, condition: impl Fn(&K) -> bool) -> K
where
    K: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
{
    wait_seen(api, name, what, deadline, |seen| seen.filter(|object| condition(object)).cloned()).await
}

/// Waits until the named object is gone.
///
/// # Panics
/// When the deadline passes.
pub async fn wait_gone<K>(api: &Api<K>, name: &str, deadline: Duration)
where
    K: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
{
    wait_seen(api, name, "gone", deadline, |seen| seen.is_none().then_some(())).await;
}

async fn wait_seen<K, T>(
    api: &Api<K>,
    name: &str,
    what: &str,
    deadline: Duration,
    done: impl Fn(Option<&K>) -> Option<T>,
) -> T
where
    K: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
{
    let mut last: Option<K> = None;
    let mut trouble = String::new();
    let watching = async {
        let mut seen = std::pin::pin!(watch_object(api.clone(), name));
        while let Some(change) = seen.next().await {
            match change {
                Ok(object) => {
                    last = object;
                    if let Some(found) = done(last.as_ref()) {
                        return Some(found);
                    }
                }
                Err(error) => {
                    trouble = format!("\nlast error of the watch: {error}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
        None
    };
    if let Ok(Some(found)) = tokio::time::timeout(deadline, Box::pin(watching)).await {
        return found;
    }
    let last = match &last {
        Some(object) => serde_json::to_string_pretty(object).unwrap_or_default(),
        None => "no such object".into(),
    };
    panic!("{name}: not within {deadline:?}: {what}\nlast seen: {last}{trouble}");
}

/// Asks again every 50 ms until `ask` answers `Ok`; its `Err` says what is still missing.
///
/// # Panics
/// When the deadline passes: with what was waited for and the last answer.
pub async fn eventually<T>(what: &str, deadline: Duration, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        let missing = match tokio::time::timeout(deadline, ask()).await {
            Ok(Ok(found)) => return found,
            Ok(Err(missing)) => missing,
            Err(_) => "no answer at all".into(),
        };
        assert!(begun.elapsed() < deadline, "not within {deadline:?}: {what}\nlast answer: {missing}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks every 100 ms for as long as `span` and expects `Ok` each time; `Err` says what went wrong.
///
/// # Panics
/// At the first `Err`: with what should have held and the answer.
pub async fn holds(what: &str, span: Duration, mut ask: impl AsyncFnMut() -> Result<(), String>) {
    let begun = Instant::now();
    while begun.elapsed() < span {
        if let Err(wrong) = ask().await {
            panic!("after {:?} of {span:?} it does not hold that {what}: {wrong}", begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
