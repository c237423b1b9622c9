//! Homing's reference server: the Centrifuge client protocol over WebSocket, on an engine in memory or on
//! Redis.
//!
//! [`Server::builder`] makes a [`Server`], whose router an application nests into its own, and whose
//! [`Handle`] publishes, disconnects and drains. The program `homing-server` is a thin layer over it.
//!
//! Time, randomness and transport come from outside: [`node::Node`] and [`session::Session`] have no tasks,
//! clocks or sockets of their own, and [`serve`] is the host that gives them these.

pub mod auth;
pub mod channels;
pub mod clock;
pub mod config;
pub mod engine;
mod frames;
pub mod hub;
pub mod metrics;
pub mod node;
pub mod rpc;
pub mod serve;
pub mod session;
mod ws;

pub use config::Config;
pub use serve::{Builder, Handle, Server};
