//! Asking over HTTP: what the providers that do so have in common.
//!
//! Invariants: no text that comes from here holds the address or a header, which may hold credentials; never more than the
//! limit is read; what says nothing about the release is [`Outcome::NoAnswer`], what a person must put right is an error.
//!
//! | what happens | means |
//! |---|---|
//! | refused, DNS, TLS, timeout, connection lost, 5xx, 408, 429 | no answer |
//! | too many redirects, an address or header that cannot be sent, an answer above the limit | error |

use std::error::Error as _;
use std::time::Duration;

use base64::Engine as _;
use crds::{Authentication, BasicAuthConfig, OAuth2Config, Sigv4Config, WebMetricHeader};
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Url};
use tokio::time::Instant;

use super::Outcome;
use super::oauth2::Tokens;
use crate::condition::goduration;

/// A request that is wrong before it is sent.
pub(super) type Wrong = String;

/// With and without verification of certificates; a client that cannot be made says why.
#[derive(Debug)]
pub(super) struct Clients {
    strict: Result<Client, String>,
    lenient: Result<Client, String>,
    tokens: Tokens,
}

/// What a provider asks, before it is known who it is.
pub(super) struct Question<'a> {
    pub(super) authentication: Option<&'a Authentication>,
    pub(super) insecure: Option<bool>,
    pub(super) headers: HeaderMap,
    /// For all of it, a token included.
    pub(super) timeout: Duration,
    pub(super) limit: usize,
    /// What to do about a longer answer.
    pub(super) too_large: &'static str,
}

impl Clients {
    pub(super) fn new() -> Self {
        Self { strict: client(false), lenient: client(true), tokens: Tokens::default() }
    }

    /// Asks, with a token where the metric wants one, and reads the whole answer, whatever its status. A token that is not taken any more
    /// is renewed once.
    pub(super) async fn ask(
        &self,
        question: Question<'_>,
        request: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<(StatusCode, Vec<u8>), Outcome> {
        let client = self.get(question.insecure)?;
        let oauth2 = question.authentication.and_then(|authentication| authentication.oauth2.as_ref());
        let oauth2 = oauth2.filter(|config| **config != OAuth2Config::default());
        let begun = Instant::now();
        let left = || question.timeout.saturating_sub(begun.elapsed());
        loop {
            let mut headers = question.headers.clone();
            let mut known = false;
            // A header that the user wrote himself goes before.
            if let Some(config) = oauth2.filter(|_| !headers.contains_key(AUTHORIZATION)) {
                let granted = self.tokens.header(client, config, left()).await?;
                known = granted.known;
                headers.insert(AUTHORIZATION, granted.header);
            }
            let answer = send(request(client).headers(headers), left(), question.limit, question.too_large).await?;
            match oauth2 {
                Some(config) if known && answer.0 == StatusCode::UNAUTHORIZED => self.tokens.forget(config),
                Some(_) | None => return Ok(answer),
            }
        }
    }

    fn get(&self, insecure: Option<bool>) -> Result<&Client, Outcome> {
        let client = if insecure == Some(true) { &self.lenient } else { &self.strict };
        client.as_ref().map_err(|error| Outcome::error(format!("failed to set up TLS: {error}")))
    }
}

fn client(insecure: bool) -> Result<Client, String> {
    let builder = Client::builder().user_agent("rollout-controller").connect_timeout(Duration::from_secs(10));
    let builder = if insecure { builder.tls_danger_accept_invalid_certs(true) } else { builder };
    builder.build().map_err(|error| chain(&error))
}

/// An address that can be asked; `field` and `example` are for the person who wrote another.
pub(super) fn address(text: &str, field: &str, example: &str) -> Result<Url, Wrong> {
    let url = Url::parse(text.trim())
        .map_err(|error| format!("{field} is not a valid URL: {error}; write for example {example}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("{field} is not a valid URL: write for example {example}"));
    }
    Ok(url)
}

/// The time a metric gives, in seconds; zero and less mean the default.
pub(super) fn timeout(seconds: Option<i64>, default: Duration) -> Duration {
    match seconds {
        Some(seconds) if seconds > 0 => Duration::from_secs(seconds.unsigned_abs()),
        _ => default,
    }
}

/// The headers that a metric asks for; a token comes with [`Clients::ask`]. Empty blocks of authentication count as absent: Argo Rollouts writes them.
pub(super) fn headers(
    authentication: Option<&Authentication>,
    extra: Option<&[WebMetricHeader]>,
) -> Result<HeaderMap, Wrong> {
    let mut headers = HeaderMap::new();
    if let Some(Authentication { sigv4, oauth2: _, basic_auth }) = authentication {
        if sigv4.as_ref().is_some_and(|config| *config != Sigv4Config::default()) {
            return Err("authentication.sigv4 is not supported yet".to_owned());
        }
        if let Some(basic) = basic_auth.as_ref().filter(|config| **config != BasicAuthConfig::default()) {
            let (user, password) = (basic.username.as_deref(), basic.password.as_deref());
            let pair = format!("{}:{}", user.unwrap_or_default(), password.unwrap_or_default());
            let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
            let mut value = HeaderValue::from_str(&format!("Basic {encoded}")).map_err(|error| error.to_string())?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
    }
    for header in extra.into_iter().flatten() {
        let name = HeaderName::from_bytes(header.key.trim().as_bytes())
            .map_err(|_| format!("\"{}\" is not a valid name of an HTTP header", header.key))?;
        // A secret that was read from a file often ends in a newline.
        let mut value = HeaderValue::from_str(header.value.trim())
            .map_err(|_| format!("the value of the HTTP header {} has characters that are not allowed", header.key))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Sends and reads the whole answer, whatever its status; `too_large` says what to do about a longer one.
pub(super) async fn send(
    request: RequestBuilder,
    timeout: Duration,
    limit: usize,
    too_large: &str,
) -> Result<(StatusCode, Vec<u8>), Outcome> {
    let answer = request.timeout(timeout).send().await;
    let mut answer = answer.map_err(|error| failure(error, timeout))?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failure(error, timeout))? {
        if body.len() + chunk.len() > limit {
            return Err(Outcome::error(format!("the answer is larger than {limit} bytes: {too_large}")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

/// Whether the status says that the server is out of order rather than what it thinks of the question.
pub(super) fn no_answer(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

/// The start of an answer, for a message.
pub(super) fn excerpt(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(120).collect();
    crate::text::go_quote(text.trim())
}

/// The error and its causes, without the address, which may hold credentials.
fn chain(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !parts.last().is_some_and(|last| last.contains(&text)) {
            parts.push(text);
        }
        next = cause.source();
    }
    if parts.is_empty() { error.to_string() } else { parts.join(": ") }
}

fn failure(error: reqwest::Error, timeout: Duration) -> Outcome {
    let error = error.without_url();
    if error.is_timeout() {
        // Part of the time may have gone into a token.
        let after = Duration::from_secs(timeout.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX));
        let after = goduration::print_duration(i64::try_from(after.as_nanos()).unwrap_or(i64::MAX));
        return Outcome::NoAnswer { reason: format!("timed out after {after}") };
    }
    if error.is_builder() || error.is_redirect() {
        return Outcome::error(format!("the request cannot be sent: {}", chain(&error)));
    }
    let reason = chain(&error);
    if reason.contains("invalid peer certificate") {
        let advice = "have it signed by an authority that the controller's system trusts, or set insecure: true";
        return Outcome::NoAnswer { reason: format!("the server's certificate is not trusted: {advice} ({reason})") };
    }
    Outcome::NoAnswer { reason }
}
