//! Laws of the NGINX router which hold for any settings, Ingresses and order of events.

// Lints for outside data do not apply to the objects a test makes.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use support::{apply, ingress_reference, objects, path, rollout, routing, services};
use traffic::nginx::Nginx;
use traffic::{Router, Weight};

/// Settings, and the names of the stable Ingresses.
fn settings() -> impl Strategy<Value = (Value, Vec<String>)> {
    let annotation = prop_oneof![
        Just("canary-by-header".to_owned()),
        Just("canary".to_owned()),
        Just("canary-weight".to_owned()),
        Just("canary-weight-total".to_owned()),
        Just("nginx.ingress.kubernetes.io/canary-weight".to_owned()),
        Just("kubernetes.io/ingress.class".to_owned()),
        "[a-c]{1,3}",
    ];
    let annotations = option::of(btree_map(annotation, "[a-z0-9]{0,4}", 0..4));
    let prefix = option::of(prop_oneof![Just("nginx.ingress.kubernetes.io"), Just("proxy.example"), Just("")]);
    (1..4usize, annotations.clone(), annotations, prefix).prop_map(|(count, additional, canary, prefix)| {
        let names: Vec<String> = (0..count).map(|index| format!("stable-{index}")).collect();
        let mut settings = json!({ "stableIngresses": names });
        if let Some(additional) = additional {
            settings["additionalIngressAnnotations"] = json!(additional);
        }
        if let Some(canary) = canary {
            settings["canaryIngressAnnotations"] = json!(canary);
        }
        if let Some(prefix) = prefix {
            settings["annotationPrefix"] = json!(prefix);
        }
        (settings, names)
    })
}

/// The spec and class annotation of a stable Ingress with at least one path to the stable Service.
fn stable_spec() -> impl Strategy<Value = (Value, Option<String>)> {
    let services = prop_oneof![Just("web-stable"), Just("other")];
    let rule = (option::of("[a-z]{1,4}\\.example"), vec(("/[a-z]{0,3}", services), 0..4));
    let tls = option::of(vec("[a-z]{1,4}", 0..3));
    let class = option::of("[a-z]{1,3}");
    (vec(rule, 0..4), tls, class.clone(), class).prop_map(|(rules, tls, class_name, class)| {
        let mut rules: Vec<Value> = rules
            .into_iter()
            .map(|(host, paths)| {
                let paths: Vec<Value> = paths.iter().map(|(at, service)| path(at, service)).collect();
                let mut rule = json!({ "http": { "paths": paths } });
                if let Some(host) = host {
                    rule["host"] = json!(host);
                }
                rule
            })
            .collect();
        rules.push(json!({ "host": "sure.example", "http": { "paths": [path("/", "web-stable")] } }));
        let mut spec = json!({ "rules": rules });
        if let Some(tls) = tls {
            spec["tls"] = tls.iter().map(|secret| json!({ "secretName": secret })).collect();
        }
        if let Some(class_name) = class_name {
            spec["ingressClassName"] = json!(class_name);
        }
        (spec, class)
    })
}

fn stable_ingress(name: &str, (spec, class): &(Value, Option<String>)) -> Value {
    let mut annotations = Map::new();
    if let Some(class) = class {
        annotations.insert("kubernetes.io/ingress.class".to_owned(), json!(class));
    }
    json!({ "metadata": { "name": name, "uid": format!("uid-{name}"), "annotations": annotations }, "spec": spec })
}

/// Labels, annotations and fields which somebody else put on a canary Ingress.
fn foreign() -> impl Strategy<Value = (BTreeMap<String, String>, BTreeMap<String, String>, Option<bool>)> {
    (btree_map("foreign/[a-c]", "[a-z]{0,3}", 0..3), btree_map("[a-c]", "[a-z]{0,3}", 0..3), option::of(any::<bool>()))
}

proptest! {
    #[test]
    fn settled_objects_need_no_write_and_foreign_fields_survive(
        (settings, names) in settings(),
        before in vec(stable_spec(), 3),
        after in vec(stable_spec(), 3),
        max in option::of(1u32..2000),
        weights in (0u32..=100, 0u32..=100),
        (annotations, labels, field) in foreign(),
    ) {
        let nginx = Nginx::from_rollout(&rollout(&settings, max)).unwrap();
        let total = max.unwrap_or(100);
        let stable = |specs: &[(Value, Option<String>)]| {
            names.iter().zip(specs).map(|(name, spec)| stable_ingress(name, spec)).collect::<Vec<_>>()
        };
        let mut state = objects(stable(&before));

        let first = routing(weights.0, total);
        let writes = nginx.plan(&first, &state).unwrap();
        prop_assert_eq!(writes.len(), names.len());
        apply(&mut state, &writes);
        prop_assert_eq!(nginx.plan(&first, &state), Ok(vec![]));
        prop_assert_eq!(nginx.in_force(&state), Ok(Some(Weight(weights.0))));

        // Someone writes on the canary Ingresses and changes the stable ones; then the weight moves.
        for name in &names {
            let canary = state.get_mut(&ingress_reference(&nginx.canary_ingress_name(name))).unwrap();
            for (key, value) in &annotations {
                canary["metadata"]["annotations"][key] = json!(value);
            }
            canary["metadata"]["labels"] = json!(labels);
            if let Some(field) = field {
                canary["spec"]["newField"] = json!(field);
            }
        }
        state.extend(objects(stable(&after)));
        let second = routing(weights.1, total);
        let writes = nginx.plan(&second, &state).unwrap();
        apply(&mut state, &writes);
        prop_assert_eq!(nginx.plan(&second, &state), Ok(vec![]));
        prop_assert_eq!(nginx.in_force(&state), Ok(Some(Weight(weights.1))));

        // As if the canary Ingresses had been made only now, but for what someone else wrote.
        let mut fresh = objects(stable(&after));
        let writes = nginx.plan(&second, &fresh).unwrap();
        apply(&mut fresh, &writes);
        for name in &names {
            let reference = ingress_reference(&nginx.canary_ingress_name(name));
            let mut expected = fresh[&reference].clone();
            for (key, value) in &annotations {
                expected["metadata"]["annotations"][key] = json!(value);
            }
            expected["metadata"]["labels"] = json!(labels);
            if let Some(field) = field {
                expected["spec"]["newField"] = json!(field);
            }
            prop_assert_eq!(&state[&reference], &expected);
        }
    }

    #[test]
    fn any_prefix_of_the_writes_converges_and_keeps_capacity(
        (settings, names) in settings(),
        specs in vec(stable_spec(), 3),
        weights in (0u32..=100, 0u32..=100),
        applied in 0usize..4,
    ) {
        let nginx = Nginx::from_rollout(&rollout(&settings, None)).unwrap();
        let mut state = objects(names.iter().zip(&specs).map(|(name, spec)| stable_ingress(name, spec)));
        let writes = nginx.plan(&routing(weights.0, 100), &state).unwrap();
        apply(&mut state, &writes);
        let desired = routing(weights.1, 100);
        let writes = nginx.plan(&desired, &state).unwrap();
        let applied = applied.min(writes.len());
        apply(&mut state, &writes[..applied]);

        // The weight in force is never less than what any Ingress still sends to the canary.
        let in_force = nginx.in_force(&state).unwrap().unwrap().0;
        let prefix = settings["annotationPrefix"].as_str().filter(|prefix| !prefix.is_empty());
        let key = format!("{}/canary-weight", prefix.unwrap_or("nginx.ingress.kubernetes.io"));
        for name in &names {
            let canary = &state[&ingress_reference(&nginx.canary_ingress_name(name))];
            let carried: u32 = canary["metadata"]["annotations"][&key].as_str().unwrap().parse().unwrap();
            prop_assert!(carried <= in_force);
            prop_assert!(carried == weights.0 || carried == weights.1);
        }

        let rest = nginx.plan(&desired, &state).unwrap();
        prop_assert_eq!(&rest[..], &writes[applied..], "what is left is exactly what was not applied");
        apply(&mut state, &rest);
        prop_assert_eq!(nginx.in_force(&state), Ok(Some(Weight(weights.1))));
        prop_assert_eq!(nginx.plan(&desired, &state), Ok(vec![]));
    }

    #[test]
    fn whatever_the_objects_hold_the_router_answers(
        junk in prop_oneof![
            Just(json!(null)), Just(json!([])), Just(json!({ "metadata": 3, "spec": [] })),
            Just(json!({ "metadata": { "annotations": [] }, "spec": { "rules": {} } })),
            Just(json!({ "spec": { "rules": [{ "http": { "paths": [{ "backend": 1 }, null] } }] } })),
            Just(json!({ "metadata": { "ownerReferences": [null, { "controller": true }] } })),
        ],
        weight in 0u32..=100,
    ) {
        let nginx = Nginx::from_rollout(&rollout(&json!({ "stableIngress": "web" }), None)).unwrap();
        let stable = support::stable_ingress("web");
        for (name, other) in [("web", "web-web-canary"), ("web-web-canary", "web")] {
            let mut state = objects([]);
            state.insert(ingress_reference(name), junk.clone());
            state.insert(ingress_reference(other), stable.clone());
            let _ = nginx.in_force(&state);
            let _ = nginx.validate(&services("web-stable"), &[], &state);
            let _ = nginx.plan(&routing(weight, 100), &state);
        }
    }
}
