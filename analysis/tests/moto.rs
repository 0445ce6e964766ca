//! CloudWatch and STS against moto, a server of AWS' interfaces of its own making.
//!
//! It is not part of every run: `python3 -m venv moto && moto/bin/pip install 'moto[server]'`, then
//! `MOTO_SERVER=moto/bin/moto_server cargo test -p analysis --test moto -- --ignored`.

// Helpers of tests fail by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use std::net::TcpListener;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use analysis::Phase;
use analysis::provider::{Environment, ProviderConfig, Providers};
use analysis::run::{MeasureId, MeasureOutcome, MeasureRequest};
use crds::jiff::Timestamp;
use serde_json::{Value, json};

use loopback::{OneSecret, error, measured};

struct Moto(Child, String);

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn moto() -> Moto {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let program = std::env::var("MOTO_SERVER").unwrap_or_else(|_| "moto_server".to_owned());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new(program).args(["-H", "127.0.0.1", "-p", &port.to_string()]).spawn().expect("moto_server");
    let moto = Moto(child, format!("http://127.0.0.1:{port}"));
    let limit = Instant::now() + Duration::from_mins(1);
    while reqwest::get(&moto.1).await.is_err() {
        assert!(Instant::now() < limit, "moto does not answer");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    moto
}

async fn put(moto: &Moto, name: &str, value: u32) {
    let fields = [
        ("Action", "PutMetricData"),
        ("Version", "2010-08-01"),
        ("Namespace", "app"),
        ("MetricData.member.1.MetricName", name),
        ("MetricData.member.1.Value", &value.to_string()),
    ];
    let scope =
        "AWS4-HMAC-SHA256 Credential=AK/20240101/eu-west-1/monitoring/aws4_request, SignedHeaders=host, Signature=0";
    let asked = reqwest::Client::new().post(&moto.1).header("authorization", scope).form(&fields).send().await.unwrap();
    assert!(asked.status().is_success(), "{}", asked.text().await.unwrap());
}

async fn measure(moto: &Moto, queries: Value, condition: &str) -> MeasureOutcome {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "AK"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", moto.1.as_str()),
    ];
    let environment = Environment::new(variables.map(|(name, text)| (name.to_owned(), text.to_owned())));
    let now = Timestamp::now().saturating_add(crds::jiff::SignedDuration::from_secs(30)).unwrap();
    let request = MeasureRequest {
        id: MeasureId { metric: "m".to_owned(), measurement: 0, attempt: 0 },
        namespace: "shop".to_owned(),
        run: "web-1".to_owned(),
        uid: "0c1d".to_owned(),
        started_at: now,
        standing: analysis::run::Standing::default(),
        metric: serde_json::from_value(json!({
            "name": "m",
            "successCondition": condition,
            "provider": {"cloudWatch": {"interval": "10m", "metricDataQueries": queries}},
        }))
        .unwrap(),
        args: Vec::new(),
    };
    Providers::new(ProviderConfig { environment, ..ProviderConfig::default() }).measure(&request, &OneSecret, now).await
}

#[tokio::test]
#[ignore = "needs moto_server"]
async fn metrics_are_read_and_judged() {
    let moto = moto().await;
    put(&moto, "requests", 90).await;
    put(&moto, "requests", 10).await;
    let stat = |name: &str| json!({"metric": {"namespace": "app", "metricName": name}, "period": 300, "stat": "Sum"});
    let queries = json!([{"id": "requests", "metricStat": stat("requests")}]);
    let (phase, value) = measured(measure(&moto, queries.clone(), "sum(result[0].Values) == 100").await);
    assert_eq!(phase, Phase::Successful, "{value}");
    assert_eq!(measured(measure(&moto, queries, "sum(result[0].Values) < 100").await).0, Phase::Failed);
    let nothing = json!([{"id": "errors", "metricStat": stat("errors")}]);
    let (phase, value) = measured(measure(&moto, nothing, "len(result[0].Values) == 0").await);
    assert_eq!(phase, Phase::Successful, "{value}");
    error(measure(&moto, json!([]), "len(result) == 0 and false or result[0].Values[0] > 1").await);
}
