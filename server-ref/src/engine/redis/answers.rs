//! What Redis answers, decoded. An answer that cannot be read is `None`.

use super::{frame, request::Judged};
use crate::engine::{
    Appended, EngineError, Entry, Epoch, Joined, Left, NotAppended, Page, Position, Publication, Reach,
    Renewed, Snapshot, Stats,
};
use bytes::Bytes;
use redis::{ServerError, ServerErrorKind, Value};
use std::{sync::Arc, vec::IntoIter};

/// What an error of Redis means.
pub(super) enum Refusal {
    /// The script is not loaded; nothing was done.
    Forgotten,
    /// This Redis is not the one to talk to; nothing was done.
    Moved,
    /// Nothing was done, another try makes sense later.
    Later,
    /// A user has too much.
    TooMany(u32),
    /// Something that must not happen.
    Broken,
}

pub(super) fn refusal(error: &ServerError) -> Refusal {
    match (error.kind(), error.code()) {
        (Some(ServerErrorKind::NoScript), _) => Refusal::Forgotten,
        (Some(ServerErrorKind::ReadOnly | ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown), _) => {
            Refusal::Moved
        }
        (_, "TOOMANY") => {
            let limit = error.details().and_then(|limit| limit.parse().ok());
            limit.map_or(Refusal::Broken, Refusal::TooMany)
        }
        (_, "GENERATION") => Refusal::Moved,
        (_, "OOM" | "BUSY" | "MISCONF" | "NOREPLICAS" | "TRYAGAIN" | "CLUSTERDOWN") => Refusal::Later,
        // Scripts of Redis 7 wrap what a command of theirs failed with.
        (_, _) if error.details().is_some_and(|details| details.contains("READONLY")) => Refusal::Moved,
        (_, _) if error.details().is_some_and(|details| details.contains("OOM")) => Refusal::Later,
        _ => Refusal::Broken,
    }
}

fn array(value: Value) -> Option<IntoIter<Value>> {
    match value {
        Value::Array(values) => Some(values.into_iter()),
        _ => None,
    }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

fn text(value: Value) -> Option<String> {
    String::from_utf8(bytes(value)?).ok()
}

fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Int(int) => Some(*int),
        _ => None,
    }
}

fn count(value: &Value) -> Option<u64> {
    u64::try_from(int(value)?).ok()
}

fn epoch(text: &str) -> Option<Epoch> {
    let epoch = Epoch::from_text(text);
    (epoch != Epoch::NONE).then_some(epoch)
}

/// The answer to a script call of appends, read run by run.
pub(super) struct Appends {
    time: i64,
    rest: IntoIter<Value>,
}

impl Appends {
    pub(super) fn new(value: Value) -> Option<Self> {
        let mut rest = array(value)?;
        let time = int(&rest.next()?)?;
        Some(Self { time, rest })
    }

    /// The epoch of the next run; inside `None` where nothing is kept.
    pub(super) fn epoch(&mut self) -> Option<Option<Epoch>> {
        let text = text(self.rest.next()?)?;
        if text.is_empty() { Some(None) } else { Some(Some(epoch(&text)?)) }
    }

    /// The next append of the run.
    pub(super) fn judged(&mut self, epoch: Option<Epoch>, limit: u32) -> Option<Result<Judged, EngineError>> {
        match self.rest.next()? {
            value @ Value::Int(_) => {
                let offset = count(&value)?;
                let position = epoch.map(|epoch| Position { epoch, offset });
                Some(Ok(Ok(Appended { position, time: self.time, duplicate: false, expected: 0 })))
            }
            value => {
                let text = text(value)?;
                let judged = match text.as_bytes().first()? {
                    b'L' => return Some(Err(EngineError::TooMany { limit })),
                    b'F' => Some(Err(NotAppended::Fenced)),
                    b'T' => Some(Err(NotAppended::Taken { expected: text[1..].parse().ok()? })),
                    b'O' => Some(Err(NotAppended::OutOfOrder { expected: text[1..].parse().ok()?, epoch })),
                    b'U' => Some(Err(NotAppended::UnknownProducer)),
                    b'R' => Some(Err(NotAppended::Refused)),
                    _ => first(&text).map(Ok),
                };
                judged.map(Ok)
            }
        }
    }
}

/// What a key or a record remembers of the first append.
fn first(remembered: &str) -> Option<Appended> {
    let mut words = remembered.split(' ');
    let epoch = words.next()?;
    let offset = words.next()?.parse().ok()?;
    let position = if epoch == "-" { None } else { Some(Position { epoch: self::epoch(epoch)?, offset }) };
    let time = words.next()?.parse().ok()?;
    let expected = words.next().map_or(Some(0), |expected| expected.parse().ok())?;
    Some(Appended { position, time, duplicate: true, expected })
}

pub(super) fn page(value: Value) -> Option<Page> {
    let mut values = array(value)?;
    let head = Position { epoch: epoch(&text(values.next()?)?)?, offset: count(&values.next()?)? };
    let reach = match int(&values.next()?)? {
        0 => Reach::Complete,
        1 => Reach::Trimmed,
        2 => Reach::Unknown,
        _ => return None,
    };
    let publications = array(values.next()?)?.map(publication).collect::<Option<_>>()?;
    let survived = match values.next() {
        Some(top) => Some(count(&top)?),
        None => None,
    };
    Some(Page { head, publications, reach, survived })
}

/// An entry of a stream: its id, and one field.
fn publication(value: Value) -> Option<Publication> {
    let mut entry = array(value)?;
    let offset = text(entry.next()?)?.split('-').next()?.parse().ok()?;
    let line = array(entry.next()?)?.nth(1).and_then(bytes)?;
    let (publication, rest) = frame::line(offset, &Bytes::from(line))?;
    rest.is_empty().then_some(publication)
}

pub(super) fn joined(value: Value) -> Option<Joined> {
    let mut values = array(value)?;
    let birth = Position { epoch: epoch(&text(values.next()?)?)?, offset: count(&values.next()?)? };
    Some(Joined { birth, replaced: int(&values.next()?)? == 1 })
}

pub(super) fn renewed(value: Value) -> Option<Vec<Renewed>> {
    let one = |value: Value| match int(&value)? {
        0 => Some(Renewed::Renewed),
        1 => Some(Renewed::Absent),
        2 => Some(Renewed::Fenced),
        _ => None,
    };
    array(value)?.map(one).collect()
}

pub(super) fn left(value: Value) -> Option<Left> {
    match int(&value)? {
        0 => Some(Left::Removed),
        1 => Some(Left::Absent),
        2 => Some(Left::Fenced),
        _ => None,
    }
}

pub(super) fn snapshot(value: Value) -> Option<Snapshot> {
    let mut values = array(value)?;
    let more = int(&values.next()?)? == 1;
    let mut entries = Vec::with_capacity(values.len() / 2);
    while let Some(key) = values.next() {
        entries.push(entry(Arc::from(text(key)?), Bytes::from(bytes(values.next()?)?))?);
    }
    // Redis may sort by its locale; the contract is the order of bytes.
    entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Some(Snapshot { entries, more })
}

/// `epoch offset announced length owner value`, where length is the owner's.
fn entry(key: Arc<str>, packed: Bytes) -> Option<Entry> {
    let mut words = packed.splitn(5, |byte| *byte == b' ');
    let mut word = || words.next().and_then(|word| std::str::from_utf8(word).ok());
    let epoch = epoch(word()?)?;
    let offset = word()?.parse().ok()?;
    word()?;
    let owner: usize = word()?.parse().ok()?;
    let value = packed.len() - words.next()?.len() + owner + 1;
    (value <= packed.len()).then(|| Entry {
        key,
        value: packed.slice(value..),
        birth: Position { epoch, offset },
    })
}

pub(super) fn stats(value: Value) -> Option<Stats> {
    let mut values = array(value)?;
    let mut next = || u32::try_from(count(&values.next()?)?).ok();
    Some(Stats { entries: next()?, owners: next()? })
}

pub(super) fn names(value: Value) -> Option<Vec<String>> {
    array(value)?.map(text).collect()
}

/// How many were removed, and whether some are left.
pub(super) fn reaped(value: Value) -> Option<(u32, bool)> {
    let mut values = array(value)?;
    Some((u32::try_from(int(&values.next()?)?).ok()?, int(&values.next()?)? == 1))
}

/// Any answer at all.
pub(super) fn done(_: Value) -> Option<()> {
    Some(())
}
