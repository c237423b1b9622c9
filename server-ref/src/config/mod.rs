//! The server's settings: their names, places and defaults. Where a setting means what Centrifugo's does, it
//! has its name and place.
//!
//! [`load`] reads file and environment; the type here only says what there is. Checked once, at start.

mod check;
mod hooks;
mod http;
mod load;
mod namespace;
mod span;

use crate::clock::Millis;
use serde::{Deserialize, Serialize};

pub use check::check;
pub use hooks::{
    ChannelProxies, ClientProxies, EnabledProxy, Hooks, NamedProxy, NamedRpcOptions, Proxy, ProxyHttp, Rpc,
    RpcOptions,
};
pub use http::{Emulation, ErrorMode, HttpApi, HttpServer, HttpStream, Sse, WebSocket};
pub use load::{ENV_PREFIX, development, load, parse};
pub use namespace::{ChannelOptions, NamedOptions, RecoveryMode};
pub use span::Span;

/// A setting that is wrong: which one, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: {reason}")]
    File {
        /// Its path.
        file: String,
        /// What the system says.
        reason: String,
    },
    /// The file is neither TOML nor JSON.
    #[error("the configuration cannot be read: {0}")]
    Syntax(String),
    /// There is no such setting.
    #[error("{key}: unknown setting{}", nearest.as_ref().map(|near| format!(", did you mean {near}?")).unwrap_or_default())]
    Unknown {
        /// Its full name.
        key: String,
        /// A setting with a similar name.
        nearest: Option<String>,
    },
    /// The setting is known, and this server does not have it.
    #[error("{key}: not supported yet")]
    Unsupported {
        /// Its full name.
        key: String,
    },
    /// The value does not fit the setting.
    #[error("{key}: {reason}")]
    Invalid {
        /// Its full name.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

impl ConfigError {
    pub(crate) fn invalid(key: impl Into<String>, reason: impl ToString) -> Self {
        Self::Invalid { key: key.into(), reason: reason.to_string() }
    }
}

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where to listen.
    pub http_server: HttpServer,
    /// The application's calls over HTTP.
    pub http_api: HttpApi,
    /// The WebSocket endpoint.
    pub websocket: WebSocket,
    /// A streamed response in place of the WebSocket, a message on each line.
    pub http_stream: HttpStream,
    /// A streamed response in place of the WebSocket, as server-sent events.
    pub sse: Sse,
    /// Where clients with a streamed response send their commands.
    pub emulation: Emulation,
    /// What keeps logs and maps.
    pub engine: Engine,
    /// Connections.
    pub client: Client,
    /// Channels.
    pub channel: Channels,
    /// Procedures that a backend carries out.
    pub rpc: Rpc,
    /// What all hooks have in common.
    pub hooks: Hooks,
    /// Further addresses of hooks, for the namespaces that name them.
    pub proxies: Vec<NamedProxy>,
    /// This node among others.
    pub node: NodeOptions,
    /// How the server stops.
    pub shutdown: Shutdown,
    /// What is logged.
    pub log: Log,
    /// `/health` and `/ready`.
    pub health: Enabled,
    /// `/metrics`.
    pub prometheus: Enabled,
}

/// Something that can be switched off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Enabled {
    /// Whether it is there; default true.
    pub enabled: bool,
}

impl Default for Enabled {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Which engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// In this process; for one node.
    #[default]
    Memory,
    /// On Redis; for several nodes.
    Redis,
}

/// What keeps logs and maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Engine {
    /// `memory` or `redis`; default memory.
    #[serde(rename = "type")]
    pub kind: EngineKind,
    /// How long a client's command waits for the engine before it gets a temporary error; default 5s.
    pub call_timeout: Span,
    /// How long an entry of the presence lives unless its node renews it; default 60s.
    pub presence_ttl: Span,
    /// How long a producer is remembered after its last publish, so that what it sends again is known; a client
    /// never sends an older message again. Default 48h, 0: publishes are not numbered.
    pub dedupe_window: Span,
    /// How Redis is reached.
    pub redis: Redis,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            kind: EngineKind::Memory,
            call_timeout: Span::seconds(5),
            presence_ttl: Span::seconds(60),
            dedupe_window: Span::hours(48),
            redis: Redis::default(),
        }
    }
}

/// What an ack promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// Redis has it.
    #[default]
    Appended,
    /// Replicas have it.
    Replicated,
    /// It is on the disk.
    Fsynced,
}

/// How Redis is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Redis {
    /// `redis://host:port` or `host:port`; default `redis://127.0.0.1:6379`.
    pub address: String,
    /// First part of every key; default `homing`.
    pub prefix: String,
    /// User name; default: none.
    pub user: Option<String>,
    /// Password; default: none.
    pub password: Option<String>,
    /// Over how many hash tags channels are spread; fixed for the life of the data. Default 64.
    pub partitions: u16,
    /// Deadline of every call, and of connecting; default 4s.
    pub io_timeout: Span,
    /// What is true of a message when its publisher gets the ack. `appended` (default): Redis has it in memory,
    /// and a crash or failover may lose it. `replicated`: `ack_replicas` replicas have it in memory too.
    /// `fsynced`: it is on the disk, of `ack_replicas` replicas too; needs Redis 7.2 with `appendonly yes`.
    pub ack: Ack,
    /// Replicas that must have a message before it is acked; default 1, with `fsynced` 0 may do.
    pub ack_replicas: u32,
    /// How long that may take; then the publish gets a temporary error, and a client with numbers asks again
    /// until it holds. Default 1s.
    pub ack_timeout: Span,
    /// How long the start waits for a Redis that is away; default 10s.
    pub start_timeout: Span,
}

impl Redis {
    /// The address with scheme, user and password.
    #[must_use]
    pub fn url(&self) -> String {
        let (scheme, rest) = self.address.split_once("://").unwrap_or(("redis", &self.address));
        if rest.contains('@') || self.user.is_none() && self.password.is_none() {
            return format!("{scheme}://{rest}");
        }
        let encode = |text: &Option<String>| percent_encoded(text.as_deref().unwrap_or_default());
        format!("{scheme}://{}:{}@{rest}", encode(&self.user), encode(&self.password))
    }
}

fn percent_encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            address: "redis://127.0.0.1:6379".into(),
            prefix: "homing".into(),
            user: None,
            password: None,
            partitions: 64,
            io_timeout: Span::seconds(4),
            ack: Ack::Appended,
            ack_replicas: 1,
            ack_timeout: Span::seconds(1),
            start_timeout: Span::seconds(10),
        }
    }
}

/// Connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Client {
    /// Development: everything is allowed, without a token.
    pub insecure: bool,
    /// Origins of pages that may connect: `https://example.org`, `https://*.example.org`, `*`. Requests
    /// without an origin (programs) pass always. Default: none.
    pub allowed_origins: Vec<String>,
    /// Whether a connection without a token is an anonymous user; default false.
    pub allow_anonymous_connect_without_token: bool,
    /// Time between pings; default 25s, 0: none.
    pub ping_interval: Span,
    /// Time for the answer to a ping; default 8s.
    pub pong_timeout: Span,
    /// Time for the connect command; default 10s.
    pub stale_close_delay: Span,
    /// Time between a connection's expiry and its end, in which it may be refreshed; default 25s.
    pub expired_close_delay: Span,
    /// The same of a subscription; default 25s.
    pub expired_sub_close_delay: Span,
    /// Channels per connection; default 128.
    pub channel_limit: usize,
    /// Bytes that may wait for a client that reads slowly; default 1 MiB.
    pub queue_max_size: usize,
    /// Time between renewals of presence; default 27s.
    pub presence_update_interval: Span,
    /// Connections of this node; default 0: no limit.
    pub connection_limit: usize,
    /// Connections of one user on this node; default 0: no limit.
    pub user_connection_limit: usize,
    /// Channels and producers that one user may have brought into being and that the engine still remembers; what
    /// needs another one is refused. On Redis in each partition, so up to `engine.redis.partitions` times as many.
    /// Anonymous users are one user. Default 10000, 0: no limit.
    pub user_record_limit: u32,
    /// New connections a second; default 0: no limit.
    pub connection_rate_limit: u32,
    /// Commands of one connection a second, twice as many in a burst; default 5000, 0: no limit.
    pub command_rate_limit: u32,
    /// Largest payload of one message in bytes; a larger one is refused. Default 64 KiB.
    pub message_size_limit: usize,
    /// Publications on one page of history; default 300.
    pub history_max_publication_limit: u32,
    /// Publications that one recovery may bring; default 300.
    pub recovery_max_publication_limit: u32,
    /// Time between checks of a channel's position against the log; default 40s, 0: none.
    pub channel_position_check_delay: Span,
    /// Whether the connect result carries the server's clock; default false. It always does with an
    /// `engine.dedupe_window`, which is counted on that clock.
    pub connect_include_server_time: bool,
    /// Connection tokens.
    pub token: Token,
    /// Subscription tokens; those of the connection unless enabled.
    pub subscription_token: SubscriptionToken,
    /// Hooks of connections.
    pub proxy: ClientProxies,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            insecure: false,
            allowed_origins: Vec::new(),
            allow_anonymous_connect_without_token: false,
            ping_interval: Span::seconds(25),
            pong_timeout: Span::seconds(8),
            stale_close_delay: Span::seconds(10),
            expired_close_delay: Span::seconds(25),
            expired_sub_close_delay: Span::seconds(25),
            channel_limit: 128,
            queue_max_size: 1 << 20,
            presence_update_interval: Span::seconds(27),
            connection_limit: 0,
            user_connection_limit: 0,
            user_record_limit: 10_000,
            connection_rate_limit: 0,
            command_rate_limit: 5000,
            message_size_limit: homing_core::wire::MAX_MESSAGE_BYTES,
            history_max_publication_limit: 300,
            recovery_max_publication_limit: 300,
            channel_position_check_delay: Span::seconds(40),
            connect_include_server_time: false,
            token: Token::default(),
            subscription_token: SubscriptionToken::default(),
            proxy: ClientProxies::default(),
        }
    }
}

/// Keys and expectations that tokens are checked with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Token {
    /// Secret of HS256, HS384, HS512.
    pub hmac_secret_key: Option<String>,
    /// The secret before this one, still honoured.
    pub hmac_previous_secret_key: Option<String>,
    /// PEM of RS256, RS384, RS512.
    pub rsa_public_key: Option<String>,
    /// PEM of ES256, ES384.
    pub ecdsa_public_key: Option<String>,
    /// PEM of EdDSA.
    pub ed25519_public_key: Option<String>,
    /// URL of a JSON web key set.
    pub jwks_public_endpoint: Option<String>,
    /// Expected `aud`; default: any.
    pub audience: Option<String>,
    /// Expected `iss`; default: any.
    pub issuer: Option<String>,
    /// Claim with the user's id; default `sub`.
    pub user_id_claim: Option<String>,
}

/// Keys of subscription tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubscriptionToken {
    /// Whether subscription tokens have keys of their own; default false.
    pub enabled: bool,
    /// The keys.
    #[serde(flatten)]
    pub token: Token,
}

/// Channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Channels {
    /// Longest name in bytes; default 255.
    pub max_length: usize,
    /// What a token-only channel begins with; default `$`, empty: there are none.
    pub private_prefix: String,
    /// What stands behind a namespace; default `:`.
    pub namespace_boundary: String,
    /// What stands before the users of a user-limited channel; default `#`, empty: there are none.
    pub user_boundary: String,
    /// What stands between these users; default `,`.
    pub user_separator: String,
    /// How long a channel's head is kept, where its namespace says nothing; default 720h.
    pub history_meta_ttl: Span,
    /// Hooks of channels.
    pub proxy: ChannelProxies,
    /// Options of channels without a namespace.
    pub without_namespace: ChannelOptions,
    /// The namespaces.
    pub namespaces: Vec<NamedOptions>,
}

impl Default for Channels {
    fn default() -> Self {
        Self {
            max_length: homing_core::wire::MAX_CHANNEL_LENGTH,
            private_prefix: "$".into(),
            namespace_boundary: ":".into(),
            user_boundary: "#".into(),
            user_separator: ",".into(),
            history_meta_ttl: Span::hours(720),
            proxy: ChannelProxies::default(),
            without_namespace: ChannelOptions::default(),
            namespaces: Vec::new(),
        }
    }
}

/// This node among others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeOptions {
    /// Its name, for people; default: its id.
    pub name: String,
    /// How long other nodes may take to answer what concerns connections anywhere; the answer names those that
    /// took longer. Default 2s.
    pub answer_timeout: Span,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self { name: String::new(), answer_timeout: Span::seconds(2) }
    }
}

/// How the server stops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shutdown {
    /// Time over which connections are closed, in batches; default 5s.
    pub drain_window: Span,
    /// Time after which the process ends whatever is left; default 30s.
    pub timeout: Span,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { drain_window: Span::seconds(5), timeout: Span::seconds(30) }
    }
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// `trace`, `debug`, `info`, `warn`, `error`, or a filter of `tracing`; default info.
    pub level: String,
    /// Whether lines are JSON; default false.
    pub json: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), json: false }
    }
}

impl Config {
    /// How long a lease of the presence is.
    #[must_use]
    pub fn presence_lease(&self) -> Millis {
        self.engine.presence_ttl.millis()
    }
}
