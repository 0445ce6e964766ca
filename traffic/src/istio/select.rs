//! Which routes of a VirtualService are the Rollout's to change.
//!
//! Invariants: a name or a port that selects nothing is an error and not a wish for all; where nothing is named, the only route of a
//! kind is meant, if it leads to one of the two versions; routes of the controller's own are never among them.

use crds::{IstioVirtualService, TcpRoute, TlsRoute};
use serde_json::Value;

use super::list;
use super::weights::Names;
use crate::object::unsuitable;
use crate::{Reference, RouterError};

/// The lists of routes of a VirtualService.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Http,
    Tls,
    Tcp,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Http, Self::Tls, Self::Tcp];

    /// Name of the field in the spec.
    pub fn field(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
        }
    }
}

/// The indexes of the routes of each kind.
#[derive(Debug, Default)]
pub(super) struct Selection {
    http: Vec<usize>,
    tls: Vec<usize>,
    tcp: Vec<usize>,
}

/// Whether this VirtualService is used without its HTTP routes.
pub(super) fn without_http(config: &IstioVirtualService) -> bool {
    let none = |routes: &Option<Vec<String>>| routes.as_ref().is_none_or(Vec::is_empty);
    none(&config.routes)
        && (config.tls_routes.iter().flatten().next().is_some() || config.tcp_routes.iter().flatten().next().is_some())
}

/// A route in the words of messages.
pub(super) fn called(kind: Kind, index: usize, route: &Value) -> String {
    match route.get("name").and_then(Value::as_str) {
        Some(name) => format!("the {} route \"{name}\"", kind.field()),
        None => format!("spec.{}[{index}]", kind.field()),
    }
}

impl Selection {
    pub fn of(
        reference: &Reference,
        config: &IstioVirtualService,
        spec: &Value,
        names: &Names<'_>,
        managed: &[String],
    ) -> Result<Self, RouterError> {
        let routes = config.routes.as_deref().unwrap_or_default();
        let tls = config.tls_routes.as_deref().unwrap_or_default();
        let tcp = config.tcp_routes.as_deref().unwrap_or_default();
        let mut chosen = Self::default();
        for name in routes {
            let fits = |route: &Value| route.get("name").and_then(Value::as_str) == Some(name);
            let problem = || format!("has no HTTP route named \"{name}\"");
            add(&mut chosen.http, reference, list(spec, Kind::Http), fits, problem)?;
        }
        for wanted in tls {
            let problem = || format!("has no TLS route with {}", serde_json::to_string(wanted).unwrap_or_default());
            add(&mut chosen.tls, reference, list(spec, Kind::Tls), |route| fits_tls(route, wanted), problem)?;
        }
        for wanted in tcp {
            let problem = || format!("has no TCP route with {}", serde_json::to_string(wanted).unwrap_or_default());
            add(&mut chosen.tcp, reference, list(spec, Kind::Tcp), |route| fits_tcp(route, wanted), problem)?;
        }
        if routes.is_empty() && tls.is_empty() && tcp.is_empty() {
            for kind in Kind::ALL {
                chosen.only(reference, kind, spec, names, managed)?;
            }
            if Kind::ALL.iter().all(|kind| chosen.indexes(*kind).is_empty()) {
                return Err(unsuitable(reference, format!("has no route which leads to {}", names.told())));
            }
        }
        Ok(chosen)
    }

    /// Takes the only route of a kind.
    fn only(
        &mut self,
        reference: &Reference,
        kind: Kind,
        spec: &Value,
        names: &Names<'_>,
        managed: &[String],
    ) -> Result<(), RouterError> {
        let is_managed = |route: &Value| {
            let name = route.get("name").and_then(Value::as_str);
            kind == Kind::Http && name.is_some_and(|name| managed.iter().any(|managed| managed == name))
        };
        let mut users = list(spec, kind).iter().enumerate().filter(|(_, route)| !is_managed(route));
        match (users.next(), users.next()) {
            (Some((index, route)), None) if names.leads_here(route) => self.indexes_mut(kind).push(index),
            (Some(_), Some(_)) => {
                let problem = format!(
                    "has several {} routes; name those to change in virtualService.{}",
                    kind.field(),
                    match kind {
                        Kind::Http => "routes",
                        Kind::Tls => "tlsRoutes",
                        Kind::Tcp => "tcpRoutes",
                    },
                );
                return Err(unsuitable(reference, problem));
            }
            _ => {}
        }
        Ok(())
    }

    pub fn indexes(&self, kind: Kind) -> &[usize] {
        match kind {
            Kind::Http => &self.http,
            Kind::Tls => &self.tls,
            Kind::Tcp => &self.tcp,
        }
    }

    fn indexes_mut(&mut self, kind: Kind) -> &mut Vec<usize> {
        match kind {
            Kind::Http => &mut self.http,
            Kind::Tls => &mut self.tls,
            Kind::Tcp => &mut self.tcp,
        }
    }

    /// The selected routes with where they are.
    pub fn placed<'a>(&'a self, spec: &'a Value) -> impl Iterator<Item = (Kind, usize, &'a Value)> {
        Kind::ALL.into_iter().flat_map(move |kind| {
            let routes = list(spec, kind);
            self.indexes(kind).iter().filter_map(move |index| Some((kind, *index, routes.get(*index)?)))
        })
    }

    pub fn routes<'a>(&'a self, spec: &'a Value) -> impl Iterator<Item = &'a Value> {
        self.placed(spec).map(|(_, _, route)| route)
    }
}

fn add(
    chosen: &mut Vec<usize>,
    reference: &Reference,
    routes: &[Value],
    fits: impl Fn(&Value) -> bool,
    problem: impl Fn() -> String,
) -> Result<(), RouterError> {
    let before = chosen.len();
    let mut found = false;
    for (index, _) in routes.iter().enumerate().filter(|(_, route)| fits(route)) {
        found = true;
        if !chosen.contains(&index) {
            chosen.push(index);
        }
    }
    if found || chosen.len() > before { Ok(()) } else { Err(unsuitable(reference, problem())) }
}

fn matches(route: &Value) -> &[Value] {
    route.get("match").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn fits_port(one: &Value, port: Option<i64>) -> bool {
    port.is_none() || one.get("port").and_then(Value::as_i64) == port
}

fn fits_tls(route: &Value, wanted: &TlsRoute) -> bool {
    let hosts = wanted.sni_hosts.as_deref().unwrap_or_default();
    matches(route).iter().any(|one| {
        let mut found: Vec<&str> =
            one.get("sniHosts").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let mut hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        found.sort_unstable();
        hosts.sort_unstable();
        fits_port(one, wanted.port) && (hosts.is_empty() || found == hosts)
    })
}

fn fits_tcp(route: &Value, wanted: &TcpRoute) -> bool {
    // A route without a test takes every port.
    let all = matches(route);
    all.iter().any(|one| fits_port(one, wanted.port)) || all.is_empty() && wanted.port.is_none()
}
