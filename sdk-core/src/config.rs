//! What an app can set. Every duration has a default that suits a browser on a phone network.

use crate::time::Duration;
use alloc::{boxed::Box, vec::Vec};

/// The client's configuration; [`Default`] gives everything but an endpoint.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses, tried in this order: the next one after the one before failed to open.
    pub endpoints: Vec<Box<str>>,
    /// Whether the host resolves endpoints: it is asked before every attempt, and `endpoints` is not used.
    pub resolves_endpoints: bool,
    /// A token that the app has already. Without a provider it is all there is; with one it serves the first
    /// attempt.
    pub token: Box<str>,
    /// Whether the host can be asked for tokens; then it is asked before every attempt.
    pub provides_tokens: bool,
    /// JSON for the server's connect handler; empty: none.
    pub data: Box<str>,
    /// Name of the client for the server's logs.
    pub name: Box<str>,
    /// Version of the client for the server's logs.
    pub version: Box<str>,
    /// From asking for a socket to the server's answer to connect. 10 s.
    pub connect_timeout: Duration,
    /// From a call to its answer, waiting for a connection included. 10 s.
    pub request_timeout: Duration,
    /// How long the host may take for a token or for endpoints. 20 s.
    pub provider_timeout: Duration,
    /// Silence beyond the server's ping interval that ends a connection. 10 s.
    pub silence_slack: Duration,
    /// How long a probe waits for any sign of life. 3 s.
    pub probe_timeout: Duration,
    /// Least wait before an attempt to reconnect. 100 ms.
    pub backoff_floor: Duration,
    /// Width of the first random wait; doubles with every failure. 500 ms.
    pub backoff_base: Duration,
    /// Widest random wait. 20 s.
    pub backoff_cap: Duration,
    /// Least wait before an attempt to reconnect while the page is hidden; when it is seen again, the attempt
    /// starts at once. 0, which is the default, makes no difference.
    pub hidden_wait: Duration,
    /// How long a connection must last before failures are forgotten. 10 s.
    pub stable_after: Duration,
    /// How long a channel that its last handle left stays subscribed, in case it is joined again. 100 ms.
    pub linger: Duration,
    /// How long the connection must be away before health is degraded. 5 s.
    pub degraded_after: Duration,
    /// How long the connection must be away before health is lost. 30 s.
    pub lost_after: Duration,
    /// Calls that may wait for an answer or for a connection. 1024.
    pub max_requests: usize,
    /// Bytes of payload that may wait for an answer or for a connection. 8 MiB.
    pub max_request_bytes: usize,
    /// Largest payload in bytes; the server's own limit counts where it is told. 64 KiB.
    pub max_message_bytes: usize,
    /// What the outbox holds at most.
    pub outbox: OutboxLimits,
    /// Whether every change of the outbox is an event.
    pub observes_outbox: bool,
    /// On a server that cannot tell duplicates: whether a message whose outcome is unknown is sent again, at the
    /// risk that it arrives twice.
    pub resends: bool,
    /// Whether the host has a durable storage.
    pub durable: bool,
    /// Name of the server in the storage; `None`: the first endpoint without its query.
    pub storage_name: Option<Box<str>>,
    /// How long the storage may take to open or to write. 5 s.
    pub storage_timeout: Duration,
    /// Id of the user, where the app knows it: their stored data is there before the connection is. Needed on a
    /// server that does not tell it.
    pub user: Option<Box<str>>,
    /// The wall clock when the client was made, Unix milliseconds.
    pub started_at: i64,
    /// Live publications held back per channel while its history is read. 1024.
    pub max_held: usize,
    /// Publications asked for in one page of history while catching up. 200.
    pub repair_page: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            resolves_endpoints: false,
            token: Box::default(),
            provides_tokens: false,
            data: Box::default(),
            name: "homing".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            provider_timeout: Duration::from_secs(20),
            silence_slack: Duration::from_secs(10),
            probe_timeout: Duration::from_secs(3),
            backoff_floor: Duration::from_millis(100),
            backoff_base: Duration::from_millis(500),
            backoff_cap: Duration::from_secs(20),
            hidden_wait: Duration::ZERO,
            stable_after: Duration::from_secs(10),
            linger: Duration::from_millis(100),
            degraded_after: Duration::from_secs(5),
            lost_after: Duration::from_secs(30),
            max_requests: 1024,
            max_request_bytes: 8 * 1024 * 1024,
            max_message_bytes: crate::wire::MAX_MESSAGE_BYTES,
            outbox: OutboxLimits::default(),
            observes_outbox: false,
            resends: false,
            durable: false,
            storage_name: None,
            storage_timeout: Duration::from_secs(5),
            user: None,
            started_at: 0,
            max_held: 1024,
            repair_page: 200,
        }
    }
}

/// What the outbox holds at most. What exceeds a limit is refused at the call; what grows too old is parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Messages, parked ones included. 1024.
    pub entries: usize,
    /// Bytes of payload. 8 MiB.
    pub bytes: usize,
    /// How long a message may wait without ever being sent. 7 days.
    pub age: Duration,
    /// Channels whose numbers are remembered; the first one that has nothing to send makes room for another. In one
    /// that was forgotten the next message costs a round trip more, and a server's loss of what
    /// it had acked there is not noticed. 1024.
    pub channels: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self {
            entries: 1024,
            bytes: 8 * 1024 * 1024,
            age: Duration::from_secs(7 * 24 * 3600),
            channels: 1024,
        }
    }
}

/// How to subscribe to a channel. All handles of a channel have the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// A subscription token that the app has already; empty: none.
    pub token: Box<str>,
    /// Whether the host can be asked for tokens of this channel.
    pub provides_tokens: bool,
    /// JSON for the server's subscribe handler; empty: none.
    pub data: Box<str>,
    /// Asks the server to check the position.
    pub positioned: bool,
    /// Asks the server for recovery, where the namespace leaves it to the client.
    pub recoverable: bool,
    /// Asks for join and leave events, where the namespace leaves it to the client.
    pub join_leave: bool,
    /// What recovery brings.
    pub recovery: Recovery,
    /// Continues after a restart from the last position that the app has processed, out of the storage.
    pub durable: bool,
    /// A position to continue from, kept by the app from an earlier run.
    pub since: Option<crate::Position>,
}

/// What recovery brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recovery {
    /// Everything that was missed.
    #[default]
    Stream,
    /// The newest publication: the channel is a value, not a story.
    Cache,
}
