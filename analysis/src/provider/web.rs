//! Any web service that answers with JSON.
//!
//! | what happens | means |
//! |---|---|
//! | what the table of [`super::http`] says | as there |
//! | any other status than 2xx, a path that matches nothing | error |
//! | JSON | the first match of `jsonPath` |
//! | anything else | the text, whatever `jsonPath` says |
//!
//! A text that is not JSON is judged by the conditions like any value. (Argo Rollouts calls it successful without looking, so
//! that the login page of a proxy promotes a release.)

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use crds::WebMetric;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};

use super::http::{Http, Question, Wrong, address, excerpt, headers, no_answer, timeout};
use super::{Context, Outcome, Provider, ResolvedRequest, web_path};
use crate::condition::Value;

/// Time within which an answer must come, when the metric does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// What to do about an answer that is too large.
const TOO_LARGE: &str = "ask for less";

/// Asks a web service.
#[derive(Debug)]
pub(super) struct Web(pub(super) Arc<Http>);

impl Web {
    async fn ask(&self, metric: &WebMetric, context: &Context) -> Result<(Value, String), Outcome> {
        let wrong = |message: Wrong| Outcome::error(message);
        let url = address(&metric.url, "web url", "http://web.shop:8080/status").map_err(wrong)?;
        let method = method(metric).map_err(wrong)?;
        let body = body(metric, &method).map_err(wrong)?;
        let mut headers = headers(metric.authentication.as_ref(), metric.headers.as_deref()).map_err(wrong)?;
        if metric.json_body.is_some() && !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let question = Question {
            authentication: metric.authentication.as_ref(),
            insecure: metric.insecure,
            headers,
            timeout: timeout(metric.timeout_seconds, DEFAULT_TIMEOUT),
            too_large: TOO_LARGE,
            signature: self.0.signature(metric.authentication.as_ref(), "execute-api", context.now).await?,
        };
        let request = |client: &reqwest::Client| {
            let request = client.request(method.clone(), url.clone());
            match &body {
                Some(body) => request.body(body.clone()),
                None => request,
            }
        };
        let (status, body) = self.0.ask(question, request).await?;
        read(metric, status, &body)
    }
}

#[async_trait]
impl Provider for Web {
    async fn measure(&self, request: &ResolvedRequest, context: &Context) -> Outcome {
        let Some(metric) = &request.metric.provider.web else {
            return Outcome::error("the metric has no web provider");
        };
        match self.ask(metric, context).await {
            Ok((value, stored)) => Outcome::Measured { value, stored, metadata: BTreeMap::new() },
            Err(outcome) => outcome,
        }
    }
}

fn method(metric: &WebMetric) -> Result<Method, Wrong> {
    match metric.method.as_deref().unwrap_or_default() {
        "" | "GET" => Ok(Method::GET),
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        other => Err(format!("web method \"{other}\" is not supported: use GET, POST or PUT")),
    }
}

fn body(metric: &WebMetric, method: &Method) -> Result<Option<String>, Wrong> {
    let text = metric.body.as_deref().filter(|body| !body.is_empty());
    let body = match (text, &metric.json_body) {
        (Some(_), Some(_)) => return Err("body and jsonBody exclude each other".to_owned()),
        (Some(text), None) => text.to_owned(),
        (None, Some(json)) => serde_json::to_string(json).map_err(|error| format!("jsonBody: {error}"))?,
        (None, None) => return Ok(None),
    };
    if *method == Method::GET {
        return Err("a body can be sent with the methods POST and PUT only".to_owned());
    }
    Ok(Some(body))
}

/// The value and the text that shows it: JSON, or the answer as it is.
fn read(metric: &WebMetric, status: StatusCode, body: &[u8]) -> Result<(Value, String), Outcome> {
    if no_answer(status) {
        return Err(Outcome::NoAnswer { reason: format!("the web service answered {status}") });
    }
    if !status.is_success() {
        let code = status.as_u16();
        return Err(Outcome::error(format!("received non 2xx response code: {code}: {}", excerpt(body))));
    }
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) else {
        let text = String::from_utf8_lossy(body).into_owned();
        return Ok((Value::text(&text), text));
    };
    let path = metric.json_path.as_deref().unwrap_or_default();
    let found = web_path::first(path, &json).map_err(Outcome::error)?;
    let found = found.ok_or_else(|| Outcome::error(format!("could not find JSONPath in body: {path}")))?;
    super::json_value(found)
}
