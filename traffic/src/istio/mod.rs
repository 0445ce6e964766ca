//! Istio: the weights of routes in VirtualServices, and the versions behind the subsets of a DestinationRule.
//!
//! Versions are told apart by host (the canary and the stable Service) or, with a `destinationRule`, by subset, whose labels
//! get the pod-template hash. Header and mirror routes are routes of their own before the user's.
//!
//! Invariants: of the user's routes only weights are written, and destinations that an Experiment had are added and taken away;
//! everything else of a VirtualService or DestinationRule stays as it is. A list is written as a whole, so a write only meets the
//! very object it was made from (resourceVersion). Shares that fall are written first, and one broken VirtualService keeps no users
//! of another on the canary.

mod destination_rule;
mod managed;
mod select;
mod weights;

use crds::{IstioDestinationRule, IstioVirtualService, Rollout};
use serde_json::{Map, Value, json};

use crate::object::{self, Planned, found, unsuitable};
use crate::services;
use crate::words::reason;
use crate::{
    Feature, Objects, Reference, Router, RouterError, Routing, Services, Versions, Weight, Write, routing::Additional,
};
use select::{Kind, Selection};
use weights::Names;

/// The weights of a route sum to this.
const TOTAL: u32 = 100;

/// The Istio router of one Rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Istio {
    rollout: String,
    namespace: String,
    services: Services,
    virtual_services: Vec<IstioVirtualService>,
    destination_rule: Option<IstioDestinationRule>,
    /// Names of the routes that are the controller's, in order of precedence.
    managed: Vec<String>,
    /// Services of Experiments that the status says have a share.
    known: Vec<String>,
}

impl Istio {
    /// The router, when the Rollout asks for Istio.
    pub fn from_rollout(rollout: &Rollout) -> Option<Self> {
        let routing = rollout.spec.strategy.as_ref()?.canary.as_ref()?.traffic_routing.as_ref()?;
        let config = routing.istio.as_ref()?;
        let mut virtual_services: Vec<IstioVirtualService> = Vec::new();
        for one in config.virtual_service.iter().chain(config.virtual_services.iter().flatten()) {
            if !one.name.is_empty() && virtual_services.iter().all(|known| known.name != one.name) {
                virtual_services.push(one.clone());
            }
        }
        Some(Self {
            rollout: rollout.metadata.name.clone().unwrap_or_default(),
            namespace: rollout.metadata.namespace.clone().unwrap_or_default(),
            services: crate::services(rollout),
            virtual_services,
            destination_rule: config.destination_rule.clone(),
            managed: routing.managed_routes.iter().flatten().map(|route| route.name.clone()).collect(),
            known: services::of_experiments(rollout),
        })
    }

    /// The VirtualServices with where they are. `n` is in the Rollout's namespace, `n.ns` in that one.
    fn pairs(&self) -> impl Iterator<Item = (Reference, &IstioVirtualService)> {
        self.virtual_services.iter().map(|config| {
            let (name, namespace) = match config.name.split_once('.') {
                Some((name, namespace)) => (name, Some(namespace).filter(|other| *other != self.namespace)),
                None => (config.name.as_str(), None),
            };
            (virtual_service(name.to_owned(), namespace.map(str::to_owned)), config)
        })
    }

    /// The names by which destinations are known.
    fn names<'a>(
        &'a self,
        services: &'a Services,
        additional: &'a [Additional],
        retired: impl IntoIterator<Item = &'a String>,
    ) -> Names<'a> {
        let rule = self.destination_rule.as_ref();
        Names {
            namespace: &self.namespace,
            services,
            subsets: rule.map(|rule| (rule.canary_subset_name.as_str(), rule.stable_subset_name.as_str())),
            kept: rule.and_then(|rule| rule.additional_subset_names.as_deref()).unwrap_or_default(),
            additional,
            retired: retired.into_iter().map(String::as_str).collect(),
        }
    }

    fn in_force_of(&self, reference: &Reference, config: &IstioVirtualService, objects: &Objects) -> Option<u32> {
        let spec = objects.get(reference)?.get("spec")?;
        let names = self.names(&self.services, &[], []);
        let selection = Selection::of(reference, config, spec, &names, &self.managed).ok()?;
        selection.routes(spec).filter_map(|route| names.carried(route)).max()
    }

    fn plan_one(
        &self,
        reference: &Reference,
        config: &IstioVirtualService,
        desired: &Routing,
        objects: &Objects,
    ) -> Result<Planned, RouterError> {
        let object = found(reference, objects)?;
        let empty = json!({});
        let spec = object.get("spec").unwrap_or(&empty);
        let services = Services { stable: desired.stable_service.clone(), canary: desired.canary_service.clone() };
        let names = self.names(&services, &desired.additional, desired.retired.iter().chain(&self.known));
        let selection = Selection::of(reference, config, spec, &names, &self.managed)?;
        let mut falls = false;
        let mut changed = Map::new();
        for kind in Kind::ALL {
            let before = list(spec, kind);
            let mut routes = before.to_vec();
            for index in selection.indexes(kind) {
                if let Some(route) = routes.get_mut(*index) {
                    falls |= names.carried(route).is_some_and(|carried| carried > desired.canary.0);
                    names.divide(reference, route, desired)?;
                }
            }
            if kind == Kind::Http {
                let primary = selection.indexes(kind).first().and_then(|index| routes.get(*index)).cloned();
                falls |= managed::ends(&routes, &self.managed, desired);
                managed::place(reference, &mut routes, &self.managed, primary.as_ref(), &names, desired)?;
            }
            if routes != before {
                changed.insert(kind.field().to_owned(), Value::Array(routes));
            }
        }
        let write = (!changed.is_empty()).then(|| {
            let message = format!("VirtualService `{}` set to desiredWeight '{}'", reference.name, desired.canary.0);
            object::patch(reference, object, json!({ "spec": changed }), (reason::UPDATED_VIRTUAL_SERVICE, message))
        });
        Ok(Planned { write, falls })
    }
}

impl Router for Istio {
    fn name(&self) -> &'static str {
        "Istio"
    }

    fn field(&self) -> &'static str {
        "istio"
    }

    fn references(&self) -> Vec<Reference> {
        let rule = self.destination_rule.as_ref().map(|rule| destination_rule::reference(&rule.name));
        self.pairs().map(|(reference, _)| reference).chain(rule).collect()
    }

    fn can(&self, feature: Feature) -> Result<(), &'static str> {
        match feature {
            Feature::HeaderRoutes | Feature::MirrorRoutes => {
                if self.virtual_services.iter().all(select::without_http) {
                    return Err("header and mirror routes need an HTTP route, and only TLS or TCP routes are named");
                }
                Ok(())
            }
            Feature::PingPong if self.destination_rule.is_some() => {
                Err("pingPong alternates Services and cannot be combined with the subsets of a destinationRule")
            }
            Feature::PingPong | Feature::ExperimentWeights => Ok(()),
            Feature::MaxTrafficWeight => Err("the weights of Istio's routes sum to 100"),
        }
    }

    /// Where the routes differ (a crash between two writes), the largest weight: the pods it needs must stay.
    fn in_force(&self, objects: &Objects) -> Result<Option<Weight>, RouterError> {
        Ok(self
            .pairs()
            .filter_map(|(reference, config)| self.in_force_of(&reference, config, objects))
            .max()
            .map(Weight))
    }

    fn plan(&self, desired: &Routing, objects: &Objects) -> Result<Vec<Write>, RouterError> {
        object::in_order(self.pairs().map(|(reference, config)| self.plan_one(&reference, config, desired, objects)))
    }

    fn versions(&self, objects: &Objects) -> Option<Versions> {
        let rule = self.destination_rule.as_ref()?;
        Some(destination_rule::versions(rule, objects))
    }

    fn point(&self, to: &Versions, objects: &Objects) -> Result<Option<Write>, RouterError> {
        let Some(rule) = &self.destination_rule else { return Ok(None) };
        destination_rule::point(rule, &self.rollout, to, objects)
    }

    fn validate(&self, services: &Services, additional: &[String], objects: &Objects) -> Result<(), RouterError> {
        let names = self.names(services, &[], additional.iter().chain(&self.known));
        for (reference, config) in self.pairs() {
            let object = found(&reference, objects)?;
            let empty = json!({});
            let spec = object.get("spec").unwrap_or(&empty);
            if let Some(name) = config.routes.iter().flatten().find(|name| self.managed.contains(name)) {
                let problem = format!(
                    "the route \"{name}\" is named in managedRoutes, which are made and removed by the controller; give those other names"
                );
                return Err(unsuitable(&reference, problem));
            }
            let selection = Selection::of(&reference, config, spec, &names, &self.managed)?;
            for (kind, index, route) in selection.placed(spec) {
                names.check(&reference, &select::called(kind, index, route), route)?;
            }
        }
        match &self.destination_rule {
            Some(rule) => destination_rule::check(rule, &self.rollout, objects),
            None => Ok(()),
        }
    }
}

fn list(spec: &Value, kind: Kind) -> &[Value] {
    spec.get(kind.field()).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The reference of a VirtualService.
pub fn virtual_service(name: String, namespace: Option<String>) -> Reference {
    Reference {
        api_version: "networking.istio.io/v1",
        kind: "VirtualService",
        plural: "virtualservices",
        namespace,
        name,
    }
}
