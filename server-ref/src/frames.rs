//! Frames of the hot paths, written from parts that are JSON already; everything else goes through the wire
//! codec. A frame is encoded once and shared by all who get it.

use crate::{
    engine::{Appended, Epoch, Publication, Snapshot},
    hub::Close,
};
use bytes::Bytes;
use homing_core::wire::{self, Raw, json};
use std::{borrow::Cow, collections::BTreeMap};

/// The server's ping.
pub(crate) const PING: Bytes = Bytes::from_static(b"{}");

/// What a publication says of itself, with its id.
pub(crate) fn with_id(meta: Bytes, id: &str) -> Bytes {
    if id.is_empty() {
        return meta;
    }
    let mut out = String::with_capacity(meta.len() + id.len() + 10);
    out.push_str(raw(&meta).as_str().strip_suffix('}').unwrap_or("{"));
    if out.len() > 1 {
        out.push(',');
    }
    out.push_str("\"id\":");
    json::encode_text(id, &mut out);
    out.push('}');
    out.into()
}

/// What a publication of the application says of itself: its tags, if it has any.
pub(crate) fn tagged(tags: &BTreeMap<String, String>) -> Bytes {
    if tags.is_empty() {
        return Bytes::new();
    }
    let mut out = String::from("{\"tags\":{");
    for (at, (name, value)) in tags.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        json::encode_text(name, &mut out);
        out.push(':');
        json::encode_text(value, &mut out);
    }
    out.push_str("}}");
    out.into()
}

/// What stands before and behind the client's part in what a publication says of it.
const META: (usize, usize) = ("{\"info\":".len(), "}".len());

/// How every push to a channel begins.
pub(crate) fn push_prefix(channel: &str) -> Box<str> {
    let mut out = String::from("{\"push\":{\"channel\":");
    json::encode_text(channel, &mut out);
    out.push(',');
    out.into()
}

fn concat(parts: &[&[u8]]) -> Bytes {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        out.extend_from_slice(part);
    }
    out.into()
}

/// The members of a JSON object without its braces.
fn members(object: &[u8]) -> &[u8] {
    object.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).unwrap_or_default()
}

/// The push that says why a connection ends, and when its client may come back.
pub(crate) fn disconnect_push(close: &Close) -> Bytes {
    let code = u32::from(close.code);
    let event = wire::PushEvent::Disconnect(wire::Disconnect {
        code,
        reason: (&*close.reason).into(),
        reconnect: !wire::closes_for_good(code),
        retry_after: close.retry_after,
    });
    reply(&wire::Reply::Push(wire::Push { channel: "".into(), event }))
}

/// The push of a publication.
pub(crate) fn publication_push(prefix: &str, publication: &Publication) -> Bytes {
    let meta = members(&publication.meta);
    let comma: &[u8] = if meta.is_empty() { b"" } else { b"," };
    let (mut offset, mut time) = (Digits::default(), Digits::default());
    let (name, offset): (&[u8], _) = match publication.offset {
        0 => (b"", &b""[..]),
        at => (b",\"offset\":", offset.write(at)),
    };
    let time = time.write(publication.time.unsigned_abs());
    let data = &publication.data;
    let prefix = prefix.as_bytes();
    concat(&[prefix, b"\"pub\":{\"data\":", data, name, offset, comma, meta, b",\"time\":", time, b"}}}"])
}

/// The push that tells of somebody who came.
pub(crate) fn join_push(prefix: &str, info: &[u8]) -> Bytes {
    concat(&[prefix.as_bytes(), b"\"join\":{\"info\":", info, b"}}}"])
}

/// The push that tells of somebody who went.
pub(crate) fn leave_push(prefix: &str, info: &[u8]) -> Bytes {
    concat(&[prefix.as_bytes(), b"\"leave\":{\"info\":", info, b"}}}"])
}

/// Decimal digits without an allocation.
#[derive(Default)]
struct Digits([u8; 20]);

impl Digits {
    /// At least so many digits, zeros in front.
    fn write_wide(&mut self, value: u64, width: usize) -> &[u8] {
        let digits = self.write(value).len();
        let from = self.0.len() - digits.max(width).min(self.0.len());
        let number = self.0.len() - digits;
        if let Some(zeros) = self.0.get_mut(from..number) {
            zeros.fill(b'0');
        }
        &self.0[from..]
    }

    fn write(&mut self, mut value: u64) -> &[u8] {
        let mut at = self.0.len();
        loop {
            at -= 1;
            self.0[at] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                return &self.0[at..];
            }
        }
    }
}

/// The answer to a publish command.
pub(crate) fn publish_reply(id: u32, appended: &Appended) -> Bytes {
    let [mut id_digits, mut offset, mut epoch, mut time, mut expected] =
        std::array::from_fn(|_| Digits::default());
    let id = id_digits.write(id.into());
    let time = time.write(appended.time.unsigned_abs());
    let duplicate: &[u8] = if appended.duplicate { b",\"duplicate\":true" } else { b"" };
    let (named, expected): (&[u8], _) = match appended.expected {
        0 => (b"", &[][..]),
        number => (b",\"expected\":", expected.write(number)),
    };
    let Some(position) = appended.position else {
        let start = b",\"publish\":{\"time\":";
        return concat(&[b"{\"id\":", id, start, time, duplicate, named, expected, b"}}"]);
    };
    concat(&[
        b"{\"id\":",
        id,
        b",\"publish\":{\"epoch\":\"",
        epoch.write_wide(position.epoch.micros(), Epoch::WIDTH),
        b"\",\"offset\":",
        offset.write(position.offset),
        b",\"time\":",
        time,
        duplicate,
        named,
        expected,
        b"}}",
    ])
}

/// The answer to a presence command.
pub(crate) fn presence_reply(id: u32, snapshot: &Snapshot) -> Bytes {
    let mut out = format!("{{\"id\":{id},\"presence\":{{\"presence\":{{");
    for (at, entry) in snapshot.entries.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        json::encode_text(&entry.key, &mut out);
        out.push(':');
        out.push_str(raw(&entry.value).as_str());
    }
    out.push_str("}}}");
    out.into()
}

/// The client's part of what its publications say of it.
pub(crate) fn info_of(meta: &Bytes) -> Bytes {
    let end = meta.len().saturating_sub(META.1);
    if end < META.0 { Bytes::from_static(b"{}") } else { meta.slice(META.0..end) }
}

/// A stored payload as the raw JSON that it is.
pub(crate) fn raw(bytes: &Bytes) -> Raw<'_> {
    Raw::trusted(std::str::from_utf8(bytes).unwrap_or("null"))
}

/// A stored publication as the wire has it.
pub(crate) fn wire_publication(publication: &Publication) -> wire::Publication<'_> {
    let meta = std::str::from_utf8(&publication.meta).unwrap_or_default();
    let mut wire = json::decode_publication(meta).unwrap_or_default();
    wire.data = Some(raw(&publication.data));
    wire.offset = publication.offset;
    wire.time = publication.time;
    wire
}

/// One reply as a frame.
pub(crate) fn reply(reply: &wire::Reply<'_>) -> Bytes {
    let mut out = String::with_capacity(128);
    json::encode_reply(reply, &mut out);
    out.into()
}

/// Several replies as one frame.
pub(crate) fn replies<'a>(replies: impl Iterator<Item = wire::Reply<'a>>) -> Bytes {
    let mut out = String::with_capacity(128);
    for reply in replies {
        if !out.is_empty() {
            out.push('\n');
        }
        json::encode_reply(&reply, &mut out);
    }
    out.into()
}

/// The answer to a command as a frame.
pub(crate) fn answer(id: u32, outcome: wire::Outcome<'_>) -> Bytes {
    reply(&wire::Reply::Answer(wire::Answer { id, outcome }))
}

/// JSON on one line: a frame may hold several objects, divided by line feeds, so a payload must hold none.
/// Inside of strings they are escaped already; what is left is white space between tokens.
pub(crate) fn on_one_line(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| matches!(byte, b'\n' | b'\r')) {
        Cow::Owned(text.replace(['\n', '\r'], " "))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Position;

    fn publication(offset: u64, meta: &'static str) -> Publication {
        Publication { offset, time: 1_700_000_000_000, data: "{\"a\":1}".into(), meta: meta.into() }
    }

    #[test]
    fn the_answer_to_a_publish_is_that_of_the_codec() {
        for epoch in [Epoch::from_micros(7), Epoch::from_micros(1_700_000_000_000_000)] {
            let position = Some(Position { epoch, offset: 12 });
            for position in [position, None] {
                for (duplicate, expected) in [(true, 18), (true, 0), (false, 0)] {
                    let appended = Appended { position, time: 1_700_000_000_000, duplicate, expected };
                    let result = wire::PublishResult {
                        epoch: position.map(|position| position.epoch.to_string()).unwrap_or_default().into(),
                        offset: position.map_or(0, |position| position.offset),
                        time: appended.time,
                        duplicate: appended.duplicate,
                        expected: appended.expected,
                    };
                    assert_eq!(publish_reply(90, &appended), answer(90, wire::Outcome::Publish(result)));
                }
            }
        }
    }

    #[test]
    fn an_id_joins_what_is_there() {
        for (meta, with) in
            [("", r#"{"id":"a\"b"}"#), ("{}", r#"{"id":"a\"b"}"#), (r#"{"x":{}}"#, r#"{"x":{},"id":"a\"b"}"#)]
        {
            assert_eq!(with_id(meta.into(), "a\"b"), with);
            assert_eq!(with_id(meta.into(), ""), meta);
        }
    }

    #[test]
    fn frames_of_the_hot_path_are_those_of_the_codec() {
        let prefix = push_prefix("chat:\"x\"");
        for meta in ["", "{}", r#"{"info":{"user":"u","client":"c"},"tags":{"k":"v"},"id":"m1"}"#] {
            for offset in [0, 5] {
                let publication = publication(offset, meta);
                let event = wire::PushEvent::Publication(wire_publication(&publication));
                let push = wire::Push { channel: "chat:\"x\"".into(), event };
                assert_eq!(publication_push(&prefix, &publication), reply(&wire::Reply::Push(push)));
            }
        }
    }
}
