//! The core's outbox as the handles see it: names, sizes, who waits for an end, who watches.
//!
//! Owns the way back of every publish. Never decides anything: the core has accepted, or has not.

use super::{OutboxCommand, Work};
use crate::{
    call::{Admission, Permit},
    outbox::{Kept, OutboxEvent, Ticket},
    streams::FeedSender,
};
use homing_core::{
    EntryId, Error, ErrorCode, Instant, OutboxChange, OutboxEntry, PublishOptions, RealtimeClient, RequestId,
    Response,
};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::oneshot;

/// One message to publish.
pub(crate) struct Outgoing {
    pub(crate) channel: Box<str>,
    pub(crate) data: String,
    pub(crate) options: PublishOptions,
    pub(crate) ticket: Ticket,
    /// Its room in the outbox, or among the calls where it is ephemeral.
    pub(crate) permit: Permit,
}

pub(crate) struct Ledger {
    room: Arc<Admission>,
    /// Whether the core says where a message is kept. Without a storage it is kept at once.
    is_told: bool,
    held: HashMap<EntryId, Held>,
    names: HashMap<Box<str>, EntryId>,
    waiting: HashMap<RequestId, Waiting>,
    watchers: Vec<FeedSender<OutboxEvent>>,
    /// Who wants to know where messages are kept.
    curious: Vec<oneshot::Sender<Kept>>,
}

/// A message in the outbox.
struct Held {
    id: Box<str>,
    channel: Box<str>,
    permit: Permit,
}

/// Who waits for the end of a publish.
struct Waiting {
    answer: oneshot::Sender<Result<Response, Error>>,
    kept: Option<oneshot::Sender<Result<Kept, Error>>>,
    /// Of an ephemeral one.
    _permit: Option<Permit>,
}

/// What has changed, for those who show it.
pub(crate) struct Change {
    pub(crate) channel: Box<str>,
    pub(crate) event: OutboxEvent,
}

impl Ledger {
    pub(crate) fn new(room: Arc<Admission>, is_told: bool) -> Self {
        Self {
            room,
            is_told,
            held: HashMap::new(),
            names: HashMap::new(),
            waiting: HashMap::new(),
            watchers: Vec::new(),
            curious: Vec::new(),
        }
    }

    pub(crate) fn publish(&mut self, core: &mut RealtimeClient, now: Instant, message: Outgoing) {
        let Outgoing { channel, data, options, ticket, permit } = message;
        match core.publish(now, &channel, &data, &options) {
            Err(error) => refuse(ticket, &error),
            Ok(accepted) => match accepted.entry {
                Some(entry) => {
                    self.hold(entry, accepted.id, channel, permit);
                    self.wait(accepted.request, ticket, None);
                }
                None => {
                    let _ = ticket.kept.send(Ok(Kept::Nowhere));
                    let waiting = Waiting { answer: ticket.answer, kept: None, _permit: Some(permit) };
                    self.waiting.insert(accepted.request, waiting);
                }
            },
        }
    }

    fn hold(&mut self, entry: EntryId, id: Box<str>, channel: Box<str>, permit: Permit) {
        self.names.insert(id.clone(), entry);
        self.held.insert(entry, Held { id, channel, permit });
    }

    fn wait(&mut self, request: RequestId, ticket: Ticket, permit: Option<Permit>) {
        let Ticket { answer, kept } = ticket;
        let kept = if self.is_told {
            Some(kept)
        } else {
            let _ = kept.send(Ok(Kept::InMemory));
            None
        };
        self.waiting.insert(request, Waiting { answer, kept, _permit: permit });
    }

    pub(crate) fn accepted(&mut self, request: RequestId, durably: bool) {
        let kept = self.waiting.get_mut(&request).and_then(|waiting| waiting.kept.take());
        if let Some(kept) = kept {
            let _ = kept.send(Ok(if durably { Kept::Durably } else { Kept::InMemory }));
        }
    }

    /// Whether it was a publish that settled; else the result comes back.
    pub(crate) fn settle(
        &mut self,
        request: RequestId,
        result: Result<Response, Error>,
    ) -> Option<Result<Response, Error>> {
        let Some(waiting) = self.waiting.remove(&request) else { return Some(result) };
        if let Some(kept) = waiting.kept {
            let _ = kept.send(result.as_ref().map(|_| Kept::InMemory).map_err(Clone::clone));
        }
        let _ = waiting.answer.send(result);
        None
    }

    /// Tells those who want to know where messages are kept, once it is known.
    pub(crate) fn tell_where_kept(&mut self, core: &RealtimeClient) {
        if self.curious.is_empty() {
            return;
        }
        if let Some(durably) = core.keeps_durably() {
            let kept = if durably { Kept::Durably } else { Kept::InMemory };
            self.curious.drain(..).for_each(|answer| {
                let _ = answer.send(kept);
            });
        }
    }

    /// Nobody answers any more.
    pub(crate) fn close(&mut self) {
        for (_, waiting) in self.waiting.drain() {
            let _ = waiting.answer.send(Err(Error::new(ErrorCode::Closed)));
        }
        self.held.clear();
    }

    /// Keeps names and sizes in step; what there is to show, if `shown` or somebody watches.
    pub(crate) fn on_change(
        &mut self,
        core: &RealtimeClient,
        entry: EntryId,
        change: OutboxChange,
        shown: bool,
    ) -> Option<Change> {
        let is_new = change == OutboxChange::Added && !self.held.contains_key(&entry);
        if is_new && let Some(view) = core.outbox_entry(entry) {
            // It comes out of the storage: its room is taken, whatever the limit.
            let permit = self.room.take(view.data.as_str().len());
            self.hold(entry, view.id, view.channel, permit);
        }
        if change == OutboxChange::Edited
            && let (Some(held), Some(view)) = (self.held.get_mut(&entry), core.outbox_entry(entry))
        {
            held.permit.resize(view.data.as_str().len());
        }
        let stays = matches!(change, OutboxChange::Added | OutboxChange::Edited | OutboxChange::State(_));
        self.watchers.retain(|watcher| !watcher.is_abandoned());
        let shown = shown || !self.watchers.is_empty();
        let shows = |held: &Held, view: Option<OutboxEntry>| Change {
            channel: held.channel.clone(),
            event: OutboxEvent { id: held.id.clone(), change, entry: view },
        };
        let change = if stays {
            let held = self.held.get(&entry).filter(|_| shown)?;
            shows(held, core.outbox_entry(entry))
        } else {
            let held = self.held.remove(&entry)?;
            if self.names.get(&held.id) == Some(&entry) {
                self.names.remove(&held.id);
            }
            if !shown {
                return None;
            }
            shows(&held, None)
        };
        for watcher in &self.watchers {
            watcher.push(change.event.clone(), 0, || None);
        }
        Some(change)
    }

    fn entry(&self, id: &str) -> Result<EntryId, Error> {
        self.names.get(id).copied().ok_or_else(|| Error::new(ErrorCode::NotInOutbox))
    }

    fn retry(
        &mut self,
        core: &mut RealtimeClient,
        now: Instant,
        (id, data): (&str, Option<&str>),
        ticket: Ticket,
    ) -> Result<Box<str>, Error> {
        let parked = self.entry(id)?;
        let accepted = core.retry(now, parked, data)?;
        let entry = accepted.entry.ok_or_else(|| Error::new(ErrorCode::NotInOutbox))?;
        if let Some(view) = core.outbox_entry(entry) {
            let permit = self.room.take(view.data.as_str().len());
            self.hold(entry, view.id, view.channel, permit);
        }
        self.wait(accepted.request, ticket, None);
        Ok(accepted.id)
    }
}

impl Work {
    pub(super) fn on_outbox(&mut self, core: &mut RealtimeClient, now: Instant, command: OutboxCommand) {
        let ledger = &mut self.ledger;
        match command {
            OutboxCommand::WhereKept { answer } => ledger.curious.push(answer),
            OutboxCommand::Entries { answer, feed } => {
                ledger.watchers.extend(feed);
                let _ = answer.send(core.outbox().collect());
            }
            OutboxCommand::Edit { id, data, answer } => {
                let edited = ledger.entry(&id).and_then(|entry| core.edit(now, entry, &data));
                let _ = answer.send(edited);
            }
            OutboxCommand::Discard { id, answer } => {
                let discarded = ledger.entry(&id).and_then(|entry| core.discard(now, entry));
                let _ = answer.send(discarded);
            }
            OutboxCommand::Retry { id, data, ticket, answer } => {
                let retried = ledger.retry(core, now, (&id, data.as_deref()), ticket);
                let _ = answer.send(retried);
            }
        }
    }
}

fn refuse(ticket: Ticket, error: &Error) {
    let _ = ticket.kept.send(Err(error.clone()));
    let _ = ticket.answer.send(Err(error.clone()));
}
