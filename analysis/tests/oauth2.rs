//! OAuth 2 client credentials: one small server is the issuer of tokens and Prometheus.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value
)]

mod loopback;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use analysis::provider::Providers;
use analysis::run::{MeasureId, MeasureOutcome, MeasureRequest};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use loopback::{OneSecret, error, measured, no_answer, now, providers};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the issuer does.
#[derive(Clone, Copy, PartialEq)]
enum Issuer {
    /// Gives tokens that last an hour, to credentials in the header.
    Fine,
    /// The same, to credentials in the body.
    InBody,
    /// Tokens that last a second.
    Brief,
    Refuses,
    Away,
    Hangs,
    Babbles,
}

#[derive(Clone)]
struct Server {
    issuer: Issuer,
    issued: Arc<AtomicUsize>,
    /// Tokens before this one are not taken.
    oldest: Arc<AtomicUsize>,
}

async fn token(State(server): State<Server>, headers: HeaderMap, body: String) -> Response {
    // a:s3cret as a header, both as fields of a form.
    let in_header = headers.get(header::AUTHORIZATION).is_some_and(|value| value == "Basic YTpzM2NyZXQlMkI=");
    let in_body = body.contains("client_id=a&client_secret=s3cret%2B");
    assert!(body.starts_with("grant_type=client_credentials&scope=read+write"), "{body}");
    let lasts = if server.issuer == Issuer::Brief { json!("1") } else { json!(3600) };
    match server.issuer {
        Issuer::Fine | Issuer::Brief if in_header => {}
        Issuer::InBody if in_body => {}
        Issuer::Away => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Issuer::Hangs => std::future::pending().await,
        Issuer::Babbles => return "<html>log in with s3cret+</html>".into_response(),
        Issuer::Fine | Issuer::Brief | Issuer::InBody | Issuer::Refuses => {
            return (StatusCode::UNAUTHORIZED, "unknown client s3cret+").into_response();
        }
    }
    let number = server.issued.fetch_add(1, Ordering::SeqCst) + 1;
    Json(json!({ "access_token": format!("t{number}"), "token_type": "bearer", "expires_in": lasts })).into_response()
}

async fn query(State(server): State<Server>, headers: HeaderMap) -> Response {
    let token = headers[header::AUTHORIZATION].to_str().unwrap().strip_prefix("Bearer t").and_then(|n| n.parse().ok());
    if token.is_none_or(|number: usize| number < server.oldest.load(Ordering::SeqCst)) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    Json(json!({ "status": "success", "data": { "resultType": "scalar", "result": [1, "7"] } })).into_response()
}

async fn serve(issuer: Issuer) -> (String, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = Server { issuer, issued: Arc::default(), oldest: Arc::default() };
    let router =
        Router::new().route("/token", post(token)).route("/api/v1/query", get(query)).with_state(server.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, server)
}

fn request(address: &str, change: Value) -> MeasureRequest {
    let mut oauth2 = json!({ "tokenUrl": format!("{address}/token"), "clientId": "a", "clientSecret": "s3cret+",
        "scopes": ["read", "write"] });
    oauth2.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let prometheus = json!({ "address": address, "query": "up", "timeout": 1, "authentication": { "oauth2": oauth2 } });
    asked(json!({ "prometheus": prometheus }))
}

fn asked(provider: Value) -> MeasureRequest {
    MeasureRequest {
        id: MeasureId { metric: "m".to_owned(), measurement: 0, attempt: 0 },
        namespace: "shop".to_owned(),
        run: "web-1".to_owned(),
        uid: "0c1d".to_owned(),
        started_at: now(),
        standing: analysis::run::Standing::default(),
        metric: serde_json::from_value(json!({ "name": "m", "provider": provider })).unwrap(),
        args: Vec::new(),
    }
}

async fn measure(providers: &Providers, address: &str) -> MeasureOutcome {
    providers.measure(&request(address, json!({})), &OneSecret, now()).await
}

#[tokio::test]
async fn a_token_is_fetched_once_and_used_until_it_expires() {
    for (issuer, issued) in [(Issuer::Fine, 1), (Issuer::InBody, 1), (Issuer::Brief, 3)] {
        let (address, server) = serve(issuer).await;
        let providers = providers();
        for _ in 0..3 {
            assert_eq!(measured(measure(&providers, &address).await).1, "7");
        }
        assert_eq!(server.issued.load(Ordering::SeqCst), issued);
    }
}

#[tokio::test]
async fn a_token_that_is_not_taken_any_more_is_renewed_once() {
    let (address, server) = serve(Issuer::Fine).await;
    let providers = providers();
    measured(measure(&providers, &address).await);
    server.oldest.store(2, Ordering::SeqCst);
    assert_eq!(measured(measure(&providers, &address).await).1, "7");
    assert_eq!(server.issued.load(Ordering::SeqCst), 2);
    server.oldest.store(100, Ordering::SeqCst);
    assert!(error(measure(&providers, &address).await).contains("401"), "then it is an error");
    assert_eq!(server.issued.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn web_services_are_asked_in_the_same_way() {
    let (address, server) = serve(Issuer::Fine).await;
    let providers = providers();
    let mut prometheus = serde_json::to_value(request(&address, json!({})).metric).unwrap();
    let mut web = json!({ "url": format!("{address}/api/v1/query"), "jsonPath": "{$.data.result[1]}" });
    web["authentication"] = prometheus["provider"]["prometheus"]["authentication"].take();
    for _ in 0..2 {
        let outcome = providers.measure(&asked(json!({ "web": web })), &OneSecret, now()).await;
        assert_eq!(measured(outcome).1, "\"7\"");
    }
    assert_eq!(server.issued.load(Ordering::SeqCst), 1);

    let (url, server) = loopback::serve(|| "1".into_response(), None).await;
    let web = json!({ "url": url, "authentication": { "basicAuth": { "username": "u", "password": "p" } } });
    measured(providers.measure(&asked(json!({ "web": web })), &OneSecret, now()).await);
    assert_eq!(server.asked.lock().unwrap()[0].headers[header::AUTHORIZATION], "Basic dTpw");
}

#[tokio::test]
async fn other_settings_have_another_token() {
    let (address, server) = serve(Issuer::Fine).await;
    let providers = providers();
    measured(measure(&providers, &address).await);
    let other = providers.measure(&request(&address, json!({ "clientId": "b" })), &OneSecret, now()).await;
    let said = error(other);
    assert_eq!(
        said, "the tokenUrl of authentication.oauth2 answered 401 Unauthorized: \"unknown client *****\"",
        "nor is the secret told"
    );
    assert_eq!(server.issued.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_issuer_that_is_away_holds_and_one_that_refuses_is_an_error() {
    let providers = providers();
    let says = |issuer| {
        let providers = &providers;
        async move {
            let (address, _) = serve(issuer).await;
            measure(providers, &address).await
        }
    };
    let away = no_answer(says(Issuer::Away).await);
    assert_eq!(away, "the tokenUrl of authentication.oauth2 answered 503 Service Unavailable");
    let begun = tokio::time::Instant::now();
    assert_eq!(no_answer(says(Issuer::Hangs).await), "the tokenUrl of authentication.oauth2: timed out after 1s");
    assert!(begun.elapsed() < Duration::from_secs(10), "the metric's timeout holds for the token too");
    assert_eq!(
        error(says(Issuer::Babbles).await),
        "the tokenUrl of authentication.oauth2 did not answer with an access_token"
    );
    assert!(error(says(Issuer::Refuses).await).contains("answered 401"));
    for (change, said) in [
        (json!({ "tokenUrl": "login" }), "authentication.oauth2.tokenUrl is not a valid URL"),
        (json!({ "clientId": "" }), "authentication.oauth2.clientId is empty: write the id of the client"),
    ] {
        let outcome = providers.measure(&request("http://127.0.0.1:1", change), &OneSecret, now()).await;
        assert!(error(outcome).starts_with(said), "{said}");
    }
}
