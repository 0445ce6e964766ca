//! AWS: requests to Prometheus with a signature (`authentication.sigv4`), and where its credentials come from. The signatures themselves
//! are proved with AWS' published ones beside the code.

// Helpers of tests fail by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use std::path::Path;

use analysis::Phase;
use analysis::provider::{Environment, ProviderConfig, Providers};
use analysis::run::{MeasureId, MeasureOutcome, MeasureRequest};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use loopback::{Asked, OneSecret, error, measured, no_answer, now, serve};

fn providers(variables: &[(&str, &str)]) -> Providers {
    let variables = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Providers::new(ProviderConfig { environment: Environment::new(variables), ..ProviderConfig::default() })
}

async fn measure(providers: &Providers, address: &str, sigv4: Value) -> MeasureOutcome {
    let request = MeasureRequest {
        id: MeasureId { metric: "m".to_owned(), measurement: 0, attempt: 0 },
        namespace: "shop".to_owned(),
        run: "web-1".to_owned(),
        uid: "0c1d".to_owned(),
        started_at: now(),
        standing: analysis::run::Standing::default(),
        metric: serde_json::from_value(json!({
            "name": "m",
            "provider": {"prometheus": {
                "address": format!("{address}/workspaces/ws-1"),
                "query": "sum(up{a=\"b c\"}) + 1",
                "authentication": {"sigv4": sigv4},
            }},
        }))
        .unwrap(),
        args: Vec::new(),
    };
    providers.measure(&request, &OneSecret, now()).await
}

fn scalar() -> Response {
    axum::Json(json!({"status": "success", "data": {"resultType": "scalar", "result": [1, "1"]}})).into_response()
}

fn header(asked: &Asked, name: &str) -> String {
    asked.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "secret-1")];

#[tokio::test]
async fn a_signed_question() {
    let (address, server) = serve(scalar, None).await;
    let mut variables = KEYS.to_vec();
    variables.push(("AWS_SESSION_TOKEN", "session-1"));
    let outcome = measure(&providers(&variables), &address, json!({"region": "eu-west-1"})).await;
    assert_eq!(measured(outcome), (Phase::Successful, "1".to_owned()));
    let asked = server.asked.lock().unwrap()[0].clone();
    assert_eq!(asked.path, "/workspaces/ws-1/api/v1/query");
    assert!(asked.query.starts_with("query=sum%28up%7Ba%3D%22b%20c%22%7D%29%20%2B%201&"), "{}", asked.query);
    assert_eq!(header(&asked, "x-amz-date"), "20240315T120000Z");
    assert_eq!(header(&asked, "x-amz-security-token"), "session-1");
    let signed = header(&asked, "authorization");
    let start = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20240315/eu-west-1/aps/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=";
    assert!(signed.starts_with(start), "{signed}");
}

/// STS and Prometheus in one: an answer of STS to whatever is posted to `/`.
async fn sts() -> (String, loopback::Server) {
    let answers = std::sync::Mutex::new(vec![scalar(), sts_answer()]);
    serve(move || answers.lock().unwrap().pop().unwrap_or_else(scalar), None).await
}

/// As <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html> shows it.
fn sts_answer() -> Response {
    "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
     <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/demo/x</Arn><AssumedRoleId>ARO:x</AssumedRoleId></AssumedRoleUser>\
     <Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey>\
     <SessionToken>role-session</SessionToken><Expiration>2024-03-15T13:00:00Z</Expiration></Credentials>\
     </AssumeRoleResult></AssumeRoleResponse>"
        .into_response()
}

#[tokio::test]
async fn a_role_is_assumed_once() {
    let (address, server) = sts().await;
    let mut variables = KEYS.to_vec();
    variables.push(("AWS_ENDPOINT_URL_STS", &address));
    let providers = providers(&variables);
    let sigv4 = json!({"region": "eu-west-1", "roleArn": "arn:aws:iam::123456789012:role/demo"});
    measured(measure(&providers, &address, sigv4.clone()).await);
    measured(measure(&providers, &address, sigv4).await);
    let asked = server.asked.lock().unwrap().clone();
    assert_eq!(asked.iter().map(|asked| asked.method.as_str()).collect::<Vec<_>>(), ["POST", "GET", "GET"]);
    assert!(asked[0].text.contains("Action=AssumeRole&"), "{}", asked[0].text);
    assert!(asked[0].text.contains("RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fdemo"), "{}", asked[0].text);
    assert!(header(&asked[0], "authorization").contains("AKIDEXAMPLE/20240315/eu-west-1/sts/"));
    for question in &asked[1..] {
        assert!(header(question, "authorization").contains("Credential=ASIAROLE/"));
        assert_eq!(header(question, "x-amz-security-token"), "role-session");
    }
}

#[tokio::test]
async fn the_token_of_a_service_account() {
    let (address, server) = sts().await;
    let file = std::env::temp_dir().join(format!("token-{}", std::process::id()));
    std::fs::write(&file, "web-token\n").unwrap();
    let file = file.to_str().unwrap();
    let variables = [
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/web"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file),
        ("AWS_ENDPOINT_URL_STS", address.as_str()),
        ("AWS_REGION", "eu-west-1"),
    ];
    measured(measure(&providers(&variables), &address, json!({"roleArn": "", "region": "eu-west-1"})).await);
    let asked = server.asked.lock().unwrap().clone();
    assert!(
        asked[0].text.contains("AssumeRoleWithWebIdentity") && asked[0].text.contains("WebIdentityToken=web-token")
    );
    assert_eq!(header(&asked[0], "authorization"), "", "the token is the proof, there is nothing to sign with");
    assert!(header(&asked[1], "authorization").contains("Credential=ASIAROLE/"));
    std::fs::remove_file(Path::new(file)).unwrap();
}

#[tokio::test]
async fn a_profile_and_the_role_of_another() {
    let (address, server) = sts().await;
    let file = std::env::temp_dir().join(format!("config-{}", std::process::id()));
    let text = "[profile base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = s\n[profile ops]\nregion = ap-south-1\nrole_arn = arn:aws:iam::1:role/ops\nsource_profile = base\n";
    std::fs::write(&file, text).unwrap();
    let variables = [("AWS_CONFIG_FILE", file.to_str().unwrap()), ("AWS_ENDPOINT_URL_STS", address.as_str())];
    let providers = providers(&variables);
    measured(measure(&providers, &address, json!({"profile": "ops"})).await);
    let asked = server.asked.lock().unwrap().clone();
    assert!(header(&asked[0], "authorization").contains("AKIDBASE/20240315/ap-south-1/sts/"));
    assert!(header(&asked[1], "authorization").contains("ASIAROLE/20240315/ap-south-1/aps/"));
    let missing = measure(&providers, &address, json!({"profile": "none", "region": "x"})).await;
    assert_eq!(error(missing), "AWS credentials: there is no profile none");
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn the_credentials_of_a_container() {
    let credentials =
        json!({"AccessKeyId": "AKPOD", "SecretAccessKey": "s", "Token": "t", "Expiration": "2024-03-15T18:00:00Z"});
    let (agent, asked_agent) = serve(move || axum::Json(credentials.clone()).into_response(), None).await;
    let (address, server) = serve(scalar, None).await;
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-token"),
        ("AWS_REGION", "eu-west-1"),
        ("HOME", "/nowhere"),
    ];
    measured(measure(&providers(&variables), &address, json!({"region": "eu-west-1"})).await);
    assert_eq!(header(&asked_agent.asked.lock().unwrap()[0], "authorization"), "pod-token");
    assert!(header(&server.asked.lock().unwrap()[0], "authorization").contains("Credential=AKPOD/"));
}

#[tokio::test]
async fn sts_that_refuses_or_is_away() {
    let refusal = || {
        let text = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>";
        (StatusCode::FORBIDDEN, text).into_response()
    };
    let (address, _) = serve(refusal, None).await;
    let sigv4 = json!({"region": "eu-west-1", "roleArn": "arn"});
    let mut variables = KEYS.to_vec();
    variables.push(("AWS_ENDPOINT_URL_STS", &address));
    let said = error(measure(&providers(&variables), &address, sigv4.clone()).await);
    assert_eq!(said, "AWS credentials: STS answered 403 Forbidden not authorized to perform: sts:AssumeRole");
    let mut variables = KEYS.to_vec();
    variables.push(("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1"));
    no_answer(measure(&providers(&variables), &address, sigv4).await);
    let shown = format!(
        "{:?}",
        ProviderConfig {
            environment: Environment::new(KEYS.map(|(a, b)| (a.to_owned(), b.to_owned()))),
            ..ProviderConfig::default()
        }
    );
    assert!(!shown.contains("secret-1"), "{shown}");
}
