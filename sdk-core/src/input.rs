//! What a host tells the client.

use crate::{Error, ids::*, storage::Record};
use alloc::{boxed::Box, vec::Vec};

/// One thing that happened outside. Inputs of an older [`ConnId`] are dropped.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// A socket opened.
    SocketOpened {
        /// Which.
        conn: ConnId,
    },
    /// A text frame arrived.
    FrameReceived {
        /// On which socket.
        conn: ConnId,
        /// The frame, whole.
        text: &'a str,
    },
    /// A socket closed, or could not be opened.
    SocketClosed {
        /// Which.
        conn: ConnId,
        /// The close code; 0 or 1006 where there was no close frame.
        code: u32,
        /// The close reason, or the host's own words.
        reason: &'a str,
    },
    /// The token provider answered.
    TokenProvided {
        /// Which question.
        request: TokenRequestId,
        /// The token; empty: go on without one.
        token: Result<Box<str>, TokenRefusal>,
    },
    /// The endpoint resolver answered.
    EndpointsResolved {
        /// Which question.
        request: EndpointRequestId,
        /// Addresses in order of preference, or why there are none.
        endpoints: Result<Vec<Box<str>>, Box<str>>,
    },
    /// The storage of the wanted scope was opened, or could not be: everything in it that no other living
    /// instance owns.
    StorageOpened {
        /// What it holds.
        records: Result<Vec<Record>, Error>,
    },
    /// Another instance that shared the storage has died: what it left behind.
    StorageAdopted {
        /// The records of its producers.
        records: Vec<Record>,
    },
    /// A write to the storage is safe, or has failed.
    Stored {
        /// Which.
        write: WriteId,
        /// Why it failed, in the host's words.
        result: Result<(), Box<str>>,
    },
    /// The host believes that the network is there. A hint: it shortens a wait or starts a probe.
    Online,
    /// The host believes that the network is gone. A hint: it starts a probe, and blocks nothing.
    Offline,
    /// The page is seen again. A hint: it shortens a wait or starts a probe.
    Visible,
    /// The page is not seen any more: attempts to connect may take their time, see
    /// [`Config::hidden_wait`](crate::Config::hidden_wait).
    Hidden,
    /// The clock jumped, or the page was thawed: the socket may be dead without knowing it.
    Resumed,
    /// The page goes into the back/forward cache: its socket is closed now, positions are kept.
    Suspended,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenRefusal {
    /// The user is not allowed: terminal.
    Forbidden(Box<str>),
    /// Something failed: asked again later.
    Failed(Box<str>),
}

impl TokenRefusal {
    pub(crate) fn error(&self) -> Error {
        match self {
            Self::Forbidden(why) => Error::new(crate::ErrorCode::TokenForbidden).with_detail(why),
            Self::Failed(why) => Error::new(crate::ErrorCode::TokenFailed).with_detail(why),
        }
    }
}
