//! Tokens by OAuth 2 client credentials (RFC 6749 §4.4), for every provider that asks over HTTP.
//!
//! Invariants: a token is used until shortly before it expires and never longer; an issuer that is away is nobody's fault and holds the
//! analysis like a provider that is away; neither secret nor token is ever in a text.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crds::OAuth2Config;
use http::StatusCode;
use http::header::HeaderValue;
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use tokio::time::Instant;

use super::Outcome;
use super::http::{Http, address, excerpt, no_answer};
use crate::template::args::Redactor;

/// A token is renewed this long before it expires, so that it is still good when it arrives.
const EARLY: Duration = Duration::from_secs(10);
/// For how long a token is used whose issuer does not say.
const UNSAID: Duration = Duration::from_mins(5);
/// Largest answer of an issuer, in bytes.
const LIMIT: usize = 64 << 10;
/// Tokens that are kept; there are as many as there are different settings in use.
const KEPT: usize = 256;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Account {
    url: String,
    id: String,
    secret: String,
    scopes: String,
}

struct Token {
    header: HeaderValue,
    until: Instant,
}

/// The tokens that are still good.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<Account, Token>>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    token_type: String,
    expires_in: Option<serde_json::Value>,
}

/// A header, and whether it is known from an earlier measurement.
pub(super) struct Granted {
    pub(super) header: HeaderValue,
    pub(super) known: bool,
}

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, HashMap<Account, Token>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The `Authorization` header for these settings; asks the issuer when there is no token that is still good.
    pub(super) async fn header(
        &self,
        http: &Http,
        by: &Client,
        config: &OAuth2Config,
        timeout: Duration,
    ) -> Result<Granted, Outcome> {
        let client = client(config)?;
        let known =
            self.lock().get(&client).filter(|token| token.until > Instant::now()).map(|token| token.header.clone());
        if let Some(header) = known {
            return Ok(Granted { header, known: true });
        }
        let asked = Instant::now();
        let answer = fetch(http, by, &client, timeout).await?;
        let header = header(&answer)?;
        let until = asked + lifetime(&answer);
        let mut tokens = self.lock();
        tokens.retain(|_, token| token.until > asked);
        if tokens.len() < KEPT && until > asked {
            tokens.insert(client, Token { header: header.clone(), until });
        }
        Ok(Granted { header, known: false })
    }

    /// Forgets a token that was not taken.
    pub(super) fn forget(&self, config: &OAuth2Config) {
        if let Ok(client) = client(config) {
            self.lock().remove(&client);
        }
    }
}

fn client(config: &OAuth2Config) -> Result<Account, Outcome> {
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().trim().to_owned();
    let client = Account {
        url: text(&config.token_url),
        id: text(&config.client_id),
        secret: text(&config.client_secret),
        scopes: config.scopes.as_deref().unwrap_or_default().join(" "),
    };
    address(&client.url, "authentication.oauth2.tokenUrl", "https://login.example/oauth2/token")
        .map_err(Outcome::error)?;
    if client.id.is_empty() {
        return Err(Outcome::error("authentication.oauth2.clientId is empty: write the id of the client"));
    }
    Ok(client)
}

async fn fetch(http: &Http, by: &Client, client: &Account, timeout: Duration) -> Result<Answer, Outcome> {
    let mut fields = vec![("grant_type", "client_credentials")];
    if !client.scopes.is_empty() {
        fields.push(("scope", &client.scopes));
    }
    let begun = Instant::now();
    let (id, secret) = (encoded(&client.id), encoded(&client.secret));
    let (status, body) = issue(http, by.post(&client.url).basic_auth(id, Some(secret)).form(&fields), timeout).await?;
    let (status, body) = if matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED) {
        // Some issuers take the credentials in the body only.
        fields.extend([("client_id", client.id.as_str()), ("client_secret", client.secret.as_str())]);
        issue(http, by.post(&client.url).form(&fields), timeout.saturating_sub(begun.elapsed())).await?
    } else {
        (status, body)
    };
    if !status.is_success() {
        let message = format!("the tokenUrl of authentication.oauth2 answered {status}: {}", excerpt(&body));
        return Err(Outcome::error(Redactor::new([client.secret.clone()]).clean(&message)));
    }
    // The answer holds a token: nothing of it goes into the text.
    serde_json::from_slice(&body)
        .map_err(|_| Outcome::error("the tokenUrl of authentication.oauth2 did not answer with an access_token"))
}

/// As RFC 6749 §2.3.1 wants credentials in a header: like a field of a form.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

async fn issue(http: &Http, request: RequestBuilder, timeout: Duration) -> Result<(StatusCode, Vec<u8>), Outcome> {
    let from_issuer = |outcome| match outcome {
        Outcome::NoAnswer { reason } => {
            Outcome::NoAnswer { reason: format!("the tokenUrl of authentication.oauth2: {reason}") }
        }
        Outcome::Error { message, metadata } => {
            Outcome::Error { message: format!("the tokenUrl of authentication.oauth2: {message}"), metadata }
        }
        other @ (Outcome::Measured { .. } | Outcome::Judged { .. }) => other,
    };
    let (status, body) = http.send(request, timeout, LIMIT, "a token is small").await.map_err(from_issuer)?;
    if no_answer(status) {
        let reason = format!("the tokenUrl of authentication.oauth2 answered {status}");
        return Err(Outcome::NoAnswer { reason });
    }
    Ok((status, body))
}

fn header(answer: &Answer) -> Result<HeaderValue, Outcome> {
    let kind = match answer.token_type.as_str() {
        "" => "Bearer",
        kind if kind.eq_ignore_ascii_case("bearer") => "Bearer",
        other => other,
    };
    let mut header = HeaderValue::from_str(&format!("{kind} {}", answer.access_token))
        .map_err(|_| Outcome::error("the access_token of authentication.oauth2 cannot be sent in a header"))?;
    header.set_sensitive(true);
    Ok(header)
}

/// For how long the token may be used: a number of seconds, which some issuers write as text.
fn lifetime(answer: &Answer) -> Duration {
    let seconds = answer.expires_in.as_ref().and_then(|value| match value {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    });
    seconds.map_or(UNSAID, |seconds| Duration::from_secs(u64::min(seconds, 86_400)).saturating_sub(EARLY))
}
