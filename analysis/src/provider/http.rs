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
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use crds::jiff::Timestamp;
use crds::{Authentication, BasicAuthConfig, OAuth2Config, Sigv4Config, WebMetricHeader};
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Url};
use tokio::time::Instant;

use super::aws::credentials::{Aws, Wanted};
use super::aws::sigv4::{self, Scope};
use super::guard::{self, Guard};
use super::oauth2::Tokens;
use super::{Outcome, ProviderConfig};
use crate::condition::goduration;

/// How often a connection is tried again within one measurement.
const RETRIES: u32 = 2;
/// About how long before the first of these; the next one takes twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A request that is wrong before it is sent.
pub(super) type Wrong = String;

/// Connections of all providers, with and without verification of certificates; a client that cannot be made says why.
#[derive(Debug)]
pub(super) struct Http {
    pub(super) config: ProviderConfig,
    strict: OnceLock<Result<Client, String>>,
    lenient: OnceLock<Result<Client, String>>,
    tokens: Tokens,
    pub(super) aws: Aws,
}

/// What a provider asks, before it is known who it is.
pub(super) struct Question<'a> {
    pub(super) authentication: Option<&'a Authentication>,
    pub(super) insecure: Option<bool>,
    pub(super) headers: HeaderMap,
    /// For all of it, a token included.
    pub(super) timeout: Duration,
    /// What to do about an answer above the limit.
    pub(super) too_large: &'static str,
    /// How the request is signed for AWS, if it is.
    pub(super) signature: Option<Signature>,
}

/// A signature for AWS.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) region: String,
    pub(super) service: &'static str,
    pub(super) profile: Option<String>,
    pub(super) role: Option<String>,
    pub(super) now: Timestamp,
}

impl Question<'_> {
    /// Without authentication of a kind that the metric chooses.
    pub(super) fn plain(timeout: Duration) -> Self {
        Self {
            authentication: None,
            insecure: None,
            headers: HeaderMap::new(),
            timeout,
            too_large: "ask for less",
            signature: None,
        }
    }

    /// Adds a header that holds a secret.
    pub(super) fn secret(mut self, name: &'static str, value: &str) -> Result<Self, Outcome> {
        // A secret that was read from a file often ends in a newline.
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| {
            Outcome::error(format!("the value of the HTTP header {name} has characters that are not allowed"))
        })?;
        value.set_sensitive(true);
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }
}

impl Http {
    pub(super) fn new(config: ProviderConfig) -> Self {
        let aws = Aws::new(config.environment.clone());
        Self { config, strict: OnceLock::new(), lenient: OnceLock::new(), tokens: Tokens::default(), aws }
    }

    /// The signature that `authentication.sigv4` asks for.
    pub(super) async fn signature(
        &self,
        authentication: Option<&Authentication>,
        service: &'static str,
        now: Timestamp,
    ) -> Result<Option<Signature>, Outcome> {
        let config = authentication.and_then(|authentication| authentication.sigv4.as_ref());
        let Some(config) = config.filter(|config| **config != Sigv4Config::default()) else { return Ok(None) };
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let profile = given(&config.profile);
        let region = self.aws.region(config.region.as_deref(), profile.as_deref()).await?;
        Ok(Some(Signature { region, service, profile, role: given(&config.role_arn), now }))
    }

    async fn sign(
        &self,
        client: &Client,
        request: RequestBuilder,
        signature: &Signature,
    ) -> Result<RequestBuilder, Outcome> {
        let Signature { region, service, profile, role, now } = signature;
        let wanted = Wanted { region: region.clone(), profile: profile.clone(), role: role.clone() };
        let credentials = self.aws.get(&wanted, *now).await?;
        let mut request = request.build().map_err(|error| failure(error, Duration::ZERO))?;
        let scope = Scope { region, service, now: *now };
        sigv4::sign(&mut request, &credentials, scope).map_err(Outcome::error)?;
        Ok(RequestBuilder::from_parts(client.clone(), request))
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
                let granted = self.tokens.header(self, client, config, left()).await?;
                known = granted.known;
                headers.insert(AUTHORIZATION, granted.header);
            }
            let limit = self.config.response_limit;
            let mut request = request(client).headers(headers);
            if let Some(signature) = &question.signature {
                request = self.sign(client, request, signature).await?;
            }
            let answer = self.send(request, left(), limit, question.too_large).await?;
            match oauth2 {
                Some(config) if known && answer.0 == StatusCode::UNAUTHORIZED => self.tokens.forget(config),
                Some(_) | None => return Ok(answer),
            }
        }
    }

    fn get(&self, insecure: Option<bool>) -> Result<&Client, Outcome> {
        let insecure = insecure == Some(true);
        let client = if insecure { &self.lenient } else { &self.strict };
        let client = client.get_or_init(|| client_of(insecure, &self.config.guard));
        client.as_ref().map_err(|error| Outcome::error(format!("failed to set up TLS: {error}")))
    }

    /// Asks and reads the JSON of a good answer; `who` is for the messages.
    pub(super) async fn json(
        &self,
        who: &str,
        question: Question<'_>,
        request: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<serde_json::Value, Outcome> {
        let (status, body) = self.ask(question, request).await?;
        good(who, status, &body)?;
        serde_json::from_slice(&body)
            .map_err(|error| Outcome::error(format!("the answer of {who} is no JSON ({error}): {}", excerpt(&body))))
    }

    /// Sends and reads the whole answer, whatever its status; `too_large` says what to do about a longer one. When no connection can
    /// be made, which asks nobody twice, it is tried again a little later.
    pub(super) async fn send(
        &self,
        request: RequestBuilder,
        timeout: Duration,
        limit: usize,
        too_large: &str,
    ) -> Result<(StatusCode, Vec<u8>), Outcome> {
        let begun = Instant::now();
        let (client, request) = request.timeout(timeout).build_split();
        let request = request.map_err(|error| failure(error, timeout))?;
        self.config.guard.check(request.url()).map_err(|refused| Outcome::error(refused.to_string()))?;
        let mut retries = 0;
        let mut answer = loop {
            let Some(mut again) = request.try_clone() else {
                return Err(Outcome::error("the request cannot be sent: its body can be read once only"));
            };
            *again.timeout_mut() = Some(timeout.saturating_sub(begun.elapsed()));
            match client.execute(again).await {
                Ok(answer) => break answer,
                Err(error) if error.is_connect() && retries < RETRIES && guard::refusal(&error).is_none() => {
                    let pause = FIRST_PAUSE.mul_f64(f64::from(1 << retries) * (0.5 + fastrand::f64()));
                    retries += 1;
                    if begun.elapsed() + pause >= timeout {
                        return Err(failure(error, timeout));
                    }
                    tokio::time::sleep(pause).await;
                }
                Err(error) => return Err(failure(error, timeout)),
            }
        };
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
}

/// What is not a good answer, for services that say with the status whether it is one.
pub(super) fn good(who: &str, status: StatusCode, body: &[u8]) -> Result<(), Outcome> {
    if no_answer(status) {
        return Err(Outcome::NoAnswer { reason: format!("{who} answered {status}") });
    }
    if !status.is_success() {
        let kind = if matches!(status.as_u16(), 401 | 403) { "authentication error" } else { "non 2xx" };
        let code = status.as_u16();
        return Err(Outcome::error(format!("received {kind} response code: {code}: {}", excerpt(body))));
    }
    Ok(())
}

fn client_of(insecure: bool, guard: &Guard) -> Result<Client, String> {
    let builder = Client::builder()
        .user_agent("rollout-controller")
        .connect_timeout(Duration::from_secs(10))
        .redirect(guard.redirects())
        .dns_resolver(guard::resolver(guard));
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

/// The headers that a metric asks for; a token comes with [`Http::ask`]. Empty blocks of authentication count as absent: Argo Rollouts writes them.
pub(super) fn headers(
    authentication: Option<&Authentication>,
    extra: Option<&[WebMetricHeader]>,
) -> Result<HeaderMap, Wrong> {
    let mut headers = HeaderMap::new();
    let basic = authentication.and_then(|authentication| authentication.basic_auth.as_ref());
    if let Some(basic) = basic.filter(|config| **config != BasicAuthConfig::default()) {
        let (user, password) = (basic.username.as_deref(), basic.password.as_deref());
        let pair = format!("{}:{}", user.unwrap_or_default(), password.unwrap_or_default());
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        let mut value = HeaderValue::from_str(&format!("Basic {encoded}")).map_err(|error| error.to_string())?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
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
    if let Some(refused) = guard::refusal(&error) {
        return Outcome::error(refused.to_string());
    }
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
