//! A release at random: a spec, and what happens to it.

use proptest::prelude::*;
use serde_json::{Value, json};

/// Something that happens to a release.
#[derive(Clone, Debug)]
pub enum Happening {
    /// The controller acts until it rests.
    Settle,
    /// At most this many more pods of each version become available.
    PodsReady(i32),
    /// The clock moves, also backwards.
    Time(i64),
    Image(u8),
    /// Pods of this version never become available, as of now.
    Break(u8),
    Mend,
    /// The Gateway takes in what the routes say.
    Accept,
    PodLost(u8),
    Scale(i32),
    Abort,
    Retry,
    Promote,
    PromoteFull,
    Pause(bool),
    Analysis(&'static str),
    Experiment(&'static str),
    Steps(Vec<Value>),
    /// To the other strategy; to a canary with these steps.
    OtherStrategy(Vec<Value>),
    Restart,
    /// A disruption budget appears or goes.
    Budget(i32),
    /// Somebody scales the workload.
    Workload(i32),
    /// The controller dies after this many writes of its next decision.
    Crash(usize),
    /// The first writes of a decision are made twice.
    Repeat(usize),
    /// The controller acts once on a picture in which this has not happened yet.
    Unseen(Box<Happening>),
}

/// A whole release.
#[derive(Clone, Debug)]
pub struct Plan {
    pub strategy: Value,
    pub spec: Value,
    /// Kind and `scaleDown` of the workload that describes the pods.
    pub workload: Option<(&'static str, &'static str)>,
    pub happenings: Vec<Happening>,
    pub end: End,
}

/// How a release is brought to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Whatever waits goes well until the wanted version is the stable one.
    Finished,
    /// Aborted, whatever was going on.
    Aborted,
    /// Instead of what happens: a new version, once without any trouble, and once with a controller that dies all the time.
    Smooth,
}

fn analysis() -> Value {
    json!({ "templates": [{ "templateName": "errors" }] })
}

fn steps(routed: bool) -> impl Strategy<Value = Vec<Value>> {
    let scale = prop_oneof![
        (0..=100).prop_map(|weight| json!({ "weight": weight })),
        (0..6).prop_map(|replicas| json!({ "replicas": replicas })),
        Just(json!({ "matchTrafficWeight": true })),
    ];
    let step = prop_oneof![
        8 => (0..=100).prop_map(|weight| json!({ "setWeight": weight })),
        4 => Just(json!({ "pause": {} })),
        2 => (0..60).prop_map(|seconds| json!({ "pause": { "duration": format!("{seconds}s") } })),
        2 => (1..90).prop_map(|seconds| json!({ "pause": { "duration": seconds } })),
        2 => Just(json!({ "analysis": analysis() })),
        1 => Just(json!({ "experiment": { "templates": [{ "name": "candidate", "specRef": "canary" }] } })),
        u32::from(routed) => prop_oneof![
            Just(json!({ "setHeaderRoute": { "name": "qa", "match": [{ "headerName": "x-qa", "headerValue": { "exact": "1" } }] } })),
            Just(json!({ "setHeaderRoute": { "name": "qa" } })),
        ],
        u32::from(routed) => scale.prop_map(|scale| json!({ "setCanaryScale": scale })),
    ];
    prop::collection::vec(step, 0..6)
}

/// Fields that are there or not.
fn fields(all: Vec<(&'static str, BoxedStrategy<Value>)>) -> impl Strategy<Value = Value> {
    let all: Vec<_> = all
        .into_iter()
        .map(|(name, value)| prop::option::weighted(0.25, value).prop_map(move |value| (name, value)))
        .collect();
    all.prop_map(|found| {
        Value::Object(found.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    })
}

fn number(from: i32, to: i32) -> BoxedStrategy<Value> {
    (from..to).prop_map(Value::from).boxed()
}

fn amount() -> BoxedStrategy<Value> {
    prop_oneof![(0..3).prop_map(Value::from), (0..5).prop_map(|part| json!(format!("{}%", part * 25)))].boxed()
}

fn canary() -> impl Strategy<Value = Value> {
    // Without routing, or one of the routers.
    let by = prop_oneof![4 => Just("none"), 4 => Just("nginx"), 1 => Just("hosts"), 1 => Just("subsets"), 1 => Just("pingPong"), 2 => Just("gateway")];
    by.prop_flat_map(|by| {
        let routed = by != "none";
        let mut optional = vec![
            ("maxSurge", amount()),
            ("maxUnavailable", amount()),
            (
                "analysis",
                prop_oneof![
                    Just(analysis()),
                    (0..4).prop_map(|step| {
                        let mut background = analysis();
                        background["startingStep"] = json!(step);
                        background
                    })
                ]
                .boxed(),
            ),
            ("abortScaleDownDelaySeconds", number(0, 60)),
            ("stepsChange", Just(json!("keep")).boxed()),
            (
                "replicaProgressThreshold",
                prop_oneof![
                    (1..=100).prop_map(|part| json!({ "type": "Percent", "value": part })),
                    (1..5).prop_map(|pods| json!({ "type": "Pods", "value": pods })),
                ]
                .boxed(),
            ),
        ];
        if routed {
            optional.extend([
                ("scaleDownDelaySeconds", number(0, 60)),
                ("scaleDownDelayRevisionLimit", number(0, 3)),
                ("minPodsPerReplicaSet", number(1, 4)),
                ("dynamicStableScale", Just(json!(true)).boxed()),
            ]);
        }
        (fields(optional), steps(routed)).prop_map(move |(mut canary, steps)| {
            canary["steps"] = json!(steps);
            canary["nginx"] = json!(by == "nginx");
            canary["gateway"] = json!(by == "gateway");
            if ["hosts", "pingPong"].contains(&by) {
                canary["istio"] = json!("hosts");
            } else if by == "subsets" {
                canary["istio"] = json!("subsets");
            }
            if by == "pingPong" {
                canary["pingPong"] = json!({});
            }
            canary["header"] = json!(routed);
            if canary.get("dynamicStableScale").is_some() {
                canary.as_object_mut().unwrap().shift_remove("scaleDownDelaySeconds");
            }
            json!({ "canary": canary })
        })
    })
}

fn blue_green() -> impl Strategy<Value = Value> {
    fields(vec![
        ("autoPromotionEnabled", any::<bool>().prop_map(Value::from).boxed()),
        ("autoPromotionSeconds", number(0, 60)),
        ("previewReplicaCount", number(1, 4)),
        ("previewService", Just(json!("web-preview")).boxed()),
        ("scaleDownDelaySeconds", number(0, 60)),
        ("scaleDownDelayRevisionLimit", number(0, 3)),
        ("abortScaleDownDelaySeconds", number(0, 60)),
        ("prePromotionAnalysis", Just(analysis()).boxed()),
        ("postPromotionAnalysis", Just(analysis()).boxed()),
        ("maxUnavailable", amount()),
    ])
    .prop_map(|mut blue_green| {
        blue_green["activeService"] = json!("web-active");
        json!({ "blueGreen": blue_green })
    })
}

fn external() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (1..4).prop_map(Happening::PodsReady),
        3 => (1_i64..120).prop_map(Happening::Time),
        1 => prop_oneof![Just(7200_i64), -90_i64..0].prop_map(Happening::Time),
        2 => (1_u8..5).prop_map(Happening::Image),
        1 => (2_u8..5).prop_map(Happening::Break),
        1 => Just(Happening::Mend),
        2 => Just(Happening::Accept),
        1 => (1_u8..5).prop_map(Happening::PodLost),
        1 => (0..7).prop_map(Happening::Scale),
        1 => Just(Happening::Abort),
        1 => Just(Happening::Retry),
        3 => Just(Happening::Promote),
        1 => Just(Happening::PromoteFull),
        1 => any::<bool>().prop_map(Happening::Pause),
        2 => prop_oneof![2 => Just("Successful"), 1 => Just("Failed"), 1 => Just("Error"), 1 => Just("Inconclusive")]
            .prop_map(Happening::Analysis),
        1 => prop_oneof![2 => Just("Successful"), 1 => Just("Failed"), 1 => Just("Inconclusive")].prop_map(Happening::Experiment),
        1 => steps(false).prop_map(Happening::Steps),
        1 => steps(false).prop_map(Happening::OtherStrategy),
        1 => Just(Happening::Restart),
        1 => (-1..5).prop_map(Happening::Budget),
        1 => (0..5).prop_map(Happening::Workload),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        14 => external(),
        5 => Just(Happening::Settle),
        2 => (0_usize..4).prop_map(Happening::Crash),
        1 => (0_usize..4).prop_map(Happening::Repeat),
        1 => external().prop_map(|happening| Happening::Unseen(Box::new(happening))),
    ]
}

/// All releases.
pub fn plans() -> impl Strategy<Value = Plan> {
    let spec = fields(vec![
        ("minReadySeconds", number(0, 20)),
        ("progressDeadlineSeconds", number(21, 600)),
        ("progressDeadlineAbort", any::<bool>().prop_map(Value::from).boxed()),
        ("revisionHistoryLimit", number(0, 5)),
        ("rollbackWindow", (1..4).prop_map(|revisions| json!({ "revisions": revisions })).boxed()),
        (
            "analysis",
            (0..3, 0..3)
                .prop_map(
                    |(good, bad)| json!({ "successfulRunHistoryLimit": good, "unsuccessfulRunHistoryLimit": bad }),
                )
                .boxed(),
        ),
    ]);
    let workload = prop_oneof![
        6 => Just(None),
        1 => prop_oneof![Just("never"), Just("onsuccess"), Just("progressively")].prop_map(|when| Some(("Deployment", when))),
        1 => Just(Some(("PodTemplate", "never"))),
    ];
    let end = prop_oneof![8 => Just(End::Finished), 3 => Just(End::Aborted), 1 => Just(End::Smooth)];
    let strategy = prop_oneof![3 => canary(), 1 => blue_green()];
    (strategy, spec, 1..6, workload, prop::collection::vec(happening(), 0..40), end).prop_map(
        |(strategy, mut spec, replicas, workload, happenings, end)| {
            spec["replicas"] = json!(replicas);
            Plan { strategy, spec, workload, happenings, end }
        },
    )
}
