//! The outbox: every accepted message until it has settled, once.
//!
//! Owns the entries, their order per channel, the producers with their sessions, and the limits. A message
//! belongs to the lane of its producer and channel; lanes do not wait for each other. [`flow`] sends,
//! [`answers`] judges what comes back, [`restore`] brings back what an earlier life has stored.

mod answers;
mod commands;
mod deadlines;
mod entry;
mod flow;
mod lane;
mod restore;

pub use entry::{Accepted, EntryState, OutboxChange, OutboxEntry, PublishOptions};

use crate::{
    ConnId, EntryId, Error, ErrorCode, Event, Json, Output, RealtimeClient, RequestId, Response,
    storage::{StorageOp, records},
    table::Table,
    wire::Raw,
};
use alloc::{boxed::Box, string::String};
use entry::{Entry, Origin, Stage};
use lane::Lane;

macro_rules! keys {
    ($($name:ident)+) => {$(
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $name(u32);

        impl crate::table::Key for $name {
            fn to_number(self) -> u32 {
                self.0
            }
            fn from_number(number: u32) -> Self {
                Self(number)
            }
        }
    )+};
}
keys!(LaneId ProducerKey);

/// The ticket of an entry that waits to be kept, not to be sent.
const NOT_ARMED: u32 = 0;

/// Who numbers messages: this instance, one of its earlier lives, or one that has died beside it.
#[derive(Debug)]
pub(crate) struct Producer {
    id: Box<str>,
    /// Grows with every connection that it sends on, and where numbers are given anew.
    session: u64,
    /// The connection of that session; `None`: the next message begins a new one.
    conn: Option<ConnId>,
    last_place: u64,
    /// When it began, Unix milliseconds: messages of an older one come first in the same channel.
    since: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    entries: Table<EntryId, Entry>,
    lanes: Table<LaneId, Lane>,
    producers: Table<ProducerKey, Producer>,
    /// Who numbers new messages; `None`: nobody yet.
    pub(crate) own: Option<ProducerKey>,
    bytes: usize,
    /// Whether numbers of its own may have been forgotten.
    has_forgotten: bool,
    /// Entries under way, all lanes together.
    busy: usize,
    tickets: u32,
    last_entry: u32,
    last_lane: u32,
    last_producer: u32,
}

impl Outbox {
    /// Whether nothing is left that this client could still bring to an end by itself.
    pub(crate) fn is_quiet(&self) -> bool {
        self.lanes.values().all(|lane| lane.queue.is_empty())
    }

    fn lane_of(&self, producer: ProducerKey, channel: &str) -> Option<LaneId> {
        let mut own = |lane: &Lane| lane.producer == producer && *lane.channel == *channel;
        self.lanes.keys_where(&mut own).first().copied()
    }

    fn add_lane(&mut self, producer: ProducerKey, channel: &str) -> LaneId {
        self.lane_of(producer, channel).unwrap_or_else(|| {
            self.last_lane += 1;
            let key = LaneId(self.last_lane);
            self.lanes.insert(key, Lane::new(producer, channel));
            key
        })
    }

    /// The first lane of this producer that has nothing left to do.
    fn rested(&self, producer: ProducerKey) -> Option<LaneId> {
        let rested = self.lanes.keys_where(&mut |lane| lane.producer == producer && lane.rests());
        // What is parked still names its lane.
        rested.into_iter().find(|id| !self.entries.values().any(|entry| entry.lane == *id))
    }

    fn add_producer(&mut self, id: Box<str>, session: u64, since: i64) -> ProducerKey {
        self.last_producer += 1;
        let key = ProducerKey(self.last_producer);
        self.producers.insert(key, Producer { id, session, conn: None, last_place: 0, since });
        key
    }

    fn add(&mut self, entry: Entry) -> EntryId {
        self.last_entry += 1;
        let id = EntryId(self.last_entry);
        self.bytes += entry.data.len();
        if let (false, Some(lane)) = (matches!(entry.stage, Stage::Parked(_)), self.lanes.get_mut(entry.lane))
        {
            lane.queue.push(id);
        }
        self.entries.insert(id, entry);
        id
    }

    /// Whether an earlier life still has messages for the same channel.
    fn waits_for_older(&self, lane: LaneId) -> bool {
        let Some(lane) = self.lanes.get(lane).filter(|_| self.producers.len() > 1) else { return false };
        let since = |key| self.producers.get(key).map(|producer| producer.since);
        self.lanes.values().any(|other| {
            *other.channel == *lane.channel
                && !other.queue.is_empty()
                && since(other.producer) < since(lane.producer)
        })
    }

    fn lane_with(&mut self, entry: EntryId) -> Option<(&mut Entry, &mut Lane)> {
        let entry = self.entries.get_mut(entry)?;
        let lane = self.lanes.get_mut(entry.lane)?;
        Some((entry, lane))
    }

    /// Nothing of this entry is under way any more.
    fn rest(&mut self, entry: EntryId) {
        let Some((entry, lane)) = self.lane_with(entry) else { return };
        let arming = matches!(entry.stage, Stage::Arming { .. });
        if core::mem::replace(&mut entry.stage, Stage::Queued).is_busy() {
            lane.busy -= 1;
            lane.arming -= usize::from(arming);
            self.busy -= 1;
        }
    }

    fn view(&self, id: EntryId) -> Option<OutboxEntry> {
        let entry = self.entries.get(id)?;
        let channel = self.lanes.get(entry.lane)?.channel.clone();
        Some(OutboxEntry {
            entry: id,
            id: entry.id.clone(),
            channel,
            data: Json::from(Raw::trusted(&entry.data)),
            queued_at: entry.queued_at,
            was_sent: entry.was_sent(),
            state: entry.state(),
        })
    }
}

/// 120 random bits as 20 characters that may stand in keys and addresses.
fn random_id(rng: &mut crate::rng::Rng) -> Box<str> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut id = String::with_capacity(20);
    for _ in 0..2 {
        let mut bits = rng.next();
        for _ in 0..10 {
            id.push(char::from(LETTERS[(bits & 63) as usize]));
            bits >>= 6;
        }
    }
    id.into()
}

impl RealtimeClient {
    fn accept(
        &mut self,
        channel: &str,
        data: Box<str>,
        request: Option<RequestId>,
        id: &str,
    ) -> (EntryId, Box<str>) {
        let own = match self.outbox.own {
            Some(own) => own,
            None => {
                let id = random_id(&mut self.rng);
                let newest = self.outbox.producers.values().map(|producer| producer.since).max();
                let since = newest.map_or(i64::MIN, |newest| newest + 1).max(self.wall_clock());
                let own = self.outbox.add_producer(id, 0, since);
                (self.outbox.own, self.outbox.has_forgotten) = (Some(own), false);
                own
            }
        };
        let lane = self.outbox.lane_of(own, channel);
        let lane = lane.unwrap_or_else(|| self.new_lane(own, channel));
        let place = self.outbox.producers.get_mut(own).map_or(0, |producer| {
            producer.last_place += 1;
            producer.last_place
        });
        let id = if id.is_empty() { random_id(&mut self.rng) } else { id.into() };
        let queued_at = self.wall_clock();
        let entry = self.outbox.add(Entry {
            lane,
            request,
            id: id.clone(),
            data,
            queued_at,
            place,
            number: 0,
            first_sent: 0,
            first_conn: None,
            stage: Stage::Queued,
            origin: Origin::Call,
            recorded: false,
            acked_before: 0,
            told: false,
        });
        self.tell(entry, OutboxChange::Added);
        self.feed(lane);
        self.keep(entry);
        (entry, id)
    }

    /// A lane of its own. Where there are as many as may be, the oldest that has nothing to do is forgotten.
    fn new_lane(&mut self, own: ProducerKey, channel: &str) -> LaneId {
        if self.outbox.lanes.len() >= self.config.outbox.channels
            && let Some(rested) = self.outbox.rested(own)
        {
            self.outbox.has_forgotten = true;
            self.drop_lane(rested);
        }
        let id = self.outbox.add_lane(own, channel);
        if let Some(lane) = self.outbox.lanes.get_mut(id).filter(|_| self.outbox.has_forgotten) {
            (lane.in_step, lane.guesses) = (false, true);
        }
        id
    }

    /// Sees to it that an accepted entry is kept, and that the app is told where.
    fn keep(&mut self, entry: EntryId) {
        if !self.storage.is_settled() {
            return;
        }
        if self.storage.is_open() {
            self.storage.mark(entry);
            self.storage.wait(entry, NOT_ARMED);
        } else {
            self.told_kept(entry, false);
        }
    }

    /// Whatever was accepted before it was known where things are kept.
    pub(crate) fn accept_waiting(&mut self) {
        for entry in self.outbox.entries.keys_where(&mut |entry| !entry.told) {
            self.keep(entry);
        }
    }

    fn told_kept(&mut self, entry: EntryId, durably: bool) {
        if let Some(entry) = self.outbox.entries.get_mut(entry)
            && !core::mem::replace(&mut entry.told, true)
            && self.config.durable
            && let Some(request) = entry.request
        {
            self.out.push(Output::Accepted { request, durably });
        }
    }

    /// The storage has what these entries waited for.
    pub(crate) fn entries_stored(&mut self, waiting: &[(EntryId, u32)]) {
        let durably = self.storage.is_open();
        for (id, ticket) in waiting {
            self.told_kept(*id, durably);
            if let Some(entry) = self.outbox.entries.get(*id)
                && matches!(entry.stage, Stage::Arming { ticket: armed } if armed == *ticket)
            {
                self.transmit(*id);
            }
        }
    }

    /// The storage has removed a message of each of these lanes.
    pub(crate) fn removals_stored(&mut self, lanes: &[LaneId]) {
        for id in lanes {
            if let Some(lane) = self.outbox.lanes.get_mut(*id) {
                lane.unsaved -= 1;
            }
            self.feed(*id);
        }
    }

    /// A failure of something that is in the storage is told when the storage says so too: after a crash it must
    /// not come to life again. An ack is true at once.
    fn settle_entry(&mut self, request: RequestId, result: Result<Response, Error>, recorded: bool) {
        match result {
            Err(error) if recorded && self.storage.is_open() => self.storage.failing.push((request, error)),
            result => self.out.push(Output::Settled { request, result }),
        }
    }

    /// Tells failures, as what they are or as another one.
    pub(crate) fn failures_stored(&mut self, failures: &[(RequestId, Error)], instead: Option<ErrorCode>) {
        for (request, error) in failures {
            let error = instead.map_or_else(|| error.clone(), Error::new);
            self.out.push(Output::Settled { request: *request, result: Err(error) });
        }
    }

    pub(crate) fn entry_record(&mut self, id: EntryId) -> Option<StorageOp> {
        let entry = self.outbox.entries.get_mut(id)?;
        let lane = self.outbox.lanes.get(entry.lane)?;
        let producer = self.outbox.producers.get(lane.producer)?;
        entry.recorded = true;
        let mut message = records::Values {
            channel: (&*lane.channel).into(),
            id: (&*entry.id).into(),
            data: Some(Raw::trusted(&entry.data)),
            queued: entry.queued_at,
            number: entry.number,
            sent: entry.first_sent,
            ..records::Values::default()
        };
        if let Stage::Parked(error) = &entry.stage {
            message.code = error.number;
            message.detail = (&*error.detail).into();
            message.retryable = error.retryable;
        }
        Some(records::entry(&producer.id, entry.place, &message))
    }

    fn tell(&mut self, entry: EntryId, change: OutboxChange) {
        if self.config.observes_outbox {
            self.out.event(Event::Outbox { entry, change });
        }
    }

    fn tell_state(&mut self, entry: EntryId) {
        if self.config.observes_outbox
            && let Some(state) = self.outbox.entries.get(entry).map(|entry| entry.state())
        {
            self.out.event(Event::Outbox { entry, change: OutboxChange::State(state) });
        }
    }

    /// The entry leaves the outbox, and the storage with it.
    fn end_entry(&mut self, id: EntryId, result: Result<Response, Error>, change: OutboxChange) {
        self.outbox.rest(id);
        let Some(entry) = self.outbox.entries.remove(id) else { return };
        self.outbox.bytes -= entry.data.len();
        if let Some(lane) = self.outbox.lanes.get_mut(entry.lane) {
            lane.remove(id);
            if entry.recorded
                && let Some(producer) = self.outbox.producers.get(lane.producer)
            {
                self.storage.delete(records::entry_key(&producer.id, entry.place));
                if self.storage.is_open() {
                    lane.unsaved += 1;
                    self.storage.removing.push(entry.lane);
                }
            }
        }
        if let Some(request) = entry.request {
            self.settle_entry(request, result, entry.recorded && !matches!(change, OutboxChange::HandedOver));
        }
        self.tell(id, change);
        if self.outbox.producers.len() > 1 {
            if let Some(producer) = self.outbox.lanes.get(entry.lane).map(|lane| lane.producer) {
                self.drop_if_spent(producer);
            }
            self.flush_outbox();
        }
    }

    /// A producer of the past whose last message has ended is over.
    fn drop_if_spent(&mut self, producer: ProducerKey) {
        let lanes = self.outbox.lanes.keys_where(&mut |lane| lane.producer == producer);
        let used = self.outbox.entries.values().any(|entry| lanes.contains(&entry.lane));
        if used || self.outbox.own == Some(producer) {
            return;
        }
        for lane in lanes {
            self.drop_lane(lane);
        }
        if let Some(spent) = self.outbox.producers.remove(producer) {
            self.storage.delete(records::producer_key(&spent.id));
        }
    }

    fn drop_lane(&mut self, id: LaneId) {
        if let Some(lane) = self.outbox.lanes.remove(id)
            && let Some(producer) = self.outbox.producers.get(lane.producer)
        {
            self.storage.delete(records::lane_key(&producer.id, &lane.channel));
        }
    }

    /// The entry stays, is not sent by itself any more, and those that wait for it are told.
    fn park(&mut self, id: EntryId, error: Error) {
        self.outbox.rest(id);
        let Some((entry, lane)) = self.outbox.lane_with(id) else { return };
        lane.remove(id);
        entry.stage = Stage::Parked(error.clone());
        let (request, recorded) = (entry.request.take(), entry.recorded);
        self.storage.mark(id);
        if let Some(request) = request {
            self.settle_entry(request, Err(error), recorded);
        }
        self.tell_state(id);
    }

    /// Nobody waits for this request any more: what was not sent is taken back.
    pub(crate) fn cancel_entry(&mut self, request: RequestId) {
        let waiting = self.outbox.entries.keys_where(&mut |entry| entry.request == Some(request));
        let Some(id) = waiting.first().copied() else { return };
        if self.unsent(id).is_ok() {
            let cancelled = Err(Error::new(ErrorCode::Cancelled));
            return self.end_entry(id, cancelled, OutboxChange::Discarded);
        }
        if let Some(entry) = self.outbox.entries.get_mut(id) {
            entry.request = None;
            self.out.push(Output::Settled { request, result: Err(Error::new(ErrorCode::OutcomeUnknown)) });
        }
    }

    /// Another user's turn: what stays in the storage of the one before has left this outbox.
    pub(crate) fn tell_handed_over(&mut self) {
        for entry in self.outbox.entries.keys_where(&mut |_| true) {
            self.tell(entry, OutboxChange::HandedOver);
        }
    }

    /// The outbox leaves the memory; what waits for it is told why. The storage keeps what it has.
    pub(crate) fn forget_outbox(&mut self, code: ErrorCode) {
        for id in self.outbox.entries.keys_where(&mut |entry| entry.request.is_some()) {
            let Some(entry) = self.outbox.entries.get_mut(id) else { continue };
            // What is stored goes on in another life; what is not, and was sent, is not known any more.
            let unknown = entry.was_sent() && !entry.recorded;
            let code = if unknown { ErrorCode::OutcomeUnknown } else { code };
            if let Some(request) = entry.request.take() {
                self.out.push(Output::Settled { request, result: Err(Error::new(code)) });
            }
        }
        let Outbox { last_entry, last_lane, last_producer, tickets, .. } = self.outbox;
        self.outbox = Outbox { last_entry, last_lane, last_producer, tickets, ..Outbox::default() };
    }
}
