//! What can go wrong outside the protocol: building a client, and carrying its frames.
//!
//! Owns [`BuildError`] and [`TransportError`]. What a call settles with is [`Error`](crate::Error), which
//! belongs to the core.

use std::time::Duration;

/// Why there is no client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Neither an endpoint nor a resolver was given.
    #[error("there is no endpoint: pass a URL to builder(), or set a resolver")]
    NoEndpoint,
    /// An endpoint cannot be opened, whatever the network does.
    #[error(transparent)]
    Endpoint(#[from] TransportError),
    /// The connect data cannot be written as JSON.
    #[error("the connect data is not JSON: {0}")]
    InvalidData(String),
    /// A limit or deadline has a value that makes no sense.
    #[error("the option {option} must not be zero")]
    ZeroOption {
        /// Which one.
        option: &'static str,
    },
    /// A header cannot stand in an HTTP request.
    #[error("the header {name:?} is not a valid HTTP header")]
    InvalidHeader {
        /// Its name.
        name: String,
    },
    /// There is no tokio runtime to run the client's task on.
    #[error("there is no tokio runtime here: call build() inside of one")]
    NoRuntime,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    NoEntropy(String),
    /// The operating system gave no thread to keep the storage on.
    #[error("the operating system gave no thread for the storage: {0}")]
    NoThread(String),
    /// The TLS library could not be set up.
    #[error("TLS could not be set up: {0}")]
    Tls(String),
}

/// The part of a connection's life in which something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Looking up the host's name and opening the TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The HTTP request that turns the connection into a WebSocket.
    Upgrade,
    /// Reading frames.
    Read,
    /// Writing frames.
    Write,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Tls => "TLS handshake",
            Self::Upgrade => "WebSocket upgrade",
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// Why a socket did not open, or broke. The client goes on by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// An address that is not one of a WebSocket.
    #[error("{url:?} is not a ws:// or wss:// address: {why}")]
    InvalidUrl {
        /// The address, without its query.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An address of `wss://`, in a build without TLS.
    #[error(
        "wss needs the feature `rustls` or `native-tls` of the crate `homing`, or a connector of your own"
    )]
    TlsUnavailable,
    /// A stage did not end, or made no progress, in its time.
    #[error("{stage} made no progress for {after:?}")]
    TimedOut {
        /// Which.
        stage: Stage,
        /// Its time.
        after: Duration,
    },
    /// A stage failed.
    #[error("{stage} failed: {why}")]
    Failed {
        /// Which.
        stage: Stage,
        /// The words of the operating system or of the library.
        why: String,
    },
    /// The server answered the upgrade with something else.
    #[error("the server answered the WebSocket upgrade with HTTP status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The server reads more slowly than the client writes, and the buffer between them is full.
    #[error("{queued} bytes wait to be written, more than the {maximum} that may")]
    WriteBacklog {
        /// Bytes that would wait.
        queued: usize,
        /// Bytes that may wait.
        maximum: usize,
    },
}

impl TransportError {
    pub(crate) fn failed(stage: Stage, why: impl std::fmt::Display) -> Self {
        Self::Failed { stage, why: why.to_string() }
    }
}
