//! A constant rate of requests through Traefik, counted by what came back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::cluster::Cluster;

/// What a stretch of load brought back.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests that ended, however.
    pub total: u64,
    /// By status code; 0 for a request without any answer.
    pub by_code: BTreeMap<u16, u64>,
    /// By the answering pod's version (the image's tag); only answers of pods.
    pub by_version: BTreeMap<String, u64>,
    /// By the answering pod's template hash.
    pub by_hash: BTreeMap<String, u64>,
    /// By pod name.
    pub by_pod: BTreeMap<String, u64>,
    /// Failures that no pod answered (Traefik's own 404, 502, 503 … or no answer): what a traffic switch must never cause. At most 20 are kept.
    pub lost: Vec<String>,
    /// How many such failures there were.
    pub lost_count: u64,
}

impl Tally {
    /// The share of all requests that this version answered, 0 to 1.
    #[allow(clippy::cast_precision_loss)]
    pub fn share(&self, version: &str) -> f64 {
        self.by_version.get(version).copied().unwrap_or(0) as f64 / self.total.max(1) as f64
    }

    fn answered(&mut self, response: &reqwest::Response) {
        let code = response.status().as_u16();
        *self.by_code.entry(code).or_default() += 1;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let Some(pod) = header("x-pod") else {
            self.lose(format!("status {code}, not from a pod"));
            return;
        };
        *self.by_pod.entry(pod).or_default() += 1;
        *self.by_version.entry(header("x-version").unwrap_or_default()).or_default() += 1;
        *self.by_hash.entry(header("x-pod-template-hash").unwrap_or_default()).or_default() += 1;
    }

    fn lose(&mut self, why: String) {
        self.lost_count += 1;
        if self.lost.len() < 20 {
            self.lost.push(why);
        }
    }

    fn add(&mut self, other: &Self) {
        fn sum<K: Ord + Clone>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
            for (key, count) in from {
                *into.entry(key.clone()).or_default() += count;
            }
        }
        self.total += other.total;
        self.lost_count += other.lost_count;
        self.lost.extend(other.lost.iter().take(20_usize.saturating_sub(self.lost.len())).cloned());
        sum(&mut self.by_code, &other.by_code);
        sum(&mut self.by_version, &other.by_version);
        sum(&mut self.by_hash, &other.by_hash);
        sum(&mut self.by_pod, &other.by_pod);
    }
}

#[derive(Default)]
struct Counted {
    before: Tally,
    window: Tally,
}

/// Running load; ends when dropped.
pub struct Load {
    counted: Arc<Mutex<Counted>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Load {
    /// Sends `per_second` GET requests to Traefik for `host`, evenly spaced, whether or not earlier ones were answered.
    pub fn start(cluster: &Cluster, host: &str, per_second: u32) -> Self {
        crate::install_tls();
        let counted = Arc::new(Mutex::new(Counted::default()));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(send(cluster.traefik_url(), host.to_owned(), per_second, counted.clone(), stopped));
        Self { counted, stop, task }
    }

    /// What came back since the last call (or the start): begins a new window.
    pub fn window(&self) -> Tally {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let window = std::mem::take(&mut counted.window);
        counted.before.add(&window);
        window
    }

    /// Everything since the start.
    pub fn so_far(&self) -> Tally {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = counted.before.clone();
        total.add(&counted.window);
        total
    }

    /// Waits until the present window holds `requests` answers and returns it, beginning a new one: so a share is measured on enough.
    pub async fn measure(&self, requests: u64, deadline: Duration) -> Tally {
        self.window();
        crate::eventually(&format!("{requests} requests are answered"), deadline, async || {
            let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            if counted.window.total >= requests { Ok(()) } else { Err(format!("{:?}", counted.window)) }
        })
        .await;
        self.window()
    }

    /// Waits until a version answers this share of the requests, in percent, give or take 3.
    ///
    /// # Panics
    /// Not within a minute.
    pub async fn reaches(&self, version: &str, percent: f64) {
        const MINUTE: Duration = Duration::from_mins(1);
        crate::eventually(&format!("{percent} % of the requests reach {version}"), MINUTE, async || {
            let tally = self.measure(300, MINUTE).await;
            let share = tally.share(version) * 100.0;
            if (share - percent).abs() <= 3.0 { Ok(()) } else { Err(format!("{share:.1} %: {tally:?}")) }
        })
        .await;
    }

    /// Ends the load, waits for the requests still under way, and returns everything since the start.
    pub async fn stop(mut self) -> Tally {
        self.stop.send_replace(true);
        let _ = (&mut self.task).await;
        self.so_far()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

async fn send(
    url: String,
    host: String,
    per_second: u32,
    counted: Arc<Mutex<Counted>>,
    mut stopped: watch::Receiver<bool>,
) {
    let Ok(client) = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build() else { return };
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            _ = ticks.tick() => {}
        }
        let request = client.get(&url).header(http::header::HOST, &host);
        let counted = counted.clone();
        under_way.spawn(async move {
            let outcome = request.send().await;
            let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
            counted.window.total += 1;
            match outcome {
                Ok(response) => counted.window.answered(&response),
                Err(error) => {
                    *counted.window.by_code.entry(0).or_default() += 1;
                    counted.window.lose(format!("{error:?}"));
                }
            }
        });
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}
