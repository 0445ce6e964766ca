//! The queue of objects to look at: keyed, delayed, with back-off per key.
//!
//! Invariants
//! - A key is worked on by at most one worker at a time.
//! - A wake is never lost: one that arrives while the key is worked on makes it ready again afterwards.
//! - A key that waits is there once, however often it was woken.
//! - Failures of one key delay that key only; a wake cuts its delay short only when the key has not just failed.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// First and longest delay after failures of a key.
#[derive(Clone, Copy, Debug)]
pub struct BackOff {
    /// Delay after the first failure.
    pub first: Duration,
    /// No delay is longer.
    pub longest: Duration,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { first: Duration::from_millis(20), longest: Duration::from_secs(30) }
    }
}

impl BackOff {
    /// The delay after `failures` in a row: doubling, with up to half of it drawn at random so that keys spread.
    pub fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        full.mul_f64(0.5 + 0.5 * fastrand::f64())
    }
}

/// What becomes of a key after it was worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing until somebody wakes it.
    Rest,
    /// Again after this time, or earlier when woken.
    After(Duration),
    /// Again soon, with growing delay: it failed.
    BackOff,
}

#[derive(Debug, Default)]
struct State {
    queued: bool,
    running: bool,
    woken: bool,
    failures: u32,
    timer: Option<Instant>,
    /// Wakes do not cut this short.
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Inner<K> {
    ready: VecDeque<K>,
    keys: HashMap<K, State>,
    timers: BTreeSet<(Instant, K)>,
}

/// See the module.
#[derive(Debug)]
pub struct Queue<K> {
    inner: Mutex<Inner<K>>,
    changed: Notify,
    back_off: BackOff,
}

impl<K: Clone + Eq + Hash + Ord + Debug> Queue<K> {
    /// An empty queue.
    pub fn new(back_off: BackOff) -> Self {
        let inner = Inner { ready: VecDeque::new(), keys: HashMap::new(), timers: BTreeSet::new() };
        Self { inner: Mutex::new(inner), changed: Notify::new(), back_off }
    }

    /// The key is to be looked at as soon as possible.
    pub fn wake(&self, key: &K) {
        let mut inner = self.lock();
        inner.wake(key, Instant::now());
        drop(inner);
        self.changed.notify_one();
    }

    /// The next key that is ready; it counts as worked on until [`Self::done`]. Cancelling the future loses nothing.
    pub async fn next(&self) -> K {
        loop {
            let timer = {
                let mut inner = self.lock();
                inner.fire(Instant::now());
                if let Some(key) = inner.take() {
                    return key;
                }
                inner.timers.first().map(|(at, _)| *at)
            };
            match timer {
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// The worker is done with the key.
    pub fn done(&self, key: &K, next: Next) {
        let now = Instant::now();
        let mut inner = self.lock();
        let Some(state) = inner.keys.get_mut(key) else { return };
        state.running = false;
        let woken = std::mem::take(&mut state.woken);
        state.not_before = None;
        match next {
            Next::Rest | Next::After(_) => state.failures = 0,
            Next::BackOff => {
                state.failures = state.failures.saturating_add(1);
                state.not_before = Some(now + self.back_off.delay(state.failures));
            }
        }
        let not_before = state.not_before;
        match next {
            Next::BackOff => inner.arm(key, not_before.unwrap_or(now)),
            Next::Rest | Next::After(_) if woken => inner.push(key),
            Next::Rest => {
                inner.keys.remove(key);
            }
            Next::After(delay) => inner.arm(key, now + delay),
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// Number of keys that are ready and of those that wait for a time.
    pub fn depth(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.ready.len(), inner.timers.len())
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash + Ord> Inner<K> {
    fn wake(&mut self, key: &K, now: Instant) {
        let state = self.keys.entry(key.clone()).or_default();
        if state.running {
            state.woken = true;
            return;
        }
        match state.not_before {
            Some(at) if at > now => self.arm(key, at),
            _ => self.push(key),
        }
    }

    fn push(&mut self, key: &K) {
        let state = self.keys.entry(key.clone()).or_default();
        if let Some(at) = state.timer.take() {
            self.timers.remove(&(at, key.clone()));
        }
        if !std::mem::replace(&mut state.queued, true) {
            self.ready.push_back(key.clone());
        }
    }

    fn arm(&mut self, key: &K, at: Instant) {
        let state = self.keys.entry(key.clone()).or_default();
        if let Some(old) = state.timer.replace(at) {
            self.timers.remove(&(old, key.clone()));
        }
        self.timers.insert((at, key.clone()));
    }

    fn fire(&mut self, now: Instant) {
        while let Some((at, key)) = self.timers.first().cloned() {
            if at > now {
                break;
            }
            self.push(&key);
        }
    }

    fn take(&mut self) -> Option<K> {
        let key = self.ready.pop_front()?;
        if let Some(state) = self.keys.get_mut(&key) {
            state.queued = false;
            state.running = true;
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn queue() -> Queue<u8> {
        Queue::new(BackOff { first: Duration::from_millis(100), longest: Duration::from_secs(1) })
    }

    async fn is_idle(queue: &Queue<u8>, time: Duration) -> bool {
        tokio::time::timeout(time, queue.next()).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn many_wakes_are_one_and_a_wake_during_work_is_kept() {
        let queue = queue();
        queue.wake(&1);
        queue.wake(&1);
        assert_eq!(queue.next().await, 1);
        queue.wake(&1);
        assert!(is_idle(&queue, Duration::from_mins(1)).await, "the key is being worked on");
        queue.done(&1, Next::Rest);
        assert_eq!(queue.next().await, 1);
        queue.done(&1, Next::Rest);
        assert!(is_idle(&queue, Duration::from_mins(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_is_kept_and_cut_short_by_a_wake() {
        let queue = queue();
        let start = Instant::now();
        queue.wake(&1);
        assert_eq!(queue.next().await, 1);
        queue.done(&1, Next::After(Duration::from_secs(5)));
        assert_eq!(queue.next().await, 1);
        assert_eq!(start.elapsed().as_secs(), 5);
        queue.done(&1, Next::After(Duration::from_secs(5)));
        queue.wake(&1);
        assert_eq!(queue.next().await, 1);
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_grow_the_delay_of_that_key_only() {
        let queue = queue();
        let mut delays = Vec::new();
        queue.wake(&1);
        for _ in 0..6 {
            let start = Instant::now();
            assert_eq!(queue.next().await, 1);
            delays.push(start.elapsed());
            queue.done(&1, Next::BackOff);
            queue.wake(&1);
            queue.wake(&2);
            assert_eq!(queue.next().await, 2, "the other key is not delayed");
            queue.done(&2, Next::Rest);
        }
        for (index, delay) in delays.iter().enumerate().skip(1) {
            let full = Duration::from_millis(100 << (index - 1)).min(Duration::from_secs(1));
            assert!(*delay >= full / 2 && *delay <= full + Duration::from_millis(1), "{delays:?}");
        }
    }

    proptest! {
        /// Whatever the order of wakes and ends: no key runs twice at once, and every wake is followed by a run.
        #[test]
        fn laws(script in proptest::collection::vec((0_u8..4, any::<bool>(), 0_u8..3), 1..80)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let queue = Arc::new(queue());
                let mut running = Vec::new();
                let mut owed = BTreeSet::new();
                for (key, wake, next) in script {
                    if wake {
                        queue.wake(&key);
                        owed.insert(key);
                    } else if let Some(key) = running.pop() {
                        queue.done(&key, match next { 0 => Next::Rest, 1 => Next::After(Duration::from_secs(1)), _ => Next::BackOff });
                    }
                    while let Ok(key) = tokio::time::timeout(Duration::from_millis(10), queue.next()).await {
                        assert!(!running.contains(&key), "{key} twice");
                        owed.remove(&key);
                        running.push(key);
                    }
                }
                while let Some(key) = running.pop() {
                    queue.done(&key, Next::Rest);
                }
                while let Ok(key) = tokio::time::timeout(Duration::from_secs(10), queue.next()).await {
                    owed.remove(&key);
                    queue.done(&key, Next::Rest);
                }
                assert!(owed.is_empty(), "lost: {owed:?}");
            });
        }
    }
}
