//! One accepted message, from the call to its end.

use super::LaneId;
use crate::{ConnId, EntryId, Error, Instant, Json, Position, RequestId};
use alloc::boxed::Box;

/// How to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// Now or never: it is not queued, not stored and not sent twice; without a connection it is refused.
    pub ephemeral: bool,
    /// The message's id, unique for ever, where the host makes it; empty: the client does.
    pub id: Box<str>,
}

/// A message that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What settles.
    pub request: RequestId,
    /// Its place in the outbox; `None`: ephemeral.
    pub entry: Option<EntryId>,
    /// The message's id, unique for ever; readers of the channel see it too. Empty: ephemeral.
    pub id: Box<str>,
}

/// A message of the outbox, as an app sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxEntry {
    /// Which.
    pub entry: EntryId,
    /// The message's id.
    pub id: Box<str>,
    /// Where to.
    pub channel: Box<str>,
    /// The payload.
    pub data: Json,
    /// When the app published it, Unix milliseconds.
    pub queued_at: i64,
    /// Whether it was ever handed to a socket: then it can be neither edited nor taken back.
    pub was_sent: bool,
    /// Where it stands.
    pub state: EntryState,
}

/// Where a message of the outbox stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// Waits to be sent, or to be sent again.
    Queued,
    /// Sent, and not answered.
    Sending,
    /// Not sent again unless the app says so: the server refused it, it grew too old, or its outcome cannot be
    /// known any more. Waits for `retry` or `discard`.
    Parked(Error),
}

/// What happened to a message of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxChange {
    /// It was accepted, or found in the storage.
    Added,
    /// Another payload.
    Edited,
    /// It changed its state.
    State(EntryState),
    /// The server has it; it has left the outbox.
    Acked {
        /// Where it stands, where the server tells it.
        position: Option<Position>,
        /// When the server took it, Unix milliseconds; 0: not told.
        time: i64,
    },
    /// The app has taken it back; it has left the outbox.
    Discarded,
    /// It has left this outbox without an end: another instance of this app sends it, or it belongs to a former
    /// user and waits in their storage.
    HandedOver,
}

#[derive(Debug)]
pub(crate) enum Stage {
    Queued,
    /// Its write is under way; it is sent when that is safe.
    Arming {
        /// Which write: an older one's completion does not count.
        ticket: u32,
    },
    Sending {
        deadline: Instant,
    },
    Parked(Error),
}

impl Stage {
    pub(crate) const fn is_busy(&self) -> bool {
        matches!(self, Self::Arming { .. } | Self::Sending { .. })
    }
}

/// Where an entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Call,
    Storage,
    /// From a storage that has gone back: whatever it says of the entry may be out of date.
    Stale,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) lane: LaneId,
    /// Who waits for it in this life; `None`: nobody, or it has settled.
    pub(crate) request: Option<RequestId>,
    pub(crate) id: Box<str>,
    pub(crate) data: Box<str>,
    pub(crate) queued_at: i64,
    /// Its place among the producer's messages, for the storage's key.
    pub(crate) place: u64,
    /// Its number in the channel; 0: none.
    pub(crate) number: u64,
    /// When it was first handed to a socket, the server's Unix milliseconds; 0: never.
    pub(crate) first_sent: i64,
    /// The connection of that; `None`: of an earlier life, or never.
    pub(crate) first_conn: Option<ConnId>,
    pub(crate) stage: Stage,
    pub(crate) origin: Origin,
    /// Whether a record of it may be in the storage.
    pub(crate) recorded: bool,
    /// The last number that its lane had acked when it was sent: at least so much the server knew when it judged.
    pub(crate) acked_before: u64,
    /// Whether the app has been told where it is kept.
    pub(crate) told: bool,
}

impl Entry {
    pub(crate) const fn was_sent(&self) -> bool {
        self.first_sent != 0
    }

    /// Whether an earlier connection has had it.
    pub(crate) fn was_sent_before(&self, conn: ConnId) -> bool {
        self.was_sent() && self.first_conn != Some(conn)
    }

    /// Whether the server may have it already.
    pub(crate) fn is_doubtful(&self, conn: ConnId) -> bool {
        self.origin == Origin::Stale || self.was_sent_before(conn)
    }

    pub(crate) fn state(&self) -> EntryState {
        match &self.stage {
            Stage::Queued | Stage::Arming { .. } => EntryState::Queued,
            Stage::Sending { .. } => EntryState::Sending,
            Stage::Parked(error) => EntryState::Parked(error.clone()),
        }
    }
}
