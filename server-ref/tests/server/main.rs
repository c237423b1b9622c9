//! The server on real sockets: handshakes, frames that no good client sends, slow readers, draining, and the
//! program itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod drain;
mod embedding;
mod frames;
mod handshake;
mod hostile;
mod http;
mod keys;
mod program;
mod redis;
mod socket;
mod streaming;
