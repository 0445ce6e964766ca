//! What people are told: core/v1 Events, as Argo writes them.
//!
//! Invariants
//! - Telling never delays or fails the work: the queue is bounded, and what does not fit is dropped and counted.
//! - Warnings and the ends of things ([`words::FINAL_REASONS`]) are written at once. Other events of one object are held up
//!   to [`HOLD`] and written as one Event per topic ([`words::TOPICS`]) whose message has all of them in their order, because a
//!   release tells much and each Event is a request to the API server. Metrics count each reason by itself.
//! - The same thing told again bumps the count of the Event that is there.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crds::jiff::Timestamp;
use crds::k8s_openapi::api::core::v1::{Event as CoreEvent, EventSource, ObjectReference};
use crds::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use crds::kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use crds::kube::{Client, Error};
use indexmap::IndexMap;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::metrics::{EventLabels, Metrics};
use crate::words;

/// How long routine events are held.
pub const HOLD: Duration = Duration::from_secs(10);
/// Events that may wait to be looked at by the recorder's task.
const QUEUE: usize = 1024;
/// Events whose count can still be bumped.
const REMEMBERED: usize = 512;
/// The API server's limit for a message.
const MESSAGE_LIMIT: usize = 1024;
/// Tries per Event.
const TRIES: u32 = 3;
/// Time for one try.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One thing to tell.
#[derive(Clone, Debug)]
pub struct Note {
    /// About which object; its namespace and uid must be set.
    pub about: ObjectReference,
    /// Whether a person may have to look.
    pub warning: bool,
    /// CamelCase reason.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// The door to the recorder's task. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    notes: mpsc::Sender<(Note, Timestamp)>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Recorder {
    /// Tells it, or drops it when the queue is full.
    pub fn tell(&self, note: Note) {
        let kind = if note.warning { "Warning" } else { "Normal" };
        self.metrics.event(EventLabels {
            namespace: note.about.namespace.clone().unwrap_or_default(),
            name: note.about.name.clone().unwrap_or_default(),
            r#type: kind,
            reason: note.reason.clone(),
        });
        let about = &note.about;
        let name =
            format!("{}/{}", about.namespace.as_deref().unwrap_or_default(), about.name.as_deref().unwrap_or_default());
        let (kind, reason, message) = (about.kind.as_deref().unwrap_or_default(), &note.reason, &note.message);
        if note.warning {
            tracing::warn!(kind, name, %reason, "{message}");
        } else {
            tracing::info!(kind, name, %reason, "{message}");
        }
        if self.notes.try_send((note, self.clock.now())).is_err() {
            self.metrics.events_dropped.inc();
        }
    }
}

/// What identifies an Event that can be bumped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Identity {
    uid: String,
    warning: bool,
    reason: String,
    message: String,
}

#[derive(Clone, Debug)]
struct Written {
    name: String,
    namespace: String,
    count: i32,
}

/// Events of one object and topic that are held.
#[derive(Debug)]
struct Merged {
    /// The topic's own reason when it was told, else the first that was.
    reason: String,
    messages: Vec<String>,
    count: i32,
    first: Timestamp,
    last: Timestamp,
}

#[derive(Debug)]
struct Held {
    since: Instant,
    about: ObjectReference,
    /// By the topic's reason.
    topics: IndexMap<String, Merged>,
}

/// The recorder's task.
#[allow(missing_debug_implementations)] // A client has none.
pub struct Sink {
    client: Client,
    notes: mpsc::Receiver<(Note, Timestamp)>,
    metrics: Arc<Metrics>,
    held: IndexMap<String, Held>,
    written: IndexMap<Identity, Written>,
    /// Makes names distinct.
    serial: u64,
}

/// A recorder and its task, which [`Sink::run`] starts.
pub fn recorder(client: Client, metrics: Arc<Metrics>, clock: Clock) -> (Recorder, Sink) {
    let (sender, notes) = mpsc::channel(QUEUE);
    let recorder = Recorder { notes: sender, metrics: metrics.clone(), clock };
    (recorder, Sink { client, notes, metrics, held: IndexMap::new(), written: IndexMap::new(), serial: 0 })
}

impl Sink {
    /// Writes events until `stop`; then everything that is queued or held.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let due = self.held.values().map(|held| held.since + HOLD).min();
            let due = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                note = self.notes.recv() => match note {
                    Some((note, at)) => self.take(note, at).await,
                    None => break,
                },
                () = due => self.flush(Some(Instant::now())).await,
                () = stop.cancelled() => break,
            }
        }
        while let Ok((note, at)) = self.notes.try_recv() {
            self.take(note, at).await;
        }
        self.flush(None).await;
    }

    async fn take(&mut self, note: Note, at: Timestamp) {
        if note.warning || words::FINAL_REASONS.contains(&note.reason.as_str()) {
            let merged = Merged { reason: note.reason, messages: vec![note.message], count: 1, first: at, last: at };
            self.publish(&note.about, note.warning, merged).await;
            return;
        }
        let uid = note.about.uid.clone().unwrap_or_default();
        let held = self.held.entry(uid).or_insert_with(|| Held {
            since: Instant::now(),
            about: note.about,
            topics: IndexMap::new(),
        });
        let topic = words::topic(&note.reason);
        let merged = held.topics.entry(topic.to_owned()).or_insert_with(|| Merged {
            reason: note.reason.clone(),
            messages: vec![],
            count: 0,
            first: at,
            last: at,
        });
        if note.reason == topic {
            merged.reason = note.reason;
        }
        merged.count = merged.count.saturating_add(1);
        merged.last = at;
        if !merged.messages.contains(&note.message) {
            merged.messages.push(note.message);
        }
    }

    /// Writes what has been held long enough at `now`, or everything.
    async fn flush(&mut self, now: Option<Instant>) {
        let due = |held: &Held| now.is_none_or(|now| held.since + HOLD <= now);
        let uids: HashSet<String> =
            self.held.iter().filter(|(_, held)| due(held)).map(|(uid, _)| uid.clone()).collect();
        for uid in uids {
            let Some(held) = self.held.shift_remove(&uid) else { continue };
            for merged in held.topics.into_values() {
                self.publish(&held.about, false, merged).await;
            }
        }
    }

    async fn publish(&mut self, about: &ObjectReference, warning: bool, merged: Merged) {
        let reason = merged.reason.as_str();
        let message = limit(&merged.messages.join("; "));
        let uid = about.uid.clone().unwrap_or_default();
        let identity = Identity { uid, warning, reason: reason.to_owned(), message };
        for attempt in 1..=TRIES {
            let outcome = tokio::time::timeout(TIMEOUT, self.write(about, &identity, &merged)).await;
            match outcome {
                Ok(Ok(())) => return,
                Ok(Err(Error::Api(status))) if status.code < 500 && status.code != 429 => {
                    tracing::warn!(reason, error = %status.message, "the API server refused an event");
                    break;
                }
                Ok(Err(_)) | Err(_) if attempt < TRIES => {
                    tokio::time::sleep(Duration::from_millis(200) * attempt).await;
                }
                Ok(Err(_)) | Err(_) => tracing::warn!(reason, "gave an event up: the API server does not answer"),
            }
        }
        self.metrics.events_dropped.inc();
    }

    async fn write(&mut self, about: &ObjectReference, identity: &Identity, merged: &Merged) -> Result<(), Error> {
        if let Some(written) = self.written.get(identity).cloned() {
            let count = written.count.saturating_add(merged.count);
            let api: Api<CoreEvent> = Api::namespaced(self.client.clone(), &written.namespace);
            let patch = json!({ "count": count, "lastTimestamp": Time(merged.last) });
            match api.patch(&written.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                Ok(_) => {
                    self.remember(identity.clone(), Written { count, ..written });
                    return Ok(());
                }
                // It has expired: tell it afresh.
                Err(Error::Api(status)) if status.code == 404 => {
                    self.written.shift_remove(identity);
                }
                Err(error) => return Err(error),
            }
        }
        let namespace = about.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let name = self.name(about, identity, merged.first);
        let event = CoreEvent {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: about.clone(),
            type_: Some(if identity.warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(identity.reason.clone()),
            message: Some(identity.message.clone()),
            count: Some(merged.count),
            first_timestamp: Some(Time(merged.first)),
            last_timestamp: Some(Time(merged.last)),
            source: Some(EventSource { component: Some(words::COMPONENT.to_owned()), host: None }),
            reporting_component: Some(words::COMPONENT.to_owned()),
            ..CoreEvent::default()
        };
        let api: Api<CoreEvent> = Api::namespaced(self.client.clone(), &namespace);
        api.create(&PostParams::default(), &event).await?;
        self.remember(identity.clone(), Written { name, namespace, count: merged.count });
        Ok(())
    }

    fn remember(&mut self, identity: Identity, written: Written) {
        self.written.shift_remove(&identity);
        self.written.insert(identity, written);
        while self.written.len() > REMEMBERED {
            self.written.shift_remove_index(0);
        }
    }

    fn name(&mut self, about: &ObjectReference, identity: &Identity, first: Timestamp) -> String {
        self.serial = self.serial.wrapping_add(1);
        let mut hash = Sha256::new();
        for part in [&identity.uid, &identity.reason, &identity.message, &first.to_string(), &self.serial.to_string()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let tail = hash.finalize().iter().take(8).fold(0_u64, |tail, byte| tail << 8 | u64::from(*byte));
        let mut object = about.name.clone().unwrap_or_default();
        object.truncate(253 - 17);
        format!("{object}.{tail:016x}")
    }
}

fn limit(message: &str) -> String {
    if message.len() <= MESSAGE_LIMIT {
        return message.to_owned();
    }
    let mut end = MESSAGE_LIMIT - '…'.len_utf8();
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", message.get(..end).unwrap_or_default())
}
