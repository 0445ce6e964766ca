//! One server for all pods: the local address of a connection is the pod it was meant for.
//!
//! A watch of the pods tells which pod has which IP and image; the image's tag says how it behaves ([`Behaviour`]). `/metrics` shows the
//! pod's own counters only. A connection to the IP of a pod that is gone (or not running) is closed without an answer, as on a real
//! network: traffic sent to the wrong place is seen as a failure. On a loopback address the server names all pods for Prometheus.

mod behaviour;
mod metrics;

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use crds::k8s_openapi::api::core::v1::Pod;
use crds::kube::runtime::{WatchStreamExt, watcher};
use crds::kube::{Api, ResourceExt};
use futures::StreamExt;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use behaviour::Behaviour;
use metrics::Metrics;

/// The label with which a ReplicaSet of a rollout marks its pods.
const TEMPLATE_HASH: &str = "rollouts-pod-template-hash";
/// How long the watch may lag behind whoever sent the request here.
const WATCH_LAG: Duration = Duration::from_millis(500);

struct Answering {
    uid: String,
    namespace: String,
    name: String,
    labels: BTreeMap<String, String>,
    version: String,
    behaviour: Behaviour,
    metrics: Metrics,
}

type Table = Arc<RwLock<HashMap<IpAddr, Arc<Answering>>>>;

struct Pods {
    table: Table,
    changed: watch::Receiver<()>,
}

/// Serves every running pod on `0.0.0.0:port` for ever; `kubeconfig` must allow watching pods.
pub async fn serve(kubeconfig: &Path, port: u16) -> Result<()> {
    let client = crate::seed::client(kubeconfig).await?;
    let table = Table::default();
    let (notify, changed) = watch::channel(());
    tokio::spawn(follow(Api::all(client), table.clone(), notify));
    let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port))).await?;
    let pods = Arc::new(Pods { table, changed });
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(pods.clone(), stream));
    }
}

async fn follow(api: Api<Pod>, table: Table, notify: watch::Sender<()>) {
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut listed: HashMap<IpAddr, Arc<Answering>> = HashMap::new();
    while let Some(event) = events.next().await {
        let mut now = table.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(watcher::Event::Apply(pod)) => put(&mut now, &pod, None),
            Ok(watcher::Event::Delete(pod)) => {
                let uid = pod.uid().unwrap_or_default();
                now.retain(|_, answering| answering.uid != uid);
            }
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(pod)) => put(&mut listed, &pod, Some(&now)),
            Ok(watcher::Event::InitDone) => *now = std::mem::take(&mut listed),
            Err(error) => eprintln!("watching pods: {error}"),
        }
        drop(now);
        notify.send_replace(());
    }
}

/// Enters a running pod; one already known keeps its counters.
fn put(table: &mut HashMap<IpAddr, Arc<Answering>>, pod: &Pod, before: Option<&HashMap<IpAddr, Arc<Answering>>>) {
    let uid = pod.uid().unwrap_or_default();
    let status = pod.status.as_ref();
    let running = status.and_then(|status| status.phase.as_deref()) == Some("Running");
    let ip = status.and_then(|status| status.pod_ip.as_ref()).and_then(|ip| ip.parse::<IpAddr>().ok());
    let Some(ip) = ip.filter(|_| running) else {
        table.retain(|_, answering| answering.uid != uid);
        return;
    };
    let known = before.and_then(|before| before.get(&ip)).or_else(|| table.get(&ip)).filter(|known| known.uid == uid);
    let image =
        pod.spec.as_ref().and_then(|spec| spec.containers.first()).and_then(|container| container.image.as_deref());
    let version = behaviour::version(image.unwrap_or_default()).to_owned();
    if let Some(known) = known.filter(|known| known.version == version).cloned() {
        table.insert(ip, known);
        return;
    }
    let answering = Answering {
        uid,
        namespace: pod.namespace().unwrap_or_default(),
        name: pod.name_any(),
        labels: pod.labels().clone(),
        behaviour: Behaviour::of(&version),
        version,
        metrics: Metrics::default(),
    };
    table.insert(ip, Arc::new(answering));
}

impl Pods {
    fn at(&self, ip: IpAddr) -> Option<Arc<Answering>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).get(&ip).cloned()
    }

    /// Prometheus' targets, in the words of its own Kubernetes discovery.
    fn targets(&self, port: u16) -> String {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let target = |(ip, pod): (&IpAddr, &Arc<Answering>)| {
            let mut labels = BTreeMap::from([
                ("__meta_kubernetes_namespace".to_owned(), pod.namespace.clone()),
                ("__meta_kubernetes_pod_name".to_owned(), pod.name.clone()),
            ]);
            for (label, value) in &pod.labels {
                let plain = label.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
                labels.insert(format!("__meta_kubernetes_pod_label_{plain}"), value.clone());
            }
            serde_json::json!({"targets": [format!("{ip}:{port}")], "labels": labels})
        };
        table.iter().map(target).collect::<serde_json::Value>().to_string()
    }

    /// The pod at `ip`, waiting a moment for a watch that lags behind.
    async fn find(&self, ip: IpAddr) -> Option<Arc<Answering>> {
        let mut changed = self.changed.clone();
        let waiting = async {
            loop {
                changed.borrow_and_update();
                if let Some(pod) = self.at(ip) {
                    return Some(pod);
                }
                changed.changed().await.ok()?;
            }
        };
        tokio::time::timeout(WATCH_LAG, waiting).await.ok().flatten()
    }
}

async fn connection(pods: Arc<Pods>, stream: TcpStream) {
    let Ok(address) = stream.local_addr() else { return };
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let pods = pods.clone();
        async move {
            if address.ip().is_loopback() {
                let mut response = Response::new(Full::new(Bytes::from(pods.targets(address.port()))));
                let json = http::HeaderValue::from_static("application/json");
                response.headers_mut().insert(http::header::CONTENT_TYPE, json);
                return Ok(response);
            }
            match pods.find(address.ip()).await {
                Some(pod) => Ok(answer(&pod, request.uri().path(), request.method().as_str())
                    .await
                    .unwrap_or_else(|never| match never {})),
                // An error of the service closes the connection without an answer.
                None => Err(std::io::Error::other("no such pod")),
            }
        }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(pod: &Answering, path: &str, method: &str) -> Result<Response<Full<Bytes>>, Infallible> {
    if path == "/metrics" {
        let mut response = Response::new(Full::new(Bytes::from(pod.metrics.text())));
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; version=0.0.4"));
        return Ok(response);
    }
    let begun = Instant::now();
    if let Some(delay) = pod.behaviour.delay {
        tokio::time::sleep(delay).await;
    }
    let nothing = String::new();
    let status = pod.metrics.count(begun.elapsed(), method, |nth| {
        if pod.behaviour.fails(nth) { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
    });
    let mut response =
        Response::new(Full::new(Bytes::from(format!("{}/{} {}\n", pod.namespace, pod.name, pod.version))));
    *response.status_mut() = status;
    let hash = pod.labels.get(TEMPLATE_HASH).unwrap_or(&nothing);
    for (name, value) in [
        ("x-namespace", &pod.namespace),
        ("x-pod", &pod.name),
        ("x-version", &pod.version),
        ("x-pod-template-hash", hash),
    ] {
        if let Ok(value) = http::HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}
