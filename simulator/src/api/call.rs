//! One request, taken apart.

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

/// What a path points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Discovery, version, health.
    Other,
    /// A kind of object, one object, or a sub-resource of one.
    Resource(Place),
}

/// A place among the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    pub(crate) plural: String,
    pub(crate) name: Option<String>,
    pub(crate) sub: Option<String>,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn new(parts: &http::request::Parts, body: Bytes) -> Self {
        Self {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: parse_query(parts.uri.query().unwrap_or_default()),
            headers: parts.headers.clone(),
            body,
        }
    }

    /// The query parameter, unless empty.
    pub(crate) fn param(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(found, value)| found == key && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.query.iter().any(|(found, value)| found == key && value != "0" && value != "false")
    }

    pub(crate) fn header(&self, key: &str) -> &str {
        self.headers.get(key).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The media type of the body, without parameters.
    pub(crate) fn media_type(&self) -> &str {
        self.header("content-type").split(';').next().unwrap_or_default().trim()
    }

    pub(crate) fn dry_run(&self) -> bool {
        self.query.iter().any(|(key, value)| key == "dryRun" && value == "All")
    }

    pub(crate) fn target(&self) -> Target {
        let parts: Vec<String> = self.path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => place("", version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => place(group, version, rest),
            _ => Target::Other,
        }
    }

    /// The verb as Kubernetes names it.
    pub(crate) fn verb(&self) -> &'static str {
        let named = matches!(self.target(), Target::Resource(Place { name: Some(_), .. }));
        match (self.method.as_str(), named) {
            ("GET" | "HEAD", _) if self.watching() => "watch",
            ("GET" | "HEAD", true) => "get",
            ("GET" | "HEAD", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "delete",
            ("DELETE", false) => "deletecollection",
            _ => "",
        }
    }

    pub(crate) fn watching(&self) -> bool {
        let named = matches!(self.target(), Target::Resource(Place { name: Some(_), .. }));
        !named && self.method == Method::GET && self.flag("watch")
    }

    /// The body as JSON; YAML is read too, as `kubectl apply --server-side` sends it.
    pub(crate) fn json(&self) -> Result<Value, String> {
        if self.media_type().ends_with("yaml") {
            let text = std::str::from_utf8(&self.body).map_err(|error| error.to_string())?;
            return serde_saphyr::from_str::<Value>(text).map_err(|error| error.to_string());
        }
        serde_json::from_slice(&self.body).map_err(|error| error.to_string())
    }
}

fn place(group: &str, version: &str, rest: &[&str]) -> Target {
    let owned = |text: &str| Some(text.to_owned());
    let make = |namespace: Option<String>, plural: &str, name: Option<String>, sub: Option<String>| {
        Target::Resource(Place {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace,
            plural: plural.to_owned(),
            name,
            sub,
        })
    };
    match rest {
        ["namespaces", namespace, sub @ ("status" | "finalize")] if group.is_empty() => {
            make(None, "namespaces", owned(namespace), owned(sub))
        }
        ["namespaces", namespace, plural] => make(owned(namespace), plural, None, None),
        ["namespaces", namespace, plural, name] => make(owned(namespace), plural, owned(name), None),
        ["namespaces", namespace, plural, name, sub @ ..] if !sub.is_empty() => {
            make(owned(namespace), plural, owned(name), Some(sub.join("/")))
        }
        [plural] => make(None, plural, None, None),
        [plural, name] => make(None, plural, owned(name), None),
        [plural, name, sub @ ..] => make(None, plural, owned(name), Some(sub.join("/"))),
        [] => Target::Other,
    }
}

fn parse_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&key.replace('+', " ")), decode(&value.replace('+', " ")))
        })
        .collect()
}

/// Undoes percent-encoding; what is not valid stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(byte) = bytes.get(index) {
        let escaped = (*byte == b'%')
            .then(|| text.get(index + 1..index + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(found) = escaped {
            out.push(found);
            index += 3;
        } else {
            out.push(*byte);
            index += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
