//! AWS Signature Version 4 of a request, in its headers
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).
//!
//! Invariants: pure; what is signed is what is sent, for the query is rewritten in the canonical form.

use std::fmt::Write as _;

use crds::jiff::Timestamp;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::Request;
use reqwest::Url;
use ring::{digest, hmac};

use super::credentials::Credentials;

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What the signature is for.
#[derive(Debug, Clone, Copy)]
pub(in crate::provider) struct Scope<'a> {
    pub(in crate::provider) region: &'a str,
    pub(in crate::provider) service: &'a str,
    pub(in crate::provider) now: Timestamp,
}

/// Signs a request whose headers and body are complete.
pub(in crate::provider) fn sign(
    request: &mut Request,
    credentials: &Credentials,
    scope: Scope<'_>,
) -> Result<(), String> {
    let query = canonical_query(request.url());
    request.url_mut().set_query((!query.is_empty()).then_some(query.as_str()));
    let body = request.body().map(|body| body.as_bytes().ok_or("a body that is read once cannot be signed"));
    let hash = hex(digest::digest(&digest::SHA256, body.transpose()?.unwrap_or_default()).as_ref());
    let method = request.method().as_str().to_owned();
    let url = request.url().clone();
    let headers = request.headers_mut();
    let unfit = |_| "the credentials of AWS cannot be sent in a header".to_owned();
    headers.insert(DATE, HeaderValue::from_str(&moment(scope.now)).map_err(unfit)?);
    if let Some(token) = &credentials.token {
        let mut token = HeaderValue::from_str(token).map_err(unfit)?;
        token.set_sensitive(true);
        headers.insert(TOKEN, token);
    }
    let signature = authorization(&method, &url, headers, &hash, credentials, scope);
    let mut signature = HeaderValue::from_str(&signature).map_err(unfit)?;
    signature.set_sensitive(true);
    headers.insert(AUTHORIZATION, signature);
    Ok(())
}

fn moment(now: Timestamp) -> String {
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Percent-encoding of RFC 3986, with capital letters.
fn encode(text: &str, slash: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if slash => out.push('/'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

fn canonical_query(url: &Url) -> String {
    let mut pairs: Vec<(String, String)> =
        url.query_pairs().map(|(name, text)| (encode(&name, false), encode(&text, false))).collect();
    pairs.sort();
    pairs.into_iter().map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>().join("&")
}

/// The `Authorization` header. Signed are the host, the type of the body and whatever is AWS' own.
fn authorization(
    method: &str,
    url: &Url,
    headers: &HeaderMap,
    body_hash: &str,
    credentials: &Credentials,
    scope: Scope<'_>,
) -> String {
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let mut signed: Vec<(String, String)> = headers
        .iter()
        .filter(|(name, _)| *name == CONTENT_TYPE || name.as_str().starts_with("x-amz-"))
        .map(|(name, value)| {
            let text = String::from_utf8_lossy(value.as_bytes());
            (name.to_string(), text.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect();
    signed.push((HOST.to_string(), host));
    signed.sort();
    let names = signed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines = signed.iter().map(|(name, text)| format!("{name}:{text}")).collect::<Vec<_>>().join("\n");
    // The path of an address is encoded already; all services but S3 want it encoded once more.
    let path = encode(url.path(), true);
    let canonical = format!("{method}\n{path}\n{}\n{lines}\n\n{names}\n{body_hash}", canonical_query(url));
    let (Scope { region, service, now }, when) = (scope, moment(scope.now));
    let day = now.strftime("%Y%m%d").to_string();
    let place = format!("{day}/{region}/{service}/aws4_request");
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("{ALGORITHM}\n{when}\n{place}\n{hash}");
    let first = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{}", credentials.secret_key).as_bytes());
    let key = [day.as_str(), region, service, "aws4_request"]
        .iter()
        .fold(first, |key, part| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref()));
    let signature = hex(hmac::sign(&key, text.as_bytes()).as_ref());
    format!("{ALGORITHM} Credential={}/{place}, SignedHeaders={names}, Signature={signature}", credentials.access_key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Key, date and scope of AWS' published test suite (aws-sig-v4-test-suite); the signatures are its own.
    fn signed(method: &str, address: &str, headers: &[(&str, &str)], body: &str, service: &str) -> String {
        let credentials = Credentials {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            token: None,
        };
        let mut request = Request::new(method.parse().unwrap(), address.parse().unwrap());
        for (name, text) in headers {
            request.headers_mut().insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), text.parse().unwrap());
        }
        if !body.is_empty() {
            *request.body_mut() = Some(body.to_owned().into());
        }
        let now = "2015-08-30T12:36:00Z".parse().unwrap();
        sign(&mut request, &credentials, Scope { region: "us-east-1", service, now }).unwrap();
        let header = request.headers().get(AUTHORIZATION).unwrap().to_str().unwrap().to_owned();
        header.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn the_published_signatures() {
        for (name, method, address, headers, body, service, signature) in [
            (
                "get-vanilla",
                "GET",
                "https://example.amazonaws.com/",
                &[][..],
                "",
                "service",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-key-case",
                "GET",
                "https://example.amazonaws.com/?Param2=value2&Param1=value1",
                &[],
                "",
                "service",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "post-vanilla",
                "POST",
                "https://example.amazonaws.com/",
                &[],
                "",
                "service",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-x-www-form-urlencoded",
                "POST",
                "https://example.amazonaws.com/",
                &[("content-type", "application/x-www-form-urlencoded")],
                "Param1=value1",
                "service",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "ListUsers of the IAM User Guide",
                "GET",
                "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
                &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
                "",
                "iam",
                "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            ),
        ] {
            assert_eq!(signed(method, address, headers, body, service), signature, "{name}");
        }
    }

    #[test]
    fn a_query_is_sent_as_it_is_signed() {
        let url: Url = "https://a.b/?query=sum(rate(x{a=\"b c\"}[5m]))+%2B+1".parse().unwrap();
        assert_eq!(canonical_query(&url), "query=sum%28rate%28x%7Ba%3D%22b%20c%22%7D%5B5m%5D%29%29%20%2B%201");
    }
}
