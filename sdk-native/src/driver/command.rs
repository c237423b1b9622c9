//! What handles ask of the driver. Nothing in here waits: answers come back over channels of their own.

use super::ledger::Outgoing;
use crate::{
    ClientEvent,
    call::{CallId, Permit, Settlement},
    outbox::{Kept, OutboxEvent, Ticket},
    streams::{Board, Fed, FeedSender, Progress},
};
use homing_core::{
    ChannelEvent, Error, HistoryQuery, OutboxEntry, SubscribeOptions, Subscribed, SubscriptionSnapshot,
};
use std::sync::Arc;
use tokio::{sync::oneshot, time::Instant};

/// One interest in a channel: a stream's, or that of a handle that joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct InterestId(pub(crate) u64);

/// A channel handle with all its clones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct OwnerId(pub(crate) u64);

/// What the host knows about the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// The network seems to be there: a wait is cut short, or the connection is probed.
    Online,
    /// The network seems to be gone: the connection is probed. Nothing is blocked.
    Offline,
    /// The machine slept: the connection is probed. The client notices most sleeps by itself.
    Resumed,
}

pub(crate) enum Command {
    Connect,
    Disconnect,
    /// Calls under way may settle until `deadline`.
    Close {
        deadline: Instant,
        /// Whether what is stored is erased.
        forget: bool,
        /// Told at the end, with whether all was erased.
        done: oneshot::Sender<Result<(), Error>>,
    },
    Hint(Hint),
    Call {
        id: CallId,
        request: Request,
        answer: oneshot::Sender<Settlement>,
        permit: Permit,
    },
    Cancel(CallId),
    Publish(Outgoing),
    Outbox(OutboxCommand),
    /// A reader has processed everything up to what its progress says.
    Processed(InterestId, Arc<Progress>),
    /// A reader wants to see what waits to be published to its channel, too.
    Echo(InterestId, Arc<Board>),
    Subscribe {
        id: InterestId,
        owner: OwnerId,
        channel: Box<str>,
        options: SubscribeOptions,
        sink: Sink,
    },
    /// An interest that is not there any more is nothing to complain about.
    Release(InterestId),
    /// All interests of a handle.
    Leave(OwnerId),
    Snapshot {
        channel: Box<str>,
        answer: oneshot::Sender<SubscriptionSnapshot>,
    },
    Watch(FeedSender<ClientEvent>),
}

/// What an app does with the outbox. Messages are named by their ids.
pub(crate) enum OutboxCommand {
    /// Answered when it is known.
    WhereKept {
        answer: oneshot::Sender<Kept>,
    },
    Entries {
        answer: oneshot::Sender<Vec<OutboxEntry>>,
        /// Where what changes from here on goes.
        feed: Option<FeedSender<OutboxEvent>>,
    },
    Edit {
        id: Box<str>,
        data: String,
        answer: oneshot::Sender<Result<(), Error>>,
    },
    Discard {
        id: Box<str>,
        answer: oneshot::Sender<Result<(), Error>>,
    },
    Retry {
        id: Box<str>,
        data: Option<String>,
        ticket: Ticket,
        answer: oneshot::Sender<Result<Box<str>, Error>>,
    },
}

/// Where the events of an interest go.
pub(crate) enum Sink {
    Messages(FeedSender<Fed>),
    Events(FeedSender<ChannelEvent>),
    /// A handle that joined; a second join of the same handle waits beside the first.
    Join(oneshot::Sender<Result<Subscribed, Error>>),
}

pub(crate) enum Request {
    History { channel: Box<str>, query: HistoryQuery },
    Presence { channel: Box<str> },
    PresenceStats { channel: Box<str> },
    Rpc { method: Box<str>, data: String },
    Send { data: String },
}

impl Request {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Rpc { data, .. } | Self::Send { data } => data.len(),
            Self::History { .. } | Self::Presence { .. } | Self::PresenceStats { .. } => 0,
        }
    }
}
