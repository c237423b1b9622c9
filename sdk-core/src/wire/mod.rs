//! The frames of the protocol as plain types that do not know their encoding.
//!
//! Owns the shapes of commands, replies and pushes and the numeric codes in them. Never encodes (that is
//! [`json`]), never decides. Both the client and the server are built on these types, so a golden frame
//! decoded by one is understood by the other.
//!
//! Text is borrowed from the frame wherever it needs no unescaping; a payload is never copied or looked
//! into: it stays the [`Raw`] slice of JSON that it is.

mod codes;
mod command;
pub mod json;
mod limits;
mod reply;

use alloc::borrow::Cow;

pub use codes::{DisconnectCode, ErrorCode, UnsubscribeCode, closes_for_good, resubscribes};
pub use command::{
    Command, Connect, History, Presence, PresenceStats, Publish, Refresh, Request, Rpc, Send, Since, Stamp,
    SubRefresh, Subscribe, Unsubscribe,
};
pub use limits::{MAX_CHANNEL_LENGTH, MAX_DEPTH, MAX_FRAME_BYTES, MAX_MESSAGE_BYTES, MAX_SAFE_INTEGER};
pub use reply::{
    Answer, ClientInfo, ConnectResult, Disconnect, ErrorReply, Extras, HistoryResult, Limits, Outcome,
    PresenceResult, PresenceStatsResult, Publication, PublishResult, Push, PushEvent, RefreshResult, Reply,
    Retention, RpcResult, ServerMessage, SubRefreshResult, SubscribeResult, Subscribed, Unsubscribed,
};

/// Text of a frame: borrowed, unless the sender escaped something in it.
pub type Text<'a> = Cow<'a, str>;

/// One complete, well-formed JSON value, exactly as it stood in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// Takes `text` as one JSON value after checking that it is exactly that.
    ///
    /// # Errors
    /// The first place where `text` stops being one JSON value nested at most [`MAX_DEPTH`] deep.
    pub fn new(text: &'a str) -> Result<Self, json::DecodeError> {
        json::check(text).map(|()| Self(text))
    }

    /// Takes `text` on the caller's word that it is one JSON value (it came out of a decoder, say).
    #[must_use]
    pub const fn trusted(text: &'a str) -> Self {
        Self(text)
    }

    /// The JSON text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}
