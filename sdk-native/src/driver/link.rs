//! The one socket: none, opening, or open.

use crate::{
    TransportError,
    transport::{Dialer, Socket, SocketEvent},
};
use futures::future::BoxFuture;
use homing_core::ConnId;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

#[derive(Default)]
pub(crate) enum Link {
    #[default]
    None,
    Opening(ConnId, BoxFuture<'static, Result<Socket, TransportError>>),
    Open(ConnId, Box<Socket>),
}

/// What the link says. After everything but a frame it is `None` or `Open`, as told.
pub(crate) enum LinkEvent {
    Opened(ConnId),
    Frame(ConnId, Utf8Bytes),
    Closed { conn: ConnId, code: u32, reason: String },
    Failed(ConnId, TransportError),
}

impl Link {
    pub(crate) fn open(dialer: &Arc<Dialer>, conn: ConnId, url: Box<str>) -> Self {
        Self::Opening(conn, Box::pin(dialer.clone().open(url)))
    }

    /// The next thing that happens; never, without a socket. Cancel-safe.
    pub(crate) async fn next(&mut self) -> LinkEvent {
        let event = match self {
            Self::None => std::future::pending().await,
            Self::Opening(conn, opening) => {
                let conn = *conn;
                match opening.await {
                    Ok(socket) => {
                        *self = Self::Open(conn, Box::new(socket));
                        return LinkEvent::Opened(conn);
                    }
                    Err(error) => LinkEvent::Failed(conn, error),
                }
            }
            Self::Open(conn, socket) => match socket.next().await {
                SocketEvent::Frame(text) => return LinkEvent::Frame(*conn, text),
                SocketEvent::Closed { code, reason } => LinkEvent::Closed { conn: *conn, code, reason },
                SocketEvent::Failed(error) => LinkEvent::Failed(*conn, error),
            },
        };
        *self = Self::None;
        event
    }

    /// Queues a frame for the socket that counts; one for another socket goes nowhere.
    pub(crate) fn send(&mut self, to: ConnId, text: String) -> Result<(), TransportError> {
        match self {
            Self::Open(conn, socket) if *conn == to => socket.send(text),
            Self::None | Self::Opening(..) | Self::Open(..) => Ok(()),
        }
    }

    /// Takes the socket out, if it is this one.
    pub(crate) fn take(&mut self, wanted: ConnId) -> Option<Box<Socket>> {
        match std::mem::take(self) {
            Self::Open(conn, socket) if conn == wanted => Some(socket),
            Self::Opening(conn, _) if conn == wanted => None,
            other => {
                *self = other;
                None
            }
        }
    }
}
