//! NGINX: a canary Ingress beside each stable Ingress, whose annotations carry the canary's weight.
//!
//! The canary Ingress has the stable Ingress' hosts and paths which lead to the stable Service, led to the canary
//! Service, and the same TLS and class. The ingress controller merges the two and splits the requests by weight.
//!
//! Invariants: the stable Ingress is never written; of the canary Ingress only the fields named here are, so that other
//! annotations, labels and fields stay; once made it stays, with weight 0 between releases, and goes with the Rollout;
//! taking traffic off the canary needs no stable Ingress, so nothing a user breaks can hold users on a bad version.

use std::collections::BTreeMap;

use crds::Rollout;
use serde_json::{Map, Value, json};

use crate::object::{self, Planned, found, unsuitable};
use crate::words::{
    CANARY, CANARY_BY_HEADER, CANARY_BY_HEADER_PATTERN, CANARY_BY_HEADER_VALUE, CANARY_INGRESS_SUFFIX, CANARY_WEIGHT,
    CANARY_WEIGHT_TOTAL, INGRESS_CLASS_ANNOTATION, reason,
};
use crate::{Feature, HeaderValue, Objects, Reference, Router, RouterError, Routing, Services, Weight, Write, patch};

/// Longest name of an Ingress (a DNS subdomain).
const MAX_NAME: usize = 253;
const KIND: &str = "Ingress";

/// The NGINX router of one Rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Nginx {
    owner: Owner,
    namespace: Option<String>,
    stable_ingresses: Vec<String>,
    prefix: String,
    max_traffic_weight: Option<i32>,
    /// The Rollout sets header routes, so that those annotations are ours.
    routes_headers: bool,
    /// Annotations the user wants on every canary Ingress, by their full names.
    annotations: BTreeMap<String, String>,
}

/// The Rollout which owns the canary Ingresses.
#[derive(Clone, Debug, PartialEq)]
struct Owner {
    name: String,
    uid: String,
}

impl Nginx {
    /// The router, when the Rollout asks for NGINX.
    pub fn from_rollout(rollout: &Rollout) -> Option<Self> {
        let routing = rollout.spec.strategy.as_ref()?.canary.as_ref()?.traffic_routing.as_ref()?;
        let config = routing.nginx.as_ref()?;
        let mut stable_ingresses = Vec::new();
        for name in config.stable_ingress.iter().chain(config.stable_ingresses.iter().flatten()) {
            if !name.is_empty() && !stable_ingresses.contains(name) {
                stable_ingresses.push(name.clone());
            }
        }
        let prefix = config
            .annotation_prefix
            .clone()
            .filter(|prefix| !prefix.is_empty())
            .unwrap_or_else(|| crds::words::NGINX_ANNOTATION_PREFIX.to_owned());
        let mut annotations = config.canary_ingress_annotations.clone().unwrap_or_default();
        for (name, value) in config.additional_ingress_annotations.iter().flatten() {
            let name = if name.contains('/') { name.clone() } else { format!("{prefix}/{name}") };
            annotations.insert(name, value.clone());
        }
        Some(Self {
            owner: Owner {
                name: rollout.metadata.name.clone().unwrap_or_default(),
                uid: rollout.metadata.uid.clone().unwrap_or_default(),
            },
            namespace: rollout.metadata.namespace.clone(),
            stable_ingresses,
            prefix,
            max_traffic_weight: routing.max_traffic_weight,
            routes_headers: routing.managed_routes.as_ref().is_some_and(|routes| !routes.is_empty()),
            annotations,
        })
    }

    /// Name of the canary Ingress beside this stable Ingress.
    pub fn canary_ingress_name(&self, stable_ingress: &str) -> String {
        let mut name = format!("{}-{stable_ingress}", self.owner.name);
        let mut end = name.len().min(MAX_NAME - CANARY_INGRESS_SUFFIX.len());
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
        // A label of a name must not begin with the suffix' dash.
        name.truncate(name.trim_end_matches('.').len());
        name + CANARY_INGRESS_SUFFIX
    }

    fn pairs(&self) -> impl Iterator<Item = (Reference, Reference)> + '_ {
        self.stable_ingresses.iter().map(|name| (ingress(name.clone()), ingress(self.canary_ingress_name(name))))
    }

    fn annotation(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    /// What the canary's annotations should be: those the user added, then ours, which always win. `null` for ours
    /// which should be absent.
    fn desired_annotations(&self, routing: &Routing) -> Map<String, Value> {
        let mut desired: Map<String, Value> = Map::new();
        desired.insert(self.annotation(CANARY_WEIGHT_TOTAL), Value::Null);
        if self.routes_headers {
            for name in [CANARY_BY_HEADER, CANARY_BY_HEADER_VALUE, CANARY_BY_HEADER_PATTERN] {
                desired.insert(self.annotation(name), Value::Null);
            }
        }
        for (name, value) in &self.annotations {
            desired.insert(name.clone(), Value::from(value.clone()));
        }
        desired.insert(self.annotation(CANARY), Value::from("true"));
        desired.insert(self.annotation(CANARY_WEIGHT), Value::from(routing.canary.0.to_string()));
        if let Some(route) = routing.headers.first() {
            desired.insert(self.annotation(CANARY_BY_HEADER), Value::from(route.header.clone()));
            let (name, value) = match &route.value {
                HeaderValue::Exact(value) => (CANARY_BY_HEADER_VALUE, value.clone()),
                HeaderValue::Prefix(value) => (CANARY_BY_HEADER_PATTERN, format!("^{}.*", escaped(value))),
                HeaderValue::Regex(value) => (CANARY_BY_HEADER_PATTERN, value.clone()),
            };
            desired.insert(self.annotation(name), Value::from(value));
        }
        if let Some(total) = self.max_traffic_weight {
            desired.insert(self.annotation(CANARY_WEIGHT_TOTAL), Value::from(total.to_string()));
        }
        desired
    }

    /// Everything we manage on the canary Ingress, `null` where it should be absent; without the rules when the Ingress that
    /// is there has them already.
    fn desired(&self, stable: &Stable<'_>, routing: &Routing, current: Option<&Value>) -> Value {
        let mut annotations = self.desired_annotations(routing);
        if !self.annotations.contains_key(INGRESS_CLASS_ANNOTATION) {
            let class =
                at(stable.object, &["metadata", "annotations"]).and_then(|map| map.get(INGRESS_CLASS_ANNOTATION));
            annotations.insert(INGRESS_CLASS_ANNOTATION.to_owned(), class.cloned().unwrap_or(Value::Null));
        }
        let from_stable = |field: &str| {
            let value = stable.object.get("spec").and_then(|spec| spec.get(field)).cloned().unwrap_or(Value::Null);
            if value.as_array().is_some_and(Vec::is_empty) { Value::Null } else { value }
        };
        let mut spec = Map::new();
        spec.insert("ingressClassName".to_owned(), from_stable("ingressClassName"));
        if current.is_none_or(|current| !stable.leads(current, &routing.canary_service)) {
            spec.insert("rules".to_owned(), Value::Array(stable.canary_rules(&routing.canary_service)));
        }
        spec.insert("tls".to_owned(), from_stable("tls"));
        json!({ "metadata": { "annotations": annotations }, "spec": spec })
    }

    fn owner_reference(&self) -> Value {
        json!({
            "apiVersion": format!("{}/{}", crds::words::GROUP, crds::words::VERSION),
            "kind": "Rollout",
            "name": self.owner.name,
            "uid": self.owner.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        })
    }

    fn create(&self, reference: Reference, stable: &Stable<'_>, routing: &Routing) -> Write {
        let mut object = json!({
            "apiVersion": reference.api_version,
            "kind": reference.kind,
            "metadata": { "name": reference.name, "ownerReferences": [self.owner_reference()] },
        });
        crds::json_patch::merge(&mut object, &json!({ "metadata": { "namespace": self.namespace } }));
        crds::json_patch::merge(&mut object, &self.desired(stable, routing, None));
        let message = format!("Creating canary ingress `{}` with weight `{}`", reference.name, routing.canary.0);
        Write::Create { reference, object, event: (reason::CREATING_CANARY_INGRESS, message) }
    }

    fn patch(&self, reference: &Reference, current: &Value, desired: &Value, weight: Weight) -> Option<Write> {
        let mut patch = patch::difference(current, desired);
        if controller_of(current).is_none() {
            // A canary Ingress that lost its owner (a restored backup) gets it back. A merge patch replaces the list, so
            // it may only meet the object it was made from.
            let mut owners =
                at(current, &["metadata", "ownerReferences"]).and_then(Value::as_array).cloned().unwrap_or_default();
            owners.retain(|owner| text(owner, &["uid"]) != Some(&self.owner.uid));
            owners.push(self.owner_reference());
            let version =
                at(current, &["metadata", "resourceVersion"]).map(|version| json!({ "resourceVersion": version }));
            let mut adoption = json!({ "metadata": version.unwrap_or_else(|| json!({})) });
            crds::json_patch::merge(&mut adoption, &json!({ "metadata": { "ownerReferences": owners } }));
            crds::json_patch::merge(patch.get_or_insert_with(|| json!({})), &adoption);
        }
        let message = format!("Updating Ingress `{}` to desiredWeight '{}'", reference.name, weight.0);
        Some(Write::Patch {
            reference: reference.clone(),
            uid: text(current, &["metadata", "uid"]).unwrap_or_default().to_owned(),
            patch: patch?,
            event: (reason::PATCHING_CANARY_INGRESS, message),
        })
    }

    /// The existing canary Ingress, unless it is someone else's.
    fn existing<'a>(&self, reference: &Reference, objects: &'a Objects) -> Result<Option<&'a Value>, RouterError> {
        let Some(object) = objects.get(reference) else { return Ok(None) };
        match controller_of(object) {
            Some(owner) if text(owner, &["uid"]) != Some(&self.owner.uid) => Err(unsuitable(
                reference,
                format!(
                    "belongs to {} \"{}\", not to this Rollout; delete or rename it so that the canary Ingress can be made",
                    text(owner, &["kind"]).unwrap_or("an object of unknown kind"),
                    text(owner, &["name"]).unwrap_or_default(),
                ),
            )),
            _ => Ok(Some(object)),
        }
    }

    /// The weight which one canary Ingress carries.
    fn carried(&self, object: &Value) -> Option<Weight> {
        let annotations = at(object, &["metadata", "annotations"])?;
        let annotation = |name| annotations.get(self.annotation(name)).and_then(Value::as_str);
        (annotation(CANARY) == Some("true")).then_some(())?;
        // Ingress controllers take a weight they cannot read for none.
        Some(Weight(annotation(CANARY_WEIGHT)?.trim().parse().unwrap_or(0)))
    }

    /// Whether a header route of ours is on one canary Ingress.
    fn has_header_route(&self, object: &Value) -> bool {
        let annotation = self.annotation(CANARY_BY_HEADER);
        let present = at(object, &["metadata", "annotations"]).is_some_and(|all| all.get(&annotation).is_some());
        self.routes_headers && present && !self.annotations.contains_key(&annotation)
    }

    fn plan_one(
        &self,
        stable: &Reference,
        canary: Reference,
        desired: &Routing,
        objects: &Objects,
    ) -> Result<Planned, RouterError> {
        let existing = self.existing(&canary, objects)?;
        let falls = existing.and_then(|object| self.carried(object)).is_some_and(|carried| carried > desired.canary)
            || desired.headers.is_empty() && existing.is_some_and(|object| self.has_header_route(object));
        let stable = Stable::find(stable, &desired.stable_service, objects);
        let write = match (stable, existing) {
            (Ok(stable), None) => Some(self.create(canary, &stable, desired)),
            (Ok(stable), Some(object)) => {
                self.patch(&canary, object, &self.desired(&stable, desired, Some(object)), desired.canary)
            }
            (Err(_), Some(object)) if falls => {
                let annotations = json!({ "metadata": { "annotations": self.desired_annotations(desired) } });
                self.patch(&canary, object, &annotations, desired.canary)
            }
            (Err(error), _) => return Err(error),
        };
        Ok(Planned { write, falls })
    }
}

impl Router for Nginx {
    fn name(&self) -> &'static str {
        "Nginx"
    }

    fn field(&self) -> &'static str {
        "nginx"
    }

    fn references(&self) -> Vec<Reference> {
        self.pairs().flat_map(|(stable, canary)| [stable, canary]).collect()
    }

    /// Where the Ingresses differ (a crash between two writes), the largest weight: the pods it needs must stay.
    fn in_force(&self, objects: &Objects) -> Result<Option<Weight>, RouterError> {
        let mut weight = None;
        for (_, canary) in self.pairs() {
            let carried = self.existing(&canary, objects)?.and_then(|object| self.carried(object));
            weight = weight.max(carried);
        }
        Ok(weight)
    }

    fn plan(&self, desired: &Routing, objects: &Objects) -> Result<Vec<Write>, RouterError> {
        object::in_order(self.pairs().map(|(stable, canary)| self.plan_one(&stable, canary, desired, objects)))
    }

    fn can(&self, feature: Feature) -> Result<(), &'static str> {
        match feature {
            Feature::HeaderRoutes | Feature::MaxTrafficWeight => Ok(()),
            Feature::MirrorRoutes => Err("NGINX cannot mirror requests"),
            Feature::PingPong => Err("NGINX cannot alternate two Services: its canary is tied to one Ingress"),
            Feature::ExperimentWeights => {
                Err("Experiment template weight is not supported with NGINX, which has one canary only")
            }
        }
    }

    fn validate(&self, services: &Services, _: &[String], objects: &Objects) -> Result<(), RouterError> {
        for (stable, canary) in self.pairs() {
            Stable::find(&stable, &services.stable, objects)?;
            self.existing(&canary, objects)?;
        }
        Ok(())
    }
}

/// A stable Ingress, some of whose rules lead to the stable Service.
struct Stable<'a> {
    object: &'a Value,
    service: &'a str,
}

impl<'a> Stable<'a> {
    fn find(reference: &Reference, service: &'a str, objects: &'a Objects) -> Result<Self, RouterError> {
        let object = found(reference, objects)?;
        let stable = Self { object, service };
        if stable.rules().all(|rule| stable.paths(rule).next().is_none()) {
            let problem = format!("has no rules using service {service} backend; add a path which leads to it");
            return Err(unsuitable(reference, problem));
        }
        Ok(stable)
    }

    fn rules(&self) -> impl Iterator<Item = &'a Value> {
        at(self.object, &["spec", "rules"]).and_then(Value::as_array).into_iter().flatten()
    }

    /// Those paths of a rule which lead to the stable Service.
    fn paths(&self, rule: &'a Value) -> impl Iterator<Item = &'a Value> {
        let service = self.service;
        let paths = at(rule, &["http", "paths"]).and_then(Value::as_array).into_iter().flatten();
        paths.filter(move |path| text(path, &["backend", "service", "name"]) == Some(service))
    }

    /// Whether an Ingress has exactly the rules that the canary Ingress should have. The comparison makes no copy: it is made at
    /// every look.
    fn leads(&self, canary: &Value, canary_service: &str) -> bool {
        let mut rules = at(canary, &["spec", "rules"]).and_then(Value::as_array).into_iter().flatten();
        let is_led = |name: &Value| name.as_str() == Some(canary_service);
        let same_rule = |wanted: &'a Value, found: &Value| {
            same_but(wanted, found, &["http", "paths"], &|paths| {
                let mut paths = paths.as_array().into_iter().flatten();
                let same = |path| {
                    let found = paths.next();
                    found.is_some_and(|found| same_but(path, found, &["backend", "service", "name"], &is_led))
                };
                self.paths(wanted).all(same) && paths.next().is_none()
            })
        };
        let mut wanted = self.rules().filter(|rule| self.paths(rule).next().is_some());
        wanted.all(|rule| rules.next().is_some_and(|found| same_rule(rule, found))) && rules.next().is_none()
    }

    /// The rules with only those paths, led to the canary Service.
    fn canary_rules(&self, canary_service: &str) -> Vec<Value> {
        let led = |path: &Value| {
            let mut path = path.clone();
            if let Some(name) = path.pointer_mut("/backend/service/name") {
                *name = Value::from(canary_service);
            }
            path
        };
        self.rules()
            .filter_map(|rule| {
                let mut paths: Vec<Value> = self.paths(rule).map(led).collect();
                let fields = rule.as_object().filter(|_| !paths.is_empty())?;
                let field = |(name, value): (&String, &Value)| {
                    let http = name == "http";
                    let value = if http { with(value, "paths", std::mem::take(&mut paths)) } else { value.clone() };
                    (name.clone(), value)
                };
                Some(Value::Object(fields.iter().map(field).collect()))
            })
            .collect()
    }
}

/// Whether two values are the same, but for the one at a path, which `end` judges.
fn same_but(one: &Value, other: &Value, path: &[&str], end: &dyn Fn(&Value) -> bool) -> bool {
    let Some((name, rest)) = path.split_first() else { return end(other) };
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return one == other };
    let same = |(key, value): (&String, &Value)| {
        let found = other.get(key);
        found.is_some_and(|found| if key == name { same_but(value, found, rest, end) } else { value == found })
    };
    one.len() == other.len() && one.iter().all(same)
}

/// An object with another value in one field.
fn with(object: &Value, name: &str, value: Vec<Value>) -> Value {
    let others = object.as_object().into_iter().flatten().filter(|(other, _)| *other != name);
    let mut fields: Map<String, Value> = others.map(|(name, value)| (name.clone(), value.clone())).collect();
    fields.insert(name.to_owned(), Value::Array(value));
    Value::Object(fields)
}

/// Whether this is a canary Ingress that the Rollout with this uid controls.
pub(crate) fn is_canary_of(object: &Value, uid: Option<&str>) -> bool {
    let annotations = at(object, &["metadata", "annotations"]).and_then(Value::as_object);
    let canary = |(name, value): (&String, &Value)| name.rsplit('/').next() == Some(CANARY) && value == "true";
    let owner = controller_of(object).and_then(|owner| text(owner, &["uid"]));
    owner.is_some() && owner == uid && annotations.into_iter().flatten().any(canary)
}

fn controller_of(object: &Value) -> Option<&Value> {
    let owners = at(object, &["metadata", "ownerReferences"])?.as_array()?;
    owners.iter().find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))
}

/// The field at a path. `Value::pointer` does the same with an allocation for each name.
fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path)?.as_str()
}

/// The reference of an Ingress.
pub fn ingress(name: String) -> Reference {
    Reference { api_version: "networking.k8s.io/v1", kind: KIND, plural: "ingresses", namespace: None, name }
}

/// A text as a regular expression that matches just it.
fn escaped(text: &str) -> String {
    let special = |letter: char| r"\.+*?()|[]{}^$".contains(letter);
    text.chars().flat_map(|letter| special(letter).then_some('\\').into_iter().chain([letter])).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_prefix_is_taken_as_it_is_written() {
        assert_eq!(super::escaped("v1.2+(beta)"), r"v1\.2\+\(beta\)");
    }
}
