//! The task of one connection, over a WebSocket or over a streamed response.
//!
//! It hands the session what came in, writes the connection's queue out and keeps the deadlines. The endpoints
//! spawn it; it decides nothing of the protocol.

mod deadlines;
mod socket;
mod streamed;

use deadlines::Deadlines;

pub(super) use socket::SocketTask;
pub(super) use streamed::{Framing, StreamTask};
