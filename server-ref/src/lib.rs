//! Homing's reference server: the Centrifuge client protocol over WebSocket, on an engine in memory or on
//! Redis.

pub mod clock;
pub mod engine;
