//! The log of a channel: publications in one total order, contiguous from offset 1, kept for a while.

use super::{Call, Channel, Epoch, Position};
use crate::clock::Millis;
use bytes::Bytes;

/// Logs by channel.
///
/// A log has a head (epoch and offset of the newest publication) that outlives its publications. Where there
/// is no head, the first append or read makes one, with a new epoch greater than any before it.
pub trait Log: Send + Sync + 'static {
    /// Appends one publication and tells the nodes that listen to the channel, in one step. Without
    /// retention the nodes are told and nothing is kept.
    fn append(&self, append: Append) -> Call<Appended>;

    /// Reads a page and the head.
    fn read(&self, read: Read) -> Call<Page>;

    /// Drops a channel's publications; its head stays, so offsets go on.
    fn clear(&self, channel: Channel) -> Call<()>;
}

/// How long a channel keeps what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Publications at most; 0: none are kept.
    pub size: u32,
    /// How long publications are kept after the newest of them; 0: none are kept.
    pub ttl: Millis,
    /// How long the head is kept after the last append or read.
    pub meta_ttl: Millis,
}

impl Retention {
    /// Whether anything is kept at all.
    #[must_use]
    pub const fn keeps(self) -> bool {
        self.size > 0 && self.ttl > 0
    }
}

/// What makes a repeated publish the same publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key, within its channel.
    pub key: Box<str>,
    /// How long it is remembered.
    pub ttl: Millis,
}

/// A publication to be appended. The engine never looks into `data` and `meta`.
#[derive(Clone, Debug)]
pub struct Append {
    /// Where.
    pub channel: Channel,
    /// The payload, one JSON value.
    pub data: Bytes,
    /// What else belongs to the publication, as a JSON object (`{"info":{…}}`); empty: nothing.
    pub meta: Bytes,
    /// What the channel keeps.
    pub retention: Retention,
    /// Where a repetition has to be recognised.
    pub key: Option<IdempotencyKey>,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its place; `None` where the channel keeps nothing.
    pub position: Option<Position>,
    /// The engine's time, Unix milliseconds.
    pub time: i64,
    /// Whether the key was known: the place is that of the first one, and nobody was told again.
    pub duplicate: bool,
}

/// Asks for publications.
#[derive(Clone, Debug)]
pub struct Read {
    /// Where.
    pub channel: Channel,
    /// Behind (with `reverse`: before) this place; `None`: from the oldest (with `reverse`: newest) kept.
    pub since: Option<Position>,
    /// Publications at most; 0: the head alone.
    pub limit: u32,
    /// From newer to older.
    pub reverse: bool,
    /// See [`Retention::meta_ttl`].
    pub meta_ttl: Millis,
}

/// Whether a page continues where the reader stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nothing is missing between `since` and the page, or no `since` was given.
    Complete,
    /// Retention dropped what followed `since`; the page begins with the oldest publication kept.
    Trimmed,
    /// `since` is no place of this log: another epoch, or above the head. The page is empty.
    Unknown,
}

/// A page of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The head: epoch, and offset of the newest publication ever appended in it.
    pub head: Position,
    /// In the order asked for.
    pub publications: Vec<Publication>,
    /// Whether something is missing before them.
    pub reach: Reach,
}

/// One publication, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Its place in the log's epoch; 0 where the channel keeps nothing.
    pub offset: u64,
    /// The engine's time of the append, Unix milliseconds.
    pub time: i64,
    /// See [`Append::data`].
    pub data: Bytes,
    /// See [`Append::meta`].
    pub meta: Bytes,
}

impl Page {
    /// Drops what is too much for so many bytes; at least one publication stays.
    pub fn cut(&mut self, most: usize) {
        let mut bytes = 0;
        let fits = self.publications.iter().take_while(|publication| {
            bytes += publication.data.len() + publication.meta.len();
            bytes <= most
        });
        let fits = fits.count().max(1);
        self.publications.truncate(fits);
    }

    /// The epoch of the head.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.head.epoch
    }
}
