//! Sessions without sockets, on a clock that the tests move: what is said, what is answered, and when.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod calls;
mod channels;
mod connecting;
mod hooks;
mod hostile;
mod limits;
mod nodes;
mod orders;
mod presence;
mod producers;
mod recovery;
mod support;
mod times;
mod tokens;
