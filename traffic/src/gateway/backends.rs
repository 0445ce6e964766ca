//! The backends of one rule: whose each is, what share it has, and the shares that are desired.

use serde_json::{Value, json};

use crate::object::unsuitable;
use crate::shares::{Destinations, Whose};
use crate::{Additional, Reference, RouterError, Routing, Services};

/// The names by which backends are known.
#[derive(Clone, Debug)]
pub(super) struct Names<'a> {
    /// Namespace of the Rollout and its Services.
    pub rollout: &'a str,
    /// Namespace of the routes: that of a backend which does not say any.
    pub routes: &'a str,
    pub services: &'a Services,
    pub additional: &'a [Additional],
    pub retired: Vec<&'a str>,
    /// The total.
    pub max: u32,
}

impl Destinations for Names<'_> {
    fn additional(&self) -> &[Additional] {
        self.additional
    }

    fn whose(&self, backend: &Value) -> Whose {
        let text = |field: &str| backend.get(field).and_then(Value::as_str);
        let is_service = text("group").is_none_or(str::is_empty) && text("kind").is_none_or(|kind| kind == "Service");
        if !is_service || text("namespace").unwrap_or(self.routes) != self.rollout {
            return Whose::Foreign;
        }
        let name = text("name").unwrap_or_default();
        if name == self.services.canary {
            Whose::Canary
        } else if name == self.services.stable {
            Whose::Stable
        } else if let Some(place) = self.additional.iter().position(|one| one.service == name) {
            Whose::Additional(place)
        } else if self.retired.contains(&name) {
            Whose::Retired
        } else {
            Whose::Foreign
        }
    }

    /// Without a weight it has 1.
    fn weight(backend: &Value) -> u64 {
        match backend.get("weight") {
            None | Some(Value::Null) => 1,
            Some(weight) => weight.as_u64().unwrap_or(0),
        }
    }

    fn says(backend: &Value, share: u64, _alone: bool) -> bool {
        backend.get("weight").and_then(Value::as_u64) == Some(share)
    }

    fn beside(stable: &Value, service: &str) -> Value {
        let kept = ["group", "kind", "namespace", "port"].into_iter();
        let kept = kept.filter_map(|field| Some((field.to_owned(), stable.get(field)?.clone())));
        kept.chain([("name".to_owned(), json!(service))]).collect()
    }
}

impl Names<'_> {
    fn has(&self, rule: &Value, wanted: Whose) -> bool {
        backends(rule).iter().any(|backend| self.whose(backend) == wanted)
    }

    /// Whether a rule leads to both versions.
    pub fn takes_part(&self, rule: &Value) -> bool {
        self.has(rule, Whose::Canary) && self.has(rule, Whose::Stable)
    }

    /// Whether a rule leads to the canary and nowhere else.
    pub fn only_canary(&self, rule: &Value) -> bool {
        let all = backends(rule);
        !all.is_empty() && all.iter().all(|backend| self.whose(backend) == Whose::Canary)
    }

    /// Whether this is the canary Service.
    pub fn is_canary(&self, backend: &Value) -> bool {
        self.whose(backend) == Whose::Canary
    }

    /// The canary's share of a rule, rounded up, out of the total; `None` when it does not lead there.
    pub fn carried(&self, rule: &Value) -> Option<u32> {
        let all = backends(rule);
        let canary: u64 = all
            .iter()
            .filter(|backend| self.whose(backend) == Whose::Canary)
            .map(Self::weight)
            .reduce(u64::saturating_add)?;
        let total = all.iter().map(Self::weight).fold(0, u64::saturating_add);
        if total == 0 {
            return Some(0);
        }
        let share = u128::from(canary) * u128::from(self.max);
        u32::try_from(share.div_ceil(u128::from(total))).ok()
    }

    /// Writes the desired shares into a rule that takes part.
    pub fn divide(&self, rule: &mut Value, desired: &Routing) {
        let Some(all) = rule.get_mut("backendRefs").and_then(Value::as_array_mut) else { return };
        if let Some(stable) = all.iter().find(|backend| self.whose(backend) == Whose::Stable).cloned() {
            self.share(all, &stable, desired, u64::from(desired.max.0));
        }
    }

    /// What is wrong with a rule that takes part.
    pub fn check(&self, reference: &Reference, index: usize, rule: &Value) -> Result<(), RouterError> {
        let all = backends(rule);
        for (whose, role) in [(Whose::Canary, "canary"), (Whose::Stable, "stable")] {
            if all.iter().filter(|backend| self.whose(backend) == whose).count() > 1 {
                let problem = format!("rules[{index}] has several backends for the {role} version; keep one");
                return Err(unsuitable(reference, problem));
            }
        }
        if let Some(one) = all.iter().find(|one| self.whose(one) == Whose::Foreign && Self::weight(one) > 0) {
            let problem = format!(
                "rules[{index}] has the backend {} beside the two versions ({} and {}), whose weight could not be kept; give it a rule of its own",
                one.get("name").unwrap_or(&Value::Null),
                self.services.stable,
                self.services.canary,
            );
            return Err(unsuitable(reference, problem));
        }
        Ok(())
    }

    /// What is wrong with a route in which no rule takes part.
    pub fn absent(&self) -> String {
        format!(
            "has no rule that leads to both {} and {}; add them as backendRefs of one rule",
            self.services.stable, self.services.canary
        )
    }

    /// The canary's backend of a rule, without a weight.
    pub fn canary(&self, rule: &Value) -> Option<Value> {
        let mut backend = backends(rule).iter().find(|backend| self.whose(backend) == Whose::Canary)?.clone();
        backend.as_object_mut()?.remove("weight");
        Some(backend)
    }
}

/// The backends of a rule.
fn backends(rule: &Value) -> &[Value] {
    rule.get("backendRefs").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
