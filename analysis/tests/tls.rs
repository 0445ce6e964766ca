//! TLS of a provider: a certificate that nobody trusts holds the analysis, and `insecure` goes over it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loopback;

use std::sync::Arc;

use analysis::run::{MeasureId, MeasureOutcome, MeasureRequest};
use loopback::{OneSecret, measured, no_answer, now, providers};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const ANSWER: &str = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}"#;

/// A Prometheus behind a certificate for `name` that it made itself.
async fn serve(name: &str) -> String {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us hangs up here.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    asked.push(stream.read_u8().await.unwrap());
                }
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", ANSWER.len());
                stream.write_all(format!("{head}{ANSWER}").as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            });
        }
    });
    address
}

async fn prometheus(address: &str, insecure: bool) -> MeasureOutcome {
    measure(&json!({ "prometheus": { "address": address, "query": "up", "timeout": 20, "insecure": insecure } })).await
}

async fn web(address: &str, insecure: bool) -> MeasureOutcome {
    let path = "{$.data.result[1]}";
    measure(&json!({ "web": { "url": address, "jsonPath": path, "timeoutSeconds": 20, "insecure": insecure } })).await
}

async fn measure(provider: &serde_json::Value) -> MeasureOutcome {
    let request = MeasureRequest {
        id: MeasureId { metric: "m".to_owned(), measurement: 0, attempt: 0 },
        namespace: "shop".to_owned(),
        run: "web-1".to_owned(),
        uid: "0c1d".to_owned(),
        started_at: now(),
        standing: analysis::run::Standing::default(),
        metric: serde_json::from_value(json!({ "name": "m", "provider": provider })).unwrap(),
        args: Vec::new(),
    };
    providers().measure(&request, &OneSecret, now()).await
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_no_answer_and_says_what_to_do() {
    for name in ["localhost", "elsewhere.example"] {
        let address = serve(name).await;
        for said in [no_answer(prometheus(&address, false).await), no_answer(web(&address, false).await)] {
            assert!(
                said.starts_with("the server's certificate is not trusted: have it signed by an authority that")
                    && said.contains("or set insecure: true (")
                    && said.contains("invalid peer certificate"),
                "{said}"
            );
        }
        assert_eq!(measured(prometheus(&address, true).await).1, "7", "{name}");
        assert_eq!(measured(web(&address, true).await).1, "\"7\"", "{name}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    no_answer(prometheus(&address, true).await);
}
