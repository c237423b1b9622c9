//! What a connect hook costs: clients that come all at once, let in by a backend that answers at once. The
//! backend runs in the load generator, so its own time is not the server's.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::net::TcpListener;

use crate::server::Server;
use crate::socket::Socket;

/// Connections being opened at the same time.
const OPENING: usize = 512;

/// Starts a backend that lets everybody in, and says where.
pub(crate) async fn backend() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let answer = || async { ([(CONTENT_TYPE, "application/json")], r#"{"result":{"user":"bench"}}"#) };
    let router = Router::new().route("/connect", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// Opens so many connections: how many a second get in, and the server's processor time for each.
pub(crate) async fn connect(server: &Server, connections: usize) -> io::Result<(f64, Duration)> {
    let (begun, cpu) = (Instant::now(), server.process.cpu()?);
    let sockets: Vec<Socket> = stream::iter(0..connections)
        .map(|_| async {
            let mut socket = Socket::open(server.address).await?;
            socket.call("connect", "{}").await?;
            Ok::<_, io::Error>(socket)
        })
        .buffer_unordered(OPENING)
        .try_collect()
        .await?;
    let (took, cpu) = (begun.elapsed(), server.process.cpu()? - cpu);
    drop(sockets);
    let each = cpu / u32::try_from(connections.max(1)).unwrap_or(u32::MAX);
    Ok((connections as f64 / took.as_secs_f64(), each))
}
