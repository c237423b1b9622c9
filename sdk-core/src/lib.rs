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
mod rng;
mod table;
mod timers;

pub use client::RealtimeClient;
pub use config::{Config, Recovery, SubscribeOptions};
pub use error::{Error, ErrorCode, Limit};
pub use event::{
    ChannelEvent, ClientInfo, ConnectionState, Event, Health, HistoryQuery, Json, Message, Reason, Response,
    Session, Subscribed, SubscriptionSnapshot, SubscriptionState,
};
pub use ids::{ChannelKey, ConnId, EndpointRequestId, HandleId, RequestId, TokenRequestId};
pub use input::{Input, TokenRefusal};
pub use output::{Deadline, Output, Timer};
pub use position::{Gap, GapReason, Position};
pub use time::{Duration, Instant};
