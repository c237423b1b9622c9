//! Settings of the sockets: where to listen, the endpoints of clients, the application's API.

use super::{Span, span};
use serde::{Deserialize, Serialize};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpServer {
    /// Address; default 127.0.0.1.
    pub address: String,
    /// Port; default 8000, 0: a free one.
    pub port: u16,
    /// Address for what is not for clients: API, health, metrics; default: that of `http_server.address`.
    pub internal_address: Option<String>,
    #[serde(deserialize_with = "span::port")]
    /// Port for what is not for clients, 0: a free one; default: that of `http_server.port`. Where address or
    /// port is another one, these endpoints are served there and nowhere else.
    pub internal_port: Option<u16>,
    /// Folder of files served beside the endpoints; default: none.
    pub static_dir: Option<String>,
}

impl HttpServer {
    /// Whether what is not for clients is served elsewhere.
    #[must_use]
    pub const fn has_internal(&self) -> bool {
        self.internal_address.is_some() || self.internal_port.is_some()
    }
}

impl Default for HttpServer {
    fn default() -> Self {
        Self {
            address: "127.0.0.1".into(),
            port: 8000,
            internal_address: None,
            internal_port: None,
            static_dir: None,
        }
    }
}

/// The application's calls over HTTP: see docs/http-api.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpApi {
    /// The secret that calls carry, in `X-API-Key`. Without one there is no API. Default: none.
    pub key: Option<String>,
    /// Path in front of the methods; default `/api`.
    pub handler_prefix: String,
    /// Switches the API off although there is a key; default false.
    pub disabled: bool,
    /// Development: calls need no key. Pages of other origins than `client.allowed_origins` are refused.
    pub insecure: bool,
    /// Serves the API at `http_server.port` too where there is an internal address or port; default false.
    pub external: bool,
    /// How errors are told: empty (default) with status 200, `transport` with the status that fits.
    pub error_mode: ErrorMode,
    /// Largest body of a call in bytes; default 8 MiB.
    pub max_request_body_size: usize,
}

impl Default for HttpApi {
    fn default() -> Self {
        Self {
            key: None,
            handler_prefix: "/api".into(),
            disabled: false,
            insecure: false,
            external: false,
            error_mode: ErrorMode::Body,
            max_request_body_size: 8 << 20,
        }
    }
}

impl HttpApi {
    /// Whether there is an API.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.disabled && (self.insecure || self.key.as_deref().is_some_and(|key| !key.is_empty()))
    }
}

/// How errors of the API are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorMode {
    /// In the body alone.
    #[default]
    #[serde(rename = "")]
    Body,
    /// In the status too.
    #[serde(rename = "transport")]
    Transport,
}

/// The WebSocket endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WebSocket {
    /// Path; default `/connection/websocket`.
    pub handler_prefix: String,
    /// Largest frame in bytes; a larger one ends the connection. Default 1 MiB.
    pub message_size_limit: usize,
    /// How long a client's socket may take nothing at all while something is to be written; default 10s,
    /// 0: no limit. What waits meanwhile is bounded by `client.queue_max_size`.
    pub write_timeout: Span,
}

impl Default for WebSocket {
    fn default() -> Self {
        Self {
            handler_prefix: "/connection/websocket".into(),
            message_size_limit: homing_core::wire::MAX_FRAME_BYTES,
            write_timeout: Span::seconds(10),
        }
    }
}

/// A streamed response in place of the WebSocket, a message on each line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpStream {
    /// Whether it is there; default true.
    pub enabled: bool,
    /// Path; default `/connection/http_stream`.
    pub handler_prefix: String,
    /// Largest request in bytes: the first commands. Default 64 KiB.
    pub max_request_body_size: usize,
}

impl Default for HttpStream {
    fn default() -> Self {
        let handler_prefix = "/connection/http_stream".into();
        Self { enabled: true, handler_prefix, max_request_body_size: 64 * 1024 }
    }
}

/// A streamed response in place of the WebSocket, as server-sent events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sse {
    /// Whether it is there; default true.
    pub enabled: bool,
    /// Path; default `/connection/sse`.
    pub handler_prefix: String,
    /// Most bytes of first commands in an address. Default 64 KiB; the head of a request is at most 16 KiB where
    /// the server itself listens.
    pub max_request_body_size: usize,
}

impl Default for Sse {
    fn default() -> Self {
        Self { enabled: true, handler_prefix: "/connection/sse".into(), max_request_body_size: 64 * 1024 }
    }
}

/// Where clients with a streamed response send their commands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Emulation {
    /// Path; default `/emulation`.
    pub handler_prefix: String,
}

impl Default for Emulation {
    fn default() -> Self {
        Self { handler_prefix: "/emulation".into() }
    }
}
