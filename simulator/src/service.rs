//! The server as a `tower::Service`, in process.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use serde_json::Value;
use tower::BoxError;

use crate::api::call::{Call, Place, Target};
use crate::api::discovery::Answer;
use crate::api::failure::Failure;
use crate::api::{self, discovery, watch};
use crate::faults::{self, Fault};
use crate::{Inner, lock, requests};

/// The body of an answer: whole, or a stream of watch events.
pub type ReplyBody = UnsyncBoxBody<Bytes, BoxError>;

/// The API server. Cheap to clone; clones serve the same cluster.
#[derive(Debug, Clone)]
pub struct ApiService {
    pub(crate) inner: Arc<Inner>,
}

impl<B> tower::Service<Request<B>> for ApiService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<ReplyBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(Into::into)?.to_bytes();
            serve(&inner, Call::new(&parts, body)).await
        })
    }
}

async fn serve(inner: &Arc<Inner>, call: Call) -> Result<Response<ReplyBody>, BoxError> {
    let place = match call.target() {
        Target::Resource(place) => Some(place),
        Target::Other => None,
    };
    let resource = place.as_ref().map_or_else(String::new, |place| match &place.sub {
        Some(sub) => format!("{}/{sub}", place.plural),
        None => place.plural.clone(),
    });
    let verb = if place.is_some() { call.verb() } else { "get" };
    let mut request = requests::Request {
        at: inner.clock.now(),
        verb: verb.to_owned(),
        resource: resource.clone(),
        namespace: place.as_ref().and_then(|place| place.namespace.clone()).unwrap_or_default(),
        name: place.as_ref().and_then(|place| place.name.clone()).unwrap_or_default(),
        user_agent: call.header("user-agent").to_owned(),
        code: 0,
    };
    let (mut refusal, mut lost) = (None, false);
    for fault in inner.faults.meet(verb, &resource) {
        match fault {
            Fault::Latency(wait) => tokio::time::sleep(wait).await,
            Fault::Error(code) => refusal = Some(faults::failure(code, &format!("{resource} {:?}", request.name))),
            Fault::LoseAnswer => lost = true,
            Fault::Refuse => {
                inner.requests.note(request);
                return Err("connection refused".into());
            }
        }
    }
    let answer = match refusal {
        Some(failure) => refused(&failure),
        None => execute(inner, &call, place.as_ref()).unwrap_or_else(|failure| refused(&failure)),
    };
    request.code = if lost { 0 } else { answer.status().as_u16() };
    inner.requests.note(request);
    if lost { Err("connection reset by peer".into()) } else { Ok(answer) }
}

fn execute(inner: &Arc<Inner>, call: &Call, place: Option<&Place>) -> Result<Response<ReplyBody>, Failure> {
    let mut state = lock(&inner.state);
    let Some(place) = place else {
        if call.method != http::Method::GET && call.method != http::Method::HEAD {
            if call.method == http::Method::POST
                && call.path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            {
                return Err(Failure::no_such_path());
            }
            return Err(Failure::method_not_allowed());
        }
        return Ok(match discovery::answer(&state, call)? {
            Answer::Json(value) => json_reply(200, "application/json", &value, &[]),
            Answer::Typed(kind, value) => json_reply(200, kind, &value, &[]),
            Answer::Text(text) => whole(200, "text/plain; charset=utf-8", Bytes::from(text)),
        });
    };
    let resource = api::resource_at(&state, place)?;
    if call.watching() {
        let extras = (inner.faults.drops_of(&resource.plural), inner.bookmark_every);
        let lines = watch::open(&inner.state, &mut state, call, &resource, place, extras)?;
        let body = StreamBody::new(lines.map(|line| Ok::<_, BoxError>(Frame::data(line))));
        return Ok(respond(200, "application/json", body.boxed_unsync()));
    }
    let reply = api::answer(&mut state, call, &resource, place)?;
    Ok(json_reply(reply.code, "application/json", &reply.body, &reply.warnings))
}

fn refused(failure: &Failure) -> Response<ReplyBody> {
    if failure.plain {
        return whole(failure.code, "text/plain; charset=utf-8", Bytes::from(failure.message.clone()));
    }
    let mut response = json_reply(failure.code, "application/json", &failure.status(), &[]);
    let wait = failure.details.as_ref().and_then(|details| details.get("retryAfterSeconds")).and_then(Value::as_u64);
    if let Some(wait) = wait {
        response.headers_mut().insert("retry-after", http::HeaderValue::from(wait));
    }
    response
}

fn json_reply(code: u16, kind: &'static str, value: &Value, warnings: &[String]) -> Response<ReplyBody> {
    let mut response = whole(code, kind, Bytes::from(value.to_string()));
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(header) = http::HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append("warning", header);
        }
    }
    response
}

fn whole(code: u16, kind: &'static str, bytes: Bytes) -> Response<ReplyBody> {
    respond(code, kind, Full::new(bytes).map_err(|never| match never {}).boxed_unsync())
}

fn respond(code: u16, kind: &'static str, body: ReplyBody) -> Response<ReplyBody> {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
