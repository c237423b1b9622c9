//! From an address to an open WebSocket, each stage under its own deadline.
//!
//! Owns name lookup, the race between a host's addresses, TLS and the upgrade. Never retries: that is the
//! core's decision.

use super::{BoxedIo, Connector, Socket, Target, Tls, TransportOptions};
use crate::{Stage, TransportError};
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{
        Error as WsError,
        client::IntoClientRequest,
        http::{HeaderMap, HeaderName, HeaderValue, Uri},
        protocol::WebSocketConfig,
    },
};

/// How long one address of a host has before the next one is tried beside it (RFC 8305).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// Read and write buffers of one socket: small, because most frames are, and sockets are long-lived.
const BUFFER_BYTES: usize = 8 * 1024;
/// Room for control frames when the write buffer is full.
const CONTROL_RESERVE: usize = 1024;

/// What is needed to open sockets.
pub(crate) struct Dialer {
    pub(crate) options: TransportOptions,
    pub(crate) headers: HeaderMap,
    pub(crate) connector: Option<Arc<dyn Connector>>,
    pub(crate) tls: Tls,
}

/// The host behind an address, once the address is known to be one of a WebSocket.
pub(crate) fn parse(url: &str) -> Result<Target, TransportError> {
    let shown = || url.split(['?', '#']).next().unwrap_or_default().to_owned();
    let invalid = |why| TransportError::InvalidUrl { url: shown(), why };
    let uri: Uri = url.parse().map_err(|_| invalid("not an absolute address"))?;
    let secure = match uri.scheme_str() {
        Some("ws") => false,
        Some("wss") => true,
        Some(_) | None => return Err(invalid("the scheme is another one")),
    };
    let host = uri.host().ok_or_else(|| invalid("no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() {
        return Err(invalid("no host"));
    }
    Ok(Target { host, port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }), secure })
}

pub(crate) fn check_header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((name.parse().ok()?, value.parse().ok()?))
}

impl Dialer {
    /// Opens a WebSocket to `url`. Dropping the future gives everything up.
    pub(crate) async fn open(self: Arc<Self>, url: Box<str>) -> Result<Socket, TransportError> {
        let target = parse(&url)?;
        let options = &self.options;
        let written = Arc::new(AtomicU64::new(0));
        let metered = |inner| -> BoxedIo { Box::new(Metered { inner, written: written.clone() }) };

        let stream = if let Some(connector) = &self.connector {
            let after =
                options.connect_timeout + if target.secure { options.tls_timeout } else { Duration::ZERO };
            let opening = connector.connect(target);
            metered(within(Stage::Connect, after, opening).await?)
        } else {
            if target.secure && !Tls::is_available() {
                return Err(TransportError::TlsUnavailable);
            }
            let opening = open_tcp(&target.host, target.port);
            let tcp = metered(within(Stage::Connect, options.connect_timeout, opening).await?);
            if target.secure {
                let timed_out = TransportError::TimedOut { stage: Stage::Tls, after: options.tls_timeout };
                let handshake = self.tls.handshake(&target.host, tcp);
                timeout(options.tls_timeout, handshake).await.map_err(|_| timed_out)??
            } else {
                tcp
            }
        };

        let mut request = url
            .as_ref()
            .into_client_request()
            .map_err(|error| TransportError::failed(Stage::Upgrade, error))?;
        request.headers_mut().extend(self.headers.clone());
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES)
            .max_write_buffer_size(BUFFER_BYTES + options.max_outgoing_bytes + CONTROL_RESERVE)
            .max_message_size(Some(options.max_frame_bytes))
            .max_frame_size(Some(options.max_frame_bytes));
        let upgrade = client_async_with_config(request, stream, Some(config));
        let after = options.upgrade_timeout;
        match timeout(after, upgrade).await {
            Err(_) => Err(TransportError::TimedOut { stage: Stage::Upgrade, after }),
            Ok(Err(WsError::Http(response))) => {
                Err(TransportError::Refused { status: response.status().as_u16() })
            }
            Ok(Err(error)) => Err(TransportError::failed(Stage::Upgrade, error)),
            Ok(Ok((stream, _))) => {
                Ok(Socket::new(stream, written, options.write_timeout, options.max_outgoing_bytes))
            }
        }
    }
}

async fn within<T>(
    stage: Stage,
    after: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, TransportError> {
    match timeout(after, work).await {
        Err(_) => Err(TransportError::TimedOut { stage, after }),
        Ok(Err(error)) => Err(TransportError::failed(stage, error)),
        Ok(Ok(done)) => Ok(done),
    }
}

/// Tries a host's addresses, families alternating, each a moment after the one before: an address that
/// swallows packets costs that moment, not the whole deadline.
async fn open_tcp(host: &str, port: u16) -> io::Result<BoxedIo> {
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (same, other): (Vec<_>, Vec<_>) = found.into_iter().partition(|at| at.is_ipv6() == first_is_v6);
    let mut waiting = VecDeque::new();
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    loop {
        let pair = (same.next(), other.next());
        waiting.extend(pair.0.into_iter().chain(pair.1));
        if pair == (None, None) {
            break;
        }
    }

    let mut attempts: FuturesUnordered<BoxFuture<'_, io::Result<TcpStream>>> = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(at) = waiting.pop_front() {
            attempts.push(Box::pin(TcpStream::connect(at)));
        }
        let next = tokio::select! {
            attempt = attempts.next() => attempt,
            () = sleep(NEXT_ADDRESS_AFTER), if !waiting.is_empty() => continue,
        };
        match next {
            Some(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(Box::new(stream));
            }
            Some(Err(error)) => last = error,
            None if waiting.is_empty() => return Err(last),
            None => {}
        }
    }
}

/// A stream that counts what the network took, so that a stalled write is told from a slow one. It stands
/// under TLS, whose own buffer would pass for progress.
struct Metered {
    inner: BoxedIo,
    written: Arc<AtomicU64>,
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let taken = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.written.fetch_add(taken as u64, Relaxed);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_host_port_and_encryption() {
        let target = parse("wss://example.org/connection/websocket").unwrap();
        assert_eq!(target, Target { host: "example.org".into(), port: 443, secure: true });
        let target = parse("ws://[::1]:8000/x?y=z").unwrap();
        assert_eq!(target, Target { host: "::1".into(), port: 8000, secure: false });
    }

    #[test]
    fn what_is_no_websocket_address_is_refused_without_showing_its_query() {
        for url in ["", "example.org", "https://example.org", "/connection", "ws://?token=secret"] {
            let error = parse(url).unwrap_err();
            assert!(matches!(error, TransportError::InvalidUrl { .. }), "{url}: {error}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
