//! Sending: what leaves when, under which number, and what must be stored before.

use super::{
    LaneId, Outbox,
    entry::{Origin, Stage},
};
use crate::{
    ConnId, EntryId, Error, ErrorCode, RealtimeClient,
    calls::Waiter,
    connection::Phase,
    storage::records,
    time::signed_millis,
    wire::{self, Raw, Request},
};
use alloc::vec::Vec;

/// Publishes under way at most, all channels together: what is behind them can still be edited.
const MAX_BUSY: usize = 128;
/// Publishes under way to one channel at most; a server may ask for less.
const MAX_BUSY_LANE: usize = 16;
/// A message that was first sent this long before the end of the dedupe window is not trusted to it.
const WINDOW_MARGIN_MILLIS: i64 = 60_000;

impl Outbox {
    /// Once nothing of a lane is under way, what is left is numbered from what the server expects.
    fn number_anew(&mut self, id: LaneId, conn: ConnId) {
        let Some(lane) = self.lanes.get_mut(id).filter(|lane| lane.busy == 0) else { return };
        let Some(expected) = lane.renumber.take() else { return };
        let expected = expected.max(lane.acked + 1);
        lane.next = expected;
        lane.is_known = expected > 1;
        // What the server has given up may still come about, and an old number would be the next one again: a
        // later session fences it off.
        lane.conn = None;
        if let Some(producer) = self.producers.get_mut(lane.producer) {
            producer.conn = None;
        }
        for entry in &lane.queue {
            // One that the server may have, under a number that is gone, is asked about under such a number: only
            // a storage that went back has entries like that. Where the first number is expected there is none,
            // and nothing that could be there.
            if let Some(entry) = self.entries.get_mut(*entry) {
                let is_used = (1..expected).contains(&entry.number) && entry.is_doubtful(conn);
                let ask = expected > 1 && (is_used || entry.origin == Origin::Stale);
                entry.number = if ask { entry.number.clamp(1, expected - 1) } else { 0 };
            }
        }
    }
}

impl RealtimeClient {
    /// The connection that may be sent on: the storage knows whose it is.
    fn outbox_link(&self) -> Option<ConnId> {
        match &self.link.phase {
            Phase::Online(live) if self.storage.is_settled() => Some(live.conn),
            _ => None,
        }
    }

    /// Sends whatever can be sent.
    pub(crate) fn flush_outbox(&mut self) {
        for lane in self.outbox.lanes.keys_where(&mut |lane| !lane.queue.is_empty()) {
            self.feed(lane);
        }
    }

    /// Whose last use lies behind this, the server's Unix milliseconds, the server still knows; `None`: it knows
    /// nobody.
    pub(super) fn trusted_since(&self) -> Option<i64> {
        let Phase::Online(live) = &self.link.phase else { return None };
        let window = signed_millis(live.dedupe_window?);
        Some(self.server_clock().saturating_sub(window - WINDOW_MARGIN_MILLIS.min(window / 10)))
    }

    /// The connection is gone: what was under way is asked about on the next one, in the same order and under
    /// the same numbers.
    pub(crate) fn outbox_lost(&mut self) {
        for id in self.outbox.entries.keys_where(&mut |entry| entry.stage.is_busy()) {
            let Some(entry) = self.outbox.entries.get(id) else { continue };
            let unnumbered = matches!(entry.stage, Stage::Sending { .. }) && entry.number == 0;
            self.outbox.rest(id);
            if unnumbered && !self.config.resends {
                self.park(id, Error::new(ErrorCode::OutcomeUnknown));
            } else {
                self.tell_state(id);
            }
        }
        for lane in self.outbox.lanes.values_mut() {
            lane.renumber = None;
            lane.in_step &= !lane.guesses;
        }
    }

    /// Sends what a lane may send.
    pub(super) fn feed(&mut self, id: LaneId) {
        let Some(conn) = self.outbox_link() else { return };
        let Phase::Online(live) = &self.link.phase else { return };
        let numbered = live.dedupe_window.is_some();
        let window = live.in_flight.clamp(1, MAX_BUSY_LANE);
        let most = live.max_message_bytes;
        let server_clock = self.server_clock();
        let forgotten = self.trusted_since().or((!self.config.resends).then_some(i64::MAX));
        let outbox = &mut self.outbox;
        let Some(lane) = outbox.lanes.get_mut(id) else { return };
        if self.channels.is_joining(&lane.channel) || lane.pause.is_some() {
            return;
        }
        if outbox.waits_for_older(id) {
            return;
        }
        outbox.number_anew(id, conn);
        let Some(lane) = outbox.lanes.get_mut(id).filter(|lane| lane.renumber.is_none()) else { return };
        // The server remembers so many behind the one that has waited longest.
        let oldest =
            lane.queue.first().and_then(|entry| outbox.entries.get(*entry)).map(|entry| entry.number);
        let last = oldest.filter(|oldest| *oldest > 0).unwrap_or(lane.next) + window as u64;
        let (mut ready, mut too_large, mut unknown): (Vec<EntryId>, Vec<EntryId>, Vec<EntryId>) =
            Default::default();
        while lane.busy + lane.unsaved < window
            && (lane.in_step || lane.busy == 0 || !numbered)
            && outbox.busy < MAX_BUSY
        {
            let Some(next) = lane.queue.get(lane.busy).copied() else { break };
            let before = lane.busy.checked_sub(1).and_then(|at| outbox.entries.get(*lane.queue.get(at)?));
            let before = before.map_or(0, |before| before.number);
            let Some(entry) = outbox.entries.get_mut(next) else { break };
            // It was accepted before the server told its limit: refused alone.
            if entry.data.len() > most && !entry.was_sent() {
                lane.remove(next);
                too_large.push(next);
                continue;
            }
            // It may be there, and nobody would know it again.
            if entry.was_sent_before(conn) && forgotten.is_some_and(|before| entry.first_sent <= before) {
                lane.remove(next);
                lane.in_step = !numbered;
                unknown.push(next);
                continue;
            }
            let number = if entry.number == 0 { lane.next } else { entry.number };
            // Two under the same number could overtake each other.
            if numbered && (number >= last || number <= before) {
                break;
            }
            let mut changed = !entry.recorded;
            if numbered {
                if entry.number == 0 {
                    entry.number = lane.next;
                    lane.next += 1;
                    changed = true;
                }
                if let Some(producer) = outbox.producers.get_mut(lane.producer)
                    && lane.conn != Some(conn)
                {
                    if producer.conn != Some(conn) {
                        producer.conn = Some(conn);
                        // The clock keeps it growing where the storage went back.
                        let clock = u64::try_from(server_clock).unwrap_or(0);
                        producer.session = clock.max(producer.session + 1);
                        self.storage.push(records::producer(&producer.id, producer.session, producer.since));
                    }
                    (lane.conn, lane.session) = (Some(conn), producer.session);
                    changed = true;
                }
            }
            if !entry.was_sent() {
                entry.first_sent = server_clock.max(1);
                entry.first_conn = Some(conn);
                changed = true;
            }
            outbox.tickets += 1;
            entry.stage = Stage::Arming { ticket: outbox.tickets };
            lane.busy += 1;
            lane.arming += 1;
            outbox.busy += 1;
            if self.storage.is_open() && (changed || lane.arming > 1) {
                self.storage.mark(next);
                self.storage.wait(next, outbox.tickets);
            } else {
                ready.push(next);
            }
        }
        for entry in ready {
            self.transmit(entry);
        }
        if too_large.is_empty() && unknown.is_empty() {
            return;
        }
        for entry in too_large {
            let bytes = self.outbox.entries.get(entry).map_or(0, |entry| entry.data.len());
            self.park(entry, Error::exceeded(ErrorCode::MessageTooLarge, bytes, most));
        }
        for entry in unknown {
            self.park(entry, Error::new(ErrorCode::OutcomeUnknown));
        }
        // Others may have waited for these.
        self.flush_outbox();
    }

    /// Hands an armed entry to the socket. A lost connection disarms, so this one is the connection that the
    /// entry was armed for.
    pub(super) fn transmit(&mut self, id: EntryId) {
        let deadline = self.now + self.config.request_timeout;
        let Phase::Online(live) = &mut self.link.phase else { return };
        let Some(entry) = self.outbox.entries.get_mut(id) else { return };
        let Some(lane) = self.outbox.lanes.get_mut(entry.lane) else { return };
        if lane.renumber.is_some() {
            let lane = entry.lane;
            self.outbox.rest(id);
            return self.feed(lane);
        }
        let command = live.next_command();
        entry.stage = Stage::Sending { deadline };
        entry.acked_before = lane.acked;
        lane.arming -= 1;
        let producer = self.outbox.producers.get(lane.producer).filter(|_| live.dedupe_window.is_some());
        let publish = wire::Publish {
            channel: (&*lane.channel).into(),
            data: Some(Raw::trusted(&entry.data)),
            homing: producer.map(|producer| wire::Stamp {
                id: (&*entry.id).into(),
                producer: (&*producer.id).into(),
                session: lane.session,
                number: entry.number,
            }),
            ..wire::Publish::default()
        };
        self.out.command(live.conn, command, Request::Publish(publish));
        self.calls.await_answer(command, Waiter::Entry(id));
        self.tell_state(id);
    }
}
