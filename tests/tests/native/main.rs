//! The Rust client against a server in another process, named by HOMING_PEER: a plain Centrifuge server, or
//! Homing's with the same settings. HOMING_PEER_PLAIN=1 says that it is a plain one.
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

mod channels;
mod connect;
mod orders;
mod recovery;
mod support;
