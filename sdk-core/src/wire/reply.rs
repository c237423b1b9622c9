//! What a server sends: answers to commands, pushes, and the empty object that is a ping.

use super::{Raw, Text};
use alloc::{boxed::Box, vec::Vec};

/// One object of a server's frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply<'a> {
    /// An empty object: the server asks whether the client is there.
    Ping,
    /// The answer to a command.
    Answer(Answer<'a>),
    /// Something that nobody asked for.
    Push(Push<'a>),
}

/// The answer to the command with the same id.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<'a> {
    /// The command's id.
    pub id: u32,
    /// What became of it.
    pub outcome: Outcome<'a>,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<'a> {
    /// It was refused.
    Error(ErrorReply<'a>),
    /// Connected.
    Connect(Box<ConnectResult<'a>>),
    /// Subscribed.
    Subscribe(Box<SubscribeResult<'a>>),
    /// Unsubscribed.
    Unsubscribe,
    /// Published.
    Publish(PublishResult<'a>),
    /// Who is there.
    Presence(PresenceResult<'a>),
    /// How many are there.
    PresenceStats(PresenceStatsResult),
    /// A page of history.
    History(HistoryResult<'a>),
    /// Here.
    Ping,
    /// A procedure's result.
    Rpc(RpcResult<'a>),
    /// The connection's token was renewed.
    Refresh(RefreshResult<'a>),
    /// A subscription's token was renewed.
    SubRefresh(SubRefreshResult),
    /// Done, with a result that is empty or of a verb this version does not know.
    Empty,
}

/// Why a command was refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorReply<'a> {
    /// See [`super::ErrorCode`]; 400 to 1999 belong to the application.
    pub code: u32,
    /// For a developer to read.
    pub message: Text<'a>,
    /// Whether the same command may succeed later.
    pub temporary: bool,
    /// Extra of this server: wait so many milliseconds before trying again; 0: not told.
    pub retry_after: u32,
    /// Extra, with 301 and 302: the number that the channel expects next from this producer; 0: not told.
    pub expected: u64,
    /// Extra, with 302: the epoch of the channel; empty: not told.
    pub epoch: Text<'a>,
}

impl ErrorReply<'_> {
    /// Whether the client tries again by itself.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        self.temporary || self.code < 100
    }
}

/// Answer to connect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectResult<'a> {
    /// Id of this connection.
    pub client: Text<'a>,
    /// Version of the server.
    pub version: Text<'a>,
    /// From the server's connect handler.
    pub data: Option<Raw<'a>>,
    /// Server-side subscriptions, by channel.
    pub subs: Vec<(Text<'a>, SubscribeResult<'a>)>,
    /// Whether the connection ends in `ttl` seconds unless it is refreshed.
    pub expires: bool,
    /// Seconds until the connection expires.
    pub ttl: u32,
    /// Seconds between the server's pings; 0: none.
    pub ping: u32,
    /// Whether the server wants its pings answered.
    pub pong: bool,
    /// Session id, for transports that need one.
    pub session: Text<'a>,
    /// Id of the server's node.
    pub node: Text<'a>,
    /// The server's clock, Unix milliseconds; 0: not told.
    pub time: i64,
    /// What this server offers beyond the protocol; absent: a plain server.
    pub homing: Option<Extras<'a>>,
}

/// What a server offers beyond the protocol (`homing` in the connect result).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extras<'a> {
    /// Version of the extras.
    pub version: u32,
    /// Names of what is offered, such as `publish-position`.
    pub capabilities: Vec<Text<'a>>,
    /// Limits that a client can keep without asking.
    pub limits: Limits,
    /// Id of the user whose connection this is; empty: anonymous.
    pub user: Text<'a>,
}

/// Limits that the server tells; 0: not told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Largest payload of one message in bytes.
    pub message_bytes: u32,
    /// Largest frame in bytes.
    pub frame_bytes: u32,
    /// Channels that one connection may have.
    pub channels: u32,
    /// Longest channel name in bytes.
    pub channel_length: u32,
    /// Publications in one page of history.
    pub history_page: u32,
    /// Seconds for which a producer's messages are known again.
    pub dedupe_window: u32,
    /// Publishes to one channel that may be unanswered.
    pub in_flight: u32,
}

/// Answer to subscribe; also a server-side subscription in the connect result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubscribeResult<'a> {
    /// Whether a position can be recovered from.
    pub recoverable: bool,
    /// Whether the server checks the position.
    pub positioned: bool,
    /// Epoch of the channel.
    pub epoch: Text<'a>,
    /// Offset of the newest publication.
    pub offset: u64,
    /// What was missed, ascending.
    pub publications: Vec<Publication<'a>>,
    /// Whether all that was missed is in `publications`.
    pub recovered: bool,
    /// Whether the client asked to recover.
    pub was_recovering: bool,
    /// Whether the subscription ends in `ttl` seconds unless it is refreshed.
    pub expires: bool,
    /// Seconds until the subscription expires.
    pub ttl: u32,
    /// From the server's subscribe handler.
    pub data: Option<Raw<'a>>,
    /// Whether publications come as deltas.
    pub delta: bool,
    /// Extra: what the channel keeps; absent: a plain server.
    pub homing: Option<Retention>,
}

/// What a channel keeps (`homing` in the subscribe result).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retention {
    /// Publications kept at most; 0: none.
    pub size: u32,
    /// Seconds that a publication is kept.
    pub ttl: u32,
    /// Whether recovery gives the newest publication only.
    pub cache: bool,
}

/// One message of a channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Publication<'a> {
    /// The payload.
    pub data: Option<Raw<'a>>,
    /// Its place in the channel, from 1; 0: the channel keeps no history.
    pub offset: u64,
    /// Who published, where a client did.
    pub info: Option<ClientInfo<'a>>,
    /// Text by key, as a JSON object.
    pub tags: Option<Raw<'a>>,
    /// When it was appended, Unix milliseconds; 0: not told.
    pub time: i64,
    /// Whether `data` is a delta against the one before.
    pub delta: bool,
    /// Extra: the message's id, where its publisher gave one.
    pub id: Text<'a>,
}

/// Who a connection is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientInfo<'a> {
    /// User id; empty: anonymous.
    pub user: Text<'a>,
    /// Connection id.
    pub client: Text<'a>,
    /// From the connection's token.
    pub conn_info: Option<Raw<'a>>,
    /// From the subscription's token.
    pub chan_info: Option<Raw<'a>>,
}

/// Answer to publish. A plain server leaves it empty; the position is an extra.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublishResult<'a> {
    /// Epoch of the channel; empty: not told.
    pub epoch: Text<'a>,
    /// Offset of the message; 0: not told, or no history.
    pub offset: u64,
    /// When it was appended, Unix milliseconds; 0: not told.
    pub time: i64,
    /// Whether it was there already.
    pub duplicate: bool,
    /// With `duplicate`, the number of its producer that comes next in the channel; 0: not told.
    pub expected: u64,
}

/// Answer to presence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PresenceResult<'a> {
    /// Who is there, by connection id.
    pub presence: Vec<(Text<'a>, ClientInfo<'a>)>,
}

/// Answer to presence_stats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PresenceStatsResult {
    /// Connections in the channel.
    pub num_clients: u32,
    /// Different users among them.
    pub num_users: u32,
}

/// Answer to history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryResult<'a> {
    /// The page.
    pub publications: Vec<Publication<'a>>,
    /// Epoch of the channel.
    pub epoch: Text<'a>,
    /// Offset of the newest publication.
    pub offset: u64,
}

/// Answer to rpc.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RpcResult<'a> {
    /// The result.
    pub data: Option<Raw<'a>>,
}

/// Answer to refresh, and push of a refresh that the server made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RefreshResult<'a> {
    /// Id of this connection.
    pub client: Text<'a>,
    /// Version of the server.
    pub version: Text<'a>,
    /// Whether the connection ends in `ttl` seconds.
    pub expires: bool,
    /// Seconds until then.
    pub ttl: u32,
}

/// Answer to sub_refresh.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubRefreshResult {
    /// Whether the subscription ends in `ttl` seconds.
    pub expires: bool,
    /// Seconds until then.
    pub ttl: u32,
}

/// Something that nobody asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Push<'a> {
    /// The channel that it concerns; empty where it concerns the connection.
    pub channel: Text<'a>,
    /// What happened.
    pub event: PushEvent<'a>,
}

/// What a push tells.
#[derive(Clone, Debug, PartialEq)]
pub enum PushEvent<'a> {
    /// A message.
    Publication(Publication<'a>),
    /// Somebody came.
    Join(ClientInfo<'a>),
    /// Somebody went.
    Leave(ClientInfo<'a>),
    /// The server ended the subscription.
    Unsubscribed(Unsubscribed<'a>),
    /// The server subscribed the client.
    Subscribed(Box<Subscribed<'a>>),
    /// A message to this connection.
    Message(ServerMessage<'a>),
    /// The server is about to close the connection.
    Disconnect(Disconnect<'a>),
    /// The server prolonged the connection.
    Refresh(RefreshResult<'a>),
    /// Of a kind that this version does not know: ignored.
    Unknown,
}

/// Why the server ended a subscription.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unsubscribed<'a> {
    /// See [`super::UnsubscribeCode`].
    pub code: u32,
    /// For a developer to read.
    pub reason: Text<'a>,
}

/// A subscription that the server made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subscribed<'a> {
    /// Whether a position can be recovered from.
    pub recoverable: bool,
    /// Whether the server checks the position.
    pub positioned: bool,
    /// Epoch of the channel.
    pub epoch: Text<'a>,
    /// Offset of the newest publication.
    pub offset: u64,
    /// From the server.
    pub data: Option<Raw<'a>>,
}

/// A message from the server to one connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerMessage<'a> {
    /// The message.
    pub data: Option<Raw<'a>>,
}

/// Why the server is about to close.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Disconnect<'a> {
    /// See [`super::DisconnectCode`].
    pub code: u32,
    /// For a developer to read.
    pub reason: Text<'a>,
    /// Whether to come back.
    pub reconnect: bool,
    /// Extra of this server: come back after so many milliseconds; 0: not told.
    pub retry_after: u32,
}
