//! The NGINX router: what it writes, and that it writes no more than that.

// Lints for outside data do not apply to the objects a test makes.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use crds::Rollout;
use serde_json::{Value, json};
use support::{apply, golden, ingress_reference, objects, path, rollout, routing, services, stable_ingress};
use traffic::nginx::Nginx;
use traffic::{HeaderRoute, HeaderValue, Objects, Router, RouterError, Routing, Weight, Write};

fn nginx(settings: &Value) -> Nginx {
    Nginx::from_rollout(&rollout(settings, None)).unwrap()
}

/// The objects once the router had its way at this weight.
fn settled(nginx: &Nginx, weight: u32, stable: impl IntoIterator<Item = Value>) -> Objects {
    let mut objects = objects(stable);
    let writes = nginx.plan(&routing(weight, 100), &objects).unwrap();
    apply(&mut objects, &writes);
    objects
}

fn patches(writes: &[Write]) -> Vec<&Value> {
    writes
        .iter()
        .map(|write| match write {
            Write::Patch { patch, .. } => patch,
            Write::Create { .. } | Write::Delete { .. } => panic!("expected only patches: {write:?}"),
        })
        .collect()
}

#[test]
fn a_rollout_without_nginx_has_no_nginx_router() {
    let mut rollout = rollout(&json!({ "stableIngress": "web" }), None);
    assert_eq!(traffic::routers(&rollout).iter().map(|router| router.name()).collect::<Vec<_>>(), ["Nginx"]);
    rollout.spec.strategy = None;
    assert!(traffic::routers(&rollout).is_empty());
}

#[test]
fn the_canary_ingress_is_made_from_the_stable_one() {
    let nginx = nginx(&json!({ "stableIngress": "web" }));
    let writes = nginx.plan(&routing(20, 100), &objects([stable_ingress("web")])).unwrap();
    insta::assert_yaml_snapshot!(golden(&writes));
}

#[test]
fn every_setting_is_honoured() {
    let rollout = rollout(
        &json!({
            "stableIngress": "web",
            "stableIngresses": ["web", "web-internal"],
            "annotationPrefix": "haproxy.example",
            "additionalIngressAnnotations": { "canary-by-header": "X-Canary", "cert.example/issuer": "none", "canary": "no" },
            "canaryIngressAnnotations": { "team": "shop", "haproxy.example/canary-weight": "99" },
        }),
        Some(1000),
    );
    let nginx = Nginx::from_rollout(&rollout).unwrap();
    let mut internal = stable_ingress("web-internal");
    internal["metadata"]["annotations"][traffic::words::INGRESS_CLASS_ANNOTATION] = json!("internal");
    internal["spec"] = json!({ "rules": [{ "http": { "paths": [path("/", "web-stable")] } }] });
    let writes = nginx.plan(&routing(250, 1000), &objects([stable_ingress("web"), internal])).unwrap();
    insta::assert_yaml_snapshot!(golden(&writes));
}

#[test]
fn a_new_weight_changes_one_annotation() {
    let nginx = nginx(&json!({ "stableIngress": "web" }));
    let objects = settled(&nginx, 20, [stable_ingress("web")]);
    let writes = nginx.plan(&routing(40, 100), &objects).unwrap();
    insta::assert_yaml_snapshot!(golden(&writes));
    assert_eq!(nginx.in_force(&objects), Ok(Some(Weight(20))));
}

#[test]
fn the_canary_ingress_stays_with_weight_0_after_the_release() {
    let nginx = nginx(&json!({ "stableIngress": "web" }));
    let mut objects = settled(&nginx, 80, [stable_ingress("web")]);
    let writes = nginx.plan(&routing(0, 100), &objects).unwrap();
    apply(&mut objects, &writes);
    assert_eq!(nginx.in_force(&objects), Ok(Some(Weight(0))));
    assert!(objects.contains_key(&ingress_reference("web-web-canary")));
    assert_eq!(nginx.plan(&routing(0, 100), &objects), Ok(vec![]));
}

#[test]
fn what_other_people_wrote_on_the_canary_ingress_stays() {
    let nginx = nginx(&json!({ "stableIngress": "web" }));
    let mut objects = settled(&nginx, 20, [stable_ingress("web")]);
    let canary = objects.get_mut(&ingress_reference("web-web-canary")).unwrap();
    canary["metadata"]["labels"] = json!({ "audited": "yes" });
    canary["metadata"]["annotations"]["external-dns.example/ttl"] = json!("60");
    canary["metadata"]["finalizers"] = json!(["cloud.example/load-balancer"]);
    canary["spec"]["defaultBackend"] = json!({ "service": { "name": "sorry", "port": { "number": 80 } } });
    canary["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } });
    let before = canary.clone();
    assert_eq!(nginx.plan(&routing(20, 100), &objects), Ok(vec![]));

    let writes = nginx.plan(&routing(40, 100), &objects).unwrap();
    apply(&mut objects, &writes);
    let mut expected = before;
    expected["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"] = json!("40");
    assert_eq!(objects[&ingress_reference("web-web-canary")], expected);
}

#[test]
fn the_canary_ingress_follows_rules_tls_and_class_of_the_stable_one() {
    let nginx = nginx(&json!({ "stableIngress": "web" }));
    let mut objects = settled(&nginx, 20, [stable_ingress("web")]);
    let stable = objects.get_mut(&ingress_reference("web")).unwrap();
    stable["spec"]["rules"][0]["host"] = json!("new.example");
    stable["spec"]["rules"][0]["http"]["paths"].as_array_mut().unwrap().push(path("/api", "web-stable"));
    stable["spec"].as_object_mut().unwrap().remove("tls");
    stable["spec"].as_object_mut().unwrap().remove("ingressClassName");
    stable["metadata"]["annotations"][traffic::words::INGRESS_CLASS_ANNOTATION] = json!("public");
    let writes = nginx.plan(&routing(20, 100), &objects).unwrap();
    insta::assert_yaml_snapshot!(golden(&writes));
    apply(&mut objects, &writes);
    assert_eq!(nginx.plan(&routing(20, 100), &objects), Ok(vec![]));
}

#[test]
fn a_change_elsewhere_in_the_stable_ingress_is_none_of_the_canarys() {
    let nginx = nginx(&json!({ "stableIngress": "web" }));
    let mut objects = settled(&nginx, 20, [stable_ingress("web")]);
    let stable = objects.get_mut(&ingress_reference("web")).unwrap();
    stable["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"] = json!("9m");
    stable["spec"]["rules"][1]["http"]["paths"].as_array_mut().unwrap().push(path("/api", "cart"));
    assert_eq!(nginx.plan(&routing(20, 100), &objects), Ok(vec![]));
}

#[test]
fn the_total_goes_when_the_user_takes_it_away() {
    let with_total = Nginx::from_rollout(&rollout(&json!({ "stableIngress": "web" }), Some(1000))).unwrap();
    let objects = settled(&with_total, 20, [stable_ingress("web")]);
    let writes = nginx(&json!({ "stableIngress": "web" })).plan(&routing(20, 100), &objects).unwrap();
    assert_eq!(
        patches(&writes),
        [&json!({ "metadata": { "annotations": { "nginx.ingress.kubernetes.io/canary-weight-total": null } } })]
    );
}

#[test]
fn between_two_writes_the_larger_weight_is_in_force() {
    let nginx = nginx(&json!({ "stableIngresses": ["a", "b"] }));
    let mut objects = settled(&nginx, 20, [stable_ingress("a"), stable_ingress("b")]);
    for (wanted, in_force) in [(60, 60), (10, 60)] {
        let writes = nginx.plan(&routing(wanted, 100), &objects).unwrap();
        assert_eq!(writes.len(), 2);
        apply(&mut objects, &writes[..1]);
        assert_eq!(nginx.in_force(&objects), Ok(Some(Weight(in_force))), "half-way to {wanted}");
        let rest = nginx.plan(&routing(wanted, 100), &objects).unwrap();
        assert_eq!(rest, writes[1..]);
        apply(&mut objects, &rest);
        assert_eq!(nginx.in_force(&objects), Ok(Some(Weight(wanted))));
    }
}

#[test]
fn nothing_is_in_force_without_a_canary_ingress() {
    let nginx = nginx(&json!({ "stableIngress": "web" }));
    assert_eq!(nginx.in_force(&objects([stable_ingress("web")])), Ok(None));
    let mut objects = settled(&nginx, 20, [stable_ingress("web")]);
    let canary = objects.get_mut(&ingress_reference("web-web-canary")).unwrap();
    canary["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"] = json!("a lot");
    assert_eq!(nginx.in_force(&objects), Ok(Some(Weight(0))));
    let canary = objects.get_mut(&ingress_reference("web-web-canary")).unwrap();
    canary["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary"] = json!("false");
    assert_eq!(nginx.in_force(&objects), Ok(None));
}

#[test]
fn mistakes_are_told_with_the_object_and_what_would_be_right() {
    let nginx = nginx(&json!({ "stableIngress": "web" }));
    let missing = nginx.plan(&routing(20, 100), &objects([])).unwrap_err();
    assert_eq!(missing, RouterError::Missing { kind: "Ingress", name: "web".to_owned() });
    assert_eq!(nginx.validate(&services("web-stable"), &[], &objects([])), Err(missing));

    let only_stable = objects([stable_ingress("web")]);
    assert_eq!(nginx.validate(&services("web-stable"), &[], &only_stable), Ok(()));
    assert_eq!(
        nginx.validate(&services("other"), &[], &only_stable).unwrap_err().to_string(),
        "Ingress \"web\": has no rules using service other backend; add a path which leads to it"
    );

    let mut taken = settled(&nginx, 20, [stable_ingress("web")]);
    let canary = taken.get_mut(&ingress_reference("web-web-canary")).unwrap();
    canary["metadata"]["ownerReferences"][0]["uid"] = json!("someone-else");
    canary["metadata"]["ownerReferences"][0]["kind"] = json!("Gateway");
    let error = nginx.plan(&routing(20, 100), &taken).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Ingress \"web-web-canary\": belongs to Gateway \"web\", not to this Rollout; delete or rename it so that the \
         canary Ingress can be made"
    );
    assert_eq!(nginx.in_force(&taken), Err(error.clone()));
    assert_eq!(nginx.validate(&services("web-stable"), &[], &taken), Err(error));
}

#[test]
fn traffic_is_taken_back_even_when_the_stable_ingresses_are_broken() {
    let nginx = nginx(&json!({ "stableIngresses": ["a", "b"] }));
    let mut objects = settled(&nginx, 20, [stable_ingress("a"), stable_ingress("b")]);
    objects.remove(&ingress_reference("a"));
    assert!(nginx.plan(&routing(40, 100), &objects).is_err(), "no more traffic while something is wrong");
    let writes = nginx.plan(&routing(0, 100), &objects).unwrap();
    assert_eq!(writes.len(), 2);
    apply(&mut objects, &writes);
    assert_eq!(nginx.in_force(&objects), Ok(Some(Weight(0))));
    assert!(nginx.plan(&routing(0, 100), &objects).is_err(), "then the mistake is told");
}

#[test]
fn a_canary_ingress_that_lost_its_owner_gets_it_back() {
    let nginx = nginx(&json!({ "stableIngress": "web" }));
    let mut objects = settled(&nginx, 20, [stable_ingress("web")]);
    let canary = objects.get_mut(&ingress_reference("web-web-canary")).unwrap();
    let owners = canary["metadata"]["ownerReferences"].take();
    let other = json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x" });
    canary["metadata"]["ownerReferences"] = json!([other]);
    canary["metadata"]["resourceVersion"] = json!("7");
    let writes = nginx.plan(&routing(20, 100), &objects).unwrap();
    assert_eq!(
        patches(&writes),
        [&json!({ "metadata": { "ownerReferences": [other, owners[0]], "resourceVersion": "7" } })]
    );
    apply(&mut objects, &writes);
    assert_eq!(nginx.plan(&routing(20, 100), &objects), Ok(vec![]));
}

#[test]
fn long_names_are_cut_before_the_suffix() {
    let nginx = nginx(&json!({ "stableIngress": "web" }));
    assert_eq!(nginx.canary_ingress_name("web"), "web-web-canary");
    let longest = "i".repeat(253);
    let name = nginx.canary_ingress_name(&longest);
    assert_eq!(name.len(), 253);
    assert_eq!(name, format!("web-{}-canary", "i".repeat(242)));
    let dotted = nginx.canary_ingress_name(&format!("{}.{}", "i".repeat(241), "i".repeat(11)));
    assert_eq!(dotted, format!("web-{}-canary", "i".repeat(241)), "no label may begin with a dash");
}

#[test]
fn a_release_in_progress_is_taken_over_without_a_write() {
    for (capture, weight) in [
        (include_str!("captured/canary-nginx-paused-at-20.yaml"), 20),
        (include_str!("captured/canary-nginx-background-analysis.yaml"), 30),
        (include_str!("captured/canary-nginx-aborted.yaml"), 0),
    ] {
        let captured: Vec<Value> = serde_saphyr::from_multiple(capture).unwrap();
        let (ingresses, rollouts): (Vec<_>, Vec<_>) =
            captured.into_iter().partition(|object| object["kind"] == "Ingress");
        assert_eq!((ingresses.len(), rollouts.len()), (2, 1));
        let rollout: Rollout = serde_json::from_value(rollouts[0].clone()).unwrap();
        let canary = rollout.spec.strategy.clone().unwrap().canary.unwrap();
        let nginx = Nginx::from_rollout(&rollout).unwrap();
        let objects = objects(ingresses);
        assert_eq!(nginx.references().len(), objects.len());
        assert!(nginx.references().iter().all(|reference| objects.contains_key(reference)));
        assert_eq!(nginx.in_force(&objects), Ok(Some(Weight(weight))));
        let mut desired = routing(weight, 100);
        desired.canary_service = canary.canary_service.unwrap();
        desired.stable_service = canary.stable_service.unwrap();
        assert_eq!(nginx.validate(&services(&desired.stable_service), &[], &objects), Ok(()));
        assert_eq!(nginx.plan(&desired, &objects), Ok(vec![]), "weight {weight}");
        desired.canary = Weight(weight + 1);
        assert_eq!(nginx.plan(&desired, &objects).unwrap().len(), 1);
    }
}

/// The annotations of a header route in a patch of the canary Ingress.
fn header_annotations(patch: &Value) -> Vec<(String, Value)> {
    let annotations = patch["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    annotations.into_iter().filter(|(name, _)| name.contains("canary-by-header")).collect()
}

#[test]
fn a_header_route_is_written_beside_the_weight_and_goes_with_it() {
    let mut rollout = rollout(&json!({ "stableIngress": "web" }), None);
    let canary = rollout.spec.strategy.as_mut().unwrap().canary.as_mut().unwrap();
    canary.traffic_routing.as_mut().unwrap().managed_routes =
        serde_json::from_value(json!([{ "name": "qa" }])).unwrap();
    let nginx = Nginx::from_rollout(&rollout).unwrap();
    let mut objects = settled(&nginx, 20, [stable_ingress("web")]);
    let route = |value| HeaderRoute { name: "qa".to_owned(), header: "X-Canary".to_owned(), value };
    let exact = Routing { headers: vec![route(HeaderValue::Exact("qa".to_owned()))], ..routing(20, 100) };
    let writes = nginx.plan(&exact, &objects).unwrap();
    let prefix = "nginx.ingress.kubernetes.io/canary-by-header";
    assert_eq!(
        header_annotations(patches(&writes)[0]),
        [(prefix.to_owned(), json!("X-Canary")), (format!("{prefix}-value"), json!("qa"))]
    );
    apply(&mut objects, &writes);
    assert_eq!(nginx.plan(&exact, &objects).unwrap(), Vec::new());
    let pattern = Routing { headers: vec![route(HeaderValue::Regex("^qa".to_owned()))], ..routing(20, 100) };
    let writes = nginx.plan(&pattern, &objects).unwrap();
    let changed = header_annotations(patches(&writes)[0]);
    assert!(changed.contains(&(format!("{prefix}-value"), Value::Null)), "{changed:?}");
    assert!(changed.contains(&(format!("{prefix}-pattern"), json!("^qa"))), "{changed:?}");
    apply(&mut objects, &writes);
    let writes = nginx.plan(&routing(0, 100), &objects).unwrap();
    assert!(header_annotations(patches(&writes)[0]).iter().all(|(_, value)| value.is_null()));
    apply(&mut objects, &writes);
    assert_eq!(nginx.plan(&routing(0, 100), &objects).unwrap(), Vec::new());
}

#[test]
fn only_canary_ingresses_of_this_rollout_that_no_router_uses_are_left_over() {
    let two = rollout(&json!({ "stableIngresses": ["web", "shop"] }), None);
    let objects = settled(&Nginx::from_rollout(&two).unwrap(), 20, [stable_ingress("web"), stable_ingress("shop")]);
    assert_eq!(traffic::leftovers(&two, &objects), Vec::new());
    let one = rollout(&json!({ "stableIngress": "web" }), None);
    let names: Vec<_> = traffic::leftovers(&one, &objects)
        .into_iter()
        .map(|write| match write {
            Write::Delete { reference, .. } => reference.name,
            Write::Create { .. } | Write::Patch { .. } => panic!("expected only deletions: {write:?}"),
        })
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].contains("shop") && names[0].ends_with("-canary"), "{names:?}");
    let mut other = one.clone();
    other.metadata.uid = Some("another".to_owned());
    assert_eq!(traffic::leftovers(&other, &objects), Vec::new());
}
