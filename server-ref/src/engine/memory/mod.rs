//! The engine that needs nothing installed: everything in this process's memory, gone when it ends.
//!
//! Owns the table of channels, the order of leases, and the nodes that are attached. Completes every call at
//! once. Several nodes may share one store ([`Memory::node`]), as they would share a Redis.

mod channel;
mod entries;
mod log;
mod owners;
mod producers;

use super::{
    Append, Appended, Call, Channel, Engine, EngineError, Entry, Epoch, Hint, Join, Joined, Leave, Left, Log,
    Map, NotAppended, Page, Part, Position, PubSub, REMEMBERED, Read, Reaped, Renewal, Renewed, Sink,
    Snapshot, Stamp, Stats,
};
use crate::clock::Clock;
use bytes::Bytes;
use channel::State;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use owners::Owners;
use parking_lot::{Mutex, RwLock};
use std::{
    collections::BTreeMap,
    fmt,
    hash::BuildHasher,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

const SHARDS: usize = 64;

/// Channels looked at for expiry in one round of reaping, and no more than this, so that a round is short.
const SWEEP: usize = 256;

/// Earlier epochs that a log remembers behind its own.
const EARLIER: usize = 8;

type Table = HashMap<Channel, Arc<Mutex<State>>, RandomState>;
/// The entry that a lease is of, and its birth: another birth under the same key has its own lease.
type Lease = (Part, Channel, Arc<str>, Position);

/// Whom a node's hints go to, once it has said so.
type Slot = Arc<OnceLock<Arc<dyn Sink>>>;

/// Which node of a store.
type Link = usize;

/// What the logs of a store held at one moment; the default is an empty store.
#[derive(Default)]
pub struct Backup(Vec<(Channel, Box<log::Records>)>);

impl fmt::Debug for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backup").field("logs", &self.0.len()).finish()
    }
}

/// One node's access to a store in memory.
pub struct Memory {
    store: Arc<Store>,
    link: Link,
}

struct Store {
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    shards: Box<[RwLock<Table>]>,
    sinks: RwLock<Vec<Slot>>,
    /// By the time at which they may have lapsed; a renewal is only seen when that time has come.
    leases: Mutex<BTreeMap<(i64, u64), Lease>>,
    start: Epoch,
    births: AtomicU64,
    epoch: AtomicU64,
    /// How often the store was brought back to an earlier state.
    generation: AtomicU64,
    swept: AtomicUsize,
    owners: Owners,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("link", &self.link).finish_non_exhaustive()
    }
}

impl Memory {
    /// An empty store, and its first node. Leases lapse and epochs are made in the time of `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::new(Table::default())).collect();
        let start = Epoch::from_micros(micros(&*clock));
        let store = Store {
            clock,
            hasher: RandomState::default(),
            shards,
            sinks: RwLock::new(vec![Arc::default()]),
            leases: Mutex::default(),
            start,
            births: AtomicU64::new(0),
            epoch: AtomicU64::new(start.micros()),
            generation: AtomicU64::new(0),
            swept: AtomicUsize::new(0),
            owners: Owners::default(),
        };
        Self { store: Arc::new(store), link: 0 }
    }

    /// Another node on the same store.
    #[must_use]
    pub fn node(&self) -> Self {
        let mut sinks = self.store.sinks.write();
        sinks.push(Arc::default());
        Self { store: Arc::clone(&self.store), link: sinks.len() - 1 }
    }

    /// The logs as they stand, with what is known of their producers.
    #[must_use]
    pub fn backup(&self) -> Backup {
        let shards = self.store.shards.iter();
        let logs = shards.flat_map(|shard| {
            let table = shard.read();
            let log = |(channel, state): (&Channel, &Arc<Mutex<State>>)| {
                Some((Arc::clone(channel), state.lock().log.clone()?))
            };
            table.iter().filter_map(log).collect::<Vec<_>>()
        });
        Backup(logs.collect())
    }

    /// Brings the logs back to what they were, as a restart with an old dump does: every log goes on in a
    /// later epoch above what has survived of it. What nodes have to read again is for the caller to say.
    pub fn restore(&self, backup: Backup) {
        self.store.generation.fetch_add(1, Ordering::Relaxed);
        for shard in &self.store.shards {
            shard.read().values().for_each(|state| state.lock().log = None);
        }
        for (channel, log) in backup.0 {
            self.store.with(&channel, |state| state.log = Some(log));
        }
    }

    /// Channels that the store knows of at present.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.store.shards.iter().map(|shard| shard.read().len()).sum()
    }
}

fn micros(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.unix()).unwrap_or(0).saturating_mul(1000).max(1)
}

impl Store {
    fn shard(&self, channel: &str) -> &RwLock<Table> {
        let hash = self.hasher.hash_one(channel);
        // The table inside takes the top and the low bits; the shard is chosen by others.
        &self.shards[(hash >> 24) as usize % SHARDS]
    }

    fn existing(&self, channel: &str) -> Option<Arc<Mutex<State>>> {
        self.shard(channel).read().get(channel).cloned()
    }

    /// Runs `act` on the channel's state, which is made where it is missing.
    fn with<T>(&self, channel: &Channel, act: impl FnOnce(&mut State) -> T) -> T {
        loop {
            let state = self.existing(channel).unwrap_or_else(|| {
                let mut table = self.shard(channel).write();
                Arc::clone(table.entry(Arc::clone(channel)).or_default())
            });
            let mut state = state.lock();
            // Swept away between the look-up and the lock: the table holds another one by now, or none.
            if !state.dead {
                return act(&mut state);
            }
        }
    }

    fn with_existing<T>(&self, channel: &str, act: impl FnOnce(&mut State) -> T) -> Option<T> {
        let state = self.existing(channel)?;
        let mut state = state.lock();
        (!state.dead).then(|| act(&mut state))
    }

    fn next_epoch(&self) -> Epoch {
        let micros = micros(&*self.clock);
        let before = self.epoch.fetch_max(micros, Ordering::Relaxed);
        if before < micros {
            return Epoch::from_micros(micros);
        }
        Epoch::from_micros(self.epoch.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    fn next_birth(&self) -> Position {
        Position { epoch: self.start, offset: self.births.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// Tells the nodes that listen. Under the channel's lock, so that hints come in the log's order.
    fn tell(&self, channel: &str, listeners: &[Link], hint: Hint) {
        if listeners.is_empty() {
            return;
        }
        let sinks = self.sinks.read();
        let mut last = None;
        for link in listeners {
            if let Some(sink) = sinks.get(*link).and_then(|sink| sink.get())
                && let Some(before) = last.replace(sink)
            {
                before.handle_hint(channel, hint.clone());
            }
        }
        if let Some(sink) = last {
            sink.handle_hint(channel, hint);
        }
    }

    fn order_lease(&self, until: i64, lease: Lease) {
        self.leases.lock().insert((until, lease.3.offset), lease);
    }

    /// Drops channels that hold nothing any more, a few shards at a time.
    fn sweep(&self, now: i64) {
        let mut seen = 0;
        for _ in 0..SHARDS {
            let at = self.swept.fetch_add(1, Ordering::Relaxed) % SHARDS;
            if at == 0 {
                self.owners.sweep(now);
            }
            let mut table = self.shards[at].write();
            seen += table.len();
            table.retain(|_, state| {
                let mut state = state.lock();
                state.expire(now);
                state.dead = state.is_idle();
                !state.dead
            });
            if table.capacity() > 4 * table.len().max(16) {
                table.shrink_to_fit();
            }
            if seen >= SWEEP {
                return;
            }
        }
    }
}

impl Log for Memory {
    fn append(&self, append: Append) -> Call<Result<Appended, NotAppended>> {
        let store = &*self.store;
        let now = store.clock.unix();
        let channel = Arc::clone(&append.channel);
        Call::Ready(store.with(&channel, |state| {
            state.open(store.generation(), || store.next_epoch());
            let (appended, told) = state.append(append, now, &store.owners, || store.next_epoch());
            if let Some(hint) = told {
                store.tell(&channel, &state.listeners, hint);
            }
            appended
        }))
    }

    fn read(&self, read: Read) -> Call<Page> {
        let store = &*self.store;
        let now = store.clock.unix();
        let act = |state: &mut State| {
            state.open(store.generation(), || store.next_epoch());
            state.read(&read, now, &store.owners, || store.next_epoch())
        };
        Call::Ready(store.with(&read.channel, act))
    }

    fn clear(&self, channel: Channel) -> Call<()> {
        self.store.with_existing(&channel, State::clear);
        Call::Ready(Ok(()))
    }
}

impl Map for Memory {
    fn join(&self, join: Join) -> Call<Joined> {
        let store = &*self.store;
        let now = store.clock.unix();
        let until = now.saturating_add_unsigned(join.lease);
        let birth = store.next_birth();
        store.order_lease(until, (join.part, Arc::clone(&join.channel), Arc::clone(&join.key), birth));
        let (channel, announce, value) = (Arc::clone(&join.channel), join.announce, join.value.clone());
        Call::Ready(Ok(store.with(&channel, |state| {
            if let Some(Some(lapsed)) = state.entries(join.part).lapse(&join.key, now) {
                store.tell(&channel, &state.listeners, Hint::Left(lapsed));
            }
            let replaced = state.entries(join.part).insert(join, birth, until);
            if announce && !replaced {
                store.tell(&channel, &state.listeners, Hint::Joined(value));
            }
            Joined { birth, replaced }
        })))
    }

    fn renew(&self, renewals: Vec<Renewal>) -> Call<Vec<Renewed>> {
        let now = self.store.clock.unix();
        let renew = |renewal: &Renewal| {
            let until = now.saturating_add_unsigned(renewal.lease);
            let act = |state: &mut State| state.entries(renewal.part).renew(renewal, now, until);
            self.store.with_existing(&renewal.channel, act).unwrap_or(Renewed::Absent)
        };
        Call::Ready(Ok(renewals.iter().map(renew).collect()))
    }

    fn leave(&self, leave: Leave) -> Call<Left> {
        let store = &*self.store;
        let now = store.clock.unix();
        let left = store.with_existing(&leave.channel, |state| {
            let (left, told) = state.entries(leave.part).leave(&leave, now);
            if let Some(value) = told {
                store.tell(&leave.channel, &state.listeners, Hint::Left(value));
            }
            left
        });
        Call::Ready(Ok(left.unwrap_or(Left::Absent)))
    }

    fn snapshot(&self, part: Part, channel: Channel, limit: u32) -> Call<Snapshot> {
        let now = self.store.clock.unix();
        let snapshot = self.store.with_existing(&channel, |state| state.entries(part).snapshot(limit, now));
        Call::Ready(Ok(snapshot.unwrap_or_default()))
    }

    fn stats(&self, part: Part, channel: Channel) -> Call<Stats> {
        let now = self.store.clock.unix();
        let stats = self.store.with_existing(&channel, |state| state.entries(part).stats(now));
        Call::Ready(Ok(stats.unwrap_or_default()))
    }

    fn reap(&self, limit: u32) -> Call<Reaped> {
        let store = &*self.store;
        let now = store.clock.unix();
        let mut reaped = Reaped::default();
        for _ in 0..limit {
            let due = {
                let mut leases = store.leases.lock();
                match leases.first_entry() {
                    Some(first) if first.key().0 <= now => first.remove(),
                    _ => break,
                }
            };
            let (part, channel, key, birth) = &due;
            let renewed = store.with_existing(channel, |state| {
                if let Some(announced) = state.entries(*part).lapse(key, now) {
                    reaped.removed += 1;
                    if let Some(value) = announced {
                        store.tell(channel, &state.listeners, Hint::Left(value));
                    }
                }
                state.entries(*part).until(key, *birth)
            });
            if let Some(until) = renewed.flatten() {
                store.order_lease(until, due);
            }
        }
        reaped.more = store.leases.lock().first_key_value().is_some_and(|(first, _)| first.0 <= now);
        store.sweep(now);
        Call::Ready(Ok(reaped))
    }
}

impl PubSub for Memory {
    fn attach(&self, sink: Arc<dyn Sink>) {
        if let Some(slot) = self.store.sinks.read().get(self.link) {
            let first = slot.set(sink).is_ok();
            debug_assert!(first, "a node attaches once");
        }
    }

    fn subscribe(&self, channel: Channel) -> Call<()> {
        self.store.with(&channel, |state| {
            if !state.listeners.contains(&self.link) {
                state.listeners.push(self.link);
            }
        });
        Call::Ready(Ok(()))
    }

    fn unsubscribe(&self, channel: Channel) -> Call<()> {
        self.store.with_existing(&channel, |state| state.listeners.retain(|link| *link != self.link));
        Call::Ready(Ok(()))
    }

    fn announce(&self, channel: Channel, hint: Hint) -> Call<()> {
        let store = &*self.store;
        store.with_existing(&channel, |state| store.tell(&channel, &state.listeners, hint));
        Call::Ready(Ok(()))
    }

    fn control(&self, message: Bytes) -> Call<()> {
        for sink in self.store.sinks.read().iter().filter_map(|sink| sink.get()) {
            sink.handle_control(message.clone());
        }
        Call::Ready(Ok(()))
    }
}

impl Engine for Memory {
    fn is_ready(&self) -> bool {
        true
    }

    fn is_shared(&self) -> bool {
        self.store.sinks.read().iter().filter(|sink| sink.get().is_some()).count() > 1
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}

impl Drop for Memory {
    /// A node that goes away listens to nothing any more.
    fn drop(&mut self) {
        if let Some(sink) = self.store.sinks.write().get_mut(self.link) {
            *sink = Arc::default();
        }
    }
}
