//! What an earlier life has stored comes back: its messages in their order, under their numbers.

use super::{
    OutboxChange, ProducerKey,
    entry::{Entry, Origin, Stage},
};
use crate::{
    Error, ErrorCode, Event, RealtimeClient,
    storage::{
        Record,
        records::{self, EntryRecord, ParkedRecord, Stored},
    },
};
use alloc::{boxed::Box, format, vec::Vec};

impl RealtimeClient {
    /// Takes over what the records hold. What is damaged is told, and stays in the storage as it is.
    pub(crate) fn restore(&mut self, records: &[Record]) {
        let mut entries: Vec<(&str, u64, EntryRecord<'_>)> = Vec::new();
        let mut damaged: Vec<&str> = Vec::new();
        // Producers stand behind their messages and lanes in the keys' order, so they go first.
        for record in records {
            match records::read(record) {
                Some(Stored::Producer(id, producer)) => {
                    self.adopt(id, producer.session, producer.since);
                }
                Some(Stored::Position(channel, position)) => {
                    self.storage.positions.restored(channel, position);
                }
                Some(Stored::Entry(producer, place, entry)) => entries.push((producer, place, entry)),
                Some(Stored::Lane(..) | Stored::Version) => {}
                None => damaged.push(&record.0),
            }
        }
        for record in records {
            if let Some(Stored::Lane(producer, channel, lane)) = records::read(record)
                && let Some(producer) = self.producer_named(producer)
            {
                let key = self.outbox.add_lane(producer, channel);
                if let Some(known) = self.outbox.lanes.get_mut(key) {
                    known.acked = lane.acked;
                    known.next = lane.acked + 1;
                    known.is_known = lane.acked > 0;
                }
            }
        }
        entries.sort_by_key(|(producer, place, _)| (*producer, *place));
        for (producer, place, entry) in entries {
            self.restore_entry(producer, place, &entry);
        }
        if let Some(first) = damaged.first() {
            let detail = format!("{} records, {first} the first", damaged.len());
            self.out.event(Event::Error(Error::new(ErrorCode::StorageDamaged).with_detail(&detail)));
        }
        for producer in self.outbox.producers.keys_where(&mut |_| true) {
            self.drop_if_spent(producer);
        }
    }

    fn producer_named(&self, id: &str) -> Option<ProducerKey> {
        self.outbox.producers.keys_where(&mut |producer| *producer.id == *id).first().copied()
    }

    fn adopt(&mut self, id: &str, session: u64, since: i64) -> ProducerKey {
        self.producer_named(id).unwrap_or_else(|| self.outbox.add_producer(id.into(), session, since))
    }

    fn restore_entry(&mut self, named: &str, place: u64, record: &EntryRecord<'_>) {
        // Where its own record is damaged, the clock still gives the producer a higher session.
        let producer = self.adopt(named, 0, record.queued);
        let stage = match &record.parked {
            Some(ParkedRecord { code, detail, retryable }) => {
                let known = ErrorCode::from_number(*code).unwrap_or(ErrorCode::Application);
                let error = Error::new(known).with_detail(detail);
                Stage::Parked(Error { number: *code, retryable: *retryable, ..error })
            }
            None => Stage::Queued,
        };
        let lane = self.outbox.add_lane(producer, &record.channel);
        if let Some(lane) = self.outbox.lanes.get_mut(lane) {
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
            told: true,
        });
        self.tell(entry, OutboxChange::Added);
    }
}
