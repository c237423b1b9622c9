//! Reads client frames out of whatever pieces the socket gives. Payloads are unmasked where they lie; only
//! what is incomplete is kept.

/// One message, or one control frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// A complete text message.
    Text(&'a str),
    /// A complete binary message, which this endpoint does not speak.
    Binary,
    /// To be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// The answer to a ping, or a sign of life.
    Pong,
    /// The client closes. Nothing comes after it.
    Close,
}

/// What ends a connection: the client broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("protocol error: {0}")]
    Protocol(&'static str),
    #[error("a message above {0} bytes")]
    TooLarge(usize),
    #[error("text that is not UTF-8")]
    NotText,
}

impl Violation {
    /// The close code of RFC 6455.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Protocol(_) => 1002,
            Self::NotText => 1007,
            Self::TooLarge(_) => 1009,
        }
    }
}

/// The state between two reads.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// Bytes of a frame that is not complete.
    partial: Vec<u8>,
    /// Payload of the fragments so far, and whether they are text.
    message: Option<Box<(bool, Vec<u8>)>>,
    limit: usize,
    closed: bool,
}

struct Header {
    fin: bool,
    opcode: u8,
    length: usize,
    mask: [u8; 4],
    /// Bytes that it takes.
    size: usize,
}

impl Decoder {
    /// A decoder of messages of at most `limit` bytes.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { partial: Vec::new(), message: None, limit, closed: false }
    }

    /// Reads on with `input`, whose bytes are unmasked in place, and hands every message to `take`.
    pub(crate) fn decode(
        &mut self,
        input: &mut [u8],
        take: &mut impl FnMut(Message<'_>),
    ) -> Result<(), Violation> {
        if self.partial.is_empty() {
            let used = self.frames(input, take)?;
            self.partial.extend_from_slice(&input[used..]);
            return Ok(());
        }
        let mut partial = std::mem::take(&mut self.partial);
        partial.extend_from_slice(input);
        let used = self.frames(&mut partial, take)?;
        if used < partial.len() {
            partial.drain(..used);
            self.partial = partial;
        }
        Ok(())
    }

    /// Handles all complete frames, and says how many bytes they took.
    fn frames(&mut self, bytes: &mut [u8], take: &mut impl FnMut(Message<'_>)) -> Result<usize, Violation> {
        let mut at = 0;
        while !self.closed {
            let Some(header) = self.header(&bytes[at..])? else { break };
            let (from, to) = (at + header.size, at + header.size + header.length);
            let Some(payload) = bytes.get_mut(from..to) else { break };
            unmask(payload, header.mask);
            self.frame(&header, payload, take)?;
            at = to;
        }
        Ok(if self.closed { bytes.len() } else { at })
    }

    fn header(&self, bytes: &[u8]) -> Result<Option<Header>, Violation> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        if first & 0x70 != 0 {
            return Err(Violation::Protocol("reserved bits"));
        }
        if second & 0x80 == 0 {
            return Err(Violation::Protocol("a frame without a mask"));
        }
        let (length, extended) = match (second & 0x7f, rest) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
            (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8),
            (126 | 127, _) => return Ok(None),
            (short, _) => (u64::from(short), 0),
        };
        match opcode {
            0 if self.message.is_none() => return Err(Violation::Protocol("a continuation of nothing")),
            1 | 2 if self.message.is_some() => return Err(Violation::Protocol("a message within a message")),
            0..=2 => {}
            8..=10 if fin && length <= 125 => {}
            8..=10 => return Err(Violation::Protocol("a control frame that is too long or in parts")),
            _ => return Err(Violation::Protocol("an unknown kind of frame")),
        }
        let before = self.message.as_ref().map_or(0, |message| message.1.len());
        let length = usize::try_from(length).ok().filter(|length| *length <= self.limit - before);
        let Some(length) = length else { return Err(Violation::TooLarge(self.limit)) };
        let Some([a, b, c, d]) = rest.get(extended..extended + 4) else { return Ok(None) };
        Ok(Some(Header { fin, opcode, length, mask: [*a, *b, *c, *d], size: 2 + extended + 4 }))
    }

    fn frame(
        &mut self,
        header: &Header,
        payload: &[u8],
        take: &mut impl FnMut(Message<'_>),
    ) -> Result<(), Violation> {
        match header.opcode {
            8 => {
                self.closed = true;
                take(Message::Close);
            }
            9 => take(Message::Ping(payload)),
            10 => take(Message::Pong),
            opcode if header.fin && self.message.is_none() => deliver(opcode == 1, payload, take)?,
            opcode => {
                let message = self.message.get_or_insert_with(|| Box::new((opcode == 1, Vec::new())));
                message.1.extend_from_slice(payload);
                if header.fin {
                    let (text, whole) = *self.message.take().expect("it was put there above");
                    deliver(text, &whole, take)?;
                }
            }
        }
        Ok(())
    }
}

fn deliver(text: bool, payload: &[u8], take: &mut impl FnMut(Message<'_>)) -> Result<(), Violation> {
    if text {
        take(Message::Text(std::str::from_utf8(payload).map_err(|_| Violation::NotText)?));
    } else {
        take(Message::Binary);
    }
    Ok(())
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        super::super::header(first, payload.len(), &mut out);
        out[1] |= 0x80;
        let mask = [1, 2, 3, 4];
        out.extend_from_slice(&mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    fn decode(decoder: &mut Decoder, input: &[u8]) -> Result<Vec<String>, Violation> {
        let mut seen = Vec::new();
        let mut input = input.to_vec();
        decoder.decode(&mut input, &mut |message| seen.push(format!("{message:?}")))?;
        Ok(seen)
    }

    fn sample() -> Vec<u8> {
        let mut bytes = frame(0x81, "häppy {\"a\":1}".as_bytes());
        bytes.extend(frame(0x01, "frag".as_bytes()));
        bytes.extend(frame(0x89, b"hi"));
        bytes.extend(frame(0x00, &[b'x'; 300]));
        bytes.extend(frame(0x80, b"end"));
        bytes.extend(frame(0x82, &[0; 10]));
        bytes.extend(frame(0x8a, b""));
        bytes.extend(frame(0x88, &[3, 232]));
        bytes.extend(frame(0x81, b"behind the close"));
        bytes
    }

    #[test]
    fn frames_are_read_the_same_in_whatever_pieces_they_come() {
        let whole = decode(&mut Decoder::new(1000), &sample()).unwrap();
        assert_eq!(whole.len(), 6);
        assert_eq!(whole[0], format!("{:?}", Message::Text("häppy {\"a\":1}")));
        assert_eq!(whole[2], format!("{:?}", Message::Text(&format!("frag{}end", "x".repeat(300)))));
        for size in [1, 2, 3, 7, 50, 128] {
            let mut decoder = Decoder::new(1000);
            let mut seen = Vec::new();
            for piece in sample().chunks(size) {
                seen.extend(decode(&mut decoder, piece).unwrap());
            }
            assert_eq!(seen, whole, "pieces of {size}");
            assert_eq!(decoder.partial.capacity(), 0);
        }
    }

    #[test]
    fn what_breaks_the_protocol_is_named() {
        let error = |bytes: &[u8]| decode(&mut Decoder::new(1000), bytes).unwrap_err().code();
        assert_eq!(error(&[0x81, 0x01, b'x']), 1002);
        assert_eq!(error(&frame(0xc1, b"x")), 1002);
        assert_eq!(error(&frame(0x83, b"x")), 1002);
        assert_eq!(error(&frame(0x80, b"x")), 1002);
        assert_eq!(error(&frame(0x09, b"x")), 1002);
        assert_eq!(error(&frame(0x89, &[0; 126])), 1002);
        assert_eq!(error(&[frame(0x01, b"x"), frame(0x81, b"x")].concat()), 1002);
        assert_eq!(error(&frame(0x81, &[0xff])), 1007);
        assert_eq!(error(&frame(0x81, &[b'x'; 1001])), 1009);
        assert_eq!(error(&[frame(0x01, &[b'x'; 600]), frame(0x80, &[b'x'; 600])].concat()), 1009);
        assert_eq!(error(&[0x81, 0xff, 255, 255, 255, 255, 255, 255, 255, 255]), 1009);
    }

    /// Whatever bytes come in whatever pieces: messages or a violation, and never more held than a message.
    #[test]
    fn bytes_by_chance_are_decoded_or_refused() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = move |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % bound as u64).unwrap()
        };
        for _ in 0..5000 {
            let mut bytes = sample();
            for _ in 0..below(6) {
                let at = below(bytes.len());
                bytes[at] = u8::try_from(below(256)).unwrap();
            }
            let mut decoder = Decoder::new(500);
            while !bytes.is_empty() {
                let size = (1 + below(200)).min(bytes.len());
                let piece: Vec<u8> = bytes.drain(..size).collect();
                if decode(&mut decoder, &piece).is_err() {
                    break;
                }
                let fragments = decoder.message.as_ref().map_or(0, |message| message.1.len());
                assert!(decoder.partial.len() <= 500 + 14 && fragments <= 500);
            }
        }
    }
}
