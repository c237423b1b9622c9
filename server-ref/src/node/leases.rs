//! The presence entries that this node keeps alive: renewed in batches, one part of them at every tick, so
//! that a node with many members never sends all renewals at once.

use super::Node;
use crate::{
    clock::Millis,
    engine::{Call, Channel, EngineError, Join, Joined, Leave, Part, Position, Renewal, Renewed},
};
use bytes::Bytes;
use foldhash::fast::{FixedState, RandomState};
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::{
    hash::BuildHasher,
    sync::{Arc, Weak},
};

/// In how many parts the leases are renewed; also the ticks of one renewal interval.
pub(super) const PARTS: usize = 16;

/// Renewals in one call of the engine.
const BATCH: usize = 500;

type Key = (Channel, Arc<str>);

/// One entry that is kept alive.
#[derive(Clone)]
pub(crate) struct Lease {
    pub(crate) birth: Position,
    pub(crate) owner: Arc<str>,
    pub(crate) value: Bytes,
    pub(crate) announce: bool,
    /// The engine may have another value: joining again mends that.
    pub(crate) is_stale: bool,
}

pub(super) struct Leases {
    hasher: FixedState,
    parts: [Mutex<HashMap<Key, Lease, RandomState>>; PARTS],
}

impl Leases {
    /// Which part a lease falls into follows from `seed`, so that the same node does the same again.
    pub(super) fn new(seed: u64) -> Self {
        Self { hasher: FixedState::with_seed(seed), parts: Default::default() }
    }

    fn part(&self, key: &Key) -> &Mutex<HashMap<Key, Lease, RandomState>> {
        &self.parts[(self.hasher.hash_one(key) >> 24) as usize % PARTS]
    }
}

impl Node {
    /// Keeps an entry alive from now on.
    pub(crate) fn keep_lease(&self, channel: &Channel, client: &Arc<str>, lease: Lease) {
        let key = (Arc::clone(channel), Arc::clone(client));
        self.leases.part(&key).lock().insert(key, lease);
    }

    /// Gives an entry that is kept alive another value. Nobody is told: it is neither a coming nor a going.
    pub(crate) fn change_lease(self: &Arc<Self>, channel: &Channel, client: &Arc<str>, value: Bytes) {
        let key = (Arc::clone(channel), Arc::clone(client));
        let changed = {
            let mut part = self.leases.part(&key).lock();
            let Some(held) = part.get_mut(&key).filter(|held| held.value != value) else { return };
            held.value = value;
            held.is_stale = true;
            held.clone()
        };
        self.rejoin(key, changed);
    }

    /// Removes an entry, and keeps it alive no longer. If the engine is away the entry lapses by itself.
    pub(crate) fn drop_lease(&self, channel: &Channel, client: &Arc<str>) {
        let key = (Arc::clone(channel), Arc::clone(client));
        self.leases.part(&key).lock().remove(&key);
        // Nobody else uses this key: a join that is still under way is undone too, whatever its birth.
        let leave = Leave { part: Part::Here, channel: key.0, key: key.1, birth: None };
        self.detach(self.engine.leave(leave), "leave");
    }

    pub(super) fn renew_leases(self: &Arc<Self>, part: usize) {
        let lease = self.config.presence_lease();
        let Some(part) = self.leases.parts.get(part) else { return };
        let mut due: Vec<(Key, Lease)> =
            part.lock().iter().map(|(key, lease)| (key.clone(), lease.clone())).collect();
        due.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (key, held) in due.extract_if(.., |(_, held)| held.is_stale) {
            self.rejoin(key, held);
        }
        while !due.is_empty() {
            let batch = due.split_off(due.len().saturating_sub(BATCH));
            let renewal = |((channel, key), held): &(Key, Lease)| Renewal {
                part: Part::Here,
                channel: Arc::clone(channel),
                key: Arc::clone(key),
                birth: held.birth,
                lease,
            };
            let call = self.engine.renew(batch.iter().map(renewal).collect());
            self.after(call, batch, Self::handle_renewed);
        }
    }

    fn handle_renewed(self: &Arc<Self>, batch: Vec<(Key, Lease)>, result: Result<Vec<Renewed>, EngineError>) {
        let answers = match result {
            Ok(answers) => answers,
            Err(error) => return self.note_failure("renew", error),
        };
        for ((key, held), answer) in batch.into_iter().zip(answers) {
            // Fenced cannot be: nobody else joins under a connection's id. Joining again would be wrong.
            if answer == Renewed::Absent && self.leases.part(&key).lock().contains_key(&key) {
                self.rejoin(key, held);
            }
        }
    }

    fn rejoin(self: &Arc<Self>, key: Key, held: Lease) {
        let join = self.join(&key.0, &key.1, &held);
        self.after(join, (key, held.value), Self::handle_rejoined);
    }

    fn handle_rejoined(self: &Arc<Self>, (key, value): (Key, Bytes), result: Result<Joined, EngineError>) {
        match result {
            Err(error) => self.note_failure("join", error),
            Ok(joined) => {
                let known = self.leases.part(&key).lock().get_mut(&key).map(|held| {
                    held.birth = joined.birth;
                    held.is_stale = held.value != value;
                });
                if known.is_none() {
                    self.drop_lease(&key.0, &key.1);
                }
            }
        }
    }

    /// Makes a presence entry.
    pub(crate) fn join(&self, channel: &Channel, client: &Arc<str>, lease: &Lease) -> Call<Joined> {
        self.engine.join(Join {
            part: Part::Here,
            channel: Arc::clone(channel),
            key: Arc::clone(client),
            owner: Arc::clone(&lease.owner),
            value: lease.value.clone(),
            lease: self.config.presence_lease(),
            announce: lease.announce,
        })
    }

    /// Goes on with `then` when the call has completed: at once if it has.
    pub(super) fn after<T: Send + 'static, C: Send + 'static>(
        self: &Arc<Self>,
        call: Call<T>,
        context: C,
        then: fn(&Arc<Self>, C, Result<T, EngineError>),
    ) {
        match call {
            Call::Ready(result) => then(self, context, result),
            Call::Pending(pending) => {
                let node: Weak<Self> = Arc::downgrade(self);
                self.work.push(Box::pin(async move {
                    let result = pending.await;
                    if let Some(node) = node.upgrade() {
                        then(&node, context, result);
                    }
                }));
            }
        }
    }

    /// How often one part of the leases is renewed.
    pub(super) fn renewal_tick(interval: Millis) -> Millis {
        (interval / PARTS as u64).max(1)
    }
}
