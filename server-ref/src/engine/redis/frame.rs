//! What is published on a channel's topic, and how it becomes hints. The scripts write these frames.
//!
//! `A<epoch>` and `N` (nothing kept) are followed by publications, each `offset time data meta\n` (the last two
//! are lengths) and the bytes of data and meta; `B<epoch> offset` tells the head's place alone; `J` and `L` are
//! followed by the value of an entry that came or went.

use crate::engine::{Epoch, Hint, Position, Publication};
use bytes::Bytes;

/// One thing that a frame tells.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    Hint(Hint),
    /// Publications up to here are in the log, and not in the frame.
    Behind(Position),
}

/// Takes a frame apart. `None`: no frame of ours, what was told so far stands.
pub(super) fn decode(frame: Bytes, mut tell: impl FnMut(Told)) -> Option<()> {
    let kind = *frame.first()?;
    let mut rest = frame.slice(1..);
    let epoch = match kind {
        b'A' | b'B' => {
            let text = rest.get(..Epoch::WIDTH)?;
            let epoch = Epoch::from_text(std::str::from_utf8(text).ok()?);
            rest = rest.slice(Epoch::WIDTH..);
            (epoch != Epoch::NONE).then_some(Some(epoch))?
        }
        b'N' => None,
        b'J' | b'L' => {
            let hint = if kind == b'J' { Hint::Joined(rest) } else { Hint::Left(rest) };
            tell(Told::Hint(hint));
            return Some(());
        }
        _ => return None,
    };
    if let (b'B', Some(epoch)) = (kind, epoch) {
        tell(Told::Behind(Position { epoch, offset: number(&rest)? }));
        return Some(());
    }
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b' ')?;
        let (publication, after) = line(number(&rest[..end])?, &rest.slice(end + 1..))?;
        tell(Told::Hint(Hint::Appended(epoch, publication)));
        rest = after;
    }
    Some(())
}

/// A publication as streams and frames have it behind its offset; answers also what follows it.
pub(super) fn line(offset: u64, bytes: &Bytes) -> Option<(Publication, Bytes)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let mut numbers = bytes[..end].split(|byte| *byte == b' ').map(number);
    let mut next = || numbers.next().flatten();
    let (time, data, meta) = (next()?, next()?, next()?);
    let data = end + 1..end.checked_add(1)?.checked_add(usize::try_from(data).ok()?)?;
    let meta = data.end..data.end.checked_add(usize::try_from(meta).ok()?)?;
    let after = meta.end;
    if after > bytes.len() {
        return None;
    }
    let time = i64::try_from(time).ok()?;
    let publication = Publication { offset, time, data: bytes.slice(data), meta: bytes.slice(meta) };
    Some((publication, bytes.slice(after..)))
}

/// What a script puts a publication's offset and time in front of.
pub(super) fn body(into: &mut Vec<u8>, data: &[u8], meta: &[u8]) {
    let mut digits = itoa::Buffer::new();
    into.extend_from_slice(digits.format(data.len()).as_bytes());
    into.push(b' ');
    into.extend_from_slice(digits.format(meta.len()).as_bytes());
    into.push(b'\n');
    into.extend_from_slice(data);
    into.extend_from_slice(meta);
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.trim_ascii().parse().ok()
}

/// The frame of a hint that is announced without a script.
pub(super) fn encode(hint: &Hint) -> Vec<u8> {
    match hint {
        Hint::Joined(value) => [b"J", &value[..]].concat(),
        Hint::Left(value) => [b"L", &value[..]].concat(),
        Hint::Appended(epoch, publication) => {
            let Publication { offset, time, data, meta } = publication;
            let epoch = epoch.map_or_else(|| "N".to_owned(), |epoch| format!("A{epoch}"));
            let mut frame = format!("{epoch}{offset} {time} ").into_bytes();
            body(&mut frame, data, meta);
            frame
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(frame: &[u8]) -> (Option<()>, Vec<Told>) {
        let mut told = Vec::new();
        let whole = decode(Bytes::copy_from_slice(frame), |one| told.push(one));
        (whole, told)
    }

    #[test]
    fn a_frame_comes_back_as_it_was_encoded() {
        let publication =
            Publication { offset: 7, time: 1_700_000_000_000, data: "{\n}".into(), meta: "\"a\":1".into() };
        let epoch = Epoch::from_micros(1_700_000_000_000_000);
        for hint in [
            Hint::Appended(Some(epoch), publication.clone()),
            Hint::Appended(None, publication),
            Hint::Joined("1".into()),
            Hint::Left("2".into()),
        ] {
            assert_eq!(all(&encode(&hint)), (Some(()), vec![Told::Hint(hint)]));
        }
    }

    #[test]
    fn several_publications_share_a_frame() {
        let (whole, told) = all(b"A00000000000000081 5 1 0\nx2 5 2 1\nyyz");
        assert_eq!((whole, told.len()), (Some(()), 2));
        assert!(
            matches!(&told[1], Told::Hint(Hint::Appended(_, last)) if last.offset == 2 && last.meta == "z")
        );
    }

    #[test]
    fn a_place_alone_is_told() {
        let position = Position { epoch: Epoch::from_micros(8), offset: 12 };
        assert_eq!(all(b"B0000000000000008 12").1, [Told::Behind(position)]);
    }

    #[test]
    fn foreign_frames_are_refused() {
        for frame in [
            &b""[..],
            b"X",
            b"A1",
            b"A0000000000000008x",
            b"A00000000000000081 2 3\n",
            b"N1 2 18446744073709551615 1\nx",
            b"N1 2 3 4\nxx",
            b"B0000000000000008",
        ] {
            assert_eq!(all(frame), (None, vec![]), "{frame:?}");
        }
    }
}
