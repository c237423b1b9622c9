//! Realtime messaging that loses nothing: the client for Rust programs.
mod builder;
mod call;
mod channel;
mod client;
mod clock;
mod decode;
mod driver;
mod error;
mod streams;
mod transport;

pub use builder::Builder;
pub use call::Call;
pub use channel::{Channel, HistoryPage, Presence, PresenceStats, Published};
pub use client::RealtimeClient;
pub use clock::{Clock, SystemClock};
pub use decode::Decode;
pub use driver::Hint;
pub use error::{BuildError, Stage, TransportError};
pub use streams::{BufferLimits, ChannelEvents, ClientEvent, ClientEvents, Delivery, Lagged, Messages};
pub use transport::{BoxedIo, Connector, Io, Target, TransportOptions};

pub use homing_core::{
    ChannelEvent, ClientInfo, Config, ConnectionState, Error, ErrorCode, Gap, GapReason, Health,
    HistoryQuery, Json, Limit, Message, Position, Reason, Recovery, Session, SubscribeOptions, Subscribed,
    SubscriptionSnapshot, SubscriptionState, TokenRefusal,
};
