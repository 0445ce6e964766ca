//! Captured objects, a terminal that remembers, and a cluster in memory.

// Each test file uses its own part.
#![allow(dead_code)]

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crds::jiff::Timestamp;
use crds::kube::core::DynamicObject;
use kubectl_rollouts::cli::Cli;
use kubectl_rollouts::picture::Picture;
use kubectl_rollouts::{Error, Session, Terminal, commands, names};
use serde_json::Value;
use simulator::{Cluster, Config};
use tokio::sync::Notify;

/// The objects of a captured moment.
pub fn captured(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/objects/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The picture which these objects are.
pub fn picture(objects: &[Value]) -> Picture {
    fn all<K: serde::de::DeserializeOwned>(objects: &[Value], kind: &str) -> Vec<K> {
        objects.iter().filter(|it| it["kind"] == kind).map(|it| serde_json::from_value(it.clone()).unwrap()).collect()
    }
    Picture {
        rollout: all(objects, "Rollout").pop().unwrap(),
        replica_sets: all(objects, "ReplicaSet"),
        pods: all(objects, "Pod"),
        analysis_runs: all(objects, "AnalysisRun"),
        experiments: all(objects, "Experiment"),
    }
}

/// What was written to one stream.
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>, Arc<Notify>);

impl Written {
    /// As text.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Waits until the text holds this.
    pub async fn until(&self, expected: &str) {
        let found = async {
            while !self.text().contains(expected) {
                self.1.notified().await;
            }
        };
        let limit = Duration::from_secs(20);
        assert!(tokio::time::timeout(limit, found).await.is_ok(), "{expected:?} is not in:\n{}", self.text());
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        // Kept for the next who waits when nobody does yet.
        self.1.notify_one();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A cluster with objects, and a person at a terminal.
pub struct Desk {
    pub cluster: Cluster,
    pub session: Session,
    pub out: Written,
    pub err: Written,
}

/// The time on the clock of every desk.
pub fn now() -> Timestamp {
    "2026-11-24T13:25:00.9Z".parse().unwrap()
}

impl Desk {
    /// A cluster that holds a captured moment.
    pub fn of(name: &str) -> Self {
        Self::with(captured(name))
    }

    /// A cluster that holds these objects.
    pub fn with(objects: Vec<Value>) -> Self {
        // Making the definitions takes longer than most tests.
        static DEFINITIONS: OnceLock<Vec<Value>> = OnceLock::new();
        let definitions = DEFINITIONS.get_or_init(simulator::own_definitions).clone();
        let cluster = Cluster::new(Config { definitions, ..Config::default() });
        let namespace = objects[0]["metadata"]["namespace"].as_str().unwrap().to_owned();
        for object in objects {
            cluster.store().seed(object).unwrap();
        }
        let mut session = Session::new(cluster.client(), namespace, "http://simulated");
        session.clock = now;
        Self { cluster, session, out: Written::default(), err: Written::default() }
    }

    /// A terminal whose output is kept; what was kept before is forgotten.
    pub fn terminal(&mut self) -> Terminal {
        self.out = Written::default();
        self.err = Written::default();
        Terminal::new(Box::new(self.out.clone()), Box::new(self.err.clone()), false, false)
    }

    /// Carries out a command line, which has no blanks but those between arguments.
    pub async fn run(&mut self, line: &str) -> Result<String, Error> {
        let arguments = std::iter::once("kubectl-rollouts").chain(line.split(' ')).map(Into::into);
        let cli = Cli::read(names::OWN, arguments).unwrap();
        let mut terminal = self.terminal();
        commands::with_session(&self.session, cli.command, &mut terminal).await?;
        Ok(self.out.text())
    }

    /// The object as it is stored.
    pub fn object(&self, api_version: &str, kind: &str, name: &str) -> Value {
        let object = self.cluster.store().get(api_version, kind, &self.session.namespace, name);
        (*object.unwrap_or_else(|| panic!("{kind} {name} is gone"))).clone()
    }

    /// The Rollout "web".
    pub fn rollout(&self) -> Value {
        self.object("argoproj.io/v1alpha1", "Rollout", "web")
    }

    /// Changes the Rollout "web" behind everyone's back.
    pub fn change(&self, patch: &Value) {
        change(&self.cluster, &self.session.namespace, patch);
    }
}

/// Changes the Rollout "web" as a trusted component does.
pub fn change(cluster: &Cluster, namespace: &str, patch: &Value) {
    let kind = ("argoproj.io/v1alpha1", "Rollout");
    let changed = cluster.store().modify(kind, (namespace, "web"), |object| crds::json_patch::merge(object, patch));
    assert!(changed.unwrap().is_some());
}

/// The type objects have in transit.
pub type Object = DynamicObject;
