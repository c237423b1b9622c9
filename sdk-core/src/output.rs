//! What the client wants from its host, in order.

use crate::{Error, StorageOrder, event::Event, event::Response, ids::*, time::Instant};
use alloc::{boxed::Box, string::String};

/// One thing to do. The host drains all of them after every call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// Open a socket; there is never more than one that was not closed.
    OpenSocket {
        /// Its name from here on.
        conn: ConnId,
        /// Where to.
        url: Box<str>,
    },
    /// Send one text frame.
    SendFrame {
        /// On which socket.
        conn: ConnId,
        /// The frame.
        text: String,
    },
    /// Close a socket, opened or not. Nothing that it still says counts.
    CloseSocket {
        /// Which.
        conn: ConnId,
        /// Close code.
        code: u16,
        /// Close reason.
        reason: &'static str,
    },
    /// Ask the token provider; answer with [`Input::TokenProvided`](crate::Input::TokenProvided).
    RequestToken {
        /// Name of the question.
        request: TokenRequestId,
        /// The channel whose token is wanted; `None`: the connection's.
        channel: Option<Box<str>>,
    },
    /// Ask the endpoint resolver; answer with [`Input::EndpointsResolved`](crate::Input::EndpointsResolved).
    ResolveEndpoints {
        /// Name of the question.
        request: EndpointRequestId,
    },
    /// Do this with the durable storage. Comes only where the configuration says that there is one.
    Storage(StorageOrder),
    /// A message of the outbox is kept, now that it is known where. Comes at most once for each, and only where
    /// the configuration says that there is a durable storage; without one a message is kept at once.
    Accepted {
        /// Which.
        request: RequestId,
        /// Whether it is in the durable storage.
        durably: bool,
    },
    /// Tell the app.
    Event(Event),
    /// A call has settled. Comes exactly once for each.
    Settled {
        /// Which.
        request: RequestId,
        /// With what.
        result: Result<Response, Error>,
    },
}

/// When the client wants to be called again, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// Not before this.
    pub at: Instant,
    /// What is due then.
    pub timer: Timer,
}

/// The reasons to be called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Timer {
    /// Another attempt to connect.
    Reconnect,
    /// A socket that has not become a connection.
    ConnectDeadline,
    /// A provider that has not answered.
    ProviderDeadline,
    /// A server that says nothing.
    Silence,
    /// A probe without an answer.
    Probe,
    /// A connection that lasted.
    Stable,
    /// The connection's token.
    TokenRefresh,
    /// A call without an answer.
    RequestDeadline,
    /// A message of the outbox: without an answer, due to be sent again, or too old.
    Outbox,
    /// A storage that has not answered.
    Storage,
    /// A subscribe or unsubscribe without an answer.
    SubscribeDeadline,
    /// Another attempt to subscribe.
    Resubscribe,
    /// Another attempt to read history.
    Repair,
    /// A subscription's token.
    SubscriptionRefresh,
    /// A channel that its last handle left.
    Linger,
    /// A change of health.
    Health,
    /// The end of a close that waits for calls to settle.
    Close,
}
