//! What an earlier life has stored comes back: its messages in their order, under their numbers.

use super::{
    OutboxChange, ProducerKey,
    entry::{Entry, Origin, Stage},
};
use crate::{
    Error, ErrorCode, Event, Position, RealtimeClient,
    storage::{
        Record,
        records::{self, Key, Values},
    },
    wire::json,
};
use alloc::{boxed::Box, string::String};

impl RealtimeClient {
    /// Takes over what the records hold. What is damaged is told, and stays in the storage as it is.
    pub(crate) fn restore(&mut self, records: &[Record]) {
        let (mut damaged, mut first) = (0, "");
        for (key, value) in records::ordered(records) {
            if self.restore_record(key, value).is_none() {
                if damaged == 0 {
                    first = key;
                }
                damaged += 1;
            }
        }
        if damaged > 0 {
            let mut detail = String::new();
            json::encode_number(damaged, &mut detail);
            detail.push_str(" records, the first of them ");
            detail.push_str(first);
            self.out.event(Event::Error(Error::new(ErrorCode::StorageDamaged).with_detail(&detail)));
        }
        for producer in self.outbox.producers.keys_where(&mut |_| true) {
            self.drop_if_spent(producer);
        }
    }

    /// `None`: the record is damaged.
    fn restore_record(&mut self, key: &str, value: &str) -> Option<()> {
        let (key, values) = records::read(key, value)?;
        match key {
            Key::Version => {}
            Key::Producer(id) => {
                self.adopt(id, values.session, values.since);
            }
            Key::Position(channel) => {
                let position = Position::new(&values.epoch, values.offset);
                self.storage.positions.restored(channel, position);
            }
            Key::Lane(producer, channel) => {
                if let Some(producer) = self.producer_named(producer) {
                    let key = self.outbox.add_lane(producer, channel);
                    if let Some(known) = self.outbox.lanes.get_mut(key) {
                        known.acked = values.acked;
                        known.last_ack = values.sent;
                        known.in_step = false;
                        known.next = values.acked + 1;
                        known.is_known = values.acked > 0;
                    }
                }
            }
            Key::Entry(producer, place) => self.restore_entry(producer, place, &values),
        }
        Some(())
    }

    fn producer_named(&self, id: &str) -> Option<ProducerKey> {
        self.outbox.producers.keys_where(&mut |producer| *producer.id == *id).first().copied()
    }

    fn adopt(&mut self, id: &str, session: u64, since: i64) -> ProducerKey {
        self.producer_named(id).unwrap_or_else(|| self.outbox.add_producer(id.into(), session, since))
    }

    fn restore_entry(&mut self, named: &str, place: u64, record: &Values<'_>) {
        // Where its own record is damaged, the clock still gives the producer a higher session.
        let producer = self.adopt(named, 0, record.queued);
        let stage = match record.code {
            0 => Stage::Queued,
            number => {
                let known = ErrorCode::from_number(number).unwrap_or(ErrorCode::Application);
                let error = Error::new(known).with_detail(&record.detail);
                Stage::Parked(Error { number, retryable: record.retryable, ..error })
            }
        };
        let lane = self.outbox.add_lane(producer, &record.channel);
        if let Some(lane) = self.outbox.lanes.get_mut(lane) {
            lane.in_step = false;
            lane.next = lane.next.max(record.number + 1);
        }
        if let Some(producer) = self.outbox.producers.get_mut(producer) {
            producer.last_place = producer.last_place.max(place);
        }
        let data: Box<str> = record.data.map(|data| data.as_str().into()).unwrap_or_default();
        let entry = self.outbox.add(Entry {
            lane,
            request: None,
            id: record.id.as_ref().into(),
            data,
            queued_at: record.queued,
            place,
            number: record.number,
            first_sent: record.sent,
            first_conn: None,
            stage,
            origin: Origin::Storage,
            recorded: true,
            acked_before: 0,
            told: true,
        });
        self.tell(entry, OutboxChange::Added);
    }
}
