//! The WebSocket protocol as a server needs it (RFC 6455, version 13, no extensions): the accept key,
//! a decoder that keeps no buffer while nothing is half read, and frame headers.
//!
//! Sans-IO. The usual libraries keep a read and a write buffer for every connection, idle or not, and copy
//! each frame into the latter; here an idle connection holds no buffer at all.

mod decoder;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha1::{Digest, Sha1};

pub(crate) use decoder::{Decoder, Message, Violation};

/// Longest reason that a close frame can carry.
const MAX_REASON: usize = 123;

/// What the handshake answers to the client's key.
pub(crate) fn accept_key(key: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64_STANDARD.encode(hash.finalize())
}

/// Appends the header of a text frame of `length` bytes.
pub(crate) fn text_header(length: usize, out: &mut Vec<u8>) {
    header(0x81, length, out);
}

fn header(first: u8, length: usize, out: &mut Vec<u8>) {
    out.push(first);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => out.push(short),
        (_, Ok(medium)) => {
            out.push(126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Appends the answer to a ping.
pub(crate) fn pong(payload: &[u8], out: &mut Vec<u8>) {
    header(0x8a, payload.len(), out);
    out.extend_from_slice(payload);
}

/// Appends a close frame; a reason that is too long is cut.
pub(crate) fn close(code: u16, reason: &str, out: &mut Vec<u8>) {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    header(0x88, 2 + end, out);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&reason.as_bytes()[..end]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_specification_is_accepted_as_it_says() {
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn headers_have_the_shortest_length() {
        for (length, header) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 255, 255]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            text_header(length, &mut out);
            assert_eq!(out, header);
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let mut out = Vec::new();
        close(3001, &"é".repeat(100), &mut out);
        assert_eq!(out.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&out[4..]).is_ok());
    }
}
