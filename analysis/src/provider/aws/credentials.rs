//! Where AWS credentials come from, in the order of AWS' own tools: variables of the environment, a profile, the token of a service
//! account (IRSA), a container's credentials (EKS Pod Identity, ECS), the machine (IMDSv2).
//!
//! Invariants: credentials are used until shortly before they expire; no secret is ever in a text; the addresses asked here come from
//! the controller's environment, never from a metric, so that the guard does not apply.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crds::jiff::{SignedDuration, Timestamp};
use reqwest::{Client, RequestBuilder};
use serde_json::Value as Json;

use super::profile::{Profile, Profiles};
use super::sigv4::{self, Scope};
use crate::provider::{Environment, Outcome};

/// Credentials are renewed this long before they expire.
const EARLY: SignedDuration = SignedDuration::from_mins(5);
/// Time for one request to STS or to the machine.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a machine's metadata service; where there is none, nobody answers.
const SHORT: Duration = Duration::from_secs(2);
/// Profiles that name each other.
const DEPTH: u8 = 5;

/// An account.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::provider) struct Credentials {
    pub(in crate::provider) access_key: String,
    pub(in crate::provider) secret_key: String,
    pub(in crate::provider) token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// Whose credentials are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::provider) struct Wanted {
    pub(in crate::provider) region: String,
    pub(in crate::provider) profile: Option<String>,
    pub(in crate::provider) role: Option<String>,
}

struct Kept {
    credentials: Credentials,
    until: Option<Timestamp>,
}

/// The credentials that are known.
pub(in crate::provider) struct Aws {
    environment: Environment,
    client: OnceLock<Result<Client, String>>,
    kept: Mutex<HashMap<Wanted, Kept>>,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aws")
    }
}

fn wrong(text: impl Into<String>) -> Outcome {
    Outcome::error(format!("AWS credentials: {}", text.into()))
}

impl Aws {
    pub(in crate::provider) fn new(environment: Environment) -> Self {
        Self { environment, client: OnceLock::new(), kept: Mutex::default() }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name)
    }

    /// The endpoint of a service that the environment sets, as AWS' tools read it.
    pub(in crate::provider) fn endpoint(&self, service: &str) -> Option<&str> {
        self.variable(&format!("AWS_ENDPOINT_URL_{service}")).or_else(|| self.variable("AWS_ENDPOINT_URL"))
    }

    /// The region: the one given, or that of the environment or the profile.
    pub(in crate::provider) async fn region(
        &self,
        given: Option<&str>,
        profile: Option<&str>,
    ) -> Result<String, Outcome> {
        let known = given.map(str::trim).filter(|region| !region.is_empty());
        let known = known.or_else(|| self.variable("AWS_REGION")).or_else(|| self.variable("AWS_DEFAULT_REGION"));
        if let Some(region) = known {
            return Ok(region.to_owned());
        }
        let profile = profile.or_else(|| self.variable("AWS_PROFILE")).unwrap_or("default");
        let profiles = self.profiles().await;
        profiles
            .get(profile)
            .and_then(|profile| profile.get("region").cloned())
            .ok_or_else(|| Outcome::error("no AWS region: set AWS_REGION for the controller, or region in the metric"))
    }

    async fn profiles(&self) -> Profiles {
        let read = async |variable: &str, name: &str| {
            let path = match self.variable(variable) {
                Some(path) => PathBuf::from(path),
                None => PathBuf::from(self.variable("HOME").unwrap_or("/")).join(".aws").join(name),
            };
            // A file that is not there is one without profiles.
            tokio::fs::read_to_string(path).await.unwrap_or_default()
        };
        let config = read("AWS_CONFIG_FILE", "config").await;
        Profiles::read(&config, &read("AWS_SHARED_CREDENTIALS_FILE", "credentials").await)
    }

    /// The credentials, from before if they are still good.
    pub(in crate::provider) async fn get(&self, wanted: &Wanted, now: Timestamp) -> Result<Credentials, Outcome> {
        let known = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let good = |kept: &&Kept| kept.until.is_some_and(|until| until > now.saturating_add(EARLY).unwrap_or(now));
            kept.get(wanted).filter(good).map(|kept| kept.credentials.clone())
        };
        if let Some(credentials) = known {
            return Ok(credentials);
        }
        let base = self.base(wanted, now).await?;
        let fresh = match wanted.role.as_deref().filter(|role| !role.is_empty()) {
            Some(role) => self.assume(role, &base.credentials, &wanted.region, now).await?,
            None => base,
        };
        let credentials = fresh.credentials.clone();
        // Those without an end cost nothing to read again, and may have been changed.
        if fresh.until.is_some() {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(wanted.clone(), fresh);
        }
        Ok(credentials)
    }

    async fn base(&self, wanted: &Wanted, now: Timestamp) -> Result<Kept, Outcome> {
        if let Some(profile) = wanted.profile.as_deref().filter(|profile| !profile.is_empty()) {
            return self.of_profile(profile, &wanted.region, now, 0).await;
        }
        if let (Some(access), Some(secret)) =
            (self.variable("AWS_ACCESS_KEY_ID"), self.variable("AWS_SECRET_ACCESS_KEY"))
        {
            let token = self.variable("AWS_SESSION_TOKEN").map(str::to_owned);
            let credentials = Credentials { access_key: access.to_owned(), secret_key: secret.to_owned(), token };
            return Ok(Kept { credentials, until: None });
        }
        if let (Some(role), Some(file)) = (self.variable("AWS_ROLE_ARN"), self.variable("AWS_WEB_IDENTITY_TOKEN_FILE"))
        {
            return self.web_identity(role, file, &wanted.region).await;
        }
        let named = self.variable("AWS_PROFILE");
        let profile = named.unwrap_or("default");
        if named.is_some() || self.profiles().await.get(profile).is_some_and(holds_credentials) {
            return self.of_profile(profile, &wanted.region, now, 0).await;
        }
        if let Some(kept) = self.of_container().await? {
            return Ok(kept);
        }
        self.of_machine().await
    }

    async fn of_profile(&self, name: &str, region: &str, now: Timestamp, depth: u8) -> Result<Kept, Outcome> {
        let profiles = self.profiles().await;
        let profile = profiles.get(name).ok_or_else(|| wrong(format!("there is no profile {name}")))?;
        if let Some(credentials) = keys(profile) {
            return Ok(Kept { credentials, until: None });
        }
        let Some(role) = profile.get("role_arn") else {
            return Err(wrong(format!("the profile {name} has neither keys nor role_arn")));
        };
        if let Some(file) = profile.get("web_identity_token_file") {
            return self.web_identity(role, file, region).await;
        }
        let Some(source) = profile.get("source_profile") else {
            return Err(wrong(format!("the profile {name} has a role_arn but no source_profile")));
        };
        if depth >= DEPTH {
            return Err(wrong(format!("the source_profile of {name} leads too far")));
        }
        let source = if source == name {
            return Err(wrong(format!("the profile {name} is its own source_profile and has no keys")));
        } else {
            Box::pin(self.of_profile(source, region, now, depth + 1)).await?
        };
        self.assume(role, &source.credentials, region, now).await
    }

    fn client(&self) -> Result<&Client, Outcome> {
        let made = self.client.get_or_init(|| {
            let builder =
                Client::builder().user_agent("rollout-controller").redirect(reqwest::redirect::Policy::none());
            builder.build().map_err(|error| error.without_url().to_string())
        });
        made.as_ref().map_err(|error| wrong(format!("failed to set up TLS: {error}")))
    }

    async fn text(&self, who: &str, request: RequestBuilder, timeout: Duration) -> Result<String, Outcome> {
        let away = |error: reqwest::Error| Outcome::NoAnswer {
            reason: format!("AWS credentials: no answer from {who}: {}", error.without_url()),
        };
        let answer = request.timeout(timeout).send().await.map_err(away)?;
        let status = answer.status();
        let text = answer.text().await.map_err(away)?;
        if super::super::http::no_answer(status) {
            return Err(Outcome::NoAnswer { reason: format!("AWS credentials: {who} answered {status}") });
        }
        if !status.is_success() {
            let problem = tag(&text, "Message").unwrap_or_default();
            return Err(wrong(format!("{who} answered {status} {problem}").trim_end().to_owned()));
        }
        Ok(text)
    }

    fn sts(&self, region: &str) -> String {
        let end = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        self.endpoint("STS")
            .map_or_else(|| format!("https://sts.{region}.{end}/"), |given| format!("{}/", given.trim_end_matches('/')))
    }

    async fn assume(&self, role: &str, by: &Credentials, region: &str, now: Timestamp) -> Result<Kept, Outcome> {
        let fields = [
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", "rollout-controller"),
        ];
        let client = self.client()?;
        let mut request = client
            .post(self.sts(region))
            .form(&fields)
            .build()
            .map_err(|error| wrong(error.without_url().to_string()))?;
        sigv4::sign(&mut request, by, Scope { region, service: "sts", now }).map_err(wrong)?;
        let text = self.text("STS", RequestBuilder::from_parts(client.clone(), request), TIMEOUT).await?;
        of_sts(&text)
    }

    async fn web_identity(&self, role: &str, file: &str, region: &str) -> Result<Kept, Outcome> {
        let token = tokio::fs::read_to_string(file)
            .await
            .map_err(|error| wrong(format!("the token of the service account cannot be read: {error}")))?;
        let session = self.variable("AWS_ROLE_SESSION_NAME").unwrap_or("rollout-controller");
        let fields = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", session),
            ("WebIdentityToken", token.trim()),
        ];
        let request = self.client()?.post(self.sts(region)).form(&fields);
        of_sts(&self.text("STS", request, TIMEOUT).await?)
    }

    async fn of_container(&self) -> Result<Option<Kept>, Outcome> {
        let full = self.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").map(str::to_owned);
        let relative = self.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        let Some(address) = full.or_else(|| Some(format!("http://169.254.170.2{}", relative?))) else {
            return Ok(None);
        };
        let mut request = self.client()?.get(address);
        let token = match self.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(file) => {
                let unread = |error| wrong(format!("the token of the container cannot be read: {error}"));
                Some(tokio::fs::read_to_string(file).await.map_err(unread)?)
            }
            None => self.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(str::to_owned),
        };
        if let Some(token) = token {
            request = request.header("authorization", token.trim());
        }
        of_json(&self.text("the container's credentials", request, TIMEOUT).await?).map(Some)
    }

    async fn of_machine(&self) -> Result<Kept, Outcome> {
        if self.variable("AWS_EC2_METADATA_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Err(wrong(
                "there are none: neither in the environment, nor a profile, nor a service account's role",
            ));
        }
        let base = self.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or("http://169.254.169.254");
        let base = base.trim_end_matches('/');
        let client = self.client()?;
        let who = "the machine's metadata";
        let none = |_| {
            wrong(
                "there are none: neither in the environment, nor a profile, nor a service account's role, nor the machine's",
            )
        };
        let request =
            client.put(format!("{base}/latest/api/token")).header("x-aws-ec2-metadata-token-ttl-seconds", "300");
        let token = self.text(who, request, SHORT).await.map_err(none)?;
        let get = |path: &str| {
            client
                .get(format!("{base}/latest/meta-data/iam/security-credentials/{path}"))
                .header("x-aws-ec2-metadata-token", &token)
        };
        let role = self.text(who, get(""), SHORT).await.map_err(none)?;
        of_json(&self.text(who, get(role.lines().next().unwrap_or_default()), SHORT).await?)
    }
}

fn keys(profile: &Profile) -> Option<Credentials> {
    Some(Credentials {
        access_key: profile.get("aws_access_key_id")?.clone(),
        secret_key: profile.get("aws_secret_access_key")?.clone(),
        token: profile.get("aws_session_token").cloned(),
    })
}

fn holds_credentials(profile: &Profile) -> bool {
    keys(profile).is_some() || profile.contains_key("role_arn")
}

/// The text of an element that occurs once.
fn tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once("</").map(|(text, _)| text.trim())
}

fn of_sts(text: &str) -> Result<Kept, Outcome> {
    let part = |name: &str| {
        let text = tag(text, name).map(|text| text.replace("&amp;", "&"));
        text.ok_or_else(|| wrong(format!("the answer of STS has no {name}")))
    };
    let until = part("Expiration")?.parse().map_err(|_| wrong("the answer of STS has a wrong Expiration"))?;
    let credentials = Credentials {
        access_key: part("AccessKeyId")?,
        secret_key: part("SecretAccessKey")?,
        token: Some(part("SessionToken")?),
    };
    Ok(Kept { credentials, until: Some(until) })
}

fn of_json(text: &str) -> Result<Kept, Outcome> {
    let answer: Json = serde_json::from_str(text).map_err(|_| wrong("the answer is no JSON"))?;
    let part = |name: &str| answer.get(name).and_then(Json::as_str).map(str::to_owned);
    let need = |name: &str| part(name).ok_or_else(|| wrong(format!("the answer has no {name}")));
    let credentials =
        Credentials { access_key: need("AccessKeyId")?, secret_key: need("SecretAccessKey")?, token: part("Token") };
    Ok(Kept { credentials, until: part("Expiration").and_then(|at| at.parse().ok()) })
}
