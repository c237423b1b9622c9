//! The Rust client's outbox, storage and durable reading against Homing's server on real sockets: killed bots,
//! users who share a file, storages that fail.
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

mod durable;
mod killed;
mod states;
mod storage;
mod storm;
