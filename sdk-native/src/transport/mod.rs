//! Carrying frames: from an address to a WebSocket, and frames over it.
//!
//! Owns the socket's deadlines and the bound of what waits to be written. Never decides when to connect, and
//! never looks into a frame: the driver calls it on the core's orders.

mod dial;
mod socket;
mod tls;

pub(crate) use dial::{Dialer, check_header, parse};
pub(crate) use socket::{Socket, SocketEvent};
pub(crate) use tls::Tls;

use futures::future::BoxFuture;
use std::{io, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};

/// Deadlines and limits of the socket. None of them may be zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportOptions {
    /// For looking up the name and opening the TCP connection. 5 s.
    pub connect_timeout: Duration,
    /// For the TLS handshake. 5 s.
    pub tls_timeout: Duration,
    /// For the server's answer to the WebSocket upgrade. 5 s.
    pub upgrade_timeout: Duration,
    /// How long nothing of what waits to be written may move. 10 s.
    pub write_timeout: Duration,
    /// Largest frame that is read, in bytes. 16 MiB: a page of large messages comes as one frame.
    pub max_frame_bytes: usize,
    /// Bytes that may wait to be written. 16 MiB.
    pub max_outgoing_bytes: usize,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            tls_timeout: Duration::from_secs(5),
            upgrade_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            max_frame_bytes: 16 * 1024 * 1024,
            max_outgoing_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Where a [`Connector`] is to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name or address of the host, IPv6 addresses without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether the address said `wss`: the connector gives a stream that is already encrypted.
    pub secure: bool,
}

/// A stream of bytes to a server.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Any stream of bytes to a server.
pub type BoxedIo = Box<dyn Io>;

/// Opens the stream under the WebSocket in the app's own way: through a proxy, a tunnel, or its own TLS.
///
/// Closures `Fn(Target) -> impl Future<Output = io::Result<BoxedIo>>` are connectors. The deadline is
/// [`connect_timeout`](TransportOptions::connect_timeout), and for `wss`
/// [`tls_timeout`](TransportOptions::tls_timeout) on top.
pub trait Connector: Send + Sync + 'static {
    /// Opens a stream to the target.
    fn connect(&self, target: Target) -> BoxFuture<'static, io::Result<BoxedIo>>;
}

impl<F, Fut> Connector for F
where
    F: Fn(Target) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<BoxedIo>> + Send + 'static,
{
    fn connect(&self, target: Target) -> BoxFuture<'static, io::Result<BoxedIo>> {
        Box::pin(self(target))
    }
}
