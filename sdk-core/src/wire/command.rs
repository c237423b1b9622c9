//! What a client sends: commands, each with an id that its answer repeats.

use super::{Raw, Text};
use alloc::vec::Vec;

/// One command. `id` is chosen by the client, grows, and is 0 where no answer is wanted (`send`, a pong).
#[derive(Clone, Debug, PartialEq)]
pub struct Command<'a> {
    /// Echoed in the answer; 0: no answer.
    pub id: u32,
    /// What is asked.
    pub request: Request<'a>,
}

/// The verbs.
#[derive(Clone, Debug, PartialEq)]
pub enum Request<'a> {
    /// An empty object: the answer to a server's ping.
    Pong,
    /// Must come first, once.
    Connect(Connect<'a>),
    /// Joins a channel.
    Subscribe(Subscribe<'a>),
    /// Leaves a channel.
    Unsubscribe(Unsubscribe<'a>),
    /// Publishes to a channel.
    Publish(Publish<'a>),
    /// Asks who is in a channel.
    Presence(Presence<'a>),
    /// Asks how many are in a channel.
    PresenceStats(PresenceStats<'a>),
    /// Asks for past publications.
    History(History<'a>),
    /// Asks whether the server is there.
    Ping,
    /// A message to the server that gets no answer.
    Send(Send<'a>),
    /// Calls a procedure of the server.
    Rpc(Rpc<'a>),
    /// Renews the connection's token.
    Refresh(Refresh<'a>),
    /// Renews a subscription's token.
    SubRefresh(SubRefresh<'a>),
}

/// First command of a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connect<'a> {
    /// Connection token; empty: anonymous.
    pub token: Text<'a>,
    /// For the server's connect handler.
    pub data: Option<Raw<'a>>,
    /// Name of the client library.
    pub name: Text<'a>,
    /// Version of the client library.
    pub version: Text<'a>,
    /// Headers that a browser cannot set itself, as a JSON object.
    pub headers: Option<Raw<'a>>,
    /// Positions of server-side subscriptions, by channel.
    pub subs: Vec<(Text<'a>, Subscribe<'a>)>,
}

/// Joins a channel, optionally recovering what was missed since a position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subscribe<'a> {
    /// Which channel; empty inside [`Connect::subs`].
    pub channel: Text<'a>,
    /// Subscription token; empty: none.
    pub token: Text<'a>,
    /// For the server's subscribe handler.
    pub data: Option<Raw<'a>>,
    /// Whether (epoch, offset) is a position to recover from.
    pub recover: bool,
    /// Epoch of the position.
    pub epoch: Text<'a>,
    /// Offset of the position: the last publication that was seen.
    pub offset: u64,
    /// Asks for a checked position.
    pub positioned: bool,
    /// Asks for recovery.
    pub recoverable: bool,
    /// Asks for join and leave events.
    pub join_leave: bool,
    /// Wished delta compression; empty: none.
    pub delta: Text<'a>,
    /// Bits: 1 channel compaction, 2 reject unrecovered.
    pub flag: u32,
}

/// Leaves a channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unsubscribe<'a> {
    /// Which channel.
    pub channel: Text<'a>,
}

/// Publishes one message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Publish<'a> {
    /// Which channel.
    pub channel: Text<'a>,
    /// The message.
    pub data: Option<Raw<'a>>,
    /// Extra: which message of which producer it is; absent: it may double when it is sent twice.
    pub homing: Option<Stamp<'a>>,
    /// Extra: a key under which the server takes it once within five minutes; empty: none.
    pub idempotency_key: Text<'a>,
}

/// What makes a publish one and the same however often it is sent (`homing` in the publish request).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// The message's id, unique for ever; readers see it too.
    pub id: Text<'a>,
    /// Id of the producer; empty: the message has an id and no number.
    pub producer: Text<'a>,
    /// Grows with every connection of the producer; frames of an older one are fenced off.
    pub session: u64,
    /// Place among the producer's messages to this channel, from 1.
    pub number: u64,
}

/// Asks who is in a channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Presence<'a> {
    /// Which channel.
    pub channel: Text<'a>,
}

/// Asks how many are in a channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PresenceStats<'a> {
    /// Which channel.
    pub channel: Text<'a>,
}

/// Asks for a page of past publications.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History<'a> {
    /// Which channel.
    pub channel: Text<'a>,
    /// Publications at most; 0: the position only; negative: as many as the server gives.
    pub limit: i32,
    /// Where to start: behind it, or before it with `reverse`.
    pub since: Option<Since<'a>>,
    /// From newer to older.
    pub reverse: bool,
}

/// A position in a history request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Since<'a> {
    /// Offset of the position.
    pub offset: u64,
    /// Epoch of the position.
    pub epoch: Text<'a>,
}

/// A message to the server without an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Send<'a> {
    /// The message.
    pub data: Option<Raw<'a>>,
}

/// Calls a procedure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rpc<'a> {
    /// Its name.
    pub method: Text<'a>,
    /// Its argument.
    pub data: Option<Raw<'a>>,
}

/// Renews the connection's token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refresh<'a> {
    /// The new token.
    pub token: Text<'a>,
}

/// Renews a subscription's token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubRefresh<'a> {
    /// Which channel.
    pub channel: Text<'a>,
    /// The new token.
    pub token: Text<'a>,
}
