//! The one place of the proxy that looks at what passes: it follows the WebSocket frames of a server and loses
//! the answers to publishes by a seeded dice, line by line, so that everything else of a frame arrives. Other
//! streams pass untouched.

use std::mem::take;

/// How the answers to publishes are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckLoss {
    /// Of a hundred answers, so many.
    pub percent: u64,
    /// Where the dice begins.
    pub seed: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Head,
    Frames,
    Other,
}

/// Follows one direction of one connection.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    stage: Stage,
    held: Vec<u8>,
    /// Bytes of a frame that passed before it was whole.
    passing: usize,
    dice: u64,
}

impl Sieve {
    /// What of these bytes, and of those held back before, goes on.
    pub(super) fn pass(&mut self, bytes: Vec<u8>, loss: Option<AckLoss>) -> Vec<u8> {
        match self.stage {
            Stage::Other => bytes,
            Stage::Head => {
                self.held.extend(&bytes);
                if !self.held.starts_with(b"HTTP/1.1 101"[..self.held.len().min(12)].as_ref()) {
                    self.stage = Stage::Other;
                    self.held = Vec::new();
                    return bytes;
                }
                let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") else {
                    return bytes;
                };
                self.stage = Stage::Frames;
                // The head has passed already, up to where these bytes begin.
                let passed = self.held.len() - bytes.len();
                let frames = self.held.split_off(end + 4);
                let mut out = self.held.split_off(passed);
                self.held.clear();
                out.extend(self.frames(frames, loss));
                out
            }
            Stage::Frames => self.frames(bytes, loss),
        }
    }

    fn frames(&mut self, bytes: Vec<u8>, loss: Option<AckLoss>) -> Vec<u8> {
        let mut input = take(&mut self.held);
        input.extend(bytes);
        let mut out = Vec::with_capacity(input.len());
        let mut at = self.passing.min(input.len());
        self.passing -= at;
        out.extend(&input[..at]);
        while let Some((head, length)) = frame(&input[at..]) {
            let (start, end) = (at + head, at + head + length);
            if end > input.len() {
                if loss.is_none() {
                    self.passing = end - input.len();
                    out.extend(&input[at..]);
                    at = input.len();
                }
                break;
            }
            match loss {
                Some(loss) if input[at] == 0x81 => self.thin(&input[start..end], loss, &mut out),
                _ => out.extend(&input[at..end]),
            }
            at = end;
        }
        self.held = input.split_off(at);
        out
    }

    /// Writes a text frame without the answers that the dice takes.
    fn thin(&mut self, text: &[u8], loss: AckLoss, out: &mut Vec<u8>) {
        let is_ack = |line: &[u8]| {
            !line.starts_with(b"{\"push\"") && line.windows(11).any(|part| part == b"\"publish\":{")
        };
        let lines: Vec<&[u8]> =
            text.split(|byte| *byte == b'\n').filter(|line| !(is_ack(line) && self.takes(loss))).collect();
        if lines.is_empty() {
            return;
        }
        let text = lines.join(&b'\n');
        out.push(0x81);
        match text.len() {
            length @ 0..=125 => out.push(u8::try_from(length).unwrap_or_default()),
            length @ 126..=0xffff => {
                out.push(126);
                out.extend(u16::try_from(length).unwrap_or_default().to_be_bytes());
            }
            length => {
                out.push(127);
                out.extend((length as u64).to_be_bytes());
            }
        }
        out.extend(text);
    }

    fn takes(&mut self, loss: AckLoss) -> bool {
        if self.dice == 0 {
            self.dice = loss.seed | 1;
        }
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % 100 < loss.percent
    }
}

/// The lengths of a frame's head and of its payload, once the head is whole.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let big = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    match bytes.get(1)? & 0x7f {
        126 => Some((4, big(bytes.get(2..4)?))),
        127 => Some((10, big(bytes.get(2..10)?))),
        length => Some((2, length.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(payload: &str) -> Vec<u8> {
        let mut frame = vec![0x81, u8::try_from(payload.len()).expect("a short one")];
        frame.extend(payload.as_bytes());
        frame
    }

    #[test]
    fn answers_to_publishes_are_lost_and_nothing_else_whatever_the_pieces() {
        const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\na: b\r\n\r\n";
        let push = r#"{"push":{"pub":{"data":{"publish":{}}}}}"#;
        let ack = r#"{"id":7,"publish":{"offset":3}}"#;
        let mut all = HEAD.to_vec();
        let mut kept = HEAD.to_vec();
        for (sent, arrives) in
            [(push.to_owned(), push), (ack.to_owned(), ""), (format!("{ack}\n{push}\n{ack}"), push)]
        {
            all.extend(text(&sent));
            if !arrives.is_empty() {
                kept.extend(text(arrives));
            }
        }
        for size in 1..all.len() {
            let pieces = |loss| {
                let mut sieve = Sieve::default();
                all.chunks(size).flat_map(|piece| sieve.pass(piece.to_vec(), loss)).collect::<Vec<u8>>()
            };
            assert_eq!(pieces(Some(AckLoss { percent: 100, seed: 1 })), kept, "pieces of {size}");
            assert_eq!(pieces(Some(AckLoss { percent: 0, seed: 1 })), all, "pieces of {size}");
            assert_eq!(pieces(None), all, "pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_websocket_passes_as_it_is() {
        let mut sieve = Sieve::default();
        for bytes in ["HTTP/1.1 200 OK\r\n\r\n", "{\"id\":7,\"publish\":{}}"] {
            let loss = Some(AckLoss { percent: 100, seed: 1 });
            assert_eq!(sieve.pass(bytes.into(), loss), bytes.as_bytes());
        }
    }
}
