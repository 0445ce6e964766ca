//! The backends of one rule: whose each is, what share it has, and the shares that are desired.
//!
//! Invariants: of a backend that stays only `weight` is written, and only when it says something else; the weights of a rule sum to the
//! total; a backend that is neither of the two versions nor an Experiment's is not touched.

use serde_json::{Value, json};

use crate::object::unsuitable;
use crate::{Additional, Reference, RouterError, Routing, Services};

/// Whose a backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Canary,
    Stable,
    /// Of an Experiment, by its place in the list.
    Additional(usize),
    /// Of an Experiment that is over.
    Retired,
    Foreign,
}

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

impl Names<'_> {
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
            .map(weight)
            .reduce(u64::saturating_add)?;
        let total = all.iter().map(weight).fold(0, u64::saturating_add);
        if total == 0 {
            return Some(0);
        }
        let share = u128::from(canary) * u128::from(self.max);
        u32::try_from(share.div_ceil(u128::from(total))).ok()
    }

    /// Writes the desired shares into a rule that takes part.
    pub fn share(&self, rule: &mut Value, desired: &Routing) {
        let Some(all) = rule.get_mut("backendRefs").and_then(Value::as_array_mut) else { return };
        let stable = all.iter().find(|backend| self.whose(backend) == Whose::Stable).cloned();
        all.retain(|backend| self.whose(backend) != Whose::Retired);
        for (place, one) in self.additional.iter().enumerate() {
            if let Some(stable) = stable.as_ref()
                && !all.iter().any(|known| self.whose(known) == Whose::Additional(place))
            {
                all.push(beside(stable, &one.service));
            }
        }
        let kept: u64 = all.iter().filter(|one| self.whose(one) == Whose::Foreign).map(weight).sum();
        let experiments: u64 = self.additional.iter().map(|one| u64::from(one.weight.0)).sum();
        let taken = u64::from(desired.canary.0).saturating_add(experiments).saturating_add(kept);
        let (mut canary, mut rest) =
            (Some(u64::from(desired.canary.0)), Some(u64::from(desired.max.0).saturating_sub(taken)));
        for backend in all {
            let share = match self.whose(backend) {
                // A rule that names one of them twice: the first has it all.
                Whose::Canary => canary.take().unwrap_or(0),
                Whose::Stable => rest.take().unwrap_or(0),
                Whose::Additional(place) => self.additional.get(place).map_or(0, |one| u64::from(one.weight.0)),
                Whose::Retired | Whose::Foreign => continue,
            };
            let says = backend.get("weight").and_then(Value::as_u64) == Some(share);
            if let Some(backend) = backend.as_object_mut().filter(|_| !says) {
                backend.insert("weight".to_owned(), Value::from(share));
            }
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
        if let Some(one) = all.iter().find(|one| self.whose(one) == Whose::Foreign && weight(one) > 0) {
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

/// A backend without a weight has 1.
fn weight(backend: &Value) -> u64 {
    match backend.get("weight") {
        None | Some(Value::Null) => 1,
        Some(weight) => weight.as_u64().unwrap_or(0),
    }
}

/// A backend for another Service of the same namespace, written as this one is.
fn beside(stable: &Value, service: &str) -> Value {
    let mut backend = json!({});
    if let Some(fields) = backend.as_object_mut() {
        for field in ["group", "kind", "namespace", "port"] {
            if let Some(value) = stable.get(field) {
                fields.insert(field.to_owned(), value.clone());
            }
        }
        fields.insert("name".to_owned(), json!(service));
    }
    backend
}
