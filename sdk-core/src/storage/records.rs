//! The stored format, version 1. Every record is text under a key; what is not understood is left where it is.
//!
//! `v` the version; `p/<producer>` its session; `l/<producer>/<channel>` the last number that was acked;
//! `e/<producer>/<place>` a message of the outbox; `o/<channel>` a position. All are objects with some of the same
//! [`Values`]: a type for each kind weighs half a kilobyte more in the browser.

use super::{Record, StorageOp};
use crate::{
    Error, ErrorCode, Position,
    wire::{
        MAX_SAFE_INTEGER, Raw, Text,
        json::{self, Encode, object},
    },
};
use alloc::{boxed::Box, string::String, vec::Vec};

const VERSION_KEY: &str = "v";
const VERSION: &str = "1";

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Values<'a> {
    /// Of a producer.
    pub(crate) session: u64,
    /// When the producer began, Unix milliseconds.
    pub(crate) since: i64,
    /// Of a lane: the last number that was acked.
    pub(crate) acked: u64,
    /// Of a position, as is `offset`.
    pub(crate) epoch: Text<'a>,
    pub(crate) offset: u64,
    /// Of a message, as is what follows.
    pub(crate) channel: Text<'a>,
    pub(crate) id: Text<'a>,
    pub(crate) data: Option<Raw<'a>>,
    /// When the app published it, Unix milliseconds of this machine.
    pub(crate) queued: i64,
    pub(crate) number: u64,
    /// When it was first handed to a socket, Unix milliseconds of the server; 0: never. Of a lane: when that
    /// number was acked.
    pub(crate) sent: i64,
    /// Why it waits for the app; 0: it is not parked.
    pub(crate) code: u32,
    pub(crate) detail: Text<'a>,
    pub(crate) retryable: bool,
}

object!(Values<'a> {
    session, since, acked, epoch, offset, channel, id, data, queued, number, sent, code, detail, retryable
});

/// What a record is about.
pub(crate) enum Key<'a> {
    Version,
    Producer(&'a str),
    /// Producer and channel.
    Lane(&'a str, &'a str),
    /// Producer and place.
    Entry(&'a str, u64),
    /// Channel.
    Position(&'a str),
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

/// The records by kind, the last letter first, so that producers come before their lanes and these before their
/// messages; within a kind by key, which is the messages' order. (The standard library's sort weighs 4 kB.)
pub(crate) fn ordered(records: &[Record]) -> Vec<&Record> {
    let mut ordered: Vec<&Record> = Vec::new();
    for record in records {
        let key = record.0.as_bytes();
        let goes_before = |other: &&Record| {
            let other = other.0.as_bytes();
            if other.first() == key.first() { other < key } else { other.first() > key.first() }
        };
        ordered.insert(ordered.partition_point(goes_before), record);
    }
    ordered
}

/// Takes a record apart; `None`: it is damaged.
pub(crate) fn read<'a>(key: &'a str, value: &'a str) -> Option<(Key<'a>, Values<'a>)> {
    let mut rest = key;
    let key = match part(&mut rest) {
        VERSION_KEY => return Some((Key::Version, Values::default())),
        "p" => Key::Producer(rest),
        "l" => Key::Lane(part(&mut rest), rest),
        "e" => Key::Entry(part(&mut rest), u64::from_str_radix(rest, 16).ok()?),
        "o" => Key::Position(rest),
        _ => return None,
    };
    let values: Values<'a> = json::decode(value).ok()?;
    let is_whole = match key {
        Key::Entry(..) => !(values.channel.is_empty() || values.data.is_none() || values.id.is_empty()),
        Key::Position(_) => !values.epoch.is_empty(),
        _ => true,
    };
    // The next one has to fit on the wire, too.
    let fits = values.session.max(values.acked).max(values.number) < MAX_SAFE_INTEGER;
    (is_whole && fits).then_some((key, values))
}

/// Takes off what stands before the next `/`. (The standard library's searchers weigh half a kilobyte.)
fn part<'a>(rest: &mut &'a str) -> &'a str {
    let at = rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len());
    let part = rest.get(..at).unwrap_or_default();
    *rest = rest.get(at + 1..).unwrap_or_default();
    part
}

fn key(parts: &[&str]) -> Box<str> {
    let mut key = String::new();
    for part in parts {
        if !key.is_empty() {
            key.push('/');
        }
        key.push_str(part);
    }
    key.into()
}

fn put(key: Box<str>, values: &Values<'_>) -> StorageOp {
    let mut text = String::new();
    values.encode(&mut text);
    StorageOp::Put { key, value: text.into() }
}

pub(crate) fn version_mark() -> StorageOp {
    StorageOp::Put { key: VERSION_KEY.into(), value: VERSION.into() }
}

pub(crate) fn producer(id: &str, session: u64, since: i64) -> StorageOp {
    put(producer_key(id), &Values { session, since, ..Values::default() })
}

pub(crate) fn producer_key(id: &str) -> Box<str> {
    key(&["p", id])
}

pub(crate) fn lane(producer: &str, channel: &str, acked: u64, sent: i64) -> StorageOp {
    put(lane_key(producer, channel), &Values { acked, sent, ..Values::default() })
}

pub(crate) fn lane_key(producer: &str, channel: &str) -> Box<str> {
    key(&["l", producer, channel])
}

pub(crate) fn entry(producer: &str, place: u64, message: &Values<'_>) -> StorageOp {
    put(entry_key(producer, place), message)
}

/// Places are written as 16 digits so that text order is their order.
pub(crate) fn entry_key(producer: &str, place: u64) -> Box<str> {
    let mut digits = String::new();
    for at in (0..16).rev() {
        digits.push(char::from_digit((place >> (at * 4)) as u32 & 15, 16).unwrap_or('0'));
    }
    key(&["e", producer, &digits])
}

pub(super) fn position(channel: &str, position: &Position) -> StorageOp {
    let epoch = (&*position.epoch).into();
    put(key(&["o", channel]), &Values { epoch, offset: position.offset, ..Values::default() })
}
