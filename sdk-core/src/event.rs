//! What the client tells the app: every transition with its reason, every message, every result.

use crate::{
    Error,
    ids::{ChannelKey, EntryId},
    outbox::OutboxChange,
    position::{Gap, Position},
    time::{Duration, Instant},
    wire,
};
use alloc::{boxed::Box, string::String, vec::Vec};

/// One complete JSON value as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Json(Box<str>);

impl Json {
    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Gives the JSON text away.
    #[must_use]
    pub fn into_text(self) -> Box<str> {
        self.0
    }
}

impl From<wire::Raw<'_>> for Json {
    fn from(raw: wire::Raw<'_>) -> Self {
        Self(raw.as_str().into())
    }
}

/// Why something changed: a number and words.
///
/// 1 to 9: the app did it; 10 to 99: see [`ErrorCode`](crate::ErrorCode); 100 to 1999: the server's error;
/// 2000 to 2999: the server's unsubscribe code; from 3000: the server's close code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The number.
    pub code: u32,
    /// For a developer to read.
    pub text: Box<str>,
}

impl Reason {
    /// The app called `connect`.
    pub const CONNECT_CALLED: u32 = 1;
    /// The app called `disconnect`.
    pub const DISCONNECT_CALLED: u32 = 2;
    /// The app called `close`.
    pub const CLOSE_CALLED: u32 = 3;
    /// The app joined the channel.
    pub const SUBSCRIBE_CALLED: u32 = 4;
    /// The app left the channel.
    pub const UNSUBSCRIBE_CALLED: u32 = 5;
    /// The page went into the back/forward cache.
    pub const SUSPENDED: u32 = 6;
    /// The client moves to a better endpoint.
    pub const ENDPOINT_CHANGED: u32 = 7;

    pub(crate) fn new(code: u32, text: &str) -> Self {
        Self { code, text: text.into() }
    }

    pub(crate) fn of(error: &Error) -> Self {
        let text = if error.detail.is_empty() { error.code.name() } else { &error.detail };
        Self::new(error.number, text)
    }
}

/// State of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// Not connected, and not trying: the app has not called `connect`, or has called `disconnect`, or the
    /// server or the token provider refused for good.
    Disconnected {
        /// Why.
        reason: Reason,
    },
    /// Trying.
    Connecting {
        /// Why it is not connected.
        reason: Reason,
        /// Failed attempts since the last stable connection.
        attempt: u32,
        /// When the next attempt starts; `None`: one is under way.
        retry_at: Option<Instant>,
    },
    /// The server has answered.
    Connected(Session),
    /// Over; nothing can be called any more.
    Closed,
}

/// One connection, as the server named it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Id of the connection.
    pub client: Box<str>,
    /// Version of the server.
    pub server: Box<str>,
    /// From the server's connect handler.
    pub data: Option<Json>,
    /// What the server offers beyond the protocol; empty: a plain server.
    pub capabilities: Vec<Box<str>>,
    /// Id of the user, where the server tells it.
    pub user: Box<str>,
    /// Largest message in bytes that this server takes, where it tells it, else the configured limit.
    pub max_message_bytes: usize,
    /// How long the server knows a message again that is sent twice; `None`: not at all.
    pub dedupe_window: Option<Duration>,
}

/// How the connection looks to a person: slower to worry than [`ConnectionState`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// Connected, or away for less than `degraded_after`, or not meant to be connected.
    #[default]
    Ok,
    /// Away for a while.
    Degraded,
    /// Away for long, or refused.
    Lost,
}

impl Health {
    /// The word for it in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Lost => "lost",
        }
    }
}

/// Something to tell the app. All of them come in the order in which they happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The connection's state changed; never twice the same.
    Connection(ConnectionState),
    /// The health changed.
    Health(Health),
    /// The server sent a message to this connection.
    ServerMessage(Json),
    /// Something failed that no call waits for; the client goes on by itself unless a transition follows.
    Error(Error),
    /// Something happened to a message of the outbox; only where the configuration asks for it.
    Outbox {
        /// Which.
        entry: EntryId,
        /// What.
        change: OutboxChange,
    },
    /// The server has lost messages of this client that it had acked.
    AckedLost {
        /// To which channel.
        channel: Box<str>,
        /// How many.
        count: u64,
        /// Where the first of them stood, where that is still known.
        from: Option<Position>,
        /// Where the last of them stood.
        to: Option<Position>,
    },
    /// Something happened in a channel.
    Channel {
        /// Which.
        channel: ChannelKey,
        /// What.
        event: ChannelEvent,
    },
    /// The server subscribed this connection to a channel that no handle holds, or the last handle of such a
    /// channel was given back. Its events follow under this key until a handle takes them over.
    ServerSubscribed {
        /// Key of its events.
        channel: ChannelKey,
        /// Its name.
        name: Box<str>,
    },
    /// A channel that the server had subscribed is gone; its key is not used any more.
    ServerUnsubscribed {
        /// Key of its events.
        channel: ChannelKey,
        /// Its name.
        name: Box<str>,
    },
}

/// Something that happened in a channel.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ChannelEvent {
    /// Wanted, and not confirmed by the server in this session.
    Subscribing(Reason),
    /// Confirmed by the server. What was missed follows, then live messages.
    Subscribed(Subscribed),
    /// Ended for good: nothing follows until a new handle joins.
    Unsubscribed(Reason),
    /// A message. Offsets ascend strictly within an epoch.
    Message(Message),
    /// Messages that will not come; comes before anything newer.
    Gap(Gap),
    /// Somebody came.
    Joined(ClientInfo),
    /// Somebody went.
    Left(ClientInfo),
    /// Something failed; the client goes on by itself unless `Unsubscribed` follows.
    Error(Error),
}

/// A confirmed subscription.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subscribed {
    /// Where the channel stands; `None`: it keeps no position.
    pub position: Option<Position>,
    /// Whether an earlier position was continued from.
    pub was_recovering: bool,
    /// Whether the server continued from it without a hole. If not, the history is read, and what that lacks
    /// comes as a gap.
    pub recovered: bool,
    /// How many messages were missed, where it can be known; they follow, or a gap tells of them.
    pub missed: Option<u64>,
    /// From the server's subscribe handler.
    pub data: Option<Json>,
    /// What the channel keeps, where the server tells it.
    pub retention: Option<wire::Retention>,
}

/// State of a subscription, to read at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubscriptionState {
    /// Not wanted, or ended for good.
    #[default]
    Unsubscribed,
    /// Wanted, and not confirmed.
    Subscribing,
    /// Confirmed.
    Subscribed,
}

/// One message of a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The message's id, where its publisher gave one; else empty.
    pub id: Box<str>,
    /// The payload.
    pub data: Json,
    /// Its place in the channel; 0: the channel keeps no position.
    pub offset: u64,
    /// Who published, where a client did.
    pub info: Option<Box<ClientInfo>>,
    /// A JSON object of text by key.
    pub tags: Option<Json>,
    /// When the server took it, Unix milliseconds; 0: not told.
    pub time: i64,
}

impl Message {
    pub(crate) fn from_wire(publication: &wire::Publication<'_>) -> Self {
        Self {
            id: publication.id.as_ref().into(),
            data: publication.data.map_or_else(|| Json("null".into()), Json::from),
            offset: publication.offset,
            info: publication.info.as_ref().map(|info| Box::new(ClientInfo::from_wire(info))),
            tags: publication.tags.map(Json::from),
            time: publication.time,
        }
    }
}

/// Who a connection is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// User id; empty: anonymous.
    pub user: String,
    /// Connection id.
    pub client: String,
    /// From the connection's token.
    pub conn_info: Option<Json>,
    /// From the subscription's token.
    pub chan_info: Option<Json>,
}

impl ClientInfo {
    pub(crate) fn from_wire(info: &wire::ClientInfo<'_>) -> Self {
        Self {
            user: info.user.as_ref().into(),
            client: info.client.as_ref().into(),
            conn_info: info.conn_info.map(Json::from),
            chan_info: info.chan_info.map(Json::from),
        }
    }
}

/// What a call settled with.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Response {
    /// A publish was taken; the position where the server tells it.
    Published {
        /// Where it stands.
        position: Option<Position>,
        /// When the server took it, Unix milliseconds; 0: not told.
        time: i64,
        /// Whether an earlier sending had brought it there already.
        duplicate: bool,
    },
    /// A page of history.
    History {
        /// The page, in the order that was asked for.
        messages: Vec<Message>,
        /// Where the channel stands; `None` where it keeps no position.
        position: Option<Position>,
    },
    /// Who is there, by connection.
    Presence(Vec<ClientInfo>),
    /// How many are there.
    PresenceStats {
        /// Connections.
        clients: u32,
        /// Different users among them.
        users: u32,
    },
    /// A procedure's result; `null` where it gave none.
    Rpc(Json),
    /// A message without answer was handed to the socket.
    Sent,
}

/// A page of history to ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Messages at most; 0: the position only; negative: as many as the server gives in one page.
    pub limit: i32,
    /// Start behind this position; before it with `reverse`. `None`: from the oldest (newest with `reverse`).
    pub since: Option<Position>,
    /// From newer to older.
    pub reverse: bool,
}

/// A channel, to read at any time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubscriptionSnapshot {
    /// Its state.
    pub state: SubscriptionState,
    /// The last message that was delivered, or where it began; `None`: it keeps no position.
    pub position: Option<Position>,
    /// What it keeps, where the server tells it.
    pub retention: Option<wire::Retention>,
    /// From the server's subscribe handler.
    pub data: Option<Json>,
}
