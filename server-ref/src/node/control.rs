//! Messages between nodes, on the topic that all of them listen to: signs of life, orders and their answers.
//!
//! The first line of a message is `kind to number from`, so that whom it does not concern reads no further;
//! what follows is JSON. A message may be lost or come twice.

use super::{Answer, Node, Order};
use crate::{clock::Millis, engine::Call};
use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};

/// Answers that are kept for orders that come again.
const REMEMBERED: usize = 16 * 1024;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A new node wants to know who is there.
    Hello,
    /// A node lives.
    Beat,
    /// A node goes.
    Gone,
    /// An order.
    Ask,
    /// What a node says to it.
    Answer,
}

impl Kind {
    const ALL: [(Self, &str); 5] = [
        (Self::Hello, "hello"),
        (Self::Beat, "beat"),
        (Self::Gone, "gone"),
        (Self::Ask, "ask"),
        (Self::Answer, "answer"),
    ];

    fn text(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, text)| text)
    }

    fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == text).map(|(kind, _)| *kind)
    }
}

type Asked = (Box<str>, u64);

/// The orders of other nodes that were carried out of late, and what was answered.
#[derive(Default)]
pub(super) struct Known(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    answers: HashMap<Asked, Answer, RandomState>,
    since: VecDeque<(Millis, Asked)>,
}

impl Known {
    /// What was answered to this order before; else has it carried out, once, and keeps the answer until nobody asks
    /// any more.
    fn once(&self, asked: Asked, now: Millis, keep: Millis, carry_out: impl FnOnce() -> Answer) -> Answer {
        let Remembered { answers, since } = &mut *self.0.lock();
        while let Some((at, _)) = since.front()
            && (since.len() >= REMEMBERED || now.saturating_sub(*at) > keep)
        {
            let (_, old) = since.pop_front().expect("it was seen at the front");
            answers.remove(&old);
        }
        if let Some(answer) = answers.get(&asked) {
            return answer.clone();
        }
        let answer = carry_out();
        // Nothing was done, nor would be: whoever guesses at sessions must not have what was done forgotten.
        if answer == Answer::NoSession {
            return answer;
        }
        answers.insert(asked.clone(), answer.clone());
        since.push_back((now, asked));
        answer
    }
}

struct Message<'a> {
    kind: Kind,
    to: &'a str,
    id: u64,
    from: &'a str,
    body: &'a [u8],
}

fn parse(message: &[u8]) -> Option<Message<'_>> {
    let end = message.iter().position(|byte| *byte == b'\n')?;
    let mut words = std::str::from_utf8(&message[..end]).ok()?.split(' ');
    let (kind, to) = (Kind::from_text(words.next()?)?, words.next()?);
    let (id, from) = (words.next()?.parse().ok()?, words.next()?);
    Some(Message { kind, to, id, from, body: &message[end + 1..] })
}

impl Node {
    pub(super) fn send(&self, kind: Kind, to: &str, id: u64, body: &[u8]) -> Call<()> {
        let mut message = format!("{} {to} {id} {}\n", kind.text(), self.id()).into_bytes();
        message.extend_from_slice(body);
        self.engine.control(Bytes::from(message))
    }

    pub(super) fn ask(&self, to: &str, id: u64, order: &[u8]) -> Call<()> {
        self.send(Kind::Ask, to, id, order)
    }

    pub(super) fn handle_control(self: &Arc<Self>, message: &[u8]) {
        // A later version on another node may say more.
        let Some(Message { kind, to, id, from, body }) = parse(message) else {
            return tracing::warn!("a control message that this version does not know");
        };
        if from == self.id() || !matches!(to, "*") && to != self.id() {
            return;
        }
        if kind != Kind::Gone {
            self.heard_of(from);
        }
        match kind {
            Kind::Hello => self.greet(),
            Kind::Beat => {}
            Kind::Gone => self.lost(from),
            Kind::Ask => match serde_json::from_slice::<Order>(body) {
                Ok(order) => self.handle_order(id, from, order),
                Err(error) => tracing::warn!(%error, "an order that this version does not know"),
            },
            Kind::Answer => match serde_json::from_slice::<Answer>(body) {
                Ok(answer) => self.surveys.answered(id, from, answer, self.now()),
                Err(error) => tracing::warn!(%error, "an answer that this version does not know"),
            },
        }
    }

    fn handle_order(self: &Arc<Self>, id: u64, from: &str, order: Order) {
        let from: Box<str> = from.into();
        // The engine is in a call of its own, and some answers take a while to be put together.
        self.later(Arc::downgrade(self), move |node| {
            let answer = if order.acts() {
                let (now, keep) = (node.now(), 2 * node.patience());
                node.known.once((from.clone(), id), now, keep, || node.carry_out(&order))
            } else {
                node.carry_out(&order)
            };
            let body = serde_json::to_vec(&answer).expect("it is made of text and numbers");
            node.detach(node.send(Kind::Answer, &from, id, &body), "an answer to another node");
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_apart_as_it_was_put_together() {
        let message = parse(b"answer n1 7 n2\n{}").expect("it is one");
        assert_eq!((message.kind, message.to, message.id, message.from), (Kind::Answer, "n1", 7, "n2"));
        assert_eq!(message.body, b"{}");
        for wrong in [&b""[..], b"beat * 0 n", b"shout * 0 n\n", b"beat * x n\n", b"beat *\n", b"\xff\n"] {
            assert!(parse(wrong).is_none());
        }
    }

    #[test]
    fn an_order_is_carried_out_once_and_answered_alike() {
        let known = Known::default();
        let ask = |from: &str, id, now, answer: Answer| {
            let mut done = false;
            let said = known.once((from.into(), id), now, 100, || {
                done = true;
                answer
            });
            (done, said)
        };
        assert_eq!(ask("a", 1, 0, Answer::Full), (true, Answer::Full));
        assert_eq!(ask("a", 1, 50, Answer::Done), (false, Answer::Full));
        assert_eq!(ask("b", 1, 50, Answer::Done), (true, Answer::Done));
        assert_eq!(ask("a", 1, 101, Answer::Done), (true, Answer::Done));
        for id in 2..=REMEMBERED as u64 + 2 {
            assert!(ask("a", id, 101, Answer::Done).0);
        }
        assert!(ask("a", 1, 101, Answer::Done).0);
        assert!(known.0.lock().answers.len() <= REMEMBERED);
        assert_eq!(ask("c", 7, 101, Answer::Done), (true, Answer::Done));
        for id in 0..=REMEMBERED as u64 {
            assert!(ask("guess", id, 101, Answer::NoSession).0);
        }
        assert_eq!(ask("c", 7, 101, Answer::Full), (false, Answer::Done));
    }
}
