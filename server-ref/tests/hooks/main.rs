//! A server and a backend that answers its hooks over HTTP, on real sockets: what is asked, what is made of
//! the answers, and what happens when there are none.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod answers;
mod backend;
mod crowd;
mod documents;
mod embedding;
mod failures;
mod passing;
mod publishing;
#[path = "../server/socket.rs"]
#[expect(dead_code, reason = "what other suites need of it")]
mod socket;
