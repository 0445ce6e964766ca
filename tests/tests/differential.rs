//! The simulated API server and the real one give the same answers.
//!
//! The requests are the tables in `tests/differential/*.yaml`, sent in order to both over HTTP. Compared are status code,
//! warnings and the whole body; identities and times are masked. What may differ is marked in the table by a word of
//! [`ALLOWED`].

// A test fails by panicking.
#![allow(clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use cluster_tests::{Cluster, User};
use crds::kube::client::Body;
use crds::kube::{Client, Config};
use serde::Deserialize;
use serde_json::{Value, json};

/// Differences that are allowed, and why. With the first four everything else is still compared; with the others only
/// the status code and the reason are.
const ALLOWED: &[(&str, &str)] = &[
    ("message", "the text quotes Go's parsers, or versions of this one server"),
    ("order", "the real server reports several wrong fields in the random order of Go's maps"),
    ("descriptions", "column descriptions of tables come from Go's documentation"),
    ("lines", "the real server sends initial events in no fixed order"),
    ("decoder", "wrong types in built-in kinds are refused with the texts of Go's JSON decoder"),
    ("orphan", "the simulator carries orphaning out within the request, the real server after it"),
    ("history", "how much history is left to watch depends on the age of the server"),
];

/// One request of a table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    request: String,
    expect: u16,
    #[serde(rename = "type", default = "json_type")]
    media: String,
    #[serde(default)]
    accept: String,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    text: Option<String>,
    /// Names for parts of the answer, to use as `$name` in later requests.
    #[serde(default)]
    save: BTreeMap<String, String>,
    /// Parts of the answer that are not compared.
    #[serde(default)]
    mask: Vec<String>,
    /// Allowed differences after which the rest is compared.
    #[serde(default)]
    loose: Vec<String>,
    /// Allowed differences of the whole body.
    #[serde(default)]
    unlike: Vec<String>,
    /// Sent again until the expected code comes, at most ninety seconds: a new kind is collected only then.
    #[serde(default)]
    retry: bool,
}

fn json_type() -> String {
    "application/json".to_owned()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("differential")
}

fn table() -> Vec<Case> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .expect("the tables")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit))
        })
        .collect();
    files.sort();
    let read = |path: &PathBuf| -> Vec<Case> {
        let text = std::fs::read_to_string(path).expect("a table");
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    files.iter().flat_map(read).collect()
}

/// A server with the values its answers gave.
struct Server {
    client: Client,
    saved: BTreeMap<String, String>,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
struct Answer {
    code: u16,
    warnings: Vec<String>,
    body: Value,
}

impl Server {
    fn new(client: Client, namespace: &str) -> Self {
        Self { client, saved: BTreeMap::from([("ns".to_owned(), namespace.to_owned())]) }
    }

    fn fill_text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in self.saved.iter().rev() {
            text = text.replace(&format!("${name}"), value);
        }
        text
    }

    fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => match text.strip_prefix('$').and_then(|name| self.saved.get(name)) {
                Some(found) => Value::from(found.as_str()),
                None => value.clone(),
            },
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(map) => {
                Value::Object(map.iter().map(|(key, inner)| (key.clone(), self.fill(inner))).collect())
            }
            other => other.clone(),
        }
    }

    async fn send(&self, case: &Case) -> (u16, Vec<String>, String) {
        let (method, path) = case.request.split_once(' ').expect("method and path");
        let body = match (&case.text, &case.body) {
            (Some(text), _) => Some(text.clone()),
            (None, Some(body)) => Some(self.fill(body).to_string()),
            (None, None) => None,
        };
        let mut request = http::Request::builder().method(method).uri(self.fill_text(path));
        if body.is_some() {
            request = request.header("content-type", &case.media);
        }
        if !case.accept.is_empty() {
            request = request.header("accept", &case.accept);
        }
        let body = Body::from(body.unwrap_or_default().into_bytes());
        let answer = self.client.send(request.body(body).expect("a request")).await;
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let code = answer.status().as_u16();
        let warnings =
            answer.headers().get_all("warning").iter().filter_map(|text| text.to_str().ok().map(str::to_owned));
        let warnings = warnings.collect();
        let bytes = answer.into_body().collect_bytes().await.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        (code, warnings, String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Sends the request and prepares the answer for comparison.
    async fn ask(&mut self, case: &Case) -> Answer {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(90);
        let (code, warnings, text) = loop {
            let answer = self.send(case).await;
            if !case.retry || answer.0 == case.expect || tokio::time::Instant::now() > deadline {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let lines: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&text).into_iter().collect();
        let mut body = match lines {
            Ok(mut lines) if lines.len() == 1 && !case.request.contains("watch=") => lines.remove(0),
            Ok(lines) => Value::Array(lines),
            Err(_) => Value::from(text),
        };
        for (name, pointer) in &case.save {
            if let Some(found) = body.pointer(pointer).and_then(Value::as_str) {
                self.saved.insert(name.clone(), found.to_owned());
            }
        }
        self.hide(&mut body, "");
        for pointer in &case.mask {
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
            if let Some(found) = body.pointer_mut(parent).and_then(Value::as_object_mut) {
                found.insert(key.to_owned(), Value::from("<masked>"));
            }
        }
        loosen(case, &mut body);
        Answer { code, warnings, body }
    }

    /// Masks what two servers cannot agree on.
    fn hide(&self, value: &mut Value, key: &str) {
        match value {
            Value::Object(map) => {
                map.remove("managedFields");
                map.iter_mut().for_each(|(key, inner)| self.hide(inner, key));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide(item, key)),
            Value::String(text) => {
                if key == "resourceVersion" {
                    "<version>".clone_into(text);
                } else {
                    *text = words(&text.replace(self.saved.get("ns").map_or("", String::as_str), "<namespace>"));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Masks uids and times within a text.
fn words(text: &str) -> String {
    let breaks = |c: char| c.is_whitespace() || "\"'(),;[]{}".contains(c);
    text.split_inclusive(breaks)
        .map(|word| {
            let bare = word.trim_end_matches(breaks).trim_end_matches('.');
            let rest = word.strip_prefix(bare).unwrap_or_default();
            let uid = bare.len() == 36 && bare.matches('-').count() == 4 && !bare.starts_with("00000000");
            let time = bare.len() >= 20 && bare.contains('T') && bare.parse::<crds::jiff::Timestamp>().is_ok();
            match (uid, time) {
                (true, _) => format!("<uid>{rest}"),
                (_, true) => format!("<time>{rest}"),
                _ => word.to_owned(),
            }
        })
        .collect()
}

fn loosen(case: &Case, body: &mut Value) {
    let loose = |word: &str| case.loose.iter().any(|found| found == word);
    if loose("message")
        && let Some(map) = body.as_object_mut()
    {
        map.remove("message");
        map.remove("details");
    }
    if loose("order") {
        if let Some(message) = body.get("message").and_then(Value::as_str) {
            let mut letters: Vec<char> = message.chars().collect();
            letters.sort_unstable();
            body["message"] = Value::from(letters.into_iter().collect::<String>());
        }
        if let Some(causes) = body.pointer_mut("/details/causes").and_then(Value::as_array_mut) {
            causes.sort_by_key(Value::to_string);
        }
    }
    if loose("descriptions") {
        describe(body);
    }
    if loose("lines")
        && let Some(lines) = body.as_array_mut()
    {
        lines.sort_by_key(|line| {
            (line["type"] == "BOOKMARK", line.pointer("/object/metadata/name").map(Value::to_string))
        });
    }
}

/// Drops the descriptions of a table's columns, and ages.
fn describe(body: &mut Value) {
    match body {
        Value::Array(items) => items.iter_mut().for_each(describe),
        Value::Object(map) => {
            map.values_mut().for_each(describe);
            for column in map.get_mut("columnDefinitions").and_then(Value::as_array_mut).into_iter().flatten() {
                column["description"] = Value::Null;
            }
        }
        _ => {}
    }
}

/// The places where two values differ, one a line.
fn differences(path: &str, simulated: &Value, real: &Value, out: &mut String) {
    match (simulated, real) {
        (Value::Object(one), Value::Object(other)) => {
            let empty = Value::from("(absent)");
            let keys: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for key in keys {
                let (one, other) = (one.get(key).unwrap_or(&empty), other.get(key).unwrap_or(&empty));
                differences(&format!("{path}/{key}"), one, other, out);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                differences(&format!("{path}/{index}"), one, other, out);
            }
        }
        _ if simulated == real => {}
        _ => {
            let _ = write!(out, "\n    {path}\n      simulated {simulated}\n      real      {real}");
        }
    }
}

fn compare(case: &Case, simulated: &Answer, real: &Answer) -> Option<String> {
    let mut out = String::new();
    let shown = |answer: &Answer| json!({"code": answer.code, "warnings": answer.warnings, "body": answer.body});
    let (mut one, mut other) = (shown(simulated), shown(real));
    if !case.unlike.is_empty() {
        let brief = |answer: &Answer| json!({"code": answer.code, "reason": answer.body.get("reason")});
        (one, other) = (brief(simulated), brief(real));
    }
    differences("", &one, &other, &mut out);
    if simulated.code != case.expect {
        let _ = write!(out, "\n    the table expects {}, the simulator answered {}", case.expect, simulated.code);
    }
    (!out.is_empty()).then(|| format!("\n{}: {}{out}", case.name, case.request))
}

fn documents() -> Vec<Value> {
    let text = std::fs::read_to_string(folder().join("widgets.yaml")).expect("a definition");
    let mut all = vec![serde_saphyr::from_str(&text).expect("YAML")];
    all.extend(crds::definitions());
    all
}

/// Makes sure the definitions are served, over HTTP as everything else.
async fn define(server: &Server) {
    for definition in documents() {
        let name = definition.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let case = Case {
            name: format!("definition {name}"),
            request: format!(
                "PATCH /apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}?fieldManager=differential&force=true"
            ),
            expect: 200,
            media: "application/apply-patch+yaml".to_owned(),
            accept: String::new(),
            body: Some(definition.clone()),
            text: None,
            save: BTreeMap::new(),
            mask: Vec::new(),
            loose: Vec::new(),
            unlike: Vec::new(),
            retry: false,
        };
        let (code, _, text) = server.send(&case).await;
        assert!(matches!(code, 200 | 201), "{name}: {code} {text}");
        let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (group, plural, version) = (text("/spec/group"), text("/spec/names/plural"), text("/spec/versions/0/name"));
        let list = Case { request: format!("GET /apis/{group}/{version}/{plural}"), body: None, ..case };
        cluster_tests::eventually(&format!("{name} is served"), Duration::from_secs(20), async || {
            let (code, _, text) = server.send(&list).await;
            if code == 200 { Ok(()) } else { Err(text) }
        })
        .await;
    }
}

async fn simulated() -> (Server, simulator::Serving) {
    cluster_tests::install_tls();
    let cluster =
        simulator::Cluster::new(simulator::Config { definitions: Vec::new(), ..simulator::Config::default() });
    let (address, serving) = cluster.serve_http(([127, 0, 0, 1], 0).into()).await.expect("a port");
    let config = Config::new(format!("http://{address}").parse().expect("an address"));
    let server = Server::new(Client::try_from(config).expect("a client"), "differential");
    define(&server).await;
    (server, serving)
}

async fn namespace(server: &mut Server, name: &str) {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let request = http::Request::post("/api/v1/namespaces").header("content-type", "application/json");
    let body = Body::from(object.to_string().into_bytes());
    let answer = server.client.send(request.body(body).expect("a request")).await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 201);
    server.saved.insert("ns".to_owned(), name.to_owned());
}

#[test]
fn every_allowed_difference_is_reasoned_and_used() {
    let cases = table();
    assert!(cases.len() >= 120, "{} requests", cases.len());
    let used: std::collections::BTreeSet<&str> =
        cases.iter().flat_map(|case| case.loose.iter().chain(&case.unlike)).map(String::as_str).collect();
    let known: std::collections::BTreeSet<&str> = ALLOWED.iter().map(|(word, _)| *word).collect();
    assert_eq!(used, known);
}

#[tokio::test]
async fn the_simulator_answers_with_the_codes_of_the_table() {
    let (mut server, serving) = simulated().await;
    namespace(&mut server, "differential").await;
    let mut wrong = String::new();
    for case in table() {
        let answer = server.ask(&case).await;
        if answer.code != case.expect {
            let _ = write!(
                wrong,
                "\n{}: {}\n  expected {}, got {} {}",
                case.name, case.request, case.expect, answer.code, answer.body
            );
        }
    }
    serving.stop().await;
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn the_simulator_answers_as_the_real_server_does() {
    let cluster = Cluster::shared().await;
    let place = cluster.namespace("differential").await;
    let mut real = Server::new(cluster.client(User::Admin).await, place.name());
    define(&real).await;
    let (mut simulated, serving) = simulated().await;
    namespace(&mut simulated, place.name()).await;
    let mut report = Vec::new();
    let cases = table();
    for case in &cases {
        let (one, other) = (simulated.ask(case).await, real.ask(case).await);
        report.extend(compare(case, &one, &other));
    }
    serving.stop().await;
    assert!(report.is_empty(), "{} of {} answers differ:\n{}", report.len(), cases.len(), report.join("\n"));
}

/// Keeps the comparison itself honest.
#[test]
fn a_difference_is_found() {
    let case: Case = serde_json::from_value(json!({"name": "x", "request": "GET /", "expect": 200})).expect("a case");
    let answer = |body: Value| Answer { code: 200, warnings: Vec::new(), body };
    let (one, other) = (answer(json!({"a": [1, {"b": 2}]})), answer(json!({"a": [1, {"b": 3}]})));
    assert!(compare(&case, &one, &one).is_none());
    assert!(compare(&case, &one, &other).is_some_and(|text| text.contains("/body/a/1/b")));
}
