//! Providers against requests and answers as the vendors document them (`vendors/*.yaml`; the sources are named there).

// Helpers of tests fail by panicking, too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value
)]

mod loopback;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use analysis::provider::{Environment, ProviderConfig, Providers, SecretError, Secrets};
use analysis::run::{MeasureId, MeasureOutcome, MeasureRequest};
use async_trait::async_trait;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use loopback::{Asked, now, serve};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    title: String,
    #[serde(default)]
    secret: Option<Secret>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    provider: Value,
    #[serde(default)]
    success_condition: String,
    #[serde(default)]
    asked: Vec<Expected>,
    #[serde(default)]
    answers: Vec<Answer>,
    gives: Gives,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Secret {
    #[serde(default = "own_namespace")]
    namespace: String,
    name: String,
    data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    method: String,
    path: String,
    #[serde(default)]
    query: Option<BTreeMap<String, String>>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<Value>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Gives {
    #[serde(default)]
    phase: Option<String>,
    #[serde(default)]
    value: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    no_answer: Option<String>,
}

fn own_namespace() -> String {
    "rollouts".to_owned()
}

fn ok() -> u16 {
    200
}

#[async_trait]
impl Secrets for Secret {
    async fn get(&self, _: &str, name: &str, _: &str) -> Result<String, SecretError> {
        panic!("the account is read as a whole, not {name}")
    }

    async fn all(&self, namespace: &str, name: &str) -> Result<BTreeMap<String, String>, SecretError> {
        if (namespace, name) == (self.namespace.as_str(), self.name.as_str()) {
            return Ok(self.data.clone());
        }
        Err(SecretError::Missing(format!("failed to get secret \"{name}\": secrets \"{name}\" not found")))
    }
}

fn response(answer: &Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap();
    match &answer.body {
        Some(body) => (status, axum::Json(body.clone())).into_response(),
        None => (status, answer.text.clone()).into_response(),
    }
}

fn check(title: &str, expected: &Expected, asked: &Asked) {
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str()),
        (expected.method.as_str(), expected.path.as_str()),
        "{title}"
    );
    if let Some(query) = &expected.query {
        let url = reqwest::Url::parse(&format!("http://x/?{}", asked.query)).unwrap();
        let got: BTreeMap<String, String> = url.query_pairs().map(|(name, text)| (name.into(), text.into())).collect();
        assert_eq!(&got, query, "{title}");
    }
    for (name, text) in &expected.headers {
        let got = asked.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(got, Some(text.as_str()), "{title}: {name}");
    }
    if let Some(body) = &expected.body {
        let got: Value = serde_json::from_str(&asked.text).unwrap();
        // Through text, so that the order of the fields does not count.
        assert_eq!(&got, body, "{title}");
    }
}

async fn run(case: Value) {
    let answers: Vec<Answer> = serde_json::from_value(case.get("answers").cloned().unwrap_or(json!([]))).unwrap();
    let left = Mutex::new(answers.into_iter());
    let (server, memory) = serve(
        move || match left.lock().unwrap().next() {
            Some(answer) => response(&answer),
            None => (StatusCode::IM_A_TEAPOT, "asked too often").into_response(),
        },
        None,
    )
    .await;
    let case: Case = serde_json::from_str(&case.to_string().replace("{server}", &server)).unwrap();
    let providers = Providers::new(ProviderConfig {
        namespace: own_namespace(),
        environment: Environment::new(case.environment.clone()),
        poll: Duration::from_millis(1),
        ..ProviderConfig::default()
    });
    let request = MeasureRequest {
        id: MeasureId { metric: "m".to_owned(), measurement: 0, attempt: 0 },
        namespace: "shop".to_owned(),
        run: "web-1".to_owned(),
        uid: "0c1d".to_owned(),
        started_at: "2024-03-15T11:30:00Z".parse().unwrap(),
        standing: analysis::run::Standing::default(),
        metric: serde_json::from_value(json!({
            "name": "m",
            "provider": case.provider,
            "successCondition": case.success_condition,
        }))
        .unwrap(),
        args: Vec::new(),
    };
    let none = Secret { namespace: String::new(), name: String::new(), data: BTreeMap::new() };
    let secret = case.secret.clone().unwrap_or(none);
    let outcome = providers.measure(&request, &secret, now()).await;
    let (title, gives) = (case.title.as_str(), &case.gives);
    match outcome {
        MeasureOutcome::Measured { phase, value, metadata, .. } => {
            assert_eq!((Some(phase.to_string()), &value), (gives.phase.clone(), &gives.value), "{title}");
            if !gives.metadata.is_empty() {
                assert_eq!(metadata, gives.metadata, "{title}");
            }
        }
        MeasureOutcome::Error { message, .. } => assert_eq!(Some(&message), gives.error.as_ref(), "{title}"),
        MeasureOutcome::NoAnswer { reason } => assert_eq!(Some(&reason), gives.no_answer.as_ref(), "{title}"),
    }
    let asked = memory.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), case.answers.len(), "{title}: {asked:?}");
    for (expected, asked) in case.asked.iter().zip(&asked) {
        check(title, expected, asked);
    }
}

async fn all(file: &str) {
    let path = format!("{}/tests/vendors/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
    let cases: Vec<Value> = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        run(case).await;
    }
}

macro_rules! vendors {
    ($($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            all(stringify!($name)).await;
        })*
    };
}

vendors!(cloud_watch datadog graphite influxdb kayenta new_relic skywalking wavefront);
