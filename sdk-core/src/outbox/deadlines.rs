//! What the outbox waits for, and until when: answers, pauses, and the age of what was never sent.

use super::entry::{Entry, Stage};
use crate::{Duration, Error, ErrorCode, Instant, RealtimeClient, time::signed_millis};

impl RealtimeClient {
    /// What was never sent and has waited too long.
    fn expiry(entry: &Entry, age: Duration) -> Option<i64> {
        let waits = !entry.was_sent() && matches!(entry.stage, Stage::Queued);
        waits.then(|| entry.queued_at.saturating_add(signed_millis(age)))
    }

    pub(crate) fn outbox_deadline(&self) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut consider = |at: Instant| next = Some(next.map_or(at, |next| next.min(at)));
        for lane in self.outbox.lanes.values() {
            if let Some(pause) = lane.pause {
                consider(pause);
            }
            // Entries are sent in order and wait equally long, so the first of each kind is the next one due.
            let entries = lane.queue.iter().filter_map(|entry| self.outbox.entries.get(*entry));
            let mut sending = entries.clone().filter_map(|entry| match entry.stage {
                Stage::Sending { deadline } => Some(deadline),
                _ => None,
            });
            if let Some(deadline) = sending.next().filter(|_| lane.busy > 0) {
                consider(deadline);
            }
            let mut unsent = entries.filter_map(|entry| Self::expiry(entry, self.config.outbox.age));
            if let Some(at) = unsent.next() {
                consider(self.at_wall_clock(at));
            }
        }
        next
    }

    pub(crate) fn on_outbox_due(&mut self) {
        let now = self.wall_clock();
        let age = self.config.outbox.age;
        let due = |entry: &Entry| Self::expiry(entry, age).is_some_and(|at| at <= now);
        for id in self.outbox.entries.keys_where(&mut |entry| due(entry)) {
            self.park(id, Error::new(ErrorCode::OutboxExpired));
        }
        let now = self.now;
        let overdue = |entry: &Entry| matches!(entry.stage, Stage::Sending { deadline } if deadline <= now);
        if self.outbox.entries.values().any(|entry| overdue(entry)) {
            // The server took it and says nothing: what it did is asked on another connection.
            return self.fail(ErrorCode::PublishTimedOut);
        }
        for id in self.outbox.lanes.keys_where(&mut |lane| lane.pause.is_some_and(|pause| pause <= now)) {
            if let Some(lane) = self.outbox.lanes.get_mut(id) {
                lane.pause = None;
            }
            self.feed(id);
        }
    }

    /// Unix milliseconds of this machine.
    pub(crate) fn wall_clock(&self) -> i64 {
        self.config.started_at.saturating_add(i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX))
    }

    fn at_wall_clock(&self, at: i64) -> Instant {
        Instant::from_millis(u64::try_from(at.saturating_sub(self.config.started_at)).unwrap_or(0))
    }
}
