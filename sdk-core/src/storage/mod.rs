//! What outlives the process: orders to the host's storage, and what waits for their completion.
//!
//! Owns the scope (whose data it is), the batches of writes and the kept positions. One write is under way at a
//! time; what changes meanwhile goes together in the next one. The formats stand in [`records`]; the host's
//! storage is a map of text by text that applies a batch whole or not at all.

mod positions;
pub(crate) mod records;

use crate::{
    EntryId, Error, ErrorCode, Event, Instant, Output, RealtimeClient, RequestId, WriteId, outbox::LaneId,
};
use alloc::{boxed::Box, string::String, vec::Vec};

/// Whose data it is: nothing is read, adopted or sent under another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Which server: the first endpoint without its query, or the name that the app gave.
    pub server: Box<str>,
    /// Id of the user; empty: anonymous.
    pub user: Box<str>,
}

/// One change of the storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageOp {
    /// Sets a record.
    Put {
        /// Its key.
        key: Box<str>,
        /// Its value.
        value: Box<str>,
    },
    /// Removes a record, if it is there.
    Delete {
        /// Its key.
        key: Box<str>,
    },
}

/// What the client wants from the host's storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageOrder {
    /// Open the data of this scope, and answer with [`Input::StorageOpened`](crate::Input::StorageOpened).
    /// What was open before is not written to any more.
    Open {
        /// Whose.
        scope: Scope,
    },
    /// Apply all of this or nothing, behind every earlier write, so that it survives the process; answer with
    /// [`Input::Stored`](crate::Input::Stored).
    Write {
        /// Its name.
        write: WriteId,
        /// In this order.
        ops: Vec<StorageOp>,
    },
    /// Erase the data of the scope that was ordered last, behind everything before it. Nothing is written afterwards.
    Erase,
}

/// A record as the host read it.
pub type Record = (Box<str>, Box<str>);

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// There is no durable storage, or it has failed: memory is all there is.
    #[default]
    Memory,
    /// Not opened: nobody knows yet whose data it is.
    Closed,
    Opening {
        deadline: Instant,
    },
    Open,
}

/// A write that the host has not confirmed.
#[derive(Debug, Default)]
struct Pending {
    write: WriteId,
    deadline: Instant,
    /// Entries that wait for it, in the order in which they are to be sent.
    entries: Vec<(EntryId, u32)>,
    /// The lane of each message that it removes.
    removals: Vec<LaneId>,
    /// What failed, and is told so once that cannot be otherwise after a crash.
    failures: Vec<(RequestId, Error)>,
}

#[derive(Debug, Default)]
pub(crate) struct Storage {
    pub(crate) state: State,
    pub(crate) scope: Option<Scope>,
    pub(crate) positions: positions::Positions,
    ops: Vec<StorageOp>,
    /// Entries to be written as they stand when the next write leaves.
    dirty: Vec<EntryId>,
    /// Entries that wait for the next write, each with the ticket that it waits under.
    waiting: Vec<(EntryId, u32)>,
    /// The lane of each message that the next write removes.
    pub(crate) removing: Vec<LaneId>,
    pub(crate) failing: Vec<(RequestId, Error)>,
    pending: Option<Pending>,
    last_write: u32,
}

impl Storage {
    pub(crate) fn new(durable: bool) -> Self {
        Self { state: if durable { State::Closed } else { State::Memory }, ..Self::default() }
    }

    /// Whether it is known where things are kept: durably or not.
    pub(crate) const fn is_settled(&self) -> bool {
        matches!(self.state, State::Memory | State::Open)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(crate) fn push(&mut self, op: StorageOp) {
        if self.is_open() {
            self.ops.push(op);
        }
    }

    pub(crate) fn delete(&mut self, key: Box<str>) {
        self.push(StorageOp::Delete { key });
    }

    /// Writes the entry with the next write.
    pub(crate) fn mark(&mut self, entry: EntryId) {
        if !self.is_open() {
            return;
        }
        if self.dirty.last() != Some(&entry) {
            self.dirty.push(entry);
        }
    }

    /// Tells the outbox when everything that was marked and put so far is safe.
    pub(crate) fn wait(&mut self, entry: EntryId, ticket: u32) {
        self.waiting.push((entry, ticket));
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Opening { deadline } => Some(deadline),
            _ => self.pending.as_ref().map(|pending| pending.deadline),
        }
    }

    /// The clock jumped: what is under way has had no time to be done.
    pub(crate) fn wait_anew(&mut self, until: Instant) {
        if let State::Opening { deadline } = &mut self.state {
            *deadline = until;
        }
        if let Some(pending) = &mut self.pending {
            pending.deadline = until;
        }
    }

    /// What waits for the next write.
    fn next_pending(&mut self) -> Pending {
        Pending {
            entries: core::mem::take(&mut self.waiting),
            removals: core::mem::take(&mut self.removing),
            failures: core::mem::take(&mut self.failing),
            ..Pending::default()
        }
    }

    fn has_work(&self) -> bool {
        !(self.ops.is_empty() && self.dirty.is_empty() && self.waiting.is_empty())
            || self.positions.has_work()
    }

    /// Nothing is awaited from it any more.
    pub(crate) fn close(&mut self) {
        (self.state, self.pending) = (State::Memory, None);
    }

    /// Whether all that was given to it is safe, or will never be.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.is_open() || (self.pending.is_none() && !self.has_work())
    }
}

impl RealtimeClient {
    /// Whether accepted messages are in the durable storage; `None`: that is not known yet.
    #[must_use]
    pub fn keeps_durably(&self) -> Option<bool> {
        self.storage.is_settled().then(|| self.storage.is_open())
    }

    /// The app has said who the user is.
    pub(crate) fn open_known_scope(&mut self) {
        if self.storage.scope.is_none()
            && let Some(user) = self.config.user.clone()
        {
            self.settle_scope(&user);
        }
    }

    /// The server has said who the user is, or has not: a plain one does not know how.
    pub(crate) fn confirm_scope(&mut self, told: Option<&str>) {
        let given = self.config.user.clone();
        match (told, given) {
            (Some(told), given) => {
                if let Some(given) = given.filter(|given| **given != *told) {
                    let mut detail = String::from(told);
                    detail.push_str(", not ");
                    detail.push_str(&given);
                    self.out.event(Event::Error(Error::new(ErrorCode::WrongUser).with_detail(&detail)));
                }
                self.settle_scope(told);
            }
            (None, Some(given)) => self.settle_scope(&given),
            (None, None) => {
                if self.storage.state == State::Closed {
                    let what = "the server does not name the user: pass it as an option";
                    self.storage_failed(Error::new(ErrorCode::StorageFailed).with_detail(what));
                }
                self.settle_scope("");
            }
        }
    }

    /// The user is known: opens their data, unless it is open already.
    pub(crate) fn settle_scope(&mut self, user: &str) {
        if self.storage.scope.as_ref().is_some_and(|scope| *scope.user == *user) {
            return;
        }
        if self.storage.scope.is_some() {
            self.leave_scope();
        }
        let server = match &self.config.storage_name {
            Some(name) => name.clone(),
            None => {
                // What stands behind a question mark may be a secret, or another one each time.
                let address = self.config.endpoints.first().map(|address| &**address).unwrap_or_default();
                let end = address.bytes().position(|byte| byte == b'?').unwrap_or(address.len());
                address.get(..end).unwrap_or_default().into()
            }
        };
        let scope = Scope { server, user: user.into() };
        self.storage.scope = Some(scope.clone());
        if self.config.durable && self.storage.state != State::Memory {
            self.storage.state = State::Opening { deadline: self.now + self.config.storage_timeout };
            self.out.push(Output::Storage(StorageOrder::Open { scope }));
        }
    }

    /// What belongs to the scope that was open stays there, and leaves the memory.
    fn leave_scope(&mut self) {
        self.finish_storage(ErrorCode::WrongUser);
        let last_write = self.storage.last_write;
        self.storage = Storage { last_write, ..Storage::new(self.config.durable) };
        self.tell_handed_over();
        self.forget_outbox(ErrorCode::WrongUser);
    }

    /// Hands over what is left to write, whatever is under way: nobody will wait for it. A failure that is not stored
    /// by then is told as `code`, because after a crash it may come to life again.
    pub(crate) fn finish_storage(&mut self, code: ErrorCode) {
        let pending = self.storage.pending.take();
        self.flush_storage();
        let last = self.storage.pending.take();
        for over in pending.iter().chain(&last) {
            self.failures_stored(&over.failures, Some(code));
        }
    }

    pub(crate) fn on_storage_opened(&mut self, records: Result<Vec<Record>, Error>) {
        if !matches!(self.storage.state, State::Opening { .. }) {
            return;
        }
        match records.and_then(|records| records::version(&records).map(|()| records)) {
            Ok(records) => {
                self.storage.state = State::Open;
                self.storage.push(records::version_mark());
                self.restore(&records);
                self.storage_settled();
            }
            Err(error) => self.storage_failed(error),
        }
    }

    /// Producers whose owner has died since the storage was opened.
    pub(crate) fn on_storage_adopted(&mut self, records: &[Record]) {
        if self.storage.is_open() {
            self.restore(records);
            self.flush_outbox();
        }
    }

    pub(crate) fn on_stored(&mut self, write: WriteId, result: Result<(), Box<str>>) {
        let Some(pending) = self.storage.pending.take_if(|pending| pending.write == write) else { return };
        match result {
            Ok(()) => {
                self.entries_stored(&pending.entries);
                self.removals_stored(&pending.removals);
                self.failures_stored(&pending.failures, None);
            }
            Err(why) => {
                self.storage.pending = Some(pending);
                self.storage_failed(Error::new(ErrorCode::StorageFailed).with_detail(&why));
            }
        }
    }

    pub(crate) fn on_storage_overdue(&mut self) {
        self.storage_failed(Error::new(ErrorCode::StorageFailed).with_detail("no answer in time"));
    }

    /// From here on memory is all there is. What waited for the storage goes on without it; new messages get
    /// another producer, so that what stays behind in the storage can still be told as duplicates.
    fn storage_failed(&mut self, error: Error) {
        self.out.event(Event::Error(error));
        self.storage.state = State::Memory;
        let pending = self.storage.pending.take();
        let next = self.storage.next_pending();
        self.storage.ops.clear();
        self.storage.dirty.clear();
        self.outbox.own = None;
        for over in pending.iter().chain([&next]) {
            self.entries_stored(&over.entries);
            self.removals_stored(&over.removals);
            self.failures_stored(&over.failures, None);
        }
        self.storage_settled();
    }

    /// What waited to know where things are kept goes on.
    fn storage_settled(&mut self) {
        self.accept_waiting();
        self.join_all();
        self.flush_outbox();
    }

    /// Hands the next batch to the host, if none is under way.
    pub(crate) fn flush_storage(&mut self) {
        if !self.storage.is_open() || self.storage.pending.is_some() || !self.storage.has_work() {
            return;
        }
        for entry in core::mem::take(&mut self.storage.dirty) {
            if let Some(op) = self.entry_record(entry) {
                self.storage.ops.push(op);
            }
        }
        self.storage.positions.write(&mut self.storage.ops);
        let ops = core::mem::take(&mut self.storage.ops);
        self.storage.last_write += 1;
        let write = WriteId(self.storage.last_write);
        let deadline = self.now + self.config.storage_timeout;
        self.storage.pending = Some(Pending { write, deadline, ..self.storage.next_pending() });
        self.out.push(Output::Storage(StorageOrder::Write { write, ops }));
    }
}
