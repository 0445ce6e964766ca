//! The server over HTTP, so that `kubectl` and other programs can use it.

use std::io;
use std::net::SocketAddr;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::service::ApiService;

/// Ends the HTTP server when dropped.
#[derive(Debug)]
pub struct Serving {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Serving {
    /// Stops accepting and closes every connection.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // The task ends by itself once cancelled; its only error would be our own abort.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Serves on `address`; port 0 picks a free one.
pub(crate) async fn serve(service: ApiService, address: SocketAddr) -> io::Result<(SocketAddr, Serving)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = stopped.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else { continue };
            let (service, stopped) = (service.clone(), stopped.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
                tokio::select! {
                    () = stopped.cancelled() => {}
                    // A connection that ends badly is the client's affair.
                    _ = connection => {}
                }
            });
        }
    });
    Ok((address, Serving { stop, task }))
}

/// A kubeconfig for the server at `address`.
pub(crate) fn kubeconfig(address: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: simulator\nclusters:\n- name: simulator\n  cluster:\n    server: http://{address}\ncontexts:\n- name: simulator\n  context:\n    cluster: simulator\n    user: simulator\n    namespace: default\nusers:\n- name: simulator\n  user: {{}}\n"
    )
}
