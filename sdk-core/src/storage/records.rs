//! The stored format, version 1. Every record is text under a key; what is not understood is left where it is.
//!
//! `v` the version; `p/<producer>` its session; `l/<producer>/<channel>` the last number that was acked;
//! `e/<producer>/<place>` a message of the outbox; `o/<channel>` a position.

use super::{Record, StorageOp};
use crate::{
    Error, ErrorCode, Position,
    wire::{
        Raw, Text,
        json::{self, object},
    },
};
use alloc::{boxed::Box, format, string::String};

pub(crate) const VERSION_KEY: &str = "v";
pub(crate) const VERSION: &str = "1";

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ProducerRecord {
    pub(crate) session: u64,
    /// When it began, Unix milliseconds.
    pub(crate) since: i64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LaneRecord {
    pub(crate) acked: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EntryRecord<'a> {
    pub(crate) channel: Text<'a>,
    pub(crate) id: Text<'a>,
    pub(crate) data: Option<Raw<'a>>,
    /// When the app published it, Unix milliseconds of this machine.
    pub(crate) queued: i64,
    pub(crate) number: u64,
    /// When it was first handed to a socket, Unix milliseconds of the server; 0: never.
    pub(crate) sent: i64,
    pub(crate) parked: Option<ParkedRecord<'a>>,
}

/// Why an entry waits for the app.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ParkedRecord<'a> {
    pub(crate) code: u32,
    pub(crate) detail: Text<'a>,
    pub(crate) retryable: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct PositionRecord<'a> {
    epoch: Text<'a>,
    offset: u64,
}

object!(ProducerRecord { session, since });
object!(LaneRecord { acked });
object!(EntryRecord<'a> { channel, id, data, queued, number, sent, parked });
object!(ParkedRecord<'a> { code, detail, retryable });
object!(PositionRecord<'a> { epoch, offset });

/// A record, taken apart.
pub(crate) enum Stored<'a> {
    Producer(&'a str, ProducerRecord),
    /// Producer and channel.
    Lane(&'a str, &'a str, LaneRecord),
    /// Producer and place.
    Entry(&'a str, u64, EntryRecord<'a>),
    /// Channel.
    Position(&'a str, Position),
    Version,
}

/// Whether this program may read and write what is stored.
pub(crate) fn version(records: &[Record]) -> Result<(), Error> {
    match records.iter().find(|(key, _)| **key == *VERSION_KEY) {
        Some((_, version)) if **version != *VERSION => {
            Err(Error::new(ErrorCode::StorageFromFuture).with_detail(version))
        }
        _ => Ok(()),
    }
}

/// Takes a record apart; `None`: it is damaged.
pub(crate) fn read((key, value): &Record) -> Option<Stored<'_>> {
    let (kind, rest) = key.split_once('/').unwrap_or((key, ""));
    match kind {
        VERSION_KEY => Some(Stored::Version),
        "p" => Some(Stored::Producer(rest, json::decode(value).ok()?)),
        "l" => {
            let (producer, channel) = rest.split_once('/')?;
            Some(Stored::Lane(producer, channel, json::decode(value).ok()?))
        }
        "e" => {
            let (producer, place) = rest.split_once('/')?;
            let entry: EntryRecord<'_> = json::decode(value).ok()?;
            if entry.channel.is_empty() || entry.data.is_none() || entry.id.is_empty() {
                return None;
            }
            Some(Stored::Entry(producer, u64::from_str_radix(place, 16).ok()?, entry))
        }
        "o" => {
            let record: PositionRecord<'_> = json::decode(value).ok()?;
            let position = Position { epoch: record.epoch.as_ref().into(), offset: record.offset };
            Some(Stored::Position(rest, position))
        }
        _ => None,
    }
}

fn put(key: impl Into<Box<str>>, value: &impl json::Encode) -> StorageOp {
    let mut text = String::new();
    value.encode(&mut text);
    StorageOp::Put { key: key.into(), value: text.into() }
}

pub(crate) fn version_mark() -> StorageOp {
    StorageOp::Put { key: VERSION_KEY.into(), value: VERSION.into() }
}

pub(crate) fn producer(id: &str, session: u64, since: i64) -> StorageOp {
    put(format!("p/{id}"), &ProducerRecord { session, since })
}

pub(crate) fn producer_key(id: &str) -> Box<str> {
    format!("p/{id}").into()
}

pub(crate) fn lane(producer: &str, channel: &str, acked: u64) -> StorageOp {
    put(format!("l/{producer}/{channel}"), &LaneRecord { acked })
}

pub(crate) fn lane_key(producer: &str, channel: &str) -> Box<str> {
    format!("l/{producer}/{channel}").into()
}

pub(crate) fn entry(producer: &str, place: u64, entry: &EntryRecord<'_>) -> StorageOp {
    put(entry_key(producer, place), entry)
}

/// Places are written so that text order is their order.
pub(crate) fn entry_key(producer: &str, place: u64) -> Box<str> {
    format!("e/{producer}/{place:016x}").into()
}

pub(super) fn position(channel: &str, position: &Position) -> StorageOp {
    let record = PositionRecord { epoch: (&*position.epoch).into(), offset: position.offset };
    put(format!("o/{channel}"), &record)
}
