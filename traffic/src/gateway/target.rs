//! The routes a Rollout names: their kinds, and whether header and mirror routes are added to them.

use crds::{GatewayApiRoute, GatewayApiTrafficRouting};
use serde_json::Value;

use crate::object::unsuitable;
use crate::{Reference, RouterError};

/// Rules that a route may have, and tests that all of them together may have; the schema says so.
const MOST_RULES: usize = 16;
const MOST_MATCHES: usize = 128;

/// Kind of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// HTTP requests.
    Http,
    /// gRPC calls.
    Grpc,
    /// TCP connections.
    Tcp,
    /// TLS connections, told apart by server name.
    Tls,
}

impl Kind {
    /// As in `kind:`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTPRoute",
            Self::Grpc => "GRPCRoute",
            Self::Tcp => "TCPRoute",
            Self::Tls => "TLSRoute",
        }
    }

    /// As in URLs.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Http => "httproutes",
            Self::Grpc => "grpcroutes",
            Self::Tcp => "tcproutes",
            Self::Tls => "tlsroutes",
        }
    }

    /// Whether rules can test requests.
    pub const fn has_matches(self) -> bool {
        matches!(self, Self::Http | Self::Grpc)
    }

    /// The reference of a route of this kind.
    pub fn reference(self, name: String, namespace: Option<String>) -> Reference {
        Reference {
            api_version: "gateway.networking.k8s.io/v1",
            kind: self.name(),
            plural: self.plural(),
            namespace,
            name,
        }
    }
}

/// Refuses what the API server would refuse, with what would be right.
pub(super) fn check_size(reference: &Reference, rules: &[Value]) -> Result<(), RouterError> {
    let matches: usize =
        rules.iter().map(|rule| rule.get("matches").and_then(Value::as_array).map_or(0, Vec::len)).sum();
    if rules.len() > MOST_RULES || matches > MOST_MATCHES {
        let problem = format!(
            "would have {} rules with {matches} matches, and a route may have {MOST_RULES} with {MOST_MATCHES}; divide it into several",
            rules.len()
        );
        return Err(unsuitable(reference, problem));
    }
    Ok(())
}

/// A route by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub kind: Kind,
    pub name: String,
    /// Whether header and mirror routes are added.
    pub headers: bool,
}

/// The routes that are named, each once. A route named alone gets header routes, one in a list when it says so.
pub(super) fn named(config: &GatewayApiTrafficRouting) -> Vec<Target> {
    let mut found: Vec<Target> = Vec::new();
    let mut add = |kind: Kind, one: &Option<String>, several: &Option<Vec<GatewayApiRoute>>| {
        let one = one.iter().map(|name| (name, true));
        let several = several.iter().flatten().map(|route| (&route.name, route.use_header_routes == Some(true)));
        for (name, headers) in one.chain(several).filter(|(name, _)| !name.is_empty()) {
            let headers = headers && kind.has_matches();
            match found.iter_mut().find(|known| known.kind == kind && known.name == *name) {
                Some(known) => known.headers |= headers,
                None => found.push(Target { kind, name: name.clone(), headers }),
            }
        }
    };
    add(Kind::Http, &config.http_route, &config.http_routes);
    add(Kind::Grpc, &config.grpc_route, &config.grpc_routes);
    add(Kind::Tcp, &config.tcp_route, &config.tcp_routes);
    add(Kind::Tls, &config.tls_route, &config.tls_routes);
    found
}
