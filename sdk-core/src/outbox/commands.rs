//! What an app asks of the outbox: publish, edit, discard, retry, look.

use super::{Accepted, OutboxChange, OutboxEntry, PublishOptions, entry::Stage};
use crate::{EntryId, Error, ErrorCode, Instant, RealtimeClient, calls::Body};
use alloc::boxed::Box;

impl RealtimeClient {
    /// Publishes one JSON value. What is accepted stays in the outbox until it settles, once:
    /// [`Response::Published`](crate::Response::Published), the server's refusal, [`ErrorCode::Cancelled`],
    /// [`ErrorCode::OutboxExpired`] or [`ErrorCode::OutcomeUnknown`].
    ///
    /// # Errors
    /// [`ErrorCode::InvalidChannel`], [`ErrorCode::InvalidPayload`], [`ErrorCode::MessageTooLarge`],
    /// [`ErrorCode::QueueFull`], [`ErrorCode::Closed`], [`ErrorCode::NotSent`] for an ephemeral one without a
    /// connection; nothing was queued.
    pub fn publish(
        &mut self,
        now: Instant,
        channel: &str,
        data: &str,
        options: &PublishOptions,
    ) -> Result<Accepted, Error> {
        self.advance_to(now);
        self.ensure_usable()?;
        self.check_publish(channel, data)?;
        if options.ephemeral {
            if self.link.live().is_none() {
                return Err(Error::new(ErrorCode::NotSent));
            }
            let request = self.call(channel, Body::Publish(data.into()))?;
            return Ok(Accepted { request, entry: None, id: Box::default() });
        }
        self.ensure_room(data.len(), None)?;
        self.open_known_scope();
        let request = self.calls.next_id();
        let (entry, id) = self.accept(channel, data.into(), Some(request), &options.id);
        Ok(Accepted { request, entry: Some(entry), id })
    }

    /// Puts another payload into a message that was never sent.
    ///
    /// # Errors
    /// [`ErrorCode::NotInOutbox`], [`ErrorCode::AlreadySent`], and those of `publish`; nothing has changed.
    pub fn edit(&mut self, now: Instant, entry: EntryId, data: &str) -> Result<(), Error> {
        self.advance_to(now);
        let channel = self.unsent(entry)?;
        self.check_publish(&channel, data)?;
        self.ensure_room(data.len(), Some(entry))?;
        let Some(edited) = self.outbox.entries.get_mut(entry) else { return Ok(()) };
        self.outbox.bytes = self.outbox.bytes - edited.data.len() + data.len();
        edited.data = data.into();
        self.storage.mark(entry);
        self.tell(entry, OutboxChange::Edited);
        Ok(())
    }

    /// Takes back a message that was never sent, or gives up a parked one.
    ///
    /// # Errors
    /// [`ErrorCode::NotInOutbox`]; [`ErrorCode::AlreadySent`] while it may still arrive.
    pub fn discard(&mut self, now: Instant, entry: EntryId) -> Result<(), Error> {
        self.advance_to(now);
        if !self.is_parked(entry)? {
            self.unsent(entry)?;
        }
        self.end_entry(entry, Err(Error::new(ErrorCode::Cancelled)), OutboxChange::Discarded);
        Ok(())
    }

    /// Sends a parked message again, as it is or with another payload: a new message with a new id, behind
    /// those that wait already.
    ///
    /// # Errors
    /// [`ErrorCode::NotInOutbox`], [`ErrorCode::NotParked`], and those of `publish`; nothing has changed.
    pub fn retry(&mut self, now: Instant, entry: EntryId, data: Option<&str>) -> Result<Accepted, Error> {
        self.advance_to(now);
        self.ensure_usable()?;
        if !self.is_parked(entry)? {
            return Err(Error::new(ErrorCode::NotParked));
        }
        let parked = self.outbox.view(entry).ok_or(Error::new(ErrorCode::NotInOutbox))?;
        let data = data.unwrap_or_else(|| parked.data.as_str());
        self.check_publish(&parked.channel, data)?;
        self.ensure_room(data.len(), Some(entry))?;
        self.end_entry(entry, Err(Error::new(ErrorCode::Cancelled)), OutboxChange::Discarded);
        let request = self.calls.next_id();
        let (entry, id) = self.accept(&parked.channel, data.into(), Some(request), "");
        Ok(Accepted { request, entry: Some(entry), id })
    }

    /// The messages of the outbox, oldest first.
    pub fn outbox(&self) -> impl Iterator<Item = OutboxEntry> {
        let all = self.outbox.entries.keys_where(&mut |_| true);
        all.into_iter().filter_map(|entry| self.outbox.view(entry))
    }

    /// Whether every change of the outbox is an event from here on.
    pub const fn observe_outbox(&mut self, observes: bool) {
        self.config.observes_outbox = observes;
    }

    /// Bytes of payload in the outbox.
    #[must_use]
    pub const fn outbox_bytes(&self) -> usize {
        self.outbox.bytes
    }

    /// One message of the outbox; `None`: it has left it.
    #[must_use]
    pub fn outbox_entry(&self, entry: EntryId) -> Option<OutboxEntry> {
        self.outbox.view(entry)
    }

    fn is_parked(&self, entry: EntryId) -> Result<bool, Error> {
        let entry = self.outbox.entries.get(entry).ok_or(Error::new(ErrorCode::NotInOutbox))?;
        Ok(matches!(entry.stage, Stage::Parked(_)))
    }

    /// The channel of an entry that can still be changed.
    pub(super) fn unsent(&self, entry: EntryId) -> Result<Box<str>, Error> {
        let entry = self.outbox.entries.get(entry).ok_or(Error::new(ErrorCode::NotInOutbox))?;
        if entry.was_sent() || !matches!(entry.stage, Stage::Queued) {
            return Err(Error::new(ErrorCode::AlreadySent));
        }
        Ok(self.outbox.lanes.get(entry.lane).map(|lane| lane.channel.clone()).unwrap_or_default())
    }

    /// Checks the limits for `bytes` more, in place of what `instead` has.
    fn ensure_room(&self, bytes: usize, instead: Option<EntryId>) -> Result<(), Error> {
        let replaced = instead.and_then(|entry| self.outbox.entries.get(entry));
        let count = self.outbox.entries.len() + usize::from(replaced.is_none());
        let limit = self.config.outbox.entries;
        if count > limit {
            return Err(Error::exceeded(ErrorCode::QueueFull, count, limit));
        }
        let bytes = self.outbox.bytes - replaced.map_or(0, |entry| entry.data.len()) + bytes;
        if bytes > self.config.outbox.bytes {
            return Err(Error::exceeded(ErrorCode::QueueFull, bytes, self.config.outbox.bytes));
        }
        Ok(())
    }
}
