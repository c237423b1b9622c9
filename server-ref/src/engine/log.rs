//! The log of a channel: publications in one total order, contiguous from offset 1, kept for a while.

use super::{Call, Channel, Epoch, Position};
use crate::clock::Millis;
use bytes::Bytes;
use std::sync::Arc;

/// Logs by channel.
///
/// A log has a head (epoch and offset of the newest publication) that outlives its publications. Where there
/// is no head, the first append or read makes one, with a new epoch greater than any before it.
pub trait Log: Send + Sync + 'static {
    /// Appends one publication and tells the nodes that listen to the channel, in one step. Without
    /// retention the nodes are told and nothing is kept.
    ///
    /// What became of it is known only where a producer or a key says which publication it is; then the
    /// judgement and the append are one step too.
    fn append(&self, append: Append) -> Call<Result<Appended, NotAppended>>;

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

/// Publications of a producer that a channel knows again: also the most that may be unanswered.
pub const REMEMBERED: usize = 16;

/// Which publication of which producer it is.
///
/// A channel has one record per producer: the last session, the last number, and the ids of the last
/// [`REMEMBERED`] publications with their places. It is kept for `window` after its last use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The producer, within its channel.
    pub producer: Box<str>,
    /// Grows with every connection of the producer; at most 2^53 - 1.
    pub session: u64,
    /// Its place among the producer's publications to this channel, from 1; at most 2^53 - 1.
    pub number: u64,
    /// The publication's id, unique for ever; at most 255 bytes.
    pub id: Box<str>,
    /// See above.
    pub window: Millis,
}

/// For whom heads and records are made, and how many of them may be there at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: Arc<str>,
    /// Heads and records that live, at most; above 0. Where data is spread over partitions, in each of them.
    pub limit: u32,
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
    /// Where a repetition has to be recognised; not looked at where there is a producer.
    pub key: Option<IdempotencyKey>,
    /// Where the publication is one of a numbered sequence.
    pub producer: Option<Stamp>,
    /// It must not be appended: all that is asked is whether it is there already. The producer's session is
    /// recorded all the same, so that no earlier frame of it can arrive afterwards.
    pub refused: bool,
    /// Whose limit counts; `None`: nobody's.
    pub owner: Option<Owner>,
}

/// A publication is in the log, or was told where nothing is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its place; `None` where the channel keeps nothing.
    pub position: Option<Position>,
    /// The engine's time of the append, Unix milliseconds.
    pub time: i64,
    /// Whether it was known: place and time are those of the first one, and nobody was told again.
    pub duplicate: bool,
    /// Of one that was known by its producer, the number that comes next; else 0.
    pub expected: u64,
}

/// Why a publication was not appended. None of these used its number up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAppended {
    /// The producer has been seen with a later session: this one comes out of an old socket.
    #[error("a later session of the producer has published")]
    Fenced,
    /// The number belongs to another publication.
    #[error("the number is taken, {expected} comes next")]
    Taken {
        /// The number that comes next.
        expected: u64,
    },
    /// A number before this one is missing.
    #[error("a number is missing, {expected} comes next")]
    OutOfOrder {
        /// The number that comes next.
        expected: u64,
        /// The epoch of the log; `None` where nothing is kept.
        epoch: Option<Epoch>,
    },
    /// There is no record of the producer, and the number is not the first.
    #[error("the producer is unknown")]
    UnknownProducer,
    /// It is not there, and was to be refused.
    #[error("it was refused, and is not there")]
    Refused,
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
    /// Whether `since` is what this node has heard from the engine, not what a client says. Only then may the
    /// log learn from it that it has lost something.
    pub heard: bool,
    /// Whose limit counts; `None`: nobody's.
    pub owner: Option<Owner>,
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
    /// `since` is no place of this log: another epoch, or above what is left of it. The page is empty.
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
    /// With [`Reach::Unknown`]: `since` is of an earlier epoch of this log, whose data stands up to here in the
    /// present one. What followed there is lost.
    pub survived: Option<u64>,
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
