//! The steps of a canary.

use std::fmt;

use crds::{CanaryStep, CanaryStrategy, SetCanaryScale, SetHeaderRoute, SetMirrorRoute, StringMatch, TrafficRouting};
use traffic::{Feature, Router};

use super::routing::can;
use super::{Checked, invalid};

pub(super) fn check(canary: &CanaryStrategy, routers: &[Box<dyn Router>]) -> Checked {
    let most = canary.traffic_routing.as_ref().and_then(|routing| routing.max_traffic_weight).unwrap_or(100);
    for (index, step) in canary.steps().iter().enumerate() {
        one(Place(index), step, most, canary, routers)?;
    }
    if let Some(background) = &canary.analysis
        && let Some(start) = background.starting_step
        && (start < 0 || usize::try_from(start).is_ok_and(|start| start > canary.steps().len()))
    {
        let right = format!("must be between 0 and the number of steps ({})", canary.steps().len());
        return Err(invalid("spec.strategy.canary.analysis.startingStep", start, right));
    }
    Ok(())
}

/// Where a step stands; written out only when there is something to say.
#[derive(Clone, Copy)]
struct Place(usize);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spec.strategy.canary.steps[{}]", self.0)
    }
}

fn one(path: Place, step: &CanaryStep, most: i32, canary: &CanaryStrategy, routers: &[Box<dyn Router>]) -> Checked {
    let kinds = [
        ("setWeight", step.set_weight.is_some()),
        ("pause", step.pause.is_some()),
        ("experiment", step.experiment.is_some()),
        ("analysis", step.analysis.is_some()),
        ("setCanaryScale", step.set_canary_scale.is_some()),
        ("setHeaderRoute", step.set_header_route.is_some()),
        ("setMirrorRoute", step.set_mirror_route.is_some()),
        ("plugin", step.plugin.is_some()),
    ];
    let mut present = kinds.iter().filter(|(_, set)| *set).map(|(kind, _)| *kind);
    let (Some(_), None) = (present.next(), present.next()) else {
        let set: Vec<&str> = kinds.iter().filter(|(_, set)| *set).map(|(kind, _)| *kind).collect();
        let found = if set.is_empty() { "nothing".to_owned() } else { set.join(" and ") };
        return Err(invalid(
            path.to_string(),
            found,
            "Step must have one of the following set: experiment, setWeight, setCanaryScale, pause or analysis",
        ));
    };
    if step.plugin.as_ref().is_some_and(|plugin| plugin.disabled != Some(true)) {
        return Err(invalid(format!("{path}.plugin"), "plugin", "step plugins are not supported yet"));
    }
    if let Some(weight) = step.set_weight.filter(|weight| !(0..=most).contains(weight)) {
        return Err(invalid(
            format!("{path}.setWeight"),
            weight,
            format!("SetWeight needs to be between 0 and {most}"),
        ));
    }
    if let Some(route) = &step.set_header_route {
        header(&format!("{path}.setHeaderRoute"), route, canary, routers)?;
    }
    if let Some(route) = &step.set_mirror_route {
        mirror(&format!("{path}.setMirrorRoute"), route, canary, routers)?;
    }
    if let Some(scale) = &step.set_canary_scale {
        self::scale(&format!("{path}.setCanaryScale"), scale, most, canary.traffic_routing.is_some())?;
    }
    if let Some(pause) = &step.pause
        && let Err(error) = pause.wait()
    {
        let value =
            pause.duration.as_ref().and_then(|duration| serde_json::to_string(duration).ok()).unwrap_or_default();
        return Err(invalid(format!("{path}.pause.duration"), value, error));
    }
    if let Some(analysis) = &step.analysis
        && analysis.templates.as_ref().is_none_or(Vec::is_empty)
    {
        return Err(invalid(format!("{path}.analysis.templates"), "[]", "an analysis needs at least one template"));
    }
    Ok(())
}

fn scale(path: &str, scale: &SetCanaryScale, most: i32, routed: bool) -> Checked {
    if !routed {
        return Err(invalid(path, "setCanaryScale", "SetCanaryScale requires TrafficRouting to be set"));
    }
    let matches = scale.match_traffic_weight == Some(true);
    let set = [scale.weight.is_some(), scale.replicas.is_some(), matches].into_iter().filter(|set| *set).count();
    if set != 1 {
        let text = serde_json::to_string(scale).unwrap_or_default();
        return Err(invalid(path, text, "exactly one of weight, replicas and matchTrafficWeight: true must be set"));
    }
    if let Some(weight) = scale.weight.filter(|weight| !(0..=most).contains(weight)) {
        return Err(invalid(format!("{path}.weight"), weight, format!("must be between 0 and {most}")));
    }
    if let Some(replicas) = scale.replicas.filter(|replicas| *replicas < 0) {
        return Err(invalid(format!("{path}.replicas"), replicas, "must be greater than or equal to 0"));
    }
    Ok(())
}

fn header(path: &str, route: &SetHeaderRoute, canary: &CanaryStrategy, routers: &[Box<dyn Router>]) -> Checked {
    let Some(routing) = &canary.traffic_routing else {
        return Err(invalid(path, "setHeaderRoute", "SetHeaderRoute requires TrafficRouting to be set"));
    };
    can(routers, Feature::HeaderRoutes, path, "setHeaderRoute")?;
    let name = route.name.as_deref().unwrap_or_default();
    is_managed(path, name, routing)?;
    for (index, rule) in route.match_.iter().flatten().enumerate() {
        if !tests(&rule.header_value) || rule.header_name.is_empty() {
            let text = serde_json::to_string(rule).unwrap_or_default();
            let right = "a header name and exactly one of exact, prefix and regex";
            return Err(invalid(format!("{path}.match[{index}]"), text, right));
        }
    }
    if routing.nginx.is_some() {
        // An Ingress has one pair of annotations for this.
        let rules = route.match_.iter().flatten().count();
        let others = canary.steps().iter().filter_map(|step| step.set_header_route.as_ref());
        if rules > 1 || others.into_iter().any(|other| other.name.as_deref() != route.name.as_deref()) {
            return Err(invalid(path, format!("\"{name}\""), "NGINX can route by one header only"));
        }
    }
    let mirrors = canary.steps().iter().filter_map(|step| step.set_mirror_route.as_ref());
    if mirrors.into_iter().any(|mirror| mirror.name == name) {
        let right = "setHeaderRoute and setMirrorRoute need routes of different names";
        return Err(invalid(format!("{path}.name"), format!("\"{name}\""), right));
    }
    Ok(())
}

fn mirror(path: &str, route: &SetMirrorRoute, canary: &CanaryStrategy, routers: &[Box<dyn Router>]) -> Checked {
    let Some(routing) = &canary.traffic_routing else {
        return Err(invalid(path, "setMirrorRoute", "SetMirrorRoute requires TrafficRouting to be set"));
    };
    can(routers, Feature::MirrorRoutes, path, "setMirrorRoute")?;
    is_managed(path, &route.name, routing)?;
    if let Some(percentage) = route.percentage.filter(|percentage| !(0..=100).contains(percentage)) {
        return Err(invalid(format!("{path}.percentage"), percentage, "must be between 0 and 100"));
    }
    for (index, rule) in route.match_.iter().flatten().enumerate() {
        let headers = rule.headers.iter().flatten().map(|(_, value)| value);
        let mut all = rule.method.iter().chain(&rule.path).chain(headers).peekable();
        if all.peek().is_none() || !all.all(tests) {
            let text = serde_json::to_string(rule).unwrap_or_default();
            let right = "a method, a path or headers, each with exactly one of exact, prefix and regex";
            return Err(invalid(format!("{path}.match[{index}]"), text, right));
        }
    }
    Ok(())
}

fn is_managed(path: &str, name: &str, routing: &TrafficRouting) -> Checked {
    if routing.managed_routes.iter().flatten().any(|managed| managed.name == name) {
        return Ok(());
    }
    let right = "Steps define a route that does not exist in spec.strategy.canary.trafficRouting.managedRoutes";
    Err(invalid(format!("{path}.name"), format!("\"{name}\""), right))
}

/// Whether a text is tested in exactly one way.
fn tests(test: &StringMatch) -> bool {
    [&test.exact, &test.prefix, &test.regex].into_iter().filter(|text| text.is_some()).count() == 1
}
