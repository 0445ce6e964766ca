//! Serves a simulated cluster over HTTP until interrupted: `cargo run -p simulator --example serve -- 127.0.0.1:8001`.

use std::net::SocketAddr;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: SocketAddr = std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:0").parse()?;
    let cluster = simulator::Cluster::new(simulator::Config::default());
    cluster.start_workloads();
    let (address, serving) = cluster.serve_http(address).await?;
    println!("{}", cluster.kubeconfig(address));
    tokio::signal::ctrl_c().await?;
    serving.stop().await;
    Ok(())
}
