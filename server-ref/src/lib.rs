//! Homing's reference server: the Centrifuge client protocol over WebSocket, on an engine in memory or on
//! Redis.
//!
//! [`Server::builder`] makes a [`Server`], whose router an application nests into its own, and whose
//! [`Handle`] publishes, disconnects and drains. The program `homing-server` is a thin layer over it.
//!
//! ```no_run
//! use homing_server::{api::PublishOptions, node::Whom, serve::Ended};
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let server = homing_server::Server::builder()
//!     .procedure("echo", async |_caller, data| Ok(data))
//!     .build()
//!     .await?;
//! let app = axum::Router::new().nest("/realtime", server.router());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
//! tokio::spawn(homing_server::serve::listen(listener, app));
//!
//! let handle = server.handle();
//! handle.publish("chat:general", r#"{"text":"hello"}"#, PublishOptions::default()).await?;
//! let reached = handle.disconnect(Whom::user("ada"), Ended::disconnect()).await?;
//! assert!(reached.unanswered.is_empty());
//! handle.drain().await;
//! # Ok(())
//! # }
//! ```
//!
//! Time, randomness and transport come from outside: [`node::Node`] and [`session::Session`] have no tasks,
//! clocks or sockets of their own, and [`serve`] is the host that gives them these.

pub mod api;
pub mod auth;
pub mod channels;
pub mod clock;
pub mod config;
pub mod engine;
mod frames;
pub mod hooks;
pub mod hub;
pub mod metrics;
pub mod node;
mod payload;
pub mod rpc;
pub mod serve;
pub mod session;
mod ws;

pub use config::Config;
pub use serve::{Builder, Handle, Server};

/// The example of the page on backends compiles.
#[doc = include_str!("../../docs/backends.md")]
#[cfg(doctest)]
pub struct Backends;
