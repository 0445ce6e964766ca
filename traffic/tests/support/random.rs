//! Objects and routings at random, for the laws of routers that tell versions apart by Service.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use traffic::{Additional, HeaderRoute, HeaderValue, MirrorRoute, Routing, Weight};

/// Services of an Experiment, of which the first ones have a share.
pub const EXPERIMENT: [&str; 2] = ["web-exp-a", "web-exp-b"];

/// Any weight, with and without an Experiment, a header route `qa` and a mirror route `copies`.
pub fn any_routing() -> impl Strategy<Value = Routing> {
    let header = option::of("[a-z]{1,3}").prop_map(|value| {
        value.map(|value| HeaderRoute { name: "qa".into(), header: "x-qa".into(), value: HeaderValue::Exact(value) })
    });
    let mirror = option::of(0..=100_u32).prop_map(|percentage| {
        percentage.map(|percentage| {
            let matches = serde_json::from_value(json!([{ "method": { "exact": "GET" } }])).unwrap();
            MirrorRoute { name: "copies".into(), matches, percentage }
        })
    });
    (0..=100_u32, 0..3_usize, header, mirror).prop_map(|(canary, experiment, header, mirror)| {
        let additional: Vec<Additional> = EXPERIMENT
            .iter()
            .take(if canary <= 80 { experiment } else { 0 })
            .map(|name| Additional { service: (*name).to_owned(), weight: Weight(7) })
            .collect();
        Routing {
            canary: Weight(canary),
            max: Weight(100),
            retired: EXPERIMENT.iter().skip(additional.len()).map(|name| (*name).to_owned()).collect(),
            additional,
            headers: header.into_iter().collect(),
            mirrors: mirror.into_iter().collect(),
            canary_service: "web-canary".into(),
            stable_service: "web-stable".into(),
        }
    })
}

/// Any JSON, with names now and then that routers look for.
pub fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..200).prop_map(Value::from),
        "[a-z-]{0,6}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        let name = prop_oneof![
            "[a-z]{1,4}",
            Just("route".to_owned()),
            Just("destination".to_owned()),
            Just("host".to_owned()),
            Just("weight".to_owned()),
            Just("name".to_owned()),
            Just("backendRefs".to_owned()),
            Just("matches".to_owned())
        ];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
