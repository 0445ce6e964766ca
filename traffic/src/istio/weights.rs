//! The destinations of one route: whose each is, what share it has, and the shares that are desired.
//!
//! Invariants: of a destination that stays only `weight` is written, and only when it says something else; the shares of a route sum
//! to 100; a destination that is neither of the two versions nor an Experiment's is not touched.

use serde_json::{Value, json};

use super::TOTAL;
use crate::object::unsuitable;
use crate::shares::{Destinations, Whose};
use crate::{Additional, Reference, RouterError, Routing, Services};

/// The names by which destinations are known.
#[derive(Clone, Debug)]
pub(super) struct Names<'a> {
    pub namespace: &'a str,
    pub services: &'a Services,
    /// Subsets of the canary and of the stable version.
    pub subsets: Option<(&'a str, &'a str)>,
    /// Subsets that may stand beside the two.
    pub kept: &'a [String],
    pub additional: &'a [Additional],
    pub retired: Vec<&'a str>,
}

impl Destinations for Names<'_> {
    fn additional(&self) -> &[Additional] {
        self.additional
    }

    fn whose(&self, destination: &Value) -> Whose {
        let at = |field: &str| destination.pointer(&format!("/destination/{field}")).and_then(Value::as_str);
        if let (Some((canary, stable)), Some(subset)) = (self.subsets, at("subset")) {
            if subset == canary {
                return Whose::Canary;
            }
            if subset == stable {
                return Whose::Stable;
            }
            if self.kept.iter().any(|kept| kept == subset) {
                return Whose::Kept;
            }
        }
        let host = at("host").unwrap_or_default();
        let is = |service: &str| is_host_of(host, service, self.namespace);
        if is(&self.services.canary) {
            Whose::Canary
        } else if is(&self.services.stable) && self.subsets.is_none() {
            Whose::Stable
        } else if let Some(place) = self.additional.iter().position(|one| is(&one.service)) {
            Whose::Additional(place)
        } else if self.retired.iter().any(|service| is(service)) {
            Whose::Retired
        } else {
            Whose::Foreign
        }
    }

    /// Without a weight beside others it gets nothing.
    fn weight(destination: &Value) -> u64 {
        destination.get("weight").and_then(Value::as_u64).filter(|weight| u32::try_from(*weight).is_ok()).unwrap_or(0)
    }

    /// The only destination has everything, whatever its weight.
    fn says(destination: &Value, share: u64, alone: bool) -> bool {
        Self::weight(destination) == share || alone && share == u64::from(TOTAL)
    }

    fn beside(stable: &Value, service: &str) -> Value {
        let host = stable.pointer("/destination/host").and_then(Value::as_str).unwrap_or_default();
        let host = match host.split_once('.') {
            Some((_, domain)) => format!("{service}.{domain}"),
            None => service.to_owned(),
        };
        let mut destination = json!({ "host": host });
        if let (Some(port), Some(fields)) = (stable.pointer("/destination/port"), destination.as_object_mut()) {
            fields.insert("port".to_owned(), port.clone());
        }
        json!({ "destination": destination })
    }
}

impl Names<'_> {
    /// The two versions in the words of messages.
    pub fn told(&self) -> String {
        match self.subsets {
            Some((canary, stable)) => format!("the subsets {stable} and {canary}"),
            None => format!("{} and {}", self.services.stable, self.services.canary),
        }
    }

    /// Whether a route leads to one of the two versions.
    pub fn leads_here(&self, route: &Value) -> bool {
        let ours = |one: &Value| matches!(self.whose(one), Whose::Canary | Whose::Stable);
        destinations(route).iter().any(ours)
    }

    /// The canary's share of a route; `None` when it does not lead there.
    pub fn carried(&self, route: &Value) -> Option<u32> {
        let all = destinations(route);
        let canary = all.iter().filter(|one| self.whose(one) == Whose::Canary);
        let carried = canary.map(|one| if all.len() == 1 { u64::from(TOTAL) } else { Self::weight(one) });
        carried.reduce(u64::saturating_add).map(|weight| u32::try_from(weight).unwrap_or(u32::MAX))
    }

    /// Writes the desired shares into a route.
    pub fn divide(&self, reference: &Reference, route: &mut Value, desired: &Routing) -> Result<(), RouterError> {
        let Some(all) = route.get_mut("route").and_then(Value::as_array_mut) else {
            return Err(unsuitable(reference, format!("has a route without destinations; it needs {}", self.told())));
        };
        let stable = all.iter().find(|one| self.whose(one) == Whose::Stable).cloned();
        let Some(stable) = stable else {
            return Err(unsuitable(
                reference,
                format!("has a route without the stable version; it needs {}", self.told()),
            ));
        };
        if desired.canary.0 > 0 && !all.iter().any(|one| self.whose(one) == Whose::Canary) {
            return Err(unsuitable(reference, format!("has a route without the canary; it needs {}", self.told())));
        }
        self.share(all, &stable, desired, u64::from(TOTAL));
        Ok(())
    }

    /// What is wrong with a route.
    pub fn check(&self, reference: &Reference, called: &str, route: &Value) -> Result<(), RouterError> {
        let all = destinations(route);
        let count = |wanted: Whose| all.iter().filter(|one| self.whose(one) == wanted).count();
        for (whose, role) in [(Whose::Canary, "canary"), (Whose::Stable, "stable")] {
            match count(whose) {
                1 => {}
                0 => {
                    let problem =
                        format!("{called} has no destination for the {role} version; it needs {}", self.told());
                    return Err(unsuitable(reference, problem));
                }
                _ => {
                    let problem = format!("{called} has several destinations for the {role} version");
                    return Err(unsuitable(reference, problem));
                }
            }
        }
        if let Some(one) = all.iter().find(|one| self.whose(one) == Whose::Foreign && Self::weight(one) > 0) {
            let problem = format!(
                "{called} has the destination {} beside the two versions ({}), whose weight could not be kept; give it a route of its own",
                one.get("destination").unwrap_or(&Value::Null),
                self.told(),
            );
            return Err(unsuitable(reference, problem));
        }
        Ok(())
    }

    /// The destination of the canary alone, as a route that exists writes it.
    pub fn canary(&self, primary: &Value) -> Option<Value> {
        let all = destinations(primary);
        let canary = all.iter().find(|one| self.whose(one) == Whose::Canary)?;
        canary.get("destination").cloned()
    }
}

/// The destinations of a route.
fn destinations(route: &Value) -> &[Value] {
    route.get("route").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether a host is this Service: its name, alone or with its namespace and the cluster's domain.
fn is_host_of(host: &str, service: &str, namespace: &str) -> bool {
    let Some(rest) = host.strip_prefix(service).filter(|_| !service.is_empty()) else { return false };
    if rest.is_empty() {
        return true;
    }
    let Some(rest) = rest.strip_prefix('.').and_then(|rest| rest.strip_prefix(namespace)) else { return false };
    rest.is_empty() || rest == ".svc" || rest.starts_with(".svc.")
}

#[cfg(test)]
mod tests {
    use super::is_host_of;

    #[test]
    fn a_host_is_a_service_by_its_short_and_by_its_full_name() {
        for host in ["web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local"] {
            assert!(is_host_of(host, "web", "shop"), "{host}");
        }
        for host in ["web2", "web.example", "web.other.svc.cluster.local", "web.shopping", "", "shop.web"] {
            assert!(!is_host_of(host, "web", "shop"), "{host}");
        }
        assert!(!is_host_of("", "", "shop"));
    }
}
