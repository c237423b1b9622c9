//! What the fuzzers run, as plain functions of bytes: the fuzz targets in `tests/fuzz` call them with new
//! inputs, and a stable test replays the kept corpus through them. They panic where a promise is broken.

mod client;
mod decoder;
mod script;
mod session;

pub use client::client_inputs;
pub use decoder::{decode_commands, decode_replies};
pub use session::session_inputs;
