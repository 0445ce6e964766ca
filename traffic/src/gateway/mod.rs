//! The Gateway API: the weights of backends in HTTPRoutes, GRPCRoutes, TCPRoutes and TLSRoutes.
//!
//! Versions are told apart by Service. A rule takes part when it leads to both the canary and the stable Service; header and mirror routes
//! are rules of their own before the user's, one beside each rule that takes part. The settings of the plugin `argoproj-labs/gatewayAPI`
//! mean the same as `gatewayAPI`, and its names for rules and its label are kept, so that releases go on in mid-way.
//!
//! Invariants: of the user's rules only weights are written, and backends that an Experiment had are added and taken away; a list is
//! written as a whole, so a write only meets the very object it was made from (resourceVersion). Shares that fall are written first, and
//! one broken route keeps no users of another on the canary. A weight counts as in force when every Gateway that has the route says that it
//! has accepted this generation of it.

mod backends;
mod managed;
mod target;
mod verified;

use crds::{GatewayApiTrafficRouting, LabelSelector, Rollout};
use serde_json::{Map, Value, json};

use crate::object::{self, Planned, found, unsuitable};
use crate::routing::Additional;
use crate::services;
use crate::words::{self, reason};
use crate::{Feature, Objects, Reference, Router, RouterError, Routing, Selected, Services, Verified, Weight, Write};
use backends::Names;
pub use target::Kind;
use target::Target;

/// The router of one Rollout for the Gateway API.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    namespace: String,
    /// Namespace of the routes when it is another one.
    elsewhere: Option<String>,
    services: Services,
    max: u32,
    named: Vec<Target>,
    selected: Vec<(Kind, LabelSelector)>,
    /// Label of routes in a release.
    label: Option<(String, String)>,
    /// Names of the rules that are the controller's, in order of precedence.
    managed: Vec<String>,
    /// Services of Experiments that the status says have a share.
    known: Vec<String>,
}

impl Gateway {
    /// The router, when the Rollout asks for the Gateway API; `None` as well when the plugin's settings cannot be read.
    pub fn from_rollout(rollout: &Rollout) -> Option<Self> {
        let routing = rollout.spec.strategy.as_ref()?.canary.as_ref()?.traffic_routing.as_ref()?;
        let config = routing.gateway().ok()??;
        let namespace = rollout.metadata.namespace.clone().unwrap_or_default();
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Some(Self {
            elsewhere: filled(&config.namespace).filter(|other| *other != namespace),
            namespace,
            services: crate::services(rollout),
            max: routing
                .max_traffic_weight
                .and_then(|max| u32::try_from(max).ok())
                .filter(|max| *max > 0)
                .unwrap_or(100),
            named: target::named(&config),
            selected: selected(&config),
            label: (config.disable_in_progress_label != Some(true)).then(|| {
                let key = filled(&config.in_progress_label_key);
                let value = filled(&config.in_progress_label_value);
                (
                    key.unwrap_or_else(|| words::GATEWAY_LABEL.to_owned()),
                    value.unwrap_or_else(|| words::GATEWAY_LABEL_VALUE.to_owned()),
                )
            }),
            managed: routing.managed_routes.iter().flatten().map(|route| route.name.clone()).collect(),
            known: services::of_experiments(rollout),
        })
    }

    fn reference(&self, target: &Target) -> Reference {
        target.kind.reference(target.name.clone(), self.elsewhere.clone())
    }

    /// The routes there are to be driven: those named, and those that a selector finds.
    fn targets(&self, objects: &Objects) -> Vec<(Reference, Target)> {
        let mut found: Vec<_> = self.named.iter().map(|target| (self.reference(target), target.clone())).collect();
        for (kind, selector) in &self.selected {
            for (reference, object) in objects {
                let here = reference.kind == kind.name() && reference.namespace == self.elsewhere;
                if here && found.iter().all(|(known, _)| known != reference) && has_labels(selector, object) {
                    let target = Target { kind: *kind, name: reference.name.clone(), headers: true };
                    found.push((reference.clone(), target));
                }
            }
        }
        found
    }

    /// The names by which backends are known.
    fn names<'a>(
        &'a self,
        services: &'a Services,
        additional: &'a [Additional],
        retired: impl IntoIterator<Item = &'a String>,
    ) -> Names<'a> {
        Names {
            rollout: &self.namespace,
            routes: self.elsewhere.as_deref().unwrap_or(&self.namespace),
            services,
            additional,
            retired: retired.into_iter().map(String::as_str).collect(),
            max: self.max,
        }
    }

    fn in_force_of(&self, reference: &Reference, objects: &Objects) -> Option<u32> {
        let names = self.names(&self.services, &[], []);
        let rules = rules(objects.get(reference)?);
        let users = rules.iter().filter(|rule| !managed::is_managed(rule, &self.managed, &names));
        users.filter(|rule| names.takes_part(rule)).filter_map(|rule| names.carried(rule)).max()
    }

    fn plan_one(
        &self,
        reference: &Reference,
        target: &Target,
        desired: &Routing,
        objects: &Objects,
    ) -> Result<Planned, RouterError> {
        let object = found(reference, objects)?;
        let services = Services { stable: desired.stable_service.clone(), canary: desired.canary_service.clone() };
        let names = self.names(&services, &desired.additional, desired.retired.iter().chain(&self.known));
        let before = rules(object);
        let (known, mut users): (Vec<Value>, Vec<Value>) =
            before.iter().cloned().partition(|rule| managed::is_managed(rule, &self.managed, &names));
        let mut falls = false;
        let mut any = false;
        for rule in users.iter_mut().filter(|rule| names.takes_part(rule)) {
            any = true;
            falls |= names.carried(rule).is_some_and(|carried| carried > desired.canary.0);
            names.divide(rule, desired);
        }
        if !any {
            return Err(unsuitable(reference, names.absent()));
        }
        let managed = if target.headers {
            managed::wanted(reference, target.kind, &self.managed, &users, &names, desired)?
        } else {
            Vec::new()
        };
        falls |= known.iter().any(|rule| !managed.iter().any(|wanted| wanted.get("name") == rule.get("name")));
        let busy = desired.canary.0 > 0 || !managed.is_empty() || !desired.additional.is_empty();
        let after: Vec<Value> = managed.into_iter().chain(users).collect();
        target::check_size(reference, &after)?;
        let mut patch = Map::new();
        if after != before {
            patch.insert("spec".to_owned(), json!({ "rules": after }));
        }
        if let Some(change) = self.label_change(object, busy) {
            patch.insert("metadata".to_owned(), json!({ "labels": change }));
        }
        let write = (!patch.is_empty()).then(|| {
            let (kind, name) = (target.kind.name(), &reference.name);
            let message = format!("{kind} `{name}` set to desiredWeight '{}'", desired.canary.0);
            object::patch(reference, object, Value::Object(patch), (reason::UPDATED_ROUTE, message))
        });
        Ok(Planned { write, falls })
    }

    /// The label that tells GitOps tools to leave the rules alone while a release is under way.
    fn label_change(&self, object: &Value, busy: bool) -> Option<Value> {
        let (key, value) = self.label.as_ref()?;
        let current = object.pointer("/metadata/labels").and_then(|labels| labels.get(key)).and_then(Value::as_str);
        match (busy, current) {
            (true, Some(current)) if current == value => None,
            (true, _) => Some(json!({ key.as_str(): value })),
            (false, Some(_)) => Some(json!({ key.as_str(): null })),
            (false, None) => None,
        }
    }
}

fn selected(config: &GatewayApiTrafficRouting) -> Vec<(Kind, LabelSelector)> {
    [
        (Kind::Http, &config.http_route_selector),
        (Kind::Grpc, &config.grpc_route_selector),
        (Kind::Tcp, &config.tcp_route_selector),
        (Kind::Tls, &config.tls_route_selector),
    ]
    .into_iter()
    .filter_map(|(kind, selector)| Some((kind, selector.clone().filter(crds::selector_is_set)?)))
    .collect()
}

/// Whether the object has labels as the selector wants them.
fn has_labels(selector: &LabelSelector, object: &Value) -> bool {
    let labels = object.pointer("/metadata/labels").cloned().unwrap_or_default();
    crds::selector_matches(selector, &serde_json::from_value(labels).unwrap_or_default())
}

impl Router for Gateway {
    fn name(&self) -> &'static str {
        "GatewayAPI"
    }

    fn field(&self) -> &'static str {
        "gatewayAPI"
    }

    fn references(&self) -> Vec<Reference> {
        self.named.iter().map(|target| self.reference(target)).collect()
    }

    fn selected(&self) -> Vec<Selected> {
        let one = |(kind, selector): &(Kind, LabelSelector)| Selected {
            like: kind.reference(String::new(), self.elsewhere.clone()),
            selector: selector.clone(),
        };
        self.selected.iter().map(one).collect()
    }

    fn can(&self, feature: Feature) -> Result<(), &'static str> {
        match feature {
            Feature::HeaderRoutes | Feature::MirrorRoutes => {
                let selected = self.selected.iter().any(|(kind, _)| kind.has_matches());
                if !selected && !self.named.iter().any(|target| target.headers && target.kind.has_matches()) {
                    return Err(
                        "header and mirror routes need an HTTPRoute or GRPCRoute, in a list one with useHeaderRoutes: true",
                    );
                }
                Ok(())
            }
            Feature::PingPong | Feature::ExperimentWeights | Feature::MaxTrafficWeight => Ok(()),
        }
    }

    /// Where the routes differ (a crash between two writes), the largest weight: the pods it needs must stay.
    fn in_force(&self, objects: &Objects) -> Result<Option<Weight>, RouterError> {
        let targets = self.targets(objects);
        Ok(targets.iter().filter_map(|(reference, _)| self.in_force_of(reference, objects)).max().map(Weight))
    }

    fn plan(&self, desired: &Routing, objects: &Objects) -> Result<Vec<Write>, RouterError> {
        let targets = self.targets(objects);
        object::in_order(targets.iter().map(|(reference, target)| self.plan_one(reference, target, desired, objects)))
    }

    fn verified(&self, objects: &Objects) -> Verified {
        let targets = self.targets(objects);
        let routes = targets.iter().filter_map(|(reference, _)| Some((reference, objects.get(reference)?)));
        verified::all(routes)
    }

    fn validate(&self, services: &Services, additional: &[String], objects: &Objects) -> Result<(), RouterError> {
        let names = self.names(services, &[], additional.iter().chain(&self.known));
        let targets = self.targets(objects);
        if let (true, Some((kind, _))) = (targets.is_empty(), self.selected.first()) {
            let problem = "no route in the namespace has the labels that the selector wants".to_owned();
            return Err(RouterError::Unsuitable { kind: kind.name(), name: "*".to_owned(), problem });
        }
        for (reference, _) in &targets {
            let object = found(reference, objects)?;
            let mut any = false;
            for (index, rule) in rules(object).iter().enumerate() {
                if !managed::is_managed(rule, &self.managed, &names) && names.takes_part(rule) {
                    any = true;
                    names.check(reference, index, rule)?;
                }
            }
            if !any {
                return Err(unsuitable(reference, names.absent()));
            }
        }
        Ok(())
    }
}

fn rules(object: &Value) -> &[Value] {
    object.pointer("/spec/rules").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
