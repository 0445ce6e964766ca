//! What a metric may not ask: refused before anything is sent, behind DNS, and behind a redirect.

// Helpers of tests fail by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use analysis::provider::{Guard, ProviderConfig, Providers};
use analysis::run::{MeasureId, MeasureOutcome, MeasureRequest};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;

use loopback::{OneSecret, error, measured, no_answer, now, serve};

async fn measure(guard: Guard, url: &str) -> MeasureOutcome {
    let request = MeasureRequest {
        id: MeasureId { metric: "m".to_owned(), measurement: 0, attempt: 0 },
        namespace: "shop".to_owned(),
        run: "web-1".to_owned(),
        uid: "0c1d".to_owned(),
        started_at: now(),
        standing: analysis::run::Standing::default(),
        metric: serde_json::from_value(json!({
            "name": "m",
            "provider": {"web": {"url": url, "timeoutSeconds": 5, "jsonPath": "{$.ok}"}},
            "successCondition": "result == true",
        }))
        .unwrap(),
        args: Vec::new(),
    };
    Providers::new(ProviderConfig { guard, ..ProviderConfig::default() }).measure(&request, &OneSecret, now()).await
}

const LINK_LOCAL: &str = "the address 169.254.169.254 is link-local or serves cloud metadata, which metrics may not ask: see --analysis-allow-link-local";

#[tokio::test]
async fn metadata_is_not_asked() {
    assert_eq!(error(measure(Guard::default(), "http://169.254.169.254/latest/meta-data/").await), LINK_LOCAL);
    assert_eq!(
        error(measure(Guard::default(), "http://[::ffff:a9fe:a9fe]/").await),
        LINK_LOCAL.replace("169.254.169.254", "::ffff:169.254.169.254")
    );
}

#[tokio::test]
async fn a_redirect_does_not_lead_there() {
    let redirect = || (StatusCode::FOUND, [(header::LOCATION, "http://169.254.169.254/")]).into_response();
    let (url, server) = serve(redirect, None).await;
    assert_eq!(error(measure(Guard::default(), &url).await), LINK_LOCAL);
    assert_eq!(server.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn only_listed_hosts_are_asked() {
    let (url, server) = serve(|| axum::Json(json!({"ok": true})).into_response(), None).await;
    let only = |host: &str| Guard { hosts: vec![host.to_owned()], ..Guard::default() };
    let said = "the host 127.0.0.1 is not among those that metrics may ask: add it to --analysis-allowed-hosts";
    assert_eq!(error(measure(only("*.example.com"), &url).await), said);
    assert!(server.asked.lock().unwrap().is_empty());
    measured(measure(only("127.0.0.1"), &url).await);
    let name = url.replace("127.0.0.1", "localhost");
    measured(measure(only("localhost"), &name).await);
    let redirect = move || (StatusCode::FOUND, [(header::LOCATION, name.clone())]).into_response();
    let (elsewhere, _) = serve(redirect, None).await;
    assert_eq!(error(measure(only("127.0.0.1"), &elsewhere).await), said.replace("127.0.0.1", "localhost"));
    measured(measure(Guard::default(), &elsewhere).await);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_no_answer() {
    no_answer(measure(Guard::default(), "http://no-such-host.invalid/").await);
}
