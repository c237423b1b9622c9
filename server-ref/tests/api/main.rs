//! The HTTP API on real sockets: its key, what it makes of bad input, its documents, and several nodes.
//! Its methods one by one are judged by the official Python client, in tests/conformance/cent.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod bad_input;
mod documents;
mod embedded;
mod entrance;
mod nodes;
#[expect(dead_code, reason = "the engine's own tests use the rest of it")]
#[path = "../engine_redis/server.rs"]
mod redis_server;
mod support;
