//! What the server's answer to a publish makes of its entry, and of those behind it.
//!
//! A refusal does not use a number up, and whatever was sent behind it comes back as out of order: the lane
//! lets the answers under way come in, then numbers what it holds from what the server expects.

use super::{LaneId, OutboxChange, ProducerKey, entry::Origin};
use crate::{
    ConnId, Duration, EntryId, Error, ErrorCode, Event, RealtimeClient, Response,
    connection::backoff,
    storage::records,
    wire::{ErrorReply, MAX_SAFE_INTEGER, Outcome, PublishResult},
};
use alloc::vec::Vec;

/// A server that keeps sending a lane back to renumber is given a rest after so many times.
const PATIENCE: u32 = 2;

impl RealtimeClient {
    pub(crate) fn on_entry_answered(&mut self, id: EntryId, outcome: &Outcome<'_>) {
        let Some(conn) = self.link.conn() else { return };
        let Some(lane) = self.outbox.entries.get(id).map(|entry| entry.lane) else { return };
        if !matches!(outcome, Outcome::Publish(_) | Outcome::Empty | Outcome::Error(_)) {
            return self.on_protocol_error("the answer to publish is of another kind");
        }
        self.outbox.rest(id);
        match outcome {
            Outcome::Publish(result) => self.on_acked(id, lane, result),
            Outcome::Error(reply) => self.on_entry_refused(id, lane, conn, reply),
            // A server may leave out a result whose fields are all zero.
            _ => self.on_acked(id, lane, &PublishResult::default()),
        }
        // What had to wait for this one may be in any lane.
        self.flush_outbox();
    }

    fn on_acked(&mut self, id: EntryId, key: LaneId, result: &PublishResult<'_>) {
        let number = self.outbox.entries.get(id).map_or(0, |entry| entry.number);
        // What is there may have another number there, after a storage that went back: only what the server tells
        // of its record says which numbers are used.
        let used = if result.duplicate { result.expected.saturating_sub(1) } else { number };
        let position = result.position();
        if let Some(lane) = self.outbox.lanes.get_mut(key)
            && number > 0
        {
            lane.acked = lane.acked.max(number.min(used));
            lane.last_ack = lane.last_ack.max(result.time);
            lane.in_step |= number <= used;
            lane.guesses &= number > used;
            lane.failures = 0;
            lane.is_known = true;
            lane.renumber = lane.renumber.map(|expected| expected.max(used + 1));
            if let Some(position) = position.as_ref().filter(|_| number <= used) {
                lane.remember(number, position.clone());
            }
            if let Some(producer) = self.outbox.producers.get(lane.producer) {
                self.storage.push(records::lane(&producer.id, &lane.channel, lane.acked, result.time));
            }
        }
        let (time, duplicate) = (result.time, result.duplicate);
        let change = OutboxChange::Acked { position: position.clone(), time };
        self.end_entry(id, Ok(Response::Published { position, time, duplicate }), change);
    }

    fn on_entry_refused(&mut self, id: EntryId, key: LaneId, conn: ConnId, reply: &ErrorReply<'_>) {
        let error = Error::from_wire(reply);
        let Some((entry, lane)) = self.outbox.lane_with(id) else { return };
        let (number, producer, acked_before) = (entry.number, lane.producer, entry.acked_before);
        let is_known = lane.is_known;
        let guessed = lane.guesses && error.code == ErrorCode::NumberTaken;
        if error.code == ErrorCode::NumberTaken {
            self.doubt(key);
        }
        if guessed && let Some(entry) = self.outbox.entries.get_mut(id) {
            // It went alone: if any connection had brought it the server would still know its id.
            entry.first_conn = Some(conn);
        }
        let doubtful = self.outbox.entries.get(id).is_some_and(|entry| entry.is_doubtful(conn));
        if number == 0 {
            // What failed inside the server may be there, and without a number nobody can ask.
            let unknown = error.code == ErrorCode::Internal;
            return self.park(id, if unknown { Error::new(ErrorCode::OutcomeUnknown) } else { error });
        }
        let expected = match error.code {
            ErrorCode::Fenced => return self.on_fenced(producer),
            ErrorCode::UnknownProducer => 1,
            ErrorCode::NumberTaken | ErrorCode::OutOfOrder => reply.expected,
            _ if error.retryable => {
                if let Some(entry) = self.outbox.entries.get_mut(id) {
                    // It may be there all the same: it is asked about under the number that it has.
                    entry.first_conn = None;
                }
                self.pause(key, backoff::wish(reply.retry_after));
                return self.renumber_from(key, number);
            }
            _ => {
                self.park(id, error);
                return self.renumber_from(key, number);
            }
        };
        if let Some(lane) = self.outbox.lanes.get_mut(key) {
            lane.in_step = true;
        }
        if expected == 0 || expected > MAX_SAFE_INTEGER {
            return self.on_protocol_error("the expected number is out of range");
        }
        let mut unknown = Vec::new();
        match error.code {
            // Its number went to another message: an earlier connection may have brought it.
            ErrorCode::NumberTaken if doubtful => unknown.push(id),
            // The record is gone with all that it knew. What is under way is answered like this one.
            ErrorCode::UnknownProducer if is_known => {
                unknown = self.outbox.lanes.get(key).map(|lane| lane.queue.clone()).unwrap_or_default();
                let entries = &self.outbox.entries;
                unknown.retain(|id| {
                    entries.get(*id).is_some_and(|entry| entry.is_doubtful(conn) && !entry.stage.is_busy())
                });
            }
            _ => {}
        }
        let is_over = unknown.contains(&id);
        for id in unknown {
            self.park(id, Error::new(ErrorCode::OutcomeUnknown));
        }
        if !is_over && let Some(lane) = self.outbox.lanes.get_mut(key) {
            lane.failures = lane.failures.saturating_add(1);
            if lane.renumber.is_none() && lane.failures > PATIENCE {
                self.pause(key, None);
            }
        }
        self.tell_lost(key, expected, acked_before);
        self.renumber(key, expected);
        if !is_over {
            self.tell_state(id);
        }
    }

    /// A number that is taken tells that the storage has gone back: of what came out of it nothing is certain.
    fn doubt(&mut self, key: LaneId) {
        let Some(lane) = self.outbox.lanes.get(key) else { return };
        for id in &lane.queue {
            if let Some(entry) = self.outbox.entries.get_mut(*id)
                && entry.origin == Origin::Storage
            {
                entry.origin = Origin::Stale;
            }
        }
    }

    /// A refused message has not used its number up, unless one before it has failed already.
    fn renumber_from(&mut self, key: LaneId, number: u64) {
        let earlier = self.outbox.lanes.get(key).and_then(|lane| lane.renumber);
        self.renumber(key, earlier.map_or(number, |earlier| earlier.min(number)));
    }

    fn renumber(&mut self, key: LaneId, expected: u64) {
        if let Some(lane) = self.outbox.lanes.get_mut(key) {
            lane.renumber = Some(expected);
        }
    }

    fn pause(&mut self, key: LaneId, wish: Option<Duration>) {
        let Some(lane) = self.outbox.lanes.get_mut(key) else { return };
        let wait = backoff::delay(&self.config, lane.failures, wish, &mut self.rng);
        lane.failures = lane.failures.saturating_add(1);
        lane.pause = Some(self.now + wait);
    }

    /// A server that expects a number which it had acked before it was asked has lost what it acked. Answers may
    /// overtake each other, so what was acked since proves nothing.
    fn tell_lost(&mut self, key: LaneId, expected: u64, acked_before: u64) {
        let trusted = self.trusted_since();
        let Some(lane) =
            self.outbox.lanes.get_mut(key).filter(|lane| expected <= lane.acked.min(acked_before))
        else {
            return;
        };
        let recent = trusted.is_some_and(|since| lane.last_ack > since);
        let count = lane.acked - expected + 1;
        let mut lost = lane.acks.iter().filter(|(number, _)| *number >= expected);
        let from = lost.clone().next().map(|(_, position)| position.clone());
        let to = lost.next_back().map(|(_, position)| position.clone());
        lane.acked = expected - 1;
        if let Some(producer) = self.outbox.producers.get(lane.producer) {
            self.storage.push(records::lane(&producer.id, &lane.channel, lane.acked, lane.last_ack));
        }
        lane.acks.retain(|(number, _)| *number < expected);
        if recent {
            let channel = lane.channel.clone();
            self.out.event(Event::AckedLost { channel, count, from, to });
        }
    }

    /// Another instance goes on with this producer: what the storage has of it is no longer ours.
    fn on_fenced(&mut self, producer: ProducerKey) {
        let lanes = self.outbox.lanes.keys_where(&mut |lane| lane.producer == producer);
        let handed_over = self.storage.is_open();
        for id in self.outbox.entries.keys_where(&mut |entry| lanes.contains(&entry.lane)) {
            if handed_over {
                if let Some(entry) = self.outbox.entries.get_mut(id) {
                    entry.recorded = false;
                }
                self.end_entry(id, Err(Error::new(ErrorCode::Fenced)), OutboxChange::HandedOver);
            } else {
                self.park(id, Error::new(ErrorCode::Fenced));
            }
        }
        if self.outbox.own == Some(producer) {
            self.outbox.own = None;
        }
    }
}
