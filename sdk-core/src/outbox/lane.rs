//! The messages of one producer to one channel: their order, their numbers, how many are under way.

use super::ProducerKey;
use crate::{ConnId, EntryId, Instant, Position};
use alloc::{boxed::Box, vec::Vec};

/// Positions of acked messages that are remembered, to tell which ones a server has lost.
const REMEMBERED: usize = 64;

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) producer: ProducerKey,
    pub(crate) channel: Box<str>,
    /// What is to be sent, in order; the first `busy` are under way.
    pub(crate) queue: Vec<EntryId>,
    pub(crate) busy: usize,
    /// How many of the busy ones wait for their write.
    pub(crate) arming: usize,
    /// Acked messages whose removal is not stored yet. They count as under way: after a crash they are asked
    /// about again, and the server remembers only so many.
    pub(crate) unsaved: usize,
    /// Under which session it sends on which connection; `None`: it takes the producer's next.
    pub(crate) session: u64,
    pub(crate) conn: Option<ConnId>,
    /// The number of the next message that has none.
    pub(crate) next: u64,
    /// The last number that was acked; 0: none.
    pub(crate) acked: u64,
    /// Whether the server has had a record of this producer: without one nothing behind the first message can
    /// be there.
    pub(crate) is_known: bool,
    /// Whether the next number is the one that the server expects. Where it may not be, one message goes alone:
    /// another one behind it could have the right number by chance, and overtake it.
    pub(crate) in_step: bool,
    /// Whether the numbers that this producer has given here were forgotten, and none was acked since: the first one
    /// is a guess, and that it is taken says nothing about the message.
    pub(crate) guesses: bool,
    /// When the last ack came about, the server's Unix milliseconds.
    pub(crate) last_ack: i64,
    /// Numbers and places of the last acked messages.
    pub(crate) acks: Vec<(u64, Position)>,
    /// The server expects this number: once nothing is under way, what is left is numbered from it.
    pub(crate) renumber: Option<u64>,
    pub(crate) pause: Option<Instant>,
    pub(crate) failures: u32,
}

impl Lane {
    pub(crate) fn new(producer: ProducerKey, channel: &str) -> Self {
        Self {
            producer,
            channel: channel.into(),
            queue: Vec::new(),
            busy: 0,
            arming: 0,
            unsaved: 0,
            session: 0,
            conn: None,
            next: 1,
            acked: 0,
            is_known: false,
            in_step: true,
            guesses: false,
            last_ack: 0,
            acks: Vec::new(),
            renumber: None,
            pause: None,
            failures: 0,
        }
    }

    pub(crate) fn remember(&mut self, number: u64, position: Position) {
        if self.acks.len() == REMEMBERED {
            self.acks.remove(0);
        }
        self.acks.push((number, position));
    }

    /// Whether nothing is left to do here.
    pub(crate) fn rests(&self) -> bool {
        self.queue.is_empty() && self.unsaved == 0
    }

    /// Takes an entry out of the order.
    pub(crate) fn remove(&mut self, entry: EntryId) {
        if let Some(at) = self.queue.iter().position(|other| *other == entry) {
            self.queue.remove(at);
        }
    }
}
