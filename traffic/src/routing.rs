//! What the traffic should look like, whatever router carries it.

use crds::{RouteMatch, StringMatch};

/// A share of the traffic, in units of the router's total (`maxTrafficWeight`, 100 unless the user set another).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(pub u32);

/// Requests with a certain header. Routes of the same name are one route, for which one of the tests is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRoute {
    /// Name of the route, one of the managed ones.
    pub name: String,
    /// Name of the header.
    pub header: String,
    /// What it must be.
    pub value: HeaderValue,
}

/// What a header must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// Exactly this.
    Exact(String),
    /// It begins with this.
    Prefix(String),
    /// It matches this regular expression.
    Regex(String),
}

impl HeaderValue {
    /// As a Rollout says it; `None` when it tests nothing.
    pub fn of(test: &StringMatch) -> Option<Self> {
        match (&test.exact, &test.prefix, &test.regex) {
            (Some(exact), _, _) => Some(Self::Exact(exact.clone())),
            (None, Some(prefix), _) => Some(Self::Prefix(prefix.clone())),
            (None, None, Some(regex)) => Some(Self::Regex(regex.clone())),
            (None, None, None) => None,
        }
    }
}

/// Requests of which a copy goes to the canary, whose answers are discarded.
#[derive(Clone, Debug, PartialEq)]
pub struct MirrorRoute {
    /// Name of the route, one of the managed ones.
    pub name: String,
    /// Which requests; one of these is enough.
    pub matches: Vec<RouteMatch>,
    /// Share of these requests that is copied, in percent.
    pub percentage: u32,
}

/// A version of an Experiment that gets a share of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Additional {
    /// Name of its Service.
    pub service: String,
    /// Its share.
    pub weight: Weight,
}

/// What the traffic should look like.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// The canary's share; the stable version has what is left.
    pub canary: Weight,
    /// The total, `maxTrafficWeight` or 100.
    pub max: Weight,
    /// Shares of an Experiment's versions.
    pub additional: Vec<Additional>,
    /// Services of Experiments that may still have a share from earlier and are to have none.
    pub retired: Vec<String>,
    /// Requests that go to the canary by a header, whatever the weight.
    pub headers: Vec<HeaderRoute>,
    /// Requests that are copied to the canary.
    pub mirrors: Vec<MirrorRoute>,
    /// Name of the canary Service; empty where a router tells versions apart itself.
    pub canary_service: String,
    /// Name of the stable Service; empty where a router tells versions apart itself.
    pub stable_service: String,
}
