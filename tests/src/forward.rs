//! One port of the cluster made reachable from outside its network namespace, or at another port inside it.
//!
//! The listener was bound outside and is handed in as standard input; a socket stays in the namespace it was made in, while the
//! connections made here start inside. So one address serves both worlds.

use std::io;
use std::net::Ipv4Addr;
use std::net::TcpListener as StdListener;
use std::os::fd::AsFd;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Accepts on standard input for ever and passes each connection on to `127.0.0.1:port`.
pub async fn forward(port: u16) -> io::Result<()> {
    let outside = StdListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    outside.set_nonblocking(true)?;
    let outside = TcpListener::from_std(outside)?;
    pass_on(&outside, port).await
}

/// Listens on `127.0.0.1:from` and passes each connection on to `127.0.0.1:to`. Several relays may listen on the same port; each takes its
/// share.
pub async fn relay(from: u16, to: u16) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, from).into())?;
    pass_on(&socket.listen(64)?, to).await
}

async fn pass_on(from: &TcpListener, port: u16) -> io::Result<()> {
    loop {
        let (mut near, _) = from.accept().await?;
        tokio::spawn(async move {
            let _ = near.set_nodelay(true);
            // Nobody listens inside: the connection is dropped, which is what the client should see.
            let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            let _ = far.set_nodelay(true);
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
    }
}
