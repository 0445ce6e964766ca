//! The web provider against a small server on loopback that answers, misbehaves, or is not there.

// Helpers of tests fail by panicking, too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value
)]

mod loopback;

use std::time::Duration;

use analysis::Phase;
use analysis::run::{MeasureId, MeasureOutcome, MeasureRequest};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use loopback::{OneSecret, error, measured, no_answer, now, providers, serve};

fn request(url: &str, metric: Value, args: Value) -> MeasureRequest {
    let mut web = json!({"url": url});
    let mut whole = json!({"name": "version"});
    for (key, value) in metric.as_object().unwrap() {
        let in_metric = key.ends_with("Condition");
        (if in_metric { &mut whole } else { &mut web })[key] = value.clone();
    }
    whole["provider"] = json!({"web": web});
    MeasureRequest {
        id: MeasureId { metric: "version".to_owned(), measurement: 0, attempt: 0 },
        namespace: "shop".to_owned(),
        run: "web-1".to_owned(),
        uid: "0c1d".to_owned(),
        started_at: now(),
        standing: analysis::run::Standing::default(),
        metric: serde_json::from_value(whole).unwrap(),
        args: serde_json::from_value(args).unwrap(),
    }
}

async fn measure(url: &str, metric: Value) -> MeasureOutcome {
    providers().measure(&request(url, metric, json!([])), &OneSecret, now()).await
}

fn body() -> Response {
    axum::Json(json!({
        "major": "1", "share": 0.25, "count": 12, "ok": true, "none": null, "list": [1, "<a>", 2.5], "map": {"z": 1.0, "a": "x"},
    }))
    .into_response()
}

#[tokio::test]
async fn values_and_how_they_are_shown() {
    let (url, _) = serve(body, None).await;
    for (path, success, expected) in [
        ("{$.major}", "result == '1'", (Phase::Successful, "\"1\"")),
        ("{$.major}", "result == '2'", (Phase::Failed, "\"1\"")),
        ("{$.major}", "asInt(result) == 1", (Phase::Successful, "\"1\"")),
        ("{$.share}", "result < 0.5", (Phase::Successful, "0.25")),
        ("{$.count}", "result == 12", (Phase::Successful, "12")),
        ("{$.ok}", "result", (Phase::Successful, "true")),
        ("{$.none}", "isNil(result)", (Phase::Successful, "null")),
        ("{$.list}", "len(result) == 3 && 2.5 in result", (Phase::Successful, "[1,\"\\u003ca\\u003e\",2.5]")),
        ("{$.map}", "result.z == 1 && result.a == \"x\"", (Phase::Successful, "{\"a\":\"x\",\"z\":1}")),
        ("{$.list[*]}", "result == 1", (Phase::Successful, "1")),
        ("{$.count}", "", (Phase::Successful, "12")),
    ] {
        let got = measured(measure(&url, json!({"jsonPath": path, "successCondition": success})).await);
        assert_eq!((got.0, got.1.as_str()), expected, "{path} {success}");
    }
    let got = measured(measure(&url, json!({"successCondition": "result.map.a == 'x'"})).await);
    assert_eq!(got.0, Phase::Successful, "without a path the whole answer is the result");
}

#[tokio::test]
async fn an_answer_that_is_not_json_is_judged_as_text() {
    let (url, _) = serve(|| "<html>please log in</html>".into_response(), None).await;
    let metric = json!({"jsonPath": "{$.major}", "successCondition": "result == '1'"});
    assert_eq!(measured(measure(&url, metric).await), (Phase::Failed, "<html>please log in</html>".to_owned()));
    let metric = json!({"successCondition": "result contains 'log in'"});
    assert_eq!(measured(measure(&url, metric).await).0, Phase::Successful);
    let (url, _) = serve(|| ().into_response(), None).await;
    assert_eq!(measured(measure(&url, json!({})).await), (Phase::Successful, String::new()));
}

#[tokio::test]
async fn wrong_questions_are_errors() {
    let (url, _) = serve(body, None).await;
    for (metric, said) in [
        (json!({"jsonPath": "{$.minor}"}), "could not find JSONPath in body: {$.minor}"),
        (json!({"jsonPath": "{$.major"}), "jsonPath \"{$.major\" is not valid: "),
        (json!({"method": "DELETE"}), "web method \"DELETE\" is not supported: use GET, POST or PUT"),
        (json!({"body": "x"}), "a body can be sent with the methods POST and PUT only"),
        (json!({"method": "PUT", "body": "x", "jsonBody": {"a": 1}}), "body and jsonBody exclude each other"),
        (
            json!({"authentication": {"oauth2": {"tokenUrl": "login", "clientId": "a"}}}),
            "authentication.oauth2.tokenUrl is not a valid URL",
        ),
        (json!({"headers": [{"key": "a b", "value": "x"}]}), "\"a b\" is not a valid name of an HTTP header"),
        (
            json!({"jsonPath": "{$.major}", "successCondition": "result < 2"}),
            "could not evaluate successCondition \"result < 2\": ",
        ),
    ] {
        let got = error(measure(&url, metric).await);
        assert!(got.starts_with(said), "{got}");
    }
    for url in ["", "not a url", "ftp://web", "web:8080/version"] {
        let said = error(measure(url, json!({})).await);
        assert!(said.starts_with("web url is not a valid URL"), "{url}: {said}");
    }
    let (url, _) = serve(|| (StatusCode::NOT_FOUND, "no such page").into_response(), None).await;
    assert_eq!(error(measure(&url, json!({})).await), "received non 2xx response code: 404: \"no such page\"");
    let (url, _) = serve(|| StatusCode::NOT_MODIFIED.into_response(), None).await;
    assert_eq!(error(measure(&url, json!({})).await), "received non 2xx response code: 304: \"\"");
    let (url, _) = serve(|| "x".repeat(100_000).into_response(), None).await;
    assert!(error(measure(&url, json!({})).await).starts_with("the answer is larger than 65536 bytes"));
}

#[tokio::test]
async fn no_answer_is_told_apart() {
    // A port that was free a moment ago refuses.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let said = no_answer(measure(&closed, json!({})).await);
    assert!(said.contains("refused"), "{said}");
    for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT] {
        let (url, _) = serve(move || (status, "out of order").into_response(), None).await;
        assert_eq!(no_answer(measure(&url, json!({})).await), format!("the web service answered {status}"));
    }
    let (url, _) = serve(body, Some(Duration::MAX)).await;
    assert_eq!(no_answer(measure(&url, json!({"timeoutSeconds": 1})).await), "timed out after 1s");
}

#[tokio::test]
async fn what_is_sent() {
    let (base, server) = serve(body, None).await;
    let metric = json!({
        "method": "GET", "jsonPath": "{$.major}", "insecure": true, "timeoutSeconds": 5,
        "authentication": {"basicAuth": {}, "oauth2": {}, "sigv4": {}},
        "headers": [{"key": "Authorization", "value": "Bearer {{args.token}}\n"}],
    });
    let args = json!([
        {"name": "host", "value": base},
        {"name": "token", "valueFrom": {"secretKeyRef": {"name": "prom", "key": "token"}}},
    ]);
    let asked = request("{{args.host}}/version?full=1", metric, args);
    measured(providers().measure(&asked, &OneSecret, now()).await);
    let asked = server.asked.lock().unwrap().remove(0);
    assert_eq!((asked.method, asked.path.as_str(), asked.text.as_str()), (Method::GET, "/version", "full=1"));
    assert_eq!(asked.headers.get_all(header::AUTHORIZATION).iter().collect::<Vec<_>>(), ["Bearer s3cret"]);

    let json_body = json!({"query": {"since": 5, "names": ["a", "b"]}});
    measured(measure(&base, json!({"method": "POST", "jsonBody": json_body.clone()})).await);
    let asked = server.asked.lock().unwrap().remove(0);
    assert_eq!((asked.method, serde_json::from_str::<Value>(&asked.text).unwrap()), (Method::POST, json_body));
    assert_eq!(asked.headers[header::CONTENT_TYPE], "application/json");

    let text = json!({"method": "PUT", "body": "a=1", "headers": [{"key": "Content-Type", "value": "text/plain"}]});
    measured(measure(&base, text).await);
    let asked = server.asked.lock().unwrap().remove(0);
    assert_eq!((asked.method, asked.text.as_str()), (Method::PUT, "a=1"));
    assert_eq!(asked.headers[header::CONTENT_TYPE], "text/plain");
}

#[tokio::test]
async fn secrets_never_come_back() {
    let args = json!([{"name": "token", "valueFrom": {"secretKeyRef": {"name": "prom", "key": "token"}}}]);
    let (url, _) = serve(|| axum::Json(json!({"you": "s3cret"})).into_response(), None).await;
    let asked = request(&url, json!({"headers": [{"key": "X-Token", "value": "{{args.token}}"}]}), args.clone());
    let got = measured(providers().measure(&asked, &OneSecret, now()).await);
    assert_eq!(got, (Phase::Successful, "{\"you\":\"*****\"}".to_owned()));
    // The address holds it, and nobody listens there.
    let asked = request("http://127.0.0.1:1/{{args.token}}", json!({}), args);
    let said = format!("{:?}", providers().measure(&asked, &OneSecret, now()).await);
    assert!(!said.contains("s3cret"), "{said}");
}
