//! The map of a channel: entries by key with leases that lapse in the engine's time. What the protocol's
//! presence needs, and no more yet: join, renew, leave, expiry, snapshot, stats.

use super::{Call, Channel, Position};
use crate::clock::Millis;
use bytes::Bytes;
use std::sync::Arc;

/// Maps by part and channel.
///
/// Every entry carries its birth, greater for a later one under the same key; whoever holds an older birth
/// is refused. A lapsed entry is absent to every call at once, whether or not it has been reaped.
pub trait Map: Send + Sync + 'static {
    /// Makes an entry, or takes over the one under this key. A join of an absent key that is to be announced
    /// tells the nodes that listen to the channel, in the same step.
    fn join(&self, join: Join) -> Call<Joined>;

    /// Prolongs leases; the answers come in the order of the renewals.
    fn renew(&self, renewals: Vec<Renewal>) -> Call<Vec<Renewed>>;

    /// Removes an entry; announced if its join was.
    fn leave(&self, leave: Leave) -> Call<Left>;

    /// The entries that have not lapsed, sorted by key, `limit` at most.
    fn snapshot(&self, part: Part, channel: Channel, limit: u32) -> Call<Snapshot>;

    /// How many entries and owners there are.
    fn stats(&self, part: Part, channel: Channel) -> Call<Stats>;

    /// Removes up to `limit` lapsed entries anywhere and announces each once, however many nodes ask. Also
    /// the moment for an engine to clear away what else has expired.
    fn reap(&self, limit: u32) -> Call<Reaped>;
}

/// Which of a channel's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Who is here, by connection id.
    Here,
}

impl Part {
    /// The prefix under which the map is a channel itself.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Here => "here",
        }
    }
}

/// Makes an entry.
#[derive(Clone, Debug)]
pub struct Join {
    /// Which map.
    pub part: Part,
    /// Of which channel.
    pub channel: Channel,
    /// The entry's key.
    pub key: Arc<str>,
    /// Whose it is; entries of one owner count once in [`Stats::owners`].
    pub owner: Arc<str>,
    /// The entry, one JSON value.
    pub value: Bytes,
    /// Lapses after so long unless it is renewed.
    pub lease: Millis,
    /// Whether coming and going are told to the nodes that listen.
    pub announce: bool,
}

/// An entry was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// To be given with renewals and leave.
    pub birth: Position,
    /// Whether it took over an entry that had not lapsed; that is not announced.
    pub replaced: bool,
}

/// Prolongs one lease.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// Which map.
    pub part: Part,
    /// Of which channel.
    pub channel: Channel,
    /// Which entry.
    pub key: Arc<str>,
    /// The birth that the owner holds.
    pub birth: Position,
    /// The new lease, counted from now.
    pub lease: Millis,
}

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The lease was prolonged.
    Renewed,
    /// There is no such entry: the owner joins again.
    Absent,
    /// The entry has another birth: it belongs to somebody else by now.
    Fenced,
}

/// Removes one entry.
#[derive(Clone, Debug)]
pub struct Leave {
    /// Which map.
    pub part: Part,
    /// Of which channel.
    pub channel: Channel,
    /// Which entry.
    pub key: Arc<str>,
    /// The birth that the owner holds; `None`: whatever birth, where the key is nobody else's.
    pub birth: Option<Position>,
}

/// What became of a leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The entry was removed.
    Removed,
    /// There was none.
    Absent,
    /// The entry has another birth and stays.
    Fenced,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Arc<str>,
    /// Its value.
    pub value: Bytes,
    /// Its birth.
    pub birth: Position,
}

/// The entries of a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Sorted by key.
    pub entries: Vec<Entry>,
    /// Whether there are more than were asked for.
    pub more: bool,
}

/// The size of a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries.
    pub entries: u32,
    /// Different owners among them.
    pub owners: u32,
}

/// What a round of reaping did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Entries removed.
    pub removed: u32,
    /// Whether lapsed entries are left: reap again soon.
    pub more: bool,
}
