//! The listening socket and the HTTP/1 connections behind it.

use super::patient::Patient;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{future::Future, io, time::Duration};
use tokio::net::{TcpListener, TcpStream};

/// A client that opens a socket and sends no request is let go after this.
const HEADERS: Duration = Duration::from_secs(10);

/// Largest head of a request.
const HEAD: usize = 16 * 1024;

/// When the process has no file descriptor left, accepting goes on after this.
const BREATH: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` for ever. Unlike axum's own `serve` it bounds the time for a request's
/// head and for a socket that takes nothing, and connections run on the bare socket.
pub async fn listen(listener: TcpListener, router: Router) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                tokio::spawn(serve(socket, router.clone()));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Serves until `stop` is done.
pub async fn listen_until(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    tokio::select! { () = listen(listener, router) => {}, () = stop => {} }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

async fn serve(socket: TcpStream, router: Router) {
    // Small frames are written whole; waiting for more would only delay them.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(Patient::new(socket)), TowerToHyperService::new(router))
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTP connection ended");
    }
}
