//! Watches: the changes of a table after a version, as a stream of JSON lines.
//!
//! Invariants: an object entering or leaving the selection is reported as added or deleted; versions never go back; a
//! watch whose position was forgotten ends with an ERROR event (410), never silently skips.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::call::{Call, Place};
use super::failure::Failure;
use super::read::{Selection, wanted_version};
use super::render::Form;
use super::resource::Resource;
use super::storage::{Change, State, Written};
use crate::lock;

const INITIAL_END: &str = "k8s.io/initial-events-end";

struct Watch {
    state: Arc<Mutex<State>>,
    resource: Arc<Resource>,
    selection: Selection,
    form: Form,
    version: u64,
    ready: VecDeque<Bytes>,
    changed: watch::Receiver<u64>,
    dropped: watch::Receiver<u64>,
    bookmarks: bool,
    bookmark_every: Duration,
    next_bookmark: Instant,
    until: Instant,
    ended: bool,
}

/// Opens a watch.
pub(crate) fn open(
    shared: &Arc<Mutex<State>>,
    state: &mut State,
    call: &Call,
    resource: &Arc<Resource>,
    place: &Place,
    (dropped, bookmark_every): (watch::Receiver<u64>, Duration),
) -> Result<impl Stream<Item = Bytes> + Send + use<>, Failure> {
    let selection = Selection::read(call, resource, place)?;
    let mut form = Form::of(call, resource)?;
    let wanted = wanted_version(call)?;
    let table = resource.table();
    let bookmarks = call.flag("allowWatchBookmarks");
    let initial = call.flag("sendInitialEvents");
    let seconds = call.param("timeoutSeconds").and_then(|text| text.parse().ok()).filter(|seconds| *seconds > 0);
    // The real server ends a watch after 30 to 60 minutes.
    let seconds = seconds.unwrap_or_else(|| state.random().u64(1800..3600));
    let mut ready = VecDeque::new();
    let version = if let Some(version) = wanted.filter(|_| !initial) {
        version
    } else {
        for object in state.all(&table, place.namespace.as_deref()) {
            if selection.takes(&object) {
                ready.push_back(line("ADDED", &form.one(state, resource, &object, true)));
            }
        }
        if initial && bookmarks {
            let mut mark = bookmark(resource, state.version());
            crate::json::set(&mut mark, &["metadata", "annotations", INITIAL_END], "true");
            ready.push_back(line("BOOKMARK", &mark));
        }
        state.version()
    };
    form.headers_sent(!ready.is_empty());
    let now = Instant::now();
    let watch = Watch {
        state: Arc::clone(shared),
        resource: Arc::clone(resource),
        selection,
        form,
        version,
        ready,
        changed: state.subscribe(&table),
        dropped,
        bookmarks,
        bookmark_every,
        next_bookmark: now + bookmark_every,
        until: now + Duration::from_secs(seconds),
        ended: false,
    };
    Ok(futures::stream::unfold(watch, |mut watch| async move { watch.next().await.map(|line| (line, watch)) }))
}

impl Watch {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            self.changed.mark_unchanged();
            self.read();
            if !self.ready.is_empty() {
                continue;
            }
            let wake = if self.bookmarks { self.next_bookmark.min(self.until) } else { self.until };
            tokio::select! {
                biased;
                _ = self.dropped.changed() => self.ended = true,
                changed = self.changed.changed() => self.ended = changed.is_err(),
                () = tokio::time::sleep_until(wake) => self.woke(),
            }
        }
    }

    fn woke(&mut self) {
        let now = Instant::now();
        if now >= self.until {
            self.ended = true;
        } else if now >= self.next_bookmark {
            self.next_bookmark = now + self.bookmark_every;
            self.version = self.version.max(lock(&self.state).version());
            self.ready.push_back(line("BOOKMARK", &bookmark(&self.resource, self.version)));
        }
    }

    /// Turns the changes since the last look into lines.
    fn read(&mut self) {
        let state = Arc::clone(&self.state);
        let mut state = lock(&state);
        match state.since(&self.resource.table(), self.version) {
            Ok(changes) => {
                for written in changes {
                    self.version = written.version;
                    if let Some((kind, object)) = self.seen(&written) {
                        let shown = self.form.one(&mut state, &self.resource, object, false);
                        self.form.headers_sent(true);
                        self.ready.push_back(line(kind, &shown));
                    }
                }
            }
            Err(old) => {
                self.ready.push_back(line("ERROR", &old.for_watch(self.version).status()));
                self.ended = true;
            }
        }
    }

    /// What a change is to someone who sees only the selection.
    fn seen<'a>(&self, written: &'a Written) -> Option<(&'static str, &'a Value)> {
        let before = written.before.as_ref().is_some_and(|before| self.selection.takes(before));
        let after = written.change != Change::Deleted && self.selection.takes(&written.object);
        match (before, after) {
            (false, false) => None,
            (false, true) => Some(("ADDED", &written.object)),
            (true, true) => Some(("MODIFIED", &written.object)),
            (true, false) => Some(("DELETED", &written.object)),
        }
    }
}

fn bookmark(resource: &Resource, version: u64) -> Value {
    json!({
        "kind": resource.kind, "apiVersion": resource.api_version(),
        "metadata": {"resourceVersion": version.to_string()},
    })
}

fn line(kind: &str, object: &Value) -> Bytes {
    let mut line = json!({"type": kind, "object": object}).to_string();
    line.push('\n');
    Bytes::from(line)
}
