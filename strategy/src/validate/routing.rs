//! Traffic routing of a canary: the routers, the Services, and what a router can do.

use crds::{CanaryStrategy, GATEWAY_API_PLUGIN, IstioTrafficRouting, Rollout, TrafficRouting, selector_is_set};
use traffic::{Feature, Router};

use super::{Checked, invalid, required, unsupported};

fn at(field: &str) -> String {
    format!("spec.strategy.canary.{field}")
}

pub(super) fn check(rollout: &Rollout, canary: &CanaryStrategy) -> Checked {
    let Some(routing) = &canary.traffic_routing else { return without(canary) };
    if let Some(delay) = canary.scale_down_delay_seconds.filter(|_| canary.is_dynamic_stable_scale()) {
        let right = "Canary scaleDownDelaySeconds cannot be used with dynamicStableScale";
        return Err(invalid(at("scaleDownDelaySeconds"), delay, right));
    }
    services(canary, routing)?;
    let written = serde_json::to_value(routing).unwrap_or_default();
    let known = ["istio", "nginx", "gatewayAPI", "plugins", "maxTrafficWeight", "managedRoutes"];
    for (key, _) in written.as_object().into_iter().flatten() {
        if !known.contains(&key.as_str()) {
            return Err(unsupported(at(&format!("trafficRouting.{key}"))));
        }
    }
    gateway(routing)?;
    if routing.nginx.is_none() && routing.istio.is_none() && !routing.has_gateway() {
        return Err(required(at("trafficRouting"), "one traffic router, such as nginx, istio or gatewayAPI"));
    }
    if routing.nginx.as_ref().is_some_and(|nginx| nginx.ingresses().is_empty()) {
        return Err(required(
            at("trafficRouting.nginx.stableIngress"),
            "the name of the Ingress that serves the stable version",
        ));
    }
    if let Some(config) = &routing.istio {
        istio(config)?;
    }
    let managed = routing.managed_routes.as_deref().unwrap_or_default();
    for (index, route) in managed.iter().enumerate() {
        let field = at(&format!("trafficRouting.managedRoutes[{index}].name"));
        if route.name.is_empty() {
            return Err(required(field, "each managed route has a name"));
        }
        if managed.iter().take(index).any(|earlier| earlier.name == route.name) {
            return Err(invalid(field, &route.name, "duplicate name: each managed route has its own"));
        }
    }
    let routers = traffic::routers(rollout);
    if let Some(weight) = routing.max_traffic_weight {
        if weight <= 0 {
            return Err(invalid(at("trafficRouting.maxTrafficWeight"), weight, "must be greater than 0"));
        }
        if weight != 100 {
            can(&routers, Feature::MaxTrafficWeight, &at("trafficRouting.maxTrafficWeight"), &weight.to_string())?;
        }
    }
    if canary.ping_pong.is_some() {
        can(&routers, Feature::PingPong, &at("pingPong"), "pingPong")?;
    }
    Ok(())
}

/// Refuses by name what one of the routers cannot do.
pub(super) fn can(routers: &[Box<dyn Router>], feature: Feature, field: &str, value: &str) -> Checked {
    for router in routers {
        if let Err(why) = router.can(feature) {
            return Err(invalid(field, value, why));
        }
    }
    Ok(())
}

/// What makes no sense without routing.
fn without(canary: &CanaryStrategy) -> Checked {
    if let Some(delay) = canary.scale_down_delay_seconds {
        let right = "Canary scaleDownDelaySeconds can only be used with traffic routing";
        return Err(invalid(at("scaleDownDelaySeconds"), delay, right));
    }
    if canary.dynamic_stable_scale == Some(true) {
        let right = "Canary dynamicStableScale can only be used with traffic routing";
        return Err(invalid(at("dynamicStableScale"), true, right));
    }
    if canary.ping_pong.is_some() {
        return Err(invalid(at("pingPong"), "pingPong", "Ping-pong can only be used with traffic routing"));
    }
    Ok(())
}

fn services(canary: &CanaryStrategy, routing: &TrafficRouting) -> Checked {
    let given = |name: Option<&String>| name.is_some_and(|name| !name.is_empty());
    if let Some(both) = &canary.ping_pong {
        for (name, field) in [(&both.ping_service, "pingService"), (&both.pong_service, "pongService")] {
            if !given(Some(name)) {
                return Err(required(at(&format!("pingPong.{field}")), "Ping service and Pong service must be set"));
            }
        }
        if both.ping_service == both.pong_service {
            let right = "This rollout uses the same service for the ping and pong services, but two different services are required.";
            return Err(invalid(at("pingPong.pingService"), &both.ping_service, right));
        }
        return Ok(());
    }
    // Subsets tell the versions apart where there is nothing but them.
    let by_subset = routing.nginx.is_none()
        && !routing.has_gateway()
        && routing.istio.as_ref().is_some_and(|istio| istio.destination_rule.is_some());
    for (service, field) in [(&canary.canary_service, "canaryService"), (&canary.stable_service, "stableService")] {
        if !by_subset && !given(service.as_ref()) {
            return Err(required(at(field), "Canary service and Stable service must be set to use Traffic Routing"));
        }
    }
    if given(canary.stable_service.as_ref()) && canary.canary_service == canary.stable_service {
        let name = canary.stable_service.clone().unwrap_or_default();
        return Err(invalid(
            at("stableService"),
            name,
            "This rollout uses the same service for the stable and canary services, but two different services are required.",
        ));
    }
    Ok(())
}

/// The settings for the Gateway API, from whichever place; of plugins, that one is built in and others are not.
fn gateway(routing: &TrafficRouting) -> Checked {
    let plugins = routing.plugins.as_ref().and_then(|plugins| plugins.fields());
    let mut place = at("trafficRouting.gatewayAPI");
    for name in plugins.iter().flat_map(|plugins| plugins.keys()) {
        let field = at(&format!("trafficRouting.plugins[{name}]"));
        if name != GATEWAY_API_PLUGIN {
            let right = format!("traffic router plugins are not supported; {GATEWAY_API_PLUGIN} is built in");
            return Err(invalid(field, name, &right));
        }
        if routing.gateway_api.is_some() {
            return Err(invalid(field, name, "gatewayAPI says the same: keep one of them"));
        }
        place = field;
    }
    let Some(config) = routing.gateway().map_err(|error| invalid(place.clone(), "object", &error))? else {
        return Ok(());
    };
    let selectors = [
        &config.http_route_selector,
        &config.grpc_route_selector,
        &config.tcp_route_selector,
        &config.tls_route_selector,
    ];
    if let Some(selector) = selectors.into_iter().flatten().find(|selector| !selector_is_set(selector)) {
        let shown = serde_json::to_string(selector).unwrap_or_default();
        return Err(invalid(place, shown, "a selector of routes needs matchLabels or matchExpressions"));
    }
    let lists = [&config.http_routes, &config.grpc_routes, &config.tcp_routes, &config.tls_routes];
    let names = [&config.http_route, &config.grpc_route, &config.tcp_route, &config.tls_route];
    let listed = lists.into_iter().flatten().flatten().map(|route| &route.name);
    let all: Vec<&String> = names.into_iter().flatten().chain(listed).collect();
    if all.is_empty() && selectors.iter().all(|selector| selector.is_none()) {
        return Err(required(place, "at least one route, such as httpRoute: NAME"));
    }
    if all.iter().any(|name| name.is_empty()) {
        return Err(required(place, "the name of each route"));
    }
    Ok(())
}

fn istio(config: &IstioTrafficRouting) -> Checked {
    let at = |field: &str| at(&format!("trafficRouting.istio.{field}"));
    let named = config.virtual_service.iter().chain(config.virtual_services.iter().flatten());
    if named.clone().next().is_none() {
        return Err(required(at("virtualService"), "the VirtualService whose weights are to be changed"));
    }
    if named.into_iter().any(|one| one.name.is_empty()) {
        return Err(required(at("virtualService.name"), "the name of the VirtualService"));
    }
    let Some(rule) = &config.destination_rule else { return Ok(()) };
    for (value, field) in [
        (&rule.name, "name"),
        (&rule.canary_subset_name, "canarySubsetName"),
        (&rule.stable_subset_name, "stableSubsetName"),
    ] {
        if value.is_empty() {
            return Err(required(
                at(&format!("destinationRule.{field}")),
                "a destinationRule has a name and two subsets",
            ));
        }
    }
    if rule.canary_subset_name == rule.stable_subset_name {
        let right = "the canary and the stable version need two different subsets";
        return Err(invalid(at("destinationRule.canarySubsetName"), &rule.canary_subset_name, right));
    }
    Ok(())
}
