//! Homing's wire types, and its client as a sans-IO state machine.
//!
//! A host owns the socket, one timer and the app's callbacks; this crate owns every decision. It never reads
//! a clock, never rolls dice of its own, never blocks and never waits: time and entropy come in, orders go
//! out, and the same inputs give the same outputs, byte for byte.
//!
//! ```text
//!   loop {
//!       wait for: a command of the app | a socket event | the deadline of poll_timeout()
//!       client.<command>(now, …)  or  client.handle_input(now, …)  or  client.handle_timeout(now)
//!       while let Some(output) = client.poll_output() { do it }
//!       arm the timer to client.poll_timeout()
//!   }
//! ```
//!
//! The same as a program, with a server that has learned its answers by heart:
//!
//! ```
//! use homing_core::{ChannelEvent, Config, Event, Input, Instant, Output, RealtimeClient, SubscribeOptions};
//!
//! let endpoints = vec!["wss://example.org/connection/websocket".into()];
//! let now = Instant::from_millis(0);
//! let mut client = RealtimeClient::new(Config { endpoints, ..Config::default() }, [7; 32], now);
//! client.connect(now)?;
//! let (_handle, channel) = client.subscribe(now, "chat:general", &SubscribeOptions::default())?;
//!
//! let mut answers = [
//!     r#"{"id":1,"connect":{"client":"c1","ping":25,"pong":true}}"#,
//!     r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":4}}
//!        {"push":{"channel":"chat:general","pub":{"data":{"text":"hello"},"offset":5}}}"#,
//! ]
//! .into_iter();
//! let mut heard = None;
//! while let Some(output) = client.poll_output() {
//!     match output {
//!         Output::OpenSocket { conn, .. } => client.handle_input(now, Input::SocketOpened { conn }),
//!         Output::SendFrame { conn, .. } => {
//!             let text = answers.next().expect("an answer for each frame");
//!             client.handle_input(now, Input::FrameReceived { conn, text });
//!         }
//!         Output::Event(Event::Channel { channel: of, event: ChannelEvent::Message(message) }) if of == channel => {
//!             heard = Some(message);
//!         }
//!         _ => {}
//!     }
//! }
//! let message = heard.expect("the message");
//! assert_eq!((message.data.as_str(), message.offset), (r#"{"text":"hello"}"#, 5));
//! assert!(client.poll_timeout().is_some(), "the next thing to wait for is the server's ping");
//! # Ok::<(), homing_core::Error>(())
//! ```
//!
//! - `now` never goes back and counts sleep. Where a host's clock may stop in sleep it compares it with the
//!   wall clock, and says [`Input::Resumed`] after a lead of more than two seconds.
//! - Outputs are drained to the end after every call, before the next one.
//! - A call of `handle_timeout` that comes early, late or twice is harmless.
#![no_std]
extern crate alloc;

pub mod config;
pub mod error;
pub mod event;
pub mod ids;
pub mod input;
pub mod output;
pub mod position;
pub mod time;
pub mod wire;

mod calls;
mod channel;
mod client;
mod connection;
mod health;
mod log;
mod outbound;
mod outbox;
mod rng;
mod storage;
mod table;
mod timers;

pub use client::RealtimeClient;
pub use config::{Config, OutboxLimits, Recovery, SubscribeOptions};
pub use error::{Error, ErrorCode, Limit};
pub use event::{
    ChannelEvent, ClientInfo, ConnectionState, Event, Health, HistoryQuery, Json, Message, Reason, Response,
    Session, Subscribed, SubscriptionSnapshot, SubscriptionState,
};
pub use ids::{ChannelKey, ConnId, EndpointRequestId, EntryId, HandleId, RequestId, TokenRequestId, WriteId};
pub use input::{Input, TokenRefusal};
pub use outbox::{Accepted, EntryState, OutboxChange, OutboxEntry, PublishOptions};
pub use output::{Deadline, Output, Timer};
pub use position::{Gap, GapReason, Position};
pub use storage::{Record, Scope, StorageOp, StorageOrder};
pub use time::{Duration, Instant};
