//! The Prometheus provider against a small server on loopback that answers, misbehaves, or is not there.

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
use std::time::Duration;

use analysis::Phase;
use analysis::provider::{ProviderConfig, Providers};
use analysis::run::{MeasureId, MeasureOutcome, MeasureRequest};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use loopback::{OneSecret, error, measured, no_answer, now, providers, serve};

fn data(kind: &str, result: Value) -> Response {
    axum::Json(json!({"status": "success", "data": {"resultType": kind, "result": result}})).into_response()
}

fn request(address: &str, metric: Value, args: Value) -> MeasureRequest {
    let mut prometheus = json!({"address": address, "query": "errors"});
    let mut whole = json!({"name": "errors"});
    for (key, value) in metric.as_object().unwrap() {
        let in_metric = key.ends_with("Condition");
        (if in_metric { &mut whole } else { &mut prometheus })[key] = value.clone();
    }
    whole["provider"] = json!({"prometheus": prometheus});
    MeasureRequest {
        id: MeasureId { metric: "errors".to_owned(), measurement: 0, attempt: 0 },
        namespace: "shop".to_owned(),
        run: "web-1".to_owned(),
        uid: "0c1d".to_owned(),
        started_at: now(),
        standing: analysis::run::Standing::default(),
        metric: serde_json::from_value(whole).unwrap(),
        args: serde_json::from_value(args).unwrap(),
    }
}

async fn measure(address: &str, metric: Value) -> MeasureOutcome {
    providers().measure(&request(address, metric, json!([])), &OneSecret, now()).await
}

fn vector(numbers: &[&str]) -> Value {
    numbers.iter().enumerate().map(|(i, x)| json!({"metric": {"pod": format!("web-{i}")}, "value": [1.5, x]})).collect()
}

#[tokio::test]
async fn shapes_of_answers() {
    for (kind, result, success, expected) in [
        ("scalar", json!([1.5, "0.25"]), "result < 1", (Phase::Successful, "0.25")),
        ("vector", vector(&["0.001"]), "result < 0.01", (Phase::Successful, "[0.001]")),
        ("vector", vector(&["0.5"]), "result[0] < 0.01", (Phase::Failed, "[0.5]")),
        ("vector", vector(&["1", "2"]), "all(result, # < 3)", (Phase::Successful, "[1,2]")),
        ("vector", vector(&["NaN"]), "result < 1", (Phase::Failed, "[NaN]")),
        (
            "vector",
            vector(&["+Inf", "-Inf"]),
            "isInf(result[0]) && isInf(result[1])",
            (Phase::Successful, "[+Inf,-Inf]"),
        ),
        ("vector", json!([]), "len(result) == 0", (Phase::Successful, "[]")),
        (
            "matrix",
            json!([{"metric": {}, "values": [[1, "1"], [2, "2"]]}, {"metric": {}, "values": [[1, "3"]]}]),
            "sum(result) == 6",
            (Phase::Successful, "[1,2,3]"),
        ),
    ] {
        let (address, _) = serve(move || data(kind, result.clone()), None).await;
        let got = measured(measure(&address, json!({"successCondition": success})).await);
        assert_eq!((got.0, got.1.as_str()), expected, "{kind} {success}");
    }
}

#[tokio::test]
async fn wrong_questions_are_errors() {
    let bad = |status: StatusCode, kind: &'static str, text: &'static str| {
        move || (status, axum::Json(json!({"status": "error", "errorType": kind, "error": text}))).into_response()
    };
    let (address, _) =
        serve(bad(StatusCode::BAD_REQUEST, "bad_data", "parse error: unexpected end of input"), None).await;
    assert_eq!(error(measure(&address, json!({})).await), "bad_data: parse error: unexpected end of input");
    let (address, _) = serve(bad(StatusCode::UNPROCESSABLE_ENTITY, "execution", "many-to-many matching"), None).await;
    assert_eq!(error(measure(&address, json!({})).await), "execution: many-to-many matching");
    let (address, _) = serve(|| (StatusCode::UNAUTHORIZED, "who are you?").into_response(), None).await;
    assert_eq!(error(measure(&address, json!({})).await), "prometheus answered 401 Unauthorized: \"who are you?\"");
    let (address, _) = serve(|| "<html>a login page</html>".into_response(), None).await;
    let said = error(measure(&address, json!({})).await);
    assert!(said.contains("not of the Prometheus API") && said.contains("a login page"), "{said}");
    let (address, _) = serve(|| data("string", json!([1, "x"])), None).await;
    assert!(error(measure(&address, json!({})).await).starts_with("prometheus metric type not supported: string"));
    let (address, _) = serve(|| data("scalar", json!([1, "x".repeat(100_000)])), None).await;
    assert!(error(measure(&address, json!({})).await).starts_with("the answer is larger than 65536 bytes"));
    let (address, _) = serve(|| data("vector", json!([])), None).await;
    assert_eq!(
        error(measure(&address, json!({"successCondition": "result[0] < 1"})).await),
        "could not evaluate successCondition \"result[0] < 1\": metric result is nil or empty: no data returned from the metric provider"
    );
    let (address, _) = serve(|| data("vector", vector(&["1", "2"])), None).await;
    let said = error(measure(&address, json!({"successCondition": "result < 1"})).await);
    assert!(said.contains("2 elements") && said.contains("label(s) pod"), "{said}");
    for address in ["not a url", "ftp://prometheus", "prometheus:9090"] {
        let said = error(measure(address, json!({})).await);
        assert!(said.starts_with("prometheus address is not a valid URL"), "{address}: {said}");
    }
    assert!(error(measure("", json!({})).await).starts_with("no address"));
}

#[tokio::test]
async fn no_answer_is_told_apart() {
    // A port that was free a moment ago refuses.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let said = no_answer(measure(&closed, json!({})).await);
    assert!(said.contains("refused"), "{said}");

    for status in [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::TOO_MANY_REQUESTS,
    ] {
        let (address, _) = serve(move || (status, "out of order").into_response(), None).await;
        assert_eq!(no_answer(measure(&address, json!({})).await), format!("prometheus answered {status}"));
    }
    let (address, _) = serve(|| "never".into_response(), Some(Duration::MAX)).await;
    assert_eq!(no_answer(measure(&address, json!({"timeout": 1})).await), "timed out after 1s");

    // TLS towards a server that speaks none, and a certificate from nobody we know.
    let (address, _) = serve(|| data("scalar", json!([1, "1"])), None).await;
    no_answer(measure(&address.replace("http:", "https:"), json!({})).await);
    // A name that cannot exist.
    no_answer(measure("http://prometheus.invalid:9090", json!({"timeout": 5})).await);
}

#[tokio::test]
async fn redirects_are_followed_but_not_for_ever() {
    let (target, _) = serve(|| data("scalar", json!([1, "7"])), None).await;
    let to = format!("{target}/api/v1/query");
    let (address, _) = serve(move || (StatusCode::FOUND, [(header::LOCATION, to.clone())]).into_response(), None).await;
    assert_eq!(measured(measure(&address, json!({})).await).1, "7");
    let (address, _) = serve(|| (StatusCode::FOUND, [(header::LOCATION, "/again")]).into_response(), None).await;
    assert!(error(measure(&address, json!({})).await).contains("too many redirects"));
}

#[tokio::test]
async fn what_is_sent() {
    let (address, server) = serve(|| data("scalar", json!([1, "1"])), None).await;
    let metric = json!({
        "query": "rate(errors{job=\"{{args.job}}\"}[1m])", "timeout": 7,
        "headers": [{"key": "X-Scope-OrgID", "value": "shop"}, {"key": "Authorization", "value": "Bearer {{args.token}}\n"}],
    });
    let args = json!([{"name": "job", "value": "we\"b"}, {"name": "token", "valueFrom": {"secretKeyRef": {"name": "prom", "key": "token"}}}]);
    let outcome = providers().measure(&request(&format!("{address}/prefix/"), metric, args), &OneSecret, now()).await;
    let MeasureOutcome::Measured { metadata, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(metadata["ResolvedPrometheusQuery"], "rate(errors{job=\"we\"b\"}[1m])");
    let asked = server.asked.lock().unwrap().remove(0);
    assert_eq!((asked.method, asked.path.as_str()), (Method::GET, "/prefix/api/v1/query"));
    assert!(
        asked.text.contains("time=2024-03-15T12%3A00%3A00Z") && asked.text.contains("timeout=7000ms"),
        "{}",
        asked.text
    );
    assert_eq!(asked.headers["x-scope-orgid"], "shop");
    assert_eq!(asked.headers[header::AUTHORIZATION], "Bearer s3cret");

    let basic =
        json!({"authentication": {"basicAuth": {"username": "u", "password": "p"}}, "query": "x".repeat(5_000)});
    measured(measure(&address, basic).await);
    let asked = server.asked.lock().unwrap().remove(0);
    assert_eq!(asked.method, Method::POST, "a long query goes in the body");
    assert!(asked.text.contains(&format!("query={}", "x".repeat(5_000))));
    assert_eq!(asked.headers[header::AUTHORIZATION], "Basic dTpw");

    let range = json!({"rangeQuery": {"start": "now() - duration(\"1h\")", "end": "now()", "step": "1m30s"}});
    measured(measure(&address, range).await);
    let asked = server.asked.lock().unwrap().remove(0);
    assert_eq!(asked.path, "/api/v1/query_range");
    for part in ["start=2024-03-15T11%3A00%3A00Z", "end=2024-03-15T12%3A00%3A00Z", "step=90"] {
        assert!(asked.text.contains(part), "{part} in {}", asked.text);
    }
}

#[tokio::test]
async fn the_address_may_come_from_the_controller() {
    let (address, _) = serve(|| data("scalar", json!([1, "1"])), None).await;
    let providers = Providers::new(ProviderConfig { prometheus_address: Some(address), ..ProviderConfig::default() });
    measured(providers.measure(&request("", json!({}), json!([])), &OneSecret, now()).await);
}

#[tokio::test]
async fn warnings_are_kept() {
    let answer = || {
        axum::Json(json!({"status": "success", "warnings": ["slow store", "old data"], "data": {"resultType": "scalar", "result": [1, "1"]}})).into_response()
    };
    let (address, _) = serve(answer, None).await;
    let outcome = measure(&address, json!({})).await;
    let MeasureOutcome::Measured { metadata, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(metadata["warnings"], "slow store; old data");
}

#[tokio::test]
async fn secrets_never_come_back() {
    let answer = || (StatusCode::BAD_REQUEST, "no such token: s3cret").into_response();
    let (address, _) = serve(answer, None).await;
    let args = |name: &str| json!([{"name": "token", "valueFrom": {"secretKeyRef": {"name": name, "key": "token"}}}]);
    let metric = json!({"query": "up{token=\"{{args.token}}\"}"});
    let outcome = providers().measure(&request(&address, metric.clone(), args("prom")), &OneSecret, now()).await;
    let text = format!("{outcome:?}");
    assert!(!text.contains("s3cret"), "{text}");
    let MeasureOutcome::Error { message, metadata, .. } = outcome else { panic!("{text}") };
    assert!(message.ends_with("no such token: *****\""), "{message}");
    assert_eq!(metadata, BTreeMap::from([("ResolvedPrometheusQuery".to_owned(), "up{token=\"*****\"}".to_owned())]));

    let missing = providers().measure(&request(&address, metric.clone(), args("other")), &OneSecret, now()).await;
    assert_eq!(error(missing), "secret shop/other has no key token");
    let away = providers().measure(&request(&address, metric, args("away")), &OneSecret, now()).await;
    assert_eq!(no_answer(away), "the API server does not answer", "a secret that cannot be read now holds the run too");
}

#[tokio::test]
async fn what_is_not_there_yet_says_so() {
    let mut plugin = request("", json!({}), json!([]));
    plugin.metric.provider = serde_json::from_value(json!({"plugin": {"mine/one": {}}})).unwrap();
    assert_eq!(error(providers().measure(&plugin, &OneSecret, now()).await), "provider plugin is not supported yet");
}
